"""`manifest.json` beside the records of a built set: what was stored, from where, and what was left out."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data_pipelines.decode import ImageError
from data_pipelines.sets.layouts import Problem
from data_pipelines.sets.scan import FileRecord
from data_pipelines.sets.splitting import Assigned, by_split

FILE = "manifest.json"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Entry:
    """A stored scene."""

    name: str
    group: str
    height: int
    width: int
    files: Mapping[str, FileRecord]


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A built set.

    Attributes:
      card: name of the set's card.
      resize_infrared: infrared images of another size are resized to the visible ones when they are read.
      splits: split -> scenes in the order of the records.
      skipped: scenes that were left out, with the reason.
      note: what is known about the archive it came from.
    """

    card: str
    resize_infrared: bool
    splits: Mapping[str, Sequence[Entry]]
    skipped: Sequence[Problem]
    note: str = ""


def describe(
    card: str, assigned: Sequence[Assigned], skipped: Sequence[Problem], *, resize_infrared: bool, note: str
) -> Manifest:
    """Return the manifest of scenes that are about to be stored."""
    splits = {
        split: [
            Entry(item.scene.name, item.group, item.scene.height, item.scene.width, item.scene.files)
            for item in items
        ]
        for split, items in by_split(assigned).items()
    }
    return Manifest(card, resize_infrared, splits, list(skipped), note)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write it into the folder of a built set; it appears complete or not at all."""
    plain = {"version": _VERSION, **dataclasses.asdict(manifest)}
    aside = folder / f".{FILE}.part"
    aside.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(aside, folder / FILE)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a built set.

    Raises:
      ImageError: there is none, or it is damaged.
    """
    path = folder / FILE
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["version"] != _VERSION:
            raise ImageError(path, f"is of version {plain['version']}, expected {_VERSION}: build again")
        return Manifest(
            plain["card"],
            plain["resize_infrared"],
            {split: [_entry(item) for item in items] for split, items in plain["splits"].items()},
            [Problem(**problem) for problem in plain["skipped"]],
            plain["note"],
        )
    except FileNotFoundError as error:
        raise ImageError(path, "is missing: the set was not built to the end; build it again") from error
    except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ImageError(path, f"is damaged ({error}); build the set again") from error


def _entry(plain: dict[str, Any]) -> Entry:
    files = {role: FileRecord(**record) for role, record in plain["files"].items()}
    return Entry(plain["name"], plain["group"], plain["height"], plain["width"], files)
