"""Finds and reads what a report is about: per-image values in folders of evaluations, runs and sweeps.

`iassf measure` and `iassf evaluate` write `per_image.csv` (and `restored.csv`), a run has `config.json` and
`metrics.jsonl`, a point of a sweep also `point.json` with what distinguishes it.
"""

import csv
import dataclasses
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from iassf_jax.core.errors import InputError
from iassf_jax.metrics import METRICS

DERIVED = "restored+"  # begins the names of baselines that start from the network's restored image
PARTS = {"fusion": "per_image.csv", "restoration": "restored.csv"}
_SEED = "seed"
# Options that say how often something is written or what is kept, not what is trained.
_NO_DIFFERENCE = (
    *("data.val", "log_every", "eval_every", "images_every", "checkpoint_every"),
    *("writers", "images_count", "keep_last", "best_metric", "best_mode"),
)
# What the validation of a run calls the metrics of restored images.
_VALIDATION = {"restored": {"restoration_psnr": "restored_psnr", "restoration_ssim": "restored_ssim"}}
_VALIDATION["hazy input"] = {"restoration_psnr": "input_psnr", "restoration_ssim": "input_ssim"}
_WHOLE_SET = ("all images",)


@dataclasses.dataclass(frozen=True)
class Run:
    """A training run: its folder, options by dotted names, and its validation, one mapping for each step."""

    folder: Path
    options: Mapping[str, Any]
    history: Sequence[Mapping[str, float]]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return int(self.options.get(_SEED, 0))

    @property
    def model(self) -> dict[str, Any]:
        """The network's name and fields."""
        return {
            key.removeprefix("model."): value
            for key, value in self.options.items()
            if key.startswith("model.")
        }


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """The values of one method in one folder.

    Attributes:
      folder: of the evaluation.
      source: label of the folder that the report was given.
      part: "fusion" or "restoration", or "validation": the means that a run wrote down at its last step.
      method: as in the file.
      images: names, "DATA/NAME" where the data set is known; a single one in a validation.
      metrics: names of the columns.
      values: [image, metric]; NaN where there is none.
      run: that the weights come from, if it is known.
      of_run: whether the run has a part in the values; False for rivals that know nothing of it.
      weights: whose values these are, as `iassf evaluate` was given them, where no run is known; "" if they
        are the folder's own network's by weights without a name, None for runs and rivals.
    """

    folder: Path
    source: str
    part: str
    method: str
    images: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Float[np.ndarray, "n m"]
    run: Run | None
    of_run: bool
    weights: str | None = None


def read_results(sources: Mapping[str, Path]) -> list[Result]:
    """Return the results below each of the folders, in the order of their paths.

    A folder without an evaluation but with runs gives the last validation of each.

    Raises:
      InputError: a folder is missing or holds neither, or a file cannot be read.
    """
    results: list[Result] = []
    for label, folder in sources.items():
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder")
        found = [
            result
            for part, name in PARTS.items()
            for path in sorted(folder.rglob(name))
            for result in _read(path, label, part, folder)
        ]
        found = found or list(_validations(label, folder))
        if not found:
            raise InputError(
                f"{folder} holds no {PARTS['fusion']}: run iassf evaluate --weights W --data D with --output "
                f"{folder / 'evaluation'}, or iassf measure"
            )
        results += found
    return results


def _validations(source: str, top: Path) -> Iterator[Result]:
    for log in sorted(top.rglob("metrics.jsonl")):
        run = read_run(log.parent) if _is_run(log.parent) else None
        if run is None or not run.history:
            continue
        for method, columns in _VALIDATION.items():
            last = [[run.history[-1].get(name, math.nan) for name in columns.values()]]
            own = method == "restored"
            name = run.model["name"] if own else method
            metrics = tuple(columns)
            yield Result(
                log.parent, source, "validation", name, _WHOLE_SET, metrics, np.array(last), run, own
            )


def _is_run(folder: Path) -> bool:
    return (folder / "config.json").exists() or (folder / "point.json").exists()


def read_run(folder: Path) -> Run:
    """Return the run of a folder with config.json, or of a point of a sweep with point.json.

    Raises:
      InputError: a file cannot be read.
    """
    if (folder / "config.json").exists():
        tree = _json(folder / "config.json")
    else:
        tree = _json(folder / "point.json")["config"]
    history = []
    log = folder / "metrics.jsonl"
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        try:
            entry = json.loads(line)
        except ValueError:
            break  # the last line of a run that was killed
        if entry.get("kind") == "eval":
            history.append(
                {key: float(value) for key, value in entry.items() if isinstance(value, int | float)}
            )
    return Run(folder, dict(_flat(tree)), history)


def differences(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the options in which runs differ, the seed and what changes no value left out."""
    names = dict.fromkeys(name for run in runs for name in run.options)
    return tuple(
        name
        for name in names
        if name != _SEED
        and name not in _NO_DIFFERENCE
        and len({json.dumps(run.options.get(name), default=str) for run in runs}) > 1
    )


def _read(path: Path, source: str, part: str, top: Path) -> Iterator[Result]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    columns = tuple(rows[0]) if rows else ()
    metrics = tuple(name for name in columns if name in METRICS)
    if not metrics or not {"method", "name"} <= set(columns):
        raise InputError(f"{path}: expected the columns method, name and metrics, got {', '.join(columns)}")
    run = _run_above(path.parent, top)
    settings = _settings(path.parent)
    network = settings.get("model", {}).get("name") or (run and run.model["name"])
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        values = np.array([[_number(path, row[metric]) for metric in metrics] for row in own])
        images = tuple("/".join(filter(None, (row.get("data"), row["name"]))) for row in own)
        _check_names(path, method, images)
        is_own = network is not None and (method == network or method.startswith(DERIVED))
        weights = str(settings.get("weights") or "") if is_own and run is None else None
        of_run = is_own and run is not None
        yield Result(path.parent, source, part, method, images, metrics, values, run, of_run, weights)


def _check_names(path: Path, method: str, images: Sequence[str]) -> None:
    """Refuse scenes of one name: only one of them would be in the tables."""
    twice = [name for name, count in Counter(images).items() if count > 1]
    if twice:
        raise InputError(
            f"{path}: {method} has several lines of {', '.join(twice[:3])}; evaluate again with an own "
            "LABEL=DATA for every data set"
        )


def _run_above(folder: Path, top: Path) -> Run | None:
    """The run that an evaluation lies in, or whose weights its summary names."""
    for parent in (folder, *folder.parents):
        if _is_run(parent):
            return read_run(parent)
        if parent == top:
            break
    weights = _settings(folder).get("weights")
    if weights and (Path(weights) / "config.json").exists():
        return read_run(Path(weights))
    return None


def _settings(folder: Path) -> dict[str, Any]:
    summary = folder / "summary.json"
    return _json(summary).get("settings", {}) if summary.exists() else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _number(path: Path, text: str | None) -> float:
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise InputError(f"{path}: {text!r} is no number") from error
