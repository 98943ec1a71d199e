"""Writes a report: files of tables and figures, and the page that holds all of them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import write_image
from iassf_jax.metrics import METRICS, PAPER
from iassf_jax.report import complexity, figures, page, pictures, tables
from iassf_jax.report.complexity import Cost
from iassf_jax.report.published import ABLATION, SOURCE, SWEPT, TITLES, counterpart, published
from iassf_jax.report.rows import Block
from iassf_jax.report.statistics import Cells, Difference, differences_from, make_cell, make_cells, over_seeds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE = "report.html"
FILES = ("table.md", "table.tex", "table.csv", PAGE)
_HEADINGS = {
    "fusion": "Fused images",
    "restoration": "Restored images",
    "validation": "Validation in training, last step",
}
_FEW = 10  # images
_CHARTED = "q_abf"  # the paper's chart of cost and quality shows it


@dataclasses.dataclass(frozen=True)
class Note:
    """A table of words that a report has besides its numbers: a heading, a sentence, the table."""

    heading: str
    text: str
    columns: Sequence[str]
    lines: Sequence[Sequence[str]]


@dataclasses.dataclass(frozen=True)
class Options:
    """What a report shows.

    Attributes:
      title: of the page.
      reference: label of the row that the others are compared with; None is the first.
      paper: table of the paper to print below one's own; None finds it by what was swept.
      scenes: in the panel of images and as sliders.
      with_figures: draw figures, for which matplotlib is needed.
    """

    title: str = "Report"
    reference: str | None = None
    paper: str | None = None
    scenes: int = 4
    with_figures: bool = True


@dataclasses.dataclass(frozen=True)
class _Part:
    block: Block
    cells: Cells
    found: Mapping[str, Mapping[str, Difference]]
    reference: str


def write_report(
    folder: Path,
    blocks: Sequence[Block],
    options: Options,
    *,
    gallery: pictures.Gallery | None = None,
    costs: Mapping[str, Cost] | None = None,
    notes: Sequence[Note] = (),
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the report and return the path of its page.

    Args:
      folder: where to.
      blocks: see `rows.make_blocks`.
      options: what to show.
      gallery: images of the panel and the sliders, the first column is what the sliders start from.
      costs: of rows, by their labels: a table, and with figures a bubble chart.
      notes: what stands before the tables on the page, and after them in `table.md`.
      on_done: called with the numbers of finished parts and of all.

    Raises:
      InputError: no row is called as `options.reference` says, or images cannot be read.
      MissingDependencyError: figures are asked for without matplotlib.
    """
    if options.with_figures:
        figures.check_matplotlib()
    paper = options.paper if options.paper is not None else paper_table(blocks[0])
    parts = [_part(block, options.reference) for block in blocks]
    notes = [*notes, *([_cost_note(costs)] if costs else [])]
    sections = [(note.heading, _note_html(note)) for note in notes]
    steps: list[Callable[[], list[tuple[str, str]]]] = [
        lambda: _tables(folder, parts, paper, notes),
        lambda: _figures(folder, blocks, paper, costs or {}) if options.with_figures else [],
        lambda: _images(folder, blocks[0], gallery, options.scenes) if gallery is not None else [],
    ]
    for number, step in enumerate(steps, start=1):
        sections += step()
        on_done(number, len(steps))
    with written_aside(folder / PAGE) as path:
        path.write_text(page.page(options.title, sections), encoding="utf-8")
    return folder / PAGE


def paper_table(block: Block) -> str | None:
    """Return the paper's table on what was swept: alpha, M or the ablations; None for anything else."""
    names = {name for row in block.rows for name in row.settings}
    swept = {option: table for table, option in SWEPT.items()} | {ABLATION: "VII"}
    found = [table for option, table in swept.items() if names == {option}]
    return found[0] if found else None


def _part(block: Block, reference: str | None) -> _Part:
    labels = [row.label for row in block.rows]
    if reference is not None and reference not in labels and block.part == "fusion":
        raise InputError(f"--reference {reference}: no row is called so; there are {', '.join(labels)}")
    chosen = reference if reference in labels else labels[0]
    return _Part(block, make_cells(block), differences_from(block, chosen), chosen)


def _cost_note(costs: Mapping[str, Cost]) -> Note:
    text = "One pair, float32. FLOPs: XLA's count before optimising, a multiply-add is two."
    if any(cost.speed for cost in costs.values()):
        text += " Activations: what XLA reserves. Time: median of calls on the device of this report."
    return Note("Cost", text, *complexity.table(costs))


