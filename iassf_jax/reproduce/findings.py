"""What a table says when held against the published one: who is best, in which order, beyond which noise."""

import dataclasses
import math
from collections.abc import Sequence

from scipy import stats

from iassf_jax.metrics import METRICS
from iassf_jax.report.published import counterpart, published
from iassf_jax.report.rows import Block
from iassf_jax.report.statistics import differences_from, make_cell
from iassf_jax.report.write import Note

_FEWEST = 3  # rows; the order of two says nothing


@dataclasses.dataclass(frozen=True)
class Finding:
    """One metric of a sweep, here and in the paper.

    Attributes:
      metric: key of `METRICS`.
      best: label of the best row here.
      published_best: label of the row that is best in the paper.
      order: Spearman's rank correlation of the rows' means with the published values; NaN where either has
        no order.
      beyond: rows whose difference from the reference is larger than seed noise; None if that is not known.
      rows: that are compared.
    """

    metric: str
    best: str
    published_best: str
    order: float
    beyond: int | None
    rows: int


def find(block: Block, table: str, reference: str) -> list[Finding]:
    """Return the findings for the metrics that both tables have values of.

    Args:
      block: of the fused images.
      table: of the paper.
      reference: label of the row that the others are compared with.
    """
    known = published(table)
    names = {row.label: counterpart(table, row.settings) for row in block.rows if row.networks}
    pairs = {label: known[name] for label, name in names.items() if name is not None}
    differences = differences_from(block, reference)
    found = []
    for metric in block.metrics:
        rows = {row.label: row for row in block.rows if row.label in pairs}
        here = {label: make_cell(row.values(metric, block.images)).mean for label, row in rows.items()}
        here = {label: mean for label, mean in here.items() if not math.isnan(mean)}
        there = {label: pairs[label][metric] for label in here if metric in pairs[label]}
        if len(here) < _FEWEST or set(there) != set(here):
            continue
        judged = [differences[label][metric].beyond_noise for label in here if label != reference]
        beyond = None if any(one is None for one in judged) else sum(map(bool, judged))
        order = _order(list(here.values()), list(there.values()))
        found.append(Finding(metric, _best(here, metric), _best(there, metric), order, beyond, len(here)))
    return found


def as_note(found: Sequence[Finding]) -> Note:
    """Return the findings as a table."""
    lines = [
        [
            METRICS[one.metric].title,
            one.best,
            one.published_best,
            "–" if math.isnan(one.order) else f"{one.order:+.2f}",
            "unknown" if one.beyond is None else f"{one.beyond} of {one.rows - 1}",
        ]
        for one in found
    ]
    text = (
        "Best row here and in the paper; rank correlation of the rows (1: the same order, 0: none, "
        "-1: reversed); rows whose difference from the reference other seeds do not explain."
    )
    columns = ["", "best here", "best in the paper", "order", "beyond seed noise"]
    return Note("Held against the paper", text, columns, lines)


def _best(values: dict[str, float], metric: str) -> str:
    sign = -1.0 if METRICS[metric].direction == "lower" else 1.0
    return max(values, key=lambda label: sign * values[label])


def _order(here: Sequence[float], there: Sequence[float]) -> float:
    if len(set(here)) < 2 or len(set(there)) < 2:
        return math.nan
    return float(stats.spearmanr(here, there).statistic)
