"""What `iassf evaluate` shows on the terminal."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from iassf_jax.evaluation.evaluate import Evaluation
from iassf_jax.metrics import METRICS
from iassf_jax.metrics.folders import Measurements
from iassf_jax.metrics.report import rank, shown, summaries, without_value

_STYLES = {1: "bold green", 2: "underline"}
_ARROWS = {"higher": "↑", "lower": "↓", "none": ""}


def print_results(console: Console, evaluation: Evaluation, folder: Path) -> None:
    """Print the means over all scenes, where the rest is, and what failed."""
    for title, run in (("fused", evaluation.fusion), ("restored", evaluation.restoration)):
        table = _means(run)
        # A table wider than the terminal is better read in a pager than squeezed.
        wide = Measurement.get(console, console.options.update(width=10_000), table).maximum
        console.width = max(console.width, wide)
        console.print(f"{title}: means over {len(run.names)} images", highlight=False)
        console.print(table)
    run = evaluation.fusion
    say = [f"tables, per-image values, intervals and strata: {folder}"]
    say += without_value(run)
    say += [f"{len(run.problems)} scenes failed:"] * bool(run.problems)
    say += [f"  {problem}" for problem in run.problems]
    for line in say:
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _means(run: Measurements) -> Table:
    means = summaries(run)
    table = Table("method")
    for metric in run.metrics:
        table.add_column(f"{METRICS[metric].title} {_ARROWS[METRICS[metric].direction]}", justify="right")
    for method, row in means.items():
        cells = []
        for metric in run.metrics:
            style = _STYLES.get(rank(means, method, metric))
            text = shown(row[metric].mean)
            cells.append(f"[{style}]{text}[/]" if style else text)
        table.add_row(escape(method), *cells)
    return table
