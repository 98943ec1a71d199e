"""Which files of a source belong to which scene: roles and splits are read off folder names."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from data_pipelines.decode import EXTENSIONS
from data_pipelines.sets.cards import DEPTH, INFRARED, LABELS, ROLES, VISIBLE, Card

SPLITS = {"train": "train", "training": "train", "val": "val", "validation": "val", "test": "test"}
_MORE_EXTENSIONS = {LABELS: {".txt", ".xml", ".json"}, DEPTH: {".npy"}}


@dataclasses.dataclass(frozen=True)
class Scene:
    """The files of one scene: role -> path in the source; `split` is None where the folders name none."""

    name: str
    split: str | None
    files: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A scene that is left out, and why."""

    name: str
    reason: str


class LayoutError(ValueError):
    """A source that does not have the folders of the set."""


def find_scenes(card: Card, paths: Sequence[str], *, source: str = "") -> tuple[list[Scene], list[Problem]]:
    """Return the scenes in the order of their names, and those that lack an image they should have.

    A file belongs to the role of the last folder above it whose name is one of the card's; what lies between
    that folder and the file is part of the scene's name (`visible/walk/001.png` is "walk/001"). Where no
    folder names a collection of the card's, `source`, the name of what was packed, may: `M3FD_Fusion.zip`
    holds `Vis/` and `Ir/` themselves.

    Raises:
      LayoutError: no visible or no infrared images, or names that have nothing in common.
    """
    found: dict[tuple[str | None, str], dict[str, str]] = {}
    problems: list[Problem] = []
    for path in paths:
        placed = _place(card, PurePosixPath(path), source)
        if placed is None:
            continue
        split, name, role = placed
        files = found.setdefault((split, name), {})
        if role in files:
            problems.append(Problem(name, f"two {role} images of one name: {files[role]} and {path}"))
        else:
            files[role] = path
    _check_found(card, found, paths)
    ambiguous = {problem.name for problem in problems}
    expected = {VISIBLE, INFRARED} | {
        role for role in ("hazy",) if any(role in files for files in found.values())
    }
    scenes = []
    for (split, name), files in sorted(found.items(), key=lambda item: (item[0][0] or "", item[0][1])):
        if missing := sorted(expected - set(files)):
            if set(files) - {LABELS}:  # labels without images are not a scene
                present = ", ".join(files[role] for role in sorted(files))
                problems.append(Problem(name, f"no {' and no '.join(missing)} image (only {present})"))
        elif name not in ambiguous:
            scenes.append(Scene(name, split, files))
    return scenes, problems


def _place(card: Card, path: PurePosixPath, source: str) -> tuple[str | None, str, str] | None:
    """Return (split, scene name, role) of a file, or None where it is none of the set's."""
    parents, roles = path.parts[:-1], _roles(card)
    folded = [part.casefold() for part in parents]
    if any(part in card.ignored for part in folded):
        return None
    marked = [index for index, part in enumerate(folded) if part in roles]
    if not marked:
        return None
    role = roles[folded[marked[-1]]]
    if path.suffix.lower() not in EXTENSIONS | _MORE_EXTENSIONS.get(role, set()):
        return None
    split = next((SPLITS[part] for part in reversed(folded) if part in SPLITS), None)
    inner = [part for part in parents[marked[-1] + 1 :] if part.casefold() not in SPLITS]
    prefix = [card.subsets[part] for part in (source.casefold(), *folded) if part in card.subsets]
    return split, "/".join([*prefix[-1:], *inner, path.stem]), role


def _roles(card: Card) -> dict[str, str]:
    return {folder: role for role in ROLES for folder in card.folders.get(role, ())}


def _check_found(card: Card, found: Mapping[tuple, Mapping[str, str]], paths: Sequence[str]) -> None:
    names = {role: [name for (_, name), files in found.items() if role in files] for role in ROLES}
    expected = "; ".join(f"{role}: {', '.join(names)}" for role, names in card.folders.items())
    for role in (VISIBLE, INFRARED):
        if not names[role]:
            folders = sorted({str(PurePosixPath(path).parent) for path in paths})[:5]
            raise LayoutError(
                f"no {role} images in the layout of {card.name!r}. Folders of that set ({expected}); "
                f"folders found: {', '.join(folders) or 'none'}"
            )
    if not set(names[VISIBLE]) & set(names[INFRARED]):
        shown = "; ".join(f"{role}: {', '.join(sorted(names[role])[:3])}" for role in (VISIBLE, INFRARED))
        raise LayoutError(f"no visible and infrared image of one name. First names: {shown}")
