"""Summaries of per-image values, with bootstrap intervals; host side, float64, reproducible."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

_RESAMPLES = 10_000
_SEED = 0
_TAIL = 2.5  # per cent on either side of a 95 % interval
_CHUNK = 500  # resamples drawn at a time, to bound the memory


@dataclasses.dataclass(frozen=True)
class Summary:
    """Of the images that have a value: mean, standard deviation (n - 1), median, 95 % interval of the mean.

    `count` images have a value and `missing` have none (NaN); infinite values stay infinite in the mean, and
    `infinite` says how many there are.
    """

    mean: float
    sd: float
    median: float
    low: float
    high: float
    count: int
    missing: int
    infinite: int = 0


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Mean difference of two methods over the images both have, its 95 % interval and two-sided p-value.

    `count` images are in it. Images where a value is infinite are not; `infinite` says how many that are.
    """

    difference: float
    low: float
    high: float
    p_value: float
    count: int
    infinite: int = 0


def summarise(values: Float[np.ndarray, " n"]) -> Summary:
    """Summarise per-image values; NaN counts as missing, and no image at all gives NaN everywhere."""
    known = values[~np.isnan(values)]
    count, missing = len(known), len(values) - len(known)
    if count == 0:
        return Summary(math.nan, math.nan, math.nan, math.nan, math.nan, 0, missing)
    mean, median = float(known.mean()), float(np.median(known))
    if infinite := int(np.isinf(known).sum()):
        return Summary(mean, math.nan, median, math.nan, math.nan, count, missing, infinite)
    if count == 1:  # one image says nothing of others
        return Summary(mean, math.nan, median, math.nan, math.nan, count, missing)
    low, high = np.percentile(_resampled_means(known), (_TAIL, 100 - _TAIL))
    sd = float(known.std(ddof=1))
    return Summary(mean, sd, median, float(low), float(high), count, missing)


def compare(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> Comparison:
    """Paired bootstrap of first - second, image by image; images where either has no finite value stay out.

    The p-value is twice the smaller share of resampled means on either side of 0, where a resample at 0
    on both; with 10,000 resamples it is never under 2e-4. One image alone gives no interval. Nor is there
    one where infinite values stay out: without them the rest can even differ in the other direction.
    """
    known, finite = ~(np.isnan(first) | np.isnan(second)), np.isfinite(first) & np.isfinite(second)
    differences, infinite = first[finite] - second[finite], int((known & ~finite).sum())
    count = len(differences)
    difference = float(differences.mean()) if count else math.nan
    if count < 2 or infinite:
        return Comparison(difference, math.nan, math.nan, math.nan, count, infinite)
    means = _resampled_means(differences)
    low, high = np.percentile(means, (_TAIL, 100 - _TAIL))
    rarer = min(np.count_nonzero(means <= 0), np.count_nonzero(means >= 0))
    p_value = min(1.0, 2.0 * (rarer + 1) / (_RESAMPLES + 1))
    return Comparison(difference, float(low), float(high), p_value, count)


def _resampled_means(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " r"]:
    rng = np.random.default_rng(_SEED)
    draws = (rng.integers(0, len(values), (_CHUNK, len(values))) for _ in range(_RESAMPLES // _CHUNK))
    return np.concatenate([values[draw].mean(axis=1) for draw in draws])
