"""Figures of a report, drawn with matplotlib, which is an optional dependency.

Colours come from the Okabe-Ito palette, which readers who do not tell red from green can tell apart.
"""

import importlib
import importlib.util
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import MissingDependencyError
from iassf_jax.metrics import METRICS
from iassf_jax.report.results import DERIVED
from iassf_jax.report.rows import Block, Row
from iassf_jax.report.statistics import make_cell, over_seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
_ARROWS = {"higher": " ↑", "lower": " ↓", "none": ""}
_PANELS = 4  # in a line of panels
_DPI = 150


def check_matplotlib() -> None:
    """Refuse to go on without matplotlib.

    Raises:
      MissingDependencyError: it is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingDependencyError(
            "figures need matplotlib: pip install 'iassf_jax[report]', or leave them out with --no-figures"
        )


def save(figure: "Figure", path: Path) -> Path:
    """Write a figure as PNG and, beside it, as SVG; return the PNG's path."""
    for suffix in (".svg", ".png"):
        with written_aside(path.with_suffix(suffix)) as aside:
            figure.savefig(aside, dpi=_DPI, bbox_inches="tight")
    return path.with_suffix(".png")


def violins(block: Block) -> "Figure":
    """Draw the distribution over images of every metric: violin, box of the quartiles, mean and median."""
    colours = dict(zip((row.label for row in block.rows), itertools.cycle(COLOURS), strict=False))

    def draw(axes: Any, metric: str) -> None:
        for position, row in enumerate(block.rows):
            values = over_seeds(row.values(metric, block.images))
            values = values[np.isfinite(values)]
            if len(values):
                _violin(axes, values, position, colours[row.label])
        axes.set_xticks(range(len(block.rows)), [row.label for row in block.rows], rotation=35, ha="right")

    figure = _panels(
        [m for m in block.metrics if _has_values(block, m)], draw, width=1.2 + 0.55 * len(block.rows)
    )
    figure.suptitle("box: quartiles; line: median; diamond: mean", fontsize=8, y=1.0)
    return figure


def curves(
    block: Block, option: str, *, published: Mapping[float, Mapping[str, float]] | None = None
) -> "Figure":
    """Draw every metric over the values of an option; a line for each combination of the other options.

    Whiskers are the standard deviation over seeds, or the bootstrap interval over images where there is one
    seed. Published values are a dashed line.
    """
    lines = lines_over(block.rows, option)

    def draw(axes: Any, metric: str) -> None:
        """Draw the curves of one metric."""
        for (label, rows), colour in zip(lines.items(), itertools.cycle(COLOURS), strict=False):
            x = [float(row.settings[option]) for row in rows]
            cells = [make_cell(row.values(metric, block.images)) for row in rows]
            spread = np.array([_spread(cell) for cell in cells]).T
            means = [cell.mean for cell in cells]
            look = {"color": colour, "marker": "o", "markersize": 4, "capsize": 3}
            axes.errorbar(x, means, yerr=spread, label=label or "here", **look)
        known = {x: row[metric] for x, row in (published or {}).items() if metric in row}
        if known:
            axes.plot(list(known), list(known.values()), "--", color="#888888", marker=".", label="paper")
        axes.set_xlabel(option.rpartition(".")[2])
        if len(lines) > 1 or known:
            axes.legend(fontsize=7)

    return _panels([m for m in block.metrics if _has_values(block, m)], draw)


def histories(rows: Sequence[Row]) -> "Figure | None":
    """Draw the validation of the rows' runs over the steps, mean and range over seeds; None without any."""
    runs = {row.label: row.networks for row in rows if any(run.history for run in row.networks)}
    entries = [entry for group in runs.values() for run in group for entry in run.history]
    # What the input is like does not change in training.
    names = dict.fromkeys(n for entry in entries for n in entry if n != "step" and not n.startswith("input_"))
    if not names:
        return None

    def draw(axes: Any, name: str) -> None:
        for (label, group), colour in zip(runs.items(), itertools.cycle(COLOURS), strict=False):
            lines = [{e["step"]: e[name] for e in run.history if name in e} for run in group]
            steps = sorted(set.intersection(*(set(line) for line in lines)))
            values = np.array([[line[step] for step in steps] for line in lines])
            if not steps:
                continue
            axes.plot(steps, values.mean(0), color=colour, label=label)
            axes.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
        axes.set_xlabel("step")

    figure = _panels(list(names), draw, title=lambda name: name.replace("_", " "))
    figure.axes[0].legend(fontsize=7)
    return figure


