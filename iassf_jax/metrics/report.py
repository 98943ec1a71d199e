"""Tables of measurements: CSV per image, JSON summary, Markdown and LaTeX with the best two marked."""

import csv
import io
import itertools
import json
import math
from collections.abc import Mapping

from iassf_jax.metrics.folders import Measurements
from iassf_jax.metrics.summary import Summary, compare, summarise
from iassf_jax.metrics.table import METRICS

Summaries = Mapping[str, Mapping[str, Summary]]  # method -> metric -> summary
_ARROWS = {"higher": "↑", "lower": "↓", "none": ""}
_LATEX_SPECIAL = {character: "\\" + character for character in "_&%$#{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}
_LATEX_ARROWS = {"higher": r"$\uparrow$", "lower": r"$\downarrow$", "none": ""}


def summaries(run: Measurements) -> dict[str, dict[str, Summary]]:
    """Return the summary of every method and metric."""
    return {
        method: {metric: summarise(run.of(method, metric)) for metric in run.metrics} for method in run.values
    }


def to_csv(run: Measurements) -> str:
    """One row for each method and image; an empty cell where there is no value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "name", *run.metrics])
    for method, values in run.values.items():
        for name, row in zip(run.names, values, strict=True):
            writer.writerow([method, name, *("" if math.isnan(x) else repr(float(x)) for x in row)])
    return text.getvalue()


def to_json(run: Measurements, table: Summaries, models: Mapping[str, str]) -> str:
    """Summaries, paired comparisons of all methods, and what has no value; null for NaN and infinite.

    `models` names the model files that took the place of the shipped ones.
    """
    pairs = [
        {"first": a, "second": b, **{m: vars(compare(run.of(a, m), run.of(b, m))) for m in run.metrics}}
        for a, b in itertools.combinations(run.values, 2)
    ]
    content = {
        "images": len(run.names),
        "metrics": {
            m: {
                "definition": METRICS[m].definition,
                "range": METRICS[m].value_range,
                "better": METRICS[m].direction,
            }
            for m in run.metrics
        },
        "models": dict(models),
        "methods": {method: {m: vars(s) for m, s in row.items()} for method, row in table.items()},
        "paired_bootstrap": pairs,
        "not_computed": run.not_computed,
        "no_value": run.no_value,
        "problems": run.problems,
    }
    return json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def without_value(run: Measurements) -> list[str]:
    """Return a line for each metric and method that lack values, and one for each metric with a reason."""
    lines = [f"no value: {METRICS[name].title}: {why}" for name, why in run.not_computed.items()]
    return lines + [
        f"{METRICS[metric].title}: {count} of {len(run.names)} images of {method} have no value"
        for metric, methods in run.no_value.items()
        for method, count in methods.items()
    ]


def to_markdown(table: Summaries) -> str:
    """Methods by row, means by column; the best in bold, the second best underlined."""
    metrics = list(next(iter(table.values())))
    header = ["method", *(f"{METRICS[m].title} {_ARROWS[METRICS[m].direction]}".strip() for m in metrics)]
    lines = [header, ["---", *["---:"] * len(metrics)]]
    marks = {1: "**{}**", 2: "<u>{}</u>"}
    for method, row in table.items():
        cells = (marks.get(rank(table, method, m), "{}").format(shown(row[m].mean)) for m in metrics)
        lines.append([markdown_cell(method), *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def to_latex(table: Summaries) -> str:
    """A booktabs table; the best in bold, the second best underlined."""
    metrics = list(next(iter(table.values())))
    titles = [
        f"{latex_text(METRICS[m].title)} {_LATEX_ARROWS[METRICS[m].direction]}".strip() for m in metrics
    ]
    lines = [
        r"\begin{tabular}{l" + "r" * len(metrics) + "}",
        r"\toprule",
        " & ".join(["Method", *titles]) + r" \\",
    ]
    lines.append(r"\midrule")
    marks = {1: r"\textbf{{{}}}", 2: r"\underline{{{}}}"}
    for method, row in table.items():
        cells = (marks.get(rank(table, method, m), "{}").format(shown(row[m].mean)) for m in metrics)
        lines.append(" & ".join([latex_text(method), *cells]).replace("–", "--") + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def rank(table: Summaries, method: str, metric: str) -> int:
    """Place of a method (1 is best, ties share it); 0 if there is no value, no direction or no rival."""
    direction = METRICS[metric].direction
    means = [row[metric].mean for row in table.values() if not math.isnan(row[metric].mean)]
    mine = table[method][metric].mean
    if direction == "none" or math.isnan(mine) or len(means) < 2:
        return 0
    return 1 + sum(mean > mine if direction == "higher" else mean < mine for mean in means)


def shown(value: float) -> str:
    """Four significant digits; a dash where there is no value."""
    if math.isnan(value):
        return "–"
    if not math.isfinite(value) or abs(value) >= 1e4:
        return f"{value:.0f}"
    return f"{value:#.4g}".removesuffix(".")


def markdown_cell(text: str) -> str:
    """Return text that neither ends a cell of a Markdown table nor is set otherwise."""
    return text.replace("|", r"\|").replace("*", r"\*")


def latex_text(text: str) -> str:
    """Return text in which LaTeX reads no commands."""
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)


def _without_nan(content):
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
