"""The pairs of a folder, archive or built set, as file contents; lenient where the loader is strict."""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from data_pipelines.decode import ImageError
from data_pipelines.sets.cards import CARDS
from data_pipelines.sets.layouts import LayoutError, Problem, find_scenes
from data_pipelines.sets.source import Source, open_source
from data_pipelines.sets.stored import Records, find_set, open_set, stored_files


@dataclasses.dataclass(frozen=True)
class Pair:
    """One scene: `read` gives role -> file content, see `sets.cards.ROLES`."""

    name: str
    split: str
    read: Callable[[], Mapping[str, bytes]]


def list_pairs(
    where: str | os.PathLike, *, card: str = "folder", data_dir: str | os.PathLike | None = None
) -> tuple[list[Pair], list[Problem]]:
    """Return the pairs and the scenes that lack an image.

    Args:
      where: a folder or zip archive, or a built set by name or folder, with ":SPLIT" or all of it.
      card: in which layout to read a folder or archive.
      data_dir: folder of built sets.

    Raises:
      ImageError: nothing that can be opened, or no pairs in that layout.
    """
    name, colon, split = os.fspath(where).rpartition(":")
    if not colon:
        name, split = os.fspath(where), ""
    if find_set(name, data_dir=data_dir) is not None:
        return _stored_pairs(name, split, data_dir), []
    source = open_source(Path(where))
    try:
        scenes, problems = find_scenes(CARDS[card], source.paths())
    except LayoutError as error:
        raise ImageError(where, str(error)) from error
    pairs = [
        Pair(scene.name, scene.split or "", functools.partial(_read_files, source, scene.files))
        for scene in scenes
    ]
    return pairs, problems


def _read_files(source: Source, files: Mapping[str, str]) -> Mapping[str, bytes]:
    return {role: source.read(path) for role, path in files.items()}


def _stored_pairs(name: str, split: str, data_dir: str | os.PathLike | None) -> list[Pair]:
    stored = open_set(name, data_dir=data_dir)
    pairs = []
    for part in split.split("+") if split else stored.manifest.splits:
        records = stored.records(part)
        for index, entry in enumerate(stored.entries(part)):
            pairs.append(Pair(entry.name, part, functools.partial(_read_record, records, index)))
    return pairs


def _read_record(records: Records, index: int) -> Mapping[str, bytes]:
    return stored_files(records[index])
