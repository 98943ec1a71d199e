"""Tables of a report in the paper's form: arrows, best and second best; Markdown, LaTeX and CSV."""

import csv
import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from iassf_jax.metrics import METRICS
from iassf_jax.metrics.report import latex_text, markdown_cell, shown
from iassf_jax.metrics.summary import Comparison
from iassf_jax.report.statistics import Cells, Difference

_ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
_LATEX_ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$", "none": ""}
_MARKDOWN = {1: "**{}**", 2: "<u>{}</u>"}
_LATEX = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}
COLUMNS = (
    *("part", "row", "metric", "mean", "sd_over_seeds", "seeds", "low", "high", "sd_over_images", "median"),
    *("images", "missing", "infinite", "difference", "difference_low", "difference_high", "p_value"),
    *("pairs", "infinite_pairs", "seed_noise", "beyond_seed_noise"),
)


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is printed in a cell: a mean, and how far seeds spread if several were trained."""

    mean: float
    sd: float = math.nan


@dataclasses.dataclass(frozen=True)
class Section:
    """Lines of a table that are ranked among themselves; a title separates them from the ones above."""

    title: str
    rows: Mapping[str, Mapping[str, Entry]]

    def rank(self, row: str, metric: str) -> int:
        """Place of a row (1 is best, ties share it); 0 if there is no value, no direction or no rival."""
        direction = METRICS[metric].direction
        means = [cells[metric].mean for cells in self.rows.values() if metric in cells]
        means = [mean for mean in means if not math.isnan(mean)]
        mine = self.rows[row][metric].mean if metric in self.rows[row] else math.nan
        if direction == "none" or math.isnan(mine) or len(means) < 2:
            return 0
        return 1 + sum(mean > mine if direction == "higher" else mean < mine for mean in means)


def measured(cells: Cells, *, title: str = "") -> Section:
    """Return the section of one's own rows."""
    return Section(
        title,
        {
            label: {metric: Entry(cell.mean, cell.seed_sd) for metric, cell in row.items()}
            for label, row in cells.items()
        },
    )


def printed(values: Mapping[str, Mapping[str, float]], *, title: str) -> Section:
    """Return the section of published rows."""
    return Section(
        title,
        {
            label: {metric: Entry(value) for metric, value in row.items() if metric in METRICS}
            for label, row in values.items()
        },
    )


