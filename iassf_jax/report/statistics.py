"""What a report says of a number: spread over seeds, interval over images, and whether a difference is real.

Images and seeds are two different sources of chance. The interval is a bootstrap over images of the values
averaged over seeds; the standard deviation is that of the seeds' means. A difference between two rows is
tested over images (paired bootstrap) and, separately, held against the noise of seeds: training again with
another seed must not be able to explain it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy import stats

from iassf_jax.metrics.summary import Comparison, Summary, compare, summarise
from iassf_jax.report.rows import Block

_CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Cell:
    """One metric of one row.

    Attributes:
      summary: over images, of the values averaged over seeds.
      seeds: how many runs have values.
      seed_sd: standard deviation of the runs' means (n - 1); NaN for fewer than two.
    """

    summary: Summary
    seeds: int
    seed_sd: float

    @property
    def mean(self) -> float:
        """Over images and seeds."""
        return self.summary.mean


@dataclasses.dataclass(frozen=True)
class Difference:
    """A row against the reference row.

    Attributes:
      comparison: over the images that both have, values averaged over seeds.
      noise: the largest difference of two such means that seeds alone explain, at 95 %; NaN if no row has
        two seeds.
      beyond_noise: whether the difference is larger; None if the noise is not known or values are infinite.
    """

    comparison: Comparison
    noise: float
    beyond_noise: bool | None


Cells = Mapping[str, Mapping[str, Cell]]  # row's label -> metric -> cell


def make_cells(block: Block) -> dict[str, dict[str, Cell]]:
    """Return the cells of a block."""
    return {
        row.label: {metric: make_cell(row.values(metric, block.images)) for metric in block.metrics}
        for row in block.rows
    }


def make_cell(values: Float[np.ndarray, "seeds n"]) -> Cell:
    """Summarise the values [seed, image] of a row; a seed without any value does not count."""
    means = seed_means(values)
    sd = float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
    return Cell(summarise(over_seeds(values)), len(means), sd)


def over_seeds(values: Float[np.ndarray, "seeds n"]) -> Float[np.ndarray, " n"]:
    """Return the mean over the seeds that have a value, for each image; NaN where none has."""
    known = ~np.isnan(values)
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(0) / np.maximum(count, 1), np.nan)


def seed_means(values: Float[np.ndarray, "seeds n"]) -> Float[np.ndarray, " s"]:
    """Return the mean over images of each seed that has values."""
    known = [line[~np.isnan(line)] for line in values]
    return np.array([line.mean() for line in known if len(line)])


def differences_from(block: Block, reference: str) -> dict[str, dict[str, Difference]]:
    """Return every other row's differences from the row labelled `reference`."""
    rows = {row.label: row for row in block.rows}
    found: dict[str, dict[str, Difference]] = {label: {} for label in rows if label != reference}
    for metric in block.metrics:
        values = {label: row.values(metric, block.images) for label, row in rows.items()}
        means = {label: seed_means(x) for label, x in values.items()}
        noise = seed_noise(list(means.values()))
        for label in found:
            comparison = compare(over_seeds(values[label]), over_seeds(values[reference]))
            known = len(means[label]) and len(means[reference])
            limit = noise_limit(noise, rows[label].draws, rows[reference].draws) if known else math.nan
            beyond = None
            if not math.isnan(limit) and not comparison.infinite:
                beyond = bool(abs(means[label].mean() - means[reference].mean()) > limit)
            found[label][metric] = Difference(comparison, limit, beyond)
    return found


def seed_noise(means: Sequence[Float[np.ndarray, "_"]]) -> tuple[float, int]:
    """Return the standard deviation over seeds, pooled over rows, and its degrees of freedom.

    Rows of one seed tell nothing of it; (NaN, 0) if there are only such.
    """
    freedom = sum(max(len(x) - 1, 0) for x in means)
    squares = sum(float(np.square(x - x.mean()).sum()) for x in means if len(x) > 1)
    return (math.sqrt(squares / freedom), freedom) if freedom else (math.nan, 0)


def noise_limit(noise: tuple[float, int], first: float | int, second: float | int) -> float:
    """Return how large the difference of two means over `first` and `second` seeds gets by chance, at 95 %.

    Beyond it, Student's t test with the pooled variance rejects at 5 %. What is not trained has no noise: an
    infinite number of seeds.
    """
    sd, freedom = noise
    if not freedom:
        return math.nan
    return float(stats.t.ppf(0.5 + _CONFIDENCE / 2, freedom)) * sd * math.sqrt(1 / first + 1 / second)