def bubbles(
    points: Sequence[tuple[str, float, float, int, int]], metric: str, *, size: str = "256x256"
) -> "Figure":
    """Draw the metric over the arithmetic of a network; the disc's area shows its parameters.

    Args:
      points: label, FLOPs, value of the metric, parameters without prompt pools, parameters of prompt pools
        (the ring around the disc).
      metric: key of METRICS.
      size: of the images that the FLOPs are for.
    """
    figure = _figure(6.4, 4.4)
    axes = figure.subplots()
    largest = max(own + pools for _, _, _, own, pools in points)
    middle = (min(flops for _, flops, *_ in points) + max(flops for _, flops, *_ in points)) / 2e9
    for (label, flops, value, own, pools), colour in zip(points, itertools.cycle(COLOURS), strict=False):
        x = flops / 1e9
        for count, alpha in ((own + pools, 0.25), (own, 0.8)):
            axes.scatter([x], [value], s=1600 * count / largest, color=colour, alpha=alpha, linewidths=0)
        text = f"{label}: {own / 1e6:.2f} M" + (f" + {pools / 1e6:.2f} M in prompts" if pools else "")
        # Names point inwards, so that long ones stay in the figure.
        shift, side = (6, "left") if x <= middle else (-6, "right")
        axes.annotate(text, (x, value), xytext=(shift, 10), ha=side, textcoords="offset points", fontsize=7)
    axes.margins(0.25)
    axes.set_xlabel(f"GFLOPs at {size}")
    axes.set_ylabel(METRICS[metric].title + _ARROWS[METRICS[metric].direction])
    axes.set_title("area: parameters; pale: prompt pools", fontsize=8)
    return figure


def lines_over(rows: Sequence[Row], option: str) -> dict[str, list[Row]]:
    """Return rows that have a number for the option, by their other options, each in the option's order."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        value = row.settings.get(option)
        if isinstance(value, int | float) and not isinstance(value, bool):
            others = {name.rpartition(".")[2]: x for name, x in row.settings.items() if name != option}
            prefix = row.results[0].method if row.results[0].method.startswith(DERIVED) else ""
            text = ", ".join(filter(None, (prefix, *(f"{name}={x}" for name, x in others.items()))))
            lines.setdefault(text, []).append(row)
    return {text: sorted(found, key=lambda row: row.settings[option]) for text, found in lines.items()}


def swept_options(rows: Sequence[Row]) -> list[str]:
    """Return the options with at least two numbers among the rows."""
    names = dict.fromkeys(name for row in rows for name in row.settings)
    return [name for name in names if any(len(line) > 1 for line in lines_over(rows, name).values())]


def _violin(axes: Any, values: np.ndarray, position: int, colour: str) -> None:
    if len(values) > 1 and np.ptp(values) > 0:
        for body in axes.violinplot([values], [position], widths=0.85, showextrema=False)["bodies"]:
            body.set_facecolor(colour)
            body.set_alpha(0.35)
    axes.boxplot(
        [values],
        positions=[position],
        widths=0.22,
        showfliers=False,
        manage_ticks=False,
        medianprops={"color": "black"},
        boxprops={"color": colour},
        whiskerprops={"color": colour},
        capprops={"color": colour},
    )
    axes.plot([position], [values.mean()], "D", color="black", markersize=4, markerfacecolor="white")


def _spread(cell: Any) -> tuple[float, float]:
    """Length of the whiskers below and above the mean."""
    if cell.seeds > 1:
        return cell.seed_sd, cell.seed_sd
    lengths = (cell.mean - cell.summary.low, cell.summary.high - cell.mean)
    return tuple(0.0 if math.isnan(length) else max(length, 0.0) for length in lengths)  # type: ignore[return-value]


def _has_values(block: Block, metric: str) -> bool:
    return any(np.isfinite(row.values(metric, block.images)).any() for row in block.rows)


def _panels(
    names: Sequence[str],
    draw: Callable[[Any, str], None],
    *,
    width: float = 3.0,
    title: Callable[[str], str] = lambda name: METRICS[name].title + _ARROWS[METRICS[name].direction],
) -> "Figure":
    columns = min(_PANELS, max(len(names), 1))
    lines = max(1, math.ceil(len(names) / columns))
    figure = _figure(columns * max(width, 2.6), lines * 2.6)
    grid = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, name in itertools.zip_longest(grid, names):
        if name is None:
            axes.set_axis_off()
            continue
        draw(axes, name)
        axes.set_title(title(name), fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(axis="y", linewidth=0.3)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    figure.tight_layout()
    return figure


def _figure(width: float, height: float) -> "Figure":
    check_matplotlib()
    # The class, not pyplot: no window system, no global state.
    return importlib.import_module("matplotlib.figure").Figure(figsize=(width, height))