def to_markdown(sections: Sequence[Section], metrics: Sequence[str]) -> str:
    """Return the sections as one table; best in bold, second best underlined, each within its section."""
    lines = [["", *(f"{METRICS[m].title} {_ARROWS[METRICS[m].direction]}".strip() for m in metrics)]]
    lines.append(["---", *["---:"] * len(metrics)])
    for section in sections:
        if section.title:
            lines.append([f"*{_markdown_text(section.title)}*", *[""] * len(metrics)])
        for label in section.rows:
            cells = [_marked(section, label, m, _MARKDOWN, " ± ") for m in metrics]
            lines.append([_markdown_text(label), *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def to_latex(sections: Sequence[Section], metrics: Sequence[str]) -> str:
    """Return the sections as a booktabs table; best in bold, second best underlined."""
    titles = [latex_text(METRICS[m].title) + _LATEX_ARROWS[METRICS[m].direction] for m in metrics]
    lines = [r"\begin{tabular}{l" + "r" * len(metrics) + "}", r"\toprule", _latex_line(["", *titles])]
    for section in sections:
        lines.append(r"\midrule")
        if section.title:
            width = len(metrics) + 1
            lines.append(rf"\multicolumn{{{width}}}{{l}}{{\textit{{{latex_text(section.title)}}}}} \\")
        for label in section.rows:
            cells = [_marked(section, label, m, _LATEX, r" $\pm$ ") for m in metrics]
            lines.append(_latex_line([latex_text(label), *cells]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def grid_markdown(heading: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table of words; the first column names the lines."""
    rows = [list(heading), ["---", *["---:"] * (len(heading) - 1)]]
    rows += [[_markdown_text(cell) for cell in line] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def comparison_markdown(
    found: Mapping[str, Mapping[str, Difference]], reference: str, metrics: Sequence[str]
) -> str:
    """Return the differences from the reference row: value, 95 % interval, p, and if beyond seed noise."""
    titles = [METRICS[m].title for m in metrics]
    lines = [[f"minus {_markdown_text(reference)}", *titles], ["---", *["---"] * len(metrics)]]
    for label, row in found.items():
        lines.append([_markdown_text(label), *(difference_text(row[m]) for m in metrics)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def deviations(
    cells: Cells, rows: Mapping[str, Mapping[str, float]], metrics: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return (mean - published) / published for the rows that have a published counterpart.

    Args:
      cells: of all rows.
      rows: row's label -> published values.
      metrics: of the table; those without a value on either side are left out.
    """
    found = {}
    for label, known in rows.items():
        means = {m: cells[label][m].mean for m in metrics if m in known}
        found[label] = {m: mean / known[m] - 1.0 for m, mean in means.items() if not math.isnan(mean)}
    return found


def deviations_markdown(found: Mapping[str, Mapping[str, float]], metrics: Sequence[str]) -> str:
    """Return relative deviations from published values as a table."""
    lines = [["", *(METRICS[m].title for m in metrics)], ["---", *["---:"] * len(metrics)]]
    lines += [
        [_markdown_text(label), *(percent(row.get(m)) for m in metrics)] for label, row in found.items()
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def percent(share: float | None) -> str:
    """Return a relative deviation in per cent; a dash where there is none."""
    return "–" if share is None else f"{100 * share:+.1f} %"


def difference_text(difference: Difference) -> str:
    """Return a difference in words short enough for a table."""
    c = difference.comparison
    if c.count == 0:
        return f"–{interval_text(c)}"
    noise = {None: "", True: ", larger than seed noise", False: ", within seed noise"}
    return f"{signed(c.difference)}{interval_text(c)}{noise[difference.beyond_noise]}"


def interval_text(comparison: Comparison) -> str:
    """Return interval and p-value, or why there are none, after a space; nothing for a single image."""
    c = comparison
    if c.infinite:
        return f" ({c.count} of {c.count + c.infinite} pairs: {c.infinite} infinite)"
    if math.isnan(c.low):
        return ""
    return f" [{signed(c.low)}, {signed(c.high)}], p {p_text(c.p_value)}"


def to_csv(parts: Iterable[tuple[str, Cells, Mapping[str, Mapping[str, Difference]]]]) -> str:
    """Return all numbers in full, a line for each part, row and metric; empty where there is none."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for part, cells, found in parts:
        for label, row in cells.items():
            for metric, cell in row.items():
                s = cell.summary
                line = {"part": part, "row": label, "metric": metric, "mean": s.mean, "seeds": cell.seeds}
                line |= {"sd_over_seeds": cell.seed_sd, "low": s.low, "high": s.high, "sd_over_images": s.sd}
                line |= {"median": s.median, "images": s.count, "missing": s.missing}
                line["infinite"] = s.infinite
                writer.writerow(_plain(line | _columns(found.get(label, {}).get(metric))))
    return text.getvalue()


def signed(value: float) -> str:
    """Return three significant digits with the sign."""
    return f"{value:+.3g}"


def p_text(value: float) -> str:
    """Return a p-value; below what 10,000 resamples can tell, the bound."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _columns(difference: Difference | None) -> dict[str, float | str]:
    if difference is None:
        return {}
    c = difference.comparison
    beyond = {None: "", True: "yes", False: "no"}[difference.beyond_noise]
    return {
        "difference": c.difference,
        "difference_low": c.low,
        "difference_high": c.high,
        "p_value": c.p_value,
        "pairs": c.count,
        "infinite_pairs": c.infinite,
        "seed_noise": difference.noise,
        "beyond_seed_noise": beyond,
    }


def _plain(line: Mapping[str, object]) -> dict[str, object]:
    return {key: "" if isinstance(x, float) and math.isnan(x) else x for key, x in line.items()}


def _marked(section: Section, label: str, metric: str, marks: Mapping[int, str], plus_minus: str) -> str:
    entry = section.rows[label].get(metric)
    if entry is None or math.isnan(entry.mean):
        return "–"
    text = marks.get(section.rank(label, metric), "{}").format(shown(entry.mean))
    return text if math.isnan(entry.sd) else f"{text}{plus_minus}{entry.sd:.2g}"


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells).replace("–", "--") + r" \\"


def _markdown_text(text: str) -> str:
    return markdown_cell(text).replace("_", r"\_")