def _note_html(note: Note) -> str:
    return f"<p>{page.escaped(note.text)}</p>{page.grid(note.columns, note.lines)}"


def _note_markdown(note: Note) -> str:
    return f"## {note.heading}\n\n{note.text}\n\n{tables.grid_markdown(note.columns, note.lines)}"


def _tables(
    folder: Path, parts: Sequence[_Part], paper: str | None, notes: Sequence[Note]
) -> list[tuple[str, str]]:
    markdown, latex, shown = [], [], []
    for part in parts:
        block, heading = part.block, _HEADINGS[part.block.part]
        heading += f", {len(block.images)} images" if block.part != "validation" else ""
        sections = [tables.measured(part.cells)]
        if paper is not None and block.part == "fusion" and set(block.metrics) & set(PAPER):
            title = f"published: {SOURCE}, Table {paper} ({TITLES[paper]})"
            sections.append(tables.printed(_named(published(paper), paper), title=title))
        markdown += [f"## {heading}\n", tables.to_markdown(sections, block.metrics)]
        latex.append(f"% {heading}\n{tables.to_latex(sections, block.metrics)}")
        text = _notes(part) + page.table(sections, block.metrics)
        if found := _deviations(part, paper) if len(sections) > 1 else {}:
            note = f"Deviations from the paper's Table {paper}, relative"
            markdown += [f"### {note}\n", tables.deviations_markdown(found, block.metrics)]
            text += f"<p>{note}:</p>{page.deviations(found, block.metrics)}"
        if part.found:
            compared = tables.comparison_markdown(part.found, part.reference, block.metrics)
            note = _difference_note(part)
            markdown += [f"### Differences from {part.reference}\n", f"{note}\n", compared]
            text += f"<p>{page.escaped(note)}</p>" + page.comparison(part.found, block.metrics)
        shown.append((heading, text))
    markdown += [_note_markdown(note) for note in notes]
    numbers = tables.to_csv((part.block.part, part.cells, part.found) for part in parts)
    contents = {"table.md": "\n".join(markdown), "table.tex": "\n".join(latex), "table.csv": numbers}
    for name, content in contents.items():
        with written_aside(folder / name) as path:
            path.write_text(content, encoding="utf-8")
    return shown


def _deviations(part: _Part, paper: str | None) -> dict[str, dict[str, float]]:
    """Of the rows that the paper has, too: networks trained with the settings of one of its rows."""
    assert paper is not None
    known = published(paper)
    rows = {row.label: counterpart(paper, row.settings) for row in part.block.rows if row.networks}
    matched = {label: known[name] for label, name in rows.items() if name is not None}
    return tables.deviations(part.cells, matched, part.block.metrics)


def _named(rows: Mapping[str, Mapping[str, float]], paper: str) -> dict[str, Mapping[str, float]]:
    """Rows of a sweep under the names that points of a sweep have."""
    prefix = f"{SWEPT[paper].rpartition('.')[2]}=" if paper in SWEPT else ""
    return {prefix + label: values for label, values in rows.items()}


def _notes(part: _Part) -> str:
    """What the reader must know to read the table: seeds, and values that are missing."""
    seeds = sorted({row.seeds for row in part.block.rows})
    notes = ["Best in bold, second best underlined."]
    if seeds[-1] > 1:
        notes.append("± is the standard deviation over seeds.")
    missing = [
        f"{METRICS[m].title} of {label}: {cell.summary.missing} of {len(part.block.images)} images"
        for label, row in part.cells.items()
        for m, cell in row.items()
        if 0 < cell.summary.missing < len(part.block.images)
    ]
    notes += [f"Without a value: {page.escaped('; '.join(missing))}."] if missing else []
    absent = [
        METRICS[m].title for m in part.block.metrics if all(not r[m].seeds for r in part.cells.values())
    ]
    notes += [f"Not computed: {page.escaped(', '.join(absent))}."] if absent else []
    return f"<p>{' '.join(notes)}</p>"


