"""A sweep on disk: a folder for every point, which is the folder of its run, and what is known about each.

WORKDIR/sweep.json             the points in order, with their overrides
WORKDIR/NAME/point.json        overrides and resolved configuration of a point, how it is to be evaluated
WORKDIR/NAME/status.json       how its last try ended; absent before and during the first one
WORKDIR/NAME/takeovers.json    where it went on from another point's state, see `sweeps.takeovers`
WORKDIR/NAME/output.log        what its tries printed
WORKDIR/NAME/...               the run, see `training.run`
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.config import from_json, to_json
from iassf_jax.core.errors import InputError
from iassf_jax.sweeps.points import Point
from iassf_jax.sweeps.takeovers import read_takeovers, with_options
from iassf_jax.training.settings import check_continuation

FINISHED, FAILED, DIVERGED, STOPPED, WAITING = "finished", "failed", "diverged", "stopped", "waiting"
PRUNED = "pruned"  # ended early by a scheduler
FINAL = (FINISHED, DIVERGED, PRUNED)  # what another try would not change

Unit = tuple[Path, ...]
"""Folders of the points that one process trains."""


@dataclasses.dataclass(frozen=True)
class Status:
    """How the last try of a point ended."""

    state: str = WAITING  # one of the words above
    step: int = 0
    metrics: Mapping[str, float] = dataclasses.field(default_factory=dict)  # validation of the last step
    error: str = ""


def write_points(
    workdir: Path,
    points: Sequence[Point],
    *,
    evaluations: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
) -> list[Path]:
    """Make the folders of a sweep and return them in order.

    Args:
      workdir: of the sweep.
      points: see `points.make_points`.
      evaluations: point's name -> name of an evaluation -> how it is made, see `sweeps.evaluating`.

    Raises:
      ConfigError: a point was trained to its end, or took over from another one, with other options.
      InputError: the folder cannot be written.
    """
    named: list[dict[str, Any]] = [{"name": one.name, "overrides": dict(one.overrides)} for one in points]
    entries = [
        entry
        | {"config": json.loads(to_json(point.config))}
        | {"evaluations": json.loads(json.dumps((evaluations or {}).get(point.name, {})))}
        for point, entry in zip(points, named, strict=True)
    ]
    for point, entry in zip(points, entries, strict=True):
        _check_trained(workdir / point.name, entry)
    for point, entry in zip(points, entries, strict=True):
        _write(workdir / point.name / "point.json", entry)
    _write(workdir / "sweep.json", {"points": named})
    return [workdir / point.name for point in points]


def _check_trained(folder: Path, entry: Mapping[str, Any]) -> None:
    """Refuse to take a point for finished that was trained otherwise, or to begin a takeover's otherwise.

    All others are checked by the process that continues them. A point of which only other evaluations are
    asked for is not finished any more.
    """
    known = read_status(folder).state in FINAL or read_takeovers(folder)
    if not known or not (folder / "point.json").exists():
        return
    saved = _read(folder / "point.json")
    check_continuation(saved["config"], entry["config"], workdir=str(folder))
    if read_status(folder).state == FINISHED and saved.get("evaluations", {}) != entry["evaluations"]:
        write_status(folder, dataclasses.replace(read_status(folder), state=STOPPED))


def read_config(folder: Path) -> ConfigDict:
    """Return the resolved configuration of a point, as it is since its last takeover."""
    config, takeovers = _read(folder / "point.json")["config"], read_takeovers(folder)
    return from_json(json.dumps(with_options(config, takeovers[-1].options) if takeovers else config))


def read_overrides(folder: Path) -> dict[str, Any]:
    """Return what distinguishes a point, or did until its first takeover."""
    return _read(folder / "point.json")["overrides"]


def read_evaluations(folder: Path) -> dict[str, dict[str, Any]]:
    """Return which evaluations of a point are asked for, and how they are made."""
    return _read(folder / "point.json").get("evaluations", {})


def read_status(folder: Path) -> Status:
    """Return how the last try of a point ended; "waiting" if there was none."""
    path = folder / "status.json"
    return Status(**_read(path)) if path.exists() else Status()


def write_status(folder: Path, status: Status) -> None:
    """Record how a try ended."""
    _write(folder / "status.json", dataclasses.asdict(status))


def is_done(unit: Unit) -> bool:
    """Whether no point of a unit has to be tried again."""
    return all(read_status(folder).state in FINAL for folder in unit)


def clear_status(folder: Path) -> None:
    """Forget how the last try ended, because another one begins."""
    (folder / "status.json").unlink(missing_ok=True)


def _write(path: Path, tree: Mapping[str, Any]) -> None:
    with written_aside(path) as aside:
        aside.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
