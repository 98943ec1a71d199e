"""The clear scenes that `iassf data haze` reads: a folder with GT/ and IR/, or a split of a built set."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from data_pipelines.decode import ImageError
from data_pipelines.sets.cards import INFRARED, VISIBLE
from data_pipelines.sets.stored import Records, StoredSet, find_set, open_set
from data_pipelines.triplets import Triplet, list_triplets


@dataclasses.dataclass(frozen=True)
class ClearScene:
    """One scene: the names of its two files, and what gives their contents."""

    name: str
    clear: str
    infrared: str
    read: Callable[[], tuple[bytes, bytes]]  # clear, infrared


def list_clear_scenes(source: str, *, data_dir: str | os.PathLike | None = None) -> list[ClearScene]:
    """Return the scenes of a folder, or of a built set as "NAME:SPLIT".

    A scene whose name has folders in it ("fusion/00000") gets "_" in their place.

    Raises:
      ImageError: no such folder, set or split, images that cannot be paired, scenes of one name in the splits
        that are read, or a set whose infrared images have to be resized.
    """
    name, colon, split = source.rpartition(":")
    if not colon:
        name, split = source, ""
    if find_set(name, data_dir=data_dir) is not None:
        return _of_set(open_set(name, data_dir=data_dir), split)
    return [
        ClearScene(item.name, item.clear.name, item.infrared.name, functools.partial(_read_files, item))
        for item in list_triplets(source, with_hazy=False)
    ]


def _of_set(stored: StoredSet, split: str) -> list[ClearScene]:
    if stored.manifest.resize_infrared:
        raise ImageError(stored.folder, "has infrared images of other sizes than the visible ones")
    chosen = split or "+".join(stored.manifest.splits)
    _refuse_repeated(stored, chosen)
    records = stored.records(chosen)
    scenes = []
    for index, entry in enumerate(stored.entries(chosen)):
        name = _flat(entry.name)
        clear, infrared = (
            name + PurePosixPath(entry.files[role].path).suffix for role in (VISIBLE, INFRARED)
        )
        scenes.append(ClearScene(name, clear, infrared, functools.partial(_read_record, records, index)))
    return scenes


def _refuse_repeated(stored: StoredSet, chosen: str) -> None:
    """Of two scenes of one name the files of one would replace those of the other."""
    found: dict[str, str] = {}
    for split in chosen.split("+"):
        for entry in stored.entries(split):
            place = f"{split}/{entry.name}"
            if (name := _flat(entry.name)) in found:
                reason = f"{found[name]} and {place} would both be written as {name}"
                raise ImageError(stored.folder, f"{reason}: {_way_out(stored, chosen)}")
            found[name] = place


def _way_out(stored: StoredSet, chosen: str) -> str:
    if "+" not in chosen:
        return "build the set again with other names"
    splits = ", ".join(f"{stored.name}:{split}" for split in stored.manifest.splits)
    return f"give one split, as NAME:SPLIT ({splits})"


def _flat(name: str) -> str:
    return name.replace("/", "_")


def _read_files(triplet: Triplet) -> tuple[bytes, bytes]:
    return _read(triplet.clear), _read(triplet.infrared)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror})") from error


def _read_record(records: Records, index: int) -> tuple[bytes, bytes]:
    record: Mapping[str, Any] = records[index]
    return record[VISIBLE], record[INFRARED]