def _difference_note(part: _Part) -> str:
    """How to read the differences."""
    known = any(d.beyond_noise is not None for row in part.found.values() for d in row.values())
    seeds = (
        "Larger than seed noise (green on the page): more than other seeds explain, by the spread pooled "
        "over rows, at 95 %."
        if known
        else "No row has two seeds, so it is not known what other seeds explain."
    )
    few = len(part.block.images) < _FEW
    caution = f" Intervals from so few images (under {_FEW}) are too narrow." if few else ""
    return (
        "Mean difference over images, 95 % interval and p-value of the paired bootstrap over images, not "
        f"corrected for the number of comparisons.{caution} {seeds}{_infinite(part)}{_strangers(part)}"
    )


def _infinite(part: _Part) -> str:
    """Equal images have an infinite PSNR: what then is in a difference."""
    if not any(d.comparison.infinite for row in part.found.values() for d in row.values()):
        return ""
    return (
        " Pairs with an infinite value stay out of the difference, which then has no interval and need not "
        "have the sign of the difference of the means."
    )


def _strangers(part: _Part) -> str:
    """Rows that cannot be compared with the reference, with names that show why."""
    rows = {row.label: row.images for row in part.block.rows}
    reference = rows[part.reference]
    apart = {label: images for label, images in rows.items() if not images & reference}
    if not apart:
        return ""
    shown = "; ".join(f"{label} (such as {min(images)})" for label, images in apart.items())
    return (
        f" No image in common with {part.reference} (such as {min(reference)}): {shown}. Images are matched "
        "by data set and name, or by name where only one data set has it."
    )


def _figures(
    folder: Path, blocks: Sequence[Block], paper: str | None, costs: Mapping[str, Cost]
) -> list[tuple[str, str]]:
    shown: list[tuple[str, str]] = []

    def add(heading: str, figure: "Figure", name: str, caption: str) -> None:
        path = figures.save(figure, folder / "figures" / name)
        shown.append((heading, page.figure(path, caption)))

    main = blocks[0]
    for option in figures.swept_options(main.rows):
        name = option.rpartition(".")[2]
        known = None
        if paper is not None and SWEPT.get(paper) == option:
            known = {float(row): values for row, values in published(paper).items()}
        caption = (
            "Whiskers: standard deviation over seeds, or 95 % interval over images where there is one seed."
        )
        add(f"Sweep over {name}", figures.curves(main, option, published=known), f"sweep_{name}", caption)
    for block in blocks:
        if len(block.images) < 2:
            continue  # means of a validation have no distribution
        caption = "Distribution over images of the values averaged over seeds."
        add(
            f"{_HEADINGS[block.part]}: distributions",
            figures.violins(block),
            f"violins_{block.part}",
            caption,
        )
    history = figures.histories(main.rows)
    if history is not None:
        add("Validation while training", history, "validation", "Mean and range over seeds.")
    if costs:
        metric = _CHARTED if _CHARTED in main.metrics else main.metrics[0]
        chart = figures.bubbles(_bubbles(main, metric, costs), metric)
        add("Cost and quality", chart, "bubbles", "XLA's count of operations, a multiply-add is two.")
    return shown


def _bubbles(block: Block, metric: str, costs: Mapping[str, Cost]) -> list[tuple]:
    """What `figures.bubbles` draws, at the first size of the costs."""
    means = {row.label: make_cell(row.values(metric, block.images)).mean for row in block.rows}
    return [
        (label, next(iter(cost.flops.values())), means[label], cost.parameters, cost.pools)
        for label, cost in costs.items()
    ]


def _images(folder: Path, block: Block, gallery: pictures.Gallery, count: int) -> list[tuple[str, str]]:
    scenes = gallery.scenes
    if not scenes:
        raise InputError("no scene has an image in every column: " + ", ".join(gallery.files))
    first = over_seeds(block.rows[0].values(block.metrics[0], block.images))
    values = dict(zip(block.images, first.tolist(), strict=True))
    by_name = {name.rpartition("/")[2]: value for name, value in values.items()} | values
    chosen = pictures.spread_out(
        scenes, {s: by_name.get(s, by_name.get(s.rpartition("/")[2], np.nan)) for s in scenes}, count
    )
    rows = [(scene, gallery.read(scene)) for scene in chosen]
    path = folder / "figures" / "panel.png"
    write_image(path, pictures.panel(rows))
    sliders = []
    for scene, images in rows:
        (before, image), *others = images.items()
        sliders += [page.slider(scene, (before, image), other) for other in others]
    return [
        ("Images", page.figure(path, "Boxes: where the images differ most.")),
        ("Before and after", "".join(sliders)),
    ]
