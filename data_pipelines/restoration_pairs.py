"""Real sets of degraded and clean images, listed in a file by path; host side only.

A manifest is a CSV file with a header, or JSON lines, with the columns

    hq        clean image
    lq        degraded image; empty where the degradation is to be made from the clean one
    task      LC, SR4, SR8, HZ, OE, LL, or PD for an image with nothing wrong ("SR" is SR4)
    modality  visible or infrared; may be empty where the task is of one of them
    split     such as train; may be empty or absent

Paths are relative to the manifest. An infrared image of low resolution may be smaller than the clean one and
is enlarged to it by bicubic interpolation, as in training on made degradations.
"""

import csv
import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Num, UInt8

from data_pipelines.decode import ImageError, image_size, read_infrared, read_visible
from data_pipelines.triplets import InfraredRange, scale_infrared

SUFFIXES = (".csv", ".jsonl")
CLEAN = "PD"
_MODALITIES: Mapping[str, str] = {
    **dict.fromkeys(("LC", "SR4", "SR8"), "infrared"),
    **dict.fromkeys(("HZ", "OE", "LL"), "visible"),
}
TASKS = (*_MODALITIES, CLEAN)
_COLUMNS = ("hq", "lq", "task", "modality", "split")
_REQUIRED = ("hq", "task")


class ManifestError(ImageError):
    """A manifest with a line that cannot be used."""


@dataclasses.dataclass(frozen=True)
class PairFiles:
    """One line of a manifest."""

    name: str  # of the pair, different for every line
    clean: Path
    degraded: Path | None  # None: to be made
    task: str  # one of TASKS
    infrared: bool


def is_manifest(path: str | os.PathLike) -> bool:
    """Return whether a path has the suffix of a manifest."""
    return Path(path).suffix.lower() in SUFFIXES


def read_manifest(path: str | os.PathLike, *, split: str | None = None) -> list[PairFiles]:
    """Return the pairs of a manifest in its order.

    Args:
      path: .csv or .jsonl.
      split: only the lines of this split.

    Raises:
      ManifestError: the file cannot be read, has unknown or missing columns, a line names an unknown task, a
        modality that is not the task's, a file that does not exist, or there are no lines of the split.
    """
    path = Path(path)
    pairs = []
    for number, row in _rows(path):
        values = {name: str(row.get(name) or "").strip() for name in _COLUMNS}
        if split is None or values["split"] == split:
            pairs.append(_pair(path, number, values))
    if not pairs:
        raise ManifestError(path, "has no lines" + (f" of the split {split!r}" if split else ""))
    return pairs


class PairExamples:
    """The pairs of a manifest as examples of `data_pipelines.examples`.

    "visible_clear" is the clean and "visible_hazy" the degraded image, uint8 [h w 3], of whichever modality;
    where it is to be made, the degraded image is the clean one. "infrared" uint8 [h w 1] is the first channel
    of the clean image. "pair" int32 [3] has the position in TASKS, 1 for infrared, and 1 where the degraded
    image is given.

    Raises:
      ManifestError: see `read_manifest`.
    """

    has_haze = True
    has_depth = False

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        split: str | None = None,
        infrared_range: InfraredRange | None = "full",
    ):
        self.pairs: Sequence[PairFiles] = read_manifest(path, split=split)
        self.names = [pair.name for pair in self.pairs]
        self._infrared_range = infrared_range

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Any]:
        pair = self.pairs[index]
        clean = self._read(pair.clean, infrared=pair.infrared)
        degraded = clean
        if pair.degraded is not None:
            degraded = self._read(pair.degraded, infrared=pair.infrared)
            if degraded.shape != clean.shape:
                degraded = _enlarged(pair, pair.degraded, degraded, clean)
        return {
            "visible_clear": clean,
            "visible_hazy": degraded,
            "infrared": clean[:, :, :1],
            "pair": np.array([TASKS.index(pair.task), pair.infrared, pair.degraded is not None], np.int32),
            "name": pair.name,
        }

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) from the clean file's header."""
        return image_size(self.pairs[index].clean)

    def _read(self, path: Path, *, infrared: bool) -> Num[np.ndarray, "h w 3"]:
        if not infrared:
            return read_visible(path)
        try:
            levels = scale_infrared(read_infrared(path), self._infrared_range)
        except ValueError as error:
            raise ImageError(path, str(error)) from error
        return np.repeat(levels[:, :, None], 3, axis=2)


