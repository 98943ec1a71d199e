"""Writes a table of the paper from what its runs left: numbers, curve and page, beside published values."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import InputError
from iassf_jax.metrics import PAPER
from iassf_jax.report import complexity
from iassf_jax.report.pictures import Gallery, find_gallery
from iassf_jax.report.results import Result, read_results
from iassf_jax.report.rows import Block, Row, make_blocks
from iassf_jax.report.write import Note, Options, write_report
from iassf_jax.reproduce.findings import as_note, find
from iassf_jax.reproduce.studies import Study
from iassf_jax.sweeps.evaluating import evaluation_folder

_COLUMNS = 6  # of the panel of images, at most


def write_table(
    folder: Path,
    study: Study,
    runs: Sequence[Path],
    conditions: Mapping[str, Any],
    *,
    with_figures: bool = True,
    scenes: int = 2,
    on_done: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write a table's report into `folder` and return the path of its page.

    Args:
      folder: where to.
      study: the table.
      runs: folders of its runs; those without an evaluation are named on the page.
      conditions: what the reader must know of how the runs were made.
      with_figures: draw figures, for which matplotlib is needed.
      scenes: shown in the panel of images.
      on_done: see `report.write.write_report`.

    Raises:
      InputError: not one run was evaluated, or files are damaged.
      MissingDependencyError: no matplotlib.
    """
    found = {run: evaluation_folder(run, study.evaluation) for run in runs}
    done = {run: place for run, place in found.items() if (place / "per_image.csv").exists()}
    if not done:
        raise InputError(f"{study.title}: not one of its {len(runs)} runs was evaluated")
    results = [
        # All come from one study: rows are named by what was varied and not by their folders.
        dataclasses.replace(result, source=study.table)
        for run, place in done.items()
        for result in read_results({run.name: run})
        if result.folder == place
    ]
    blocks = make_blocks(results, metrics=[name for name in PAPER if name in results[0].metrics])
    reference = _reference(blocks[0], study)
    notes = [_conditions(conditions, [run.name for run in runs if run not in done])]
    if study.option and (findings := find(blocks[0], study.table, reference)):
        notes.append(as_note(findings))
    return write_report(
        folder,
        blocks,
        Options(
            title=study.title,
            reference=reference,
            paper=study.table,
            scenes=scenes,
            with_figures=with_figures,
        ),
        gallery=_gallery(blocks[0]),
        costs=complexity.costs_of_rows(blocks[0]) if study.table == "IX" else None,
        notes=notes,
        on_done=on_done,
    )


def _reference(block: Block, study: Study) -> str:
    """The paper's own choice where it is there, else the first row."""
    rows = [row for row in block.rows if study.option and row.settings.get(study.option) == study.reference]
    return (rows or block.rows)[0].label


def _conditions(conditions: Mapping[str, Any], missing: Sequence[str]) -> Note:
    lines = [[name, str(value)] for name, value in conditions.items()]
    lines += [["runs without a result", ", ".join(missing)]] if missing else []
    return Note("How it was made", "Settings of all runs.", ["", "value"], lines)


def _gallery(block: Block) -> Gallery | None:
    """The hazy image and what the first seed of each network made of it, as far as they were saved."""
    places = {row.label: _first(row).folder for row in block.rows if row.networks}
    columns = {label: place / "fused" for label, place in places.items() if (place / "fused").is_dir()}
    if not columns:
        return None
    hazy = next(iter(columns.values())).parent / "hazy"
    shown = dict(list(columns.items())[: _COLUMNS - 1])
    return find_gallery({"hazy": hazy, **shown})


def _first(row: Row) -> Result:
    return min(row.results, key=lambda result: result.run.seed if result.run is not None else 0)
