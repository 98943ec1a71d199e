"""What came out of a sweep: one row for each point, as CSV and Markdown."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import InputError
from iassf_jax.sweeps.folders import read_overrides, read_status
from iassf_jax.sweeps.takeovers import read_takeovers

Row = dict[str, Any]


def collect(workdir: Path) -> list[Row]:
    """Return the points of the sweep in `workdir` in order: options, state, steps and validation of each.

    Raises:
      InputError: there is no sweep.
    """
    path = workdir / "sweep.json"
    if not path.exists():
        raise InputError(f"{workdir} holds no sweep: it has no sweep.json")
    names = [entry["name"] for entry in json.loads(path.read_text(encoding="utf-8"))["points"]]
    return [_row(workdir / name) for name in names]


def write_tables(workdir: Path, rows: Sequence[Row]) -> None:
    """Write `points.csv` and `points.md` into `workdir`."""
    for name, text in (("points.csv", as_csv(rows)), ("points.md", as_markdown(rows))):
        with written_aside(workdir / name) as aside:
            aside.write_text(text, encoding="utf-8")


def as_csv(rows: Sequence[Row]) -> str:
    """Return the rows as CSV with all digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    columns = _columns(rows)
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    lines += [f"| {' | '.join(_cell(row.get(column, '')) for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _row(folder: Path) -> Row:
    status = read_status(folder)
    row = {**read_overrides(folder), "state": status.state, "step": status.step, **status.metrics}
    takeovers = "; ".join(map(str, read_takeovers(folder)))
    further = {"takeovers": takeovers, "error": status.error}
    return row | {name: text for name, text in further.items() if text}


def _columns(rows: Sequence[Row]) -> list[str]:
    """Return all columns, in the order in which rows bring them, long texts last."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return sorted(columns, key=lambda column: (column == "takeovers") + 2 * (column == "error"))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")
