"""Opens built sets: random access to records, and from records to images."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from data_pipelines.decode import ImageError, decode_infrared, decode_visible
from data_pipelines.depth_files import DepthRule, decode_depth
from data_pipelines.sets.cards import DEPTH, HAZY, INFRARED, ROLES, VISIBLE
from data_pipelines.sets.manifest import FILE, Entry, Manifest, read_manifest
from data_pipelines.triplets import InfraredRange, scale_infrared

_HINT = "build it: iassf data build NAME --source FOLDER_OR_ZIP"


class Records:
    """Random access to the stored records of a split; safe to share among threads, and to pickle.

    Raises:
      ImageError: from indexing, when a record is damaged.
    """

    def __init__(self, folder: Path, source: Any):
        self._folder, self._source = folder, source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            record = self._source[index]
        except Exception as error:  # array_record's errors of damaged blocks have no common class
            raise ImageError(self._folder, f"record {index} cannot be read ({error})") from error
        if any(value is None for value in record.values()):  # what TFDS makes of an empty record
            raise ImageError(self._folder, f"record {index} is damaged (it lacks features)")
        return record


@dataclasses.dataclass(frozen=True)
class StoredSet:
    """One built set: its folder with the records, and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """Its name among built sets."""
        return self.folder.parent.name

    def entries(self, split: str) -> list[Entry]:
        """Return the scenes of a split, or of several as "train+val".

        Raises:
          ImageError: there is no such split.
        """
        splits = self.manifest.splits
        if unknown := [part for part in split.split("+") if part not in splits]:
            sizes = ", ".join(f"{name} ({len(entries)})" for name, entries in splits.items())
            raise ImageError(self.folder, f"has no split {unknown[0]!r}; there are {sizes}")
        return [entry for part in split.split("+") for entry in splits[part]]

    def records(self, split: str) -> "Records":
        """Return the stored records of a split in the order of `entries`.

        Raises:
          ImageError: there is no such split, or the records are damaged or not those of the manifest.
        """
        tfds = import_tfds()
        entries = self.entries(split)
        try:
            records = Records(self.folder, tfds.builder_from_directory(self.folder).as_data_source(split))
        except Exception as error:  # TFDS and array_record raise errors of their own of many kinds
            raise ImageError(self.folder, f"cannot be opened ({error}); build the set again") from error
        if len(records) != len(entries):
            raise ImageError(
                self.folder, f"{split} has {len(records)} records, the manifest says {len(entries)}"
            )
        return records


def open_set(name_or_path: str | os.PathLike, *, data_dir: str | os.PathLike | None = None) -> StoredSet:
    """Return a built set by its name below `data_dir` (TFDS's by default) or by its folder.

    Raises:
      ImageError: there is no such set, or its manifest is missing or damaged.
    """
    folder = find_set(name_or_path, data_dir=data_dir)
    if folder is None:
        place = Path(data_dir) if data_dir else default_data_dir()
        raise ImageError(name_or_path, f"is neither a built set in {place} nor the folder of one; {_HINT}")
    return StoredSet(folder, read_manifest(folder))


def default_data_dir() -> Path:
    """Return the folder of built sets that TFDS uses too: $TFDS_DATA_DIR or ~/tensorflow_datasets."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def import_tfds() -> ModuleType:
    """Return TFDS. Call it before other threads run: while it is imported it replaces Python's own import,
    and an import of another thread fails.

    Raises:
      ImportError: it is not installed; the message says what to do.
    """
    try:
        import tensorflow_datasets
    except ImportError as error:
        hint = "pip install tensorflow-datasets array_record importlib_resources"
        raise ImportError(f"built sets need TFDS ({error}): {hint}") from error
    return tensorflow_datasets


def find_set(name_or_path: str | os.PathLike, *, data_dir: str | os.PathLike | None = None) -> Path | None:
    """Return the folder (NAME/VERSION) of a built set, or None where there is none."""
    below = (Path(data_dir) if data_dir else default_data_dir()) / name_or_path
    for place in (Path(name_or_path), below):
        versions = [place, *sorted(place.glob("*.*.*"), reverse=True)] if place.is_dir() else []
        for folder in versions:
            if (folder / FILE).is_file() or (folder / "dataset_info.json").is_file():
                return folder
    return None


def decode_record(
    record: Mapping[str, Any],
    *,
    where: str | os.PathLike,
    resize_infrared: bool = False,
    infrared_range: InfraredRange | None = "full",
    with_hazy: bool = True,
    depth: DepthRule | None = None,
) -> dict[str, Any]:
    """Return the images of a record as `triplets.read_triplet` does: "visible_clear" and, if it has one,
    "visible_hazy" uint8 [h w 3], "infrared" uint8 (with range None as stored) [h w 1], with a rule for it
    "depth" float32 [h w 1] in metres, and "name".

    Args:
      record: from `StoredSet.records`.
      where: the set's folder, for errors.
      resize_infrared: resize infrared to the size of the visible image where it has another.
      infrared_range: see `triplets.scale_infrared`.
      with_hazy: False leaves the hazy image undecoded and out.
      depth: how the depth file is read; None leaves it out.

    Raises:
      ImageError: an image cannot be read, or the sizes differ.
    """
    name = record["name"].decode("utf-8")
    images = {"visible_clear": decode_visible(record[VISIBLE], name=f"{where}:{name}/{VISIBLE}")}
    if with_hazy and record[HAZY]:
        images["visible_hazy"] = decode_visible(record[HAZY], name=f"{where}:{name}/{HAZY}")
    infrared = decode_infrared(record[INFRARED], name=f"{where}:{name}/{INFRARED}")
    try:
        infrared = scale_infrared(infrared, infrared_range)
    except ValueError as error:
        raise ImageError(f"{where}:{name}/{INFRARED}", str(error)) from error
    height, width = images["visible_clear"].shape[:2]
    if resize_infrared and infrared.shape != (height, width):
        infrared = np.asarray(cv2.resize(infrared, (width, height), interpolation=cv2.INTER_LINEAR))
    images["infrared"] = infrared[:, :, None]
    if depth is not None:
        images["depth"] = decode_depth(record[DEPTH], depth, name=f"{where}:{name}/{DEPTH}")[:, :, None]
    if any(image.shape[:2] != (height, width) for image in images.values()):
        sizes = ", ".join(f"{role} {x.shape[1]}x{x.shape[0]}" for role, x in images.items())
        raise ImageError(f"{where}:{name}", f"images of different size: {sizes}")
    return {**images, "name": name}


def stored_files(record: Mapping[str, Any]) -> dict[str, bytes]:
    """Return role -> file content of a record."""
    return {role: record[role] for role in ROLES if record[role]}