def open_pairs(
    path: str | os.PathLike, *, split: str, tasks: Sequence[str], infrared_range: InfraredRange | None
) -> PairExamples:
    """Return the pairs of a manifest for a training that knows `tasks`.

    Args:
      path, infrared_range: see `PairExamples`.
      split: "" takes all lines.
      tasks: of TASKS; clean images ("PD") are always taken. Empty for a training that is not of pairs.

    Raises:
      ManifestError: see `read_manifest`; or the training is of other tasks, or of none.
    """
    if not tasks:
        raise ManifestError(
            Path(path),
            "is a manifest of pairs, on which only restoration trains (config.task.name lure_restoration)",
        )
    examples = PairExamples(path, split=split or None, infrared_range=infrared_range)
    other = next((pair for pair in examples.pairs if pair.task not in (*tasks, CLEAN)), None)
    if other is not None:
        known = ", ".join(tasks)
        raise ManifestError(Path(path), f"has {other.task} ({other.name}), but config.task.tasks are {known}")
    return examples


def _enlarged(
    pair: PairFiles, path: Path, degraded: np.ndarray, clean: np.ndarray
) -> UInt8[np.ndarray, "h w 3"]:
    height, width = clean.shape[:2]
    if not pair.task.startswith("SR") or degraded.shape[0] > height or degraded.shape[1] > width:
        sizes = f"{degraded.shape[1]}x{degraded.shape[0]} but {width}x{height}"
        raise ImageError(path, f"is {sizes} in {pair.clean}: only images of SR may be smaller")
    return cv2.resize(degraded, (width, height), interpolation=cv2.INTER_CUBIC)


def _rows(path: Path) -> Iterable[tuple[int, Mapping[str, Any]]]:
    """Return the lines with their numbers in the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(path, f"cannot be read: {error}") from error
    rows: list[tuple[int, Any]]
    if path.suffix.lower() == ".csv":
        rows = list(enumerate(csv.DictReader(text.splitlines()), start=2))
    else:
        rows = [
            (n, _json(path, n, line)) for n, line in enumerate(text.splitlines(), start=1) if line.strip()
        ]
    for number, row in rows:
        names = {name for name in row if name is not None}
        if unknown := sorted(names - set(_COLUMNS)):
            raise ManifestError(
                path, f"line {number} has a column {unknown[0]!r}; there are {', '.join(_COLUMNS)}"
            )
        if missing := [name for name in _REQUIRED if name not in names]:
            raise ManifestError(path, f"line {number} has no column {missing[0]!r}")
    return rows


def _json(path: Path, number: int, line: str) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ManifestError(path, f"line {number} is no JSON: {error}") from error
    if not isinstance(row, dict):
        raise ManifestError(path, f"line {number} is no JSON object")
    return row


def _pair(path: Path, number: int, values: Mapping[str, str]) -> PairFiles:
    task = values["task"].upper()
    task = "SR4" if task == "SR" else task
    if task not in TASKS:
        raise ManifestError(
            path, f"line {number} has the task {values['task']!r}; there are {', '.join(TASKS)}"
        )
    modality = values["modality"].lower() or _MODALITIES.get(task, "")
    if modality not in ("visible", "infrared") or modality != _MODALITIES.get(task, modality):
        wanted = _MODALITIES.get(task, "visible or infrared")
        raise ManifestError(
            path, f"line {number} has the modality {values['modality']!r}; {task} is {wanted}"
        )
    files = {column: path.parent / values[column] if values[column] else None for column in ("hq", "lq")}
    clean, degraded = files["hq"], files["lq"]
    if clean is None:
        raise ManifestError(path, f"line {number} has no clean image (hq)")
    for file in filter(None, files.values()):
        if not file.is_file():
            raise ManifestError(path, f"line {number}: {file} does not exist")
    return PairFiles(f"{number} {values['hq']} {task}", clean, degraded, task, modality == "infrared")
