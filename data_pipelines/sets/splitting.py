"""Splits of sets that have none of their own, such that neighbours of a recording stay together.

Two scenes are neighbours when their names say so (file numbers close to each other), when they follow each
other and look alike, or when they are nearly the same picture anywhere in the set. Groups of neighbours are
the unit that is split, and which split a group goes to is a function of its names alone.
"""

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence

import numpy as np

from data_pipelines.sets.cards import Card
from data_pipelines.sets.scan import Scanned

FOLLOWING = 0.90  # correlation of both thumbnails at which scenes with successive names are one sequence
DUPLICATE = 0.995  # correlation at which scenes are nearly one picture, wherever they are in the set
NEAR_TEST = "near_test"
_BLOCK = 1024  # scenes compared with all others at a time


@dataclasses.dataclass(frozen=True)
class Assigned:
    """A scene with its split and the name of its group (the first scene of it)."""

    scene: Scanned
    split: str
    group: str


def assign(
    card: Card, scenes: Sequence[Scanned], listed: Mapping[str, Sequence[str]] | None = None
) -> list[Assigned]:
    """Return the scenes with their splits: the folders' own, then published lists, then shares by group.

    Args:
      card: the set.
      scenes: in the order of their names.
      listed: split -> names that a published list puts there. The other scenes of a group that holds such
        a scene, or that is within `gap` of one that is not at hand, go to "near_test", so that no split
        that is trained on has neighbours of it.

    Raises:
      ValueError: the card has no shares for scenes that lie in no split's folder.
    """
    groups = _group(card, scenes)
    fixed = {name: split for split, names in (listed or {}).items() for name in names}
    touched = {
        group
        for scene, group in zip(scenes, groups, strict=True)
        if not scene.split and any(_in_sequence(card, scene.name, name) for name in fixed)
    }
    free = [
        group for scene, group in zip(scenes, groups, strict=True) if not scene.split and group not in touched
    ]
    shares = _share(free, card.fractions or {"train": 1.0})

    def split(scene: Scanned, group: str) -> str:
        if scene.split or scene.name in fixed:
            return scene.split or fixed[scene.name]
        return NEAR_TEST if group in touched else shares[group]

    return [Assigned(scene, split(scene, group), group) for scene, group in zip(scenes, groups, strict=True)]


def by_split(assigned: Sequence[Assigned]) -> dict[str, list[Assigned]]:
    """Return the scenes of each split in the order of their names."""
    splits: dict[str, list[Assigned]] = {}
    for item in sorted(assigned, key=lambda item: (item.split, item.scene.name)):
        splits.setdefault(item.split, []).append(item)
    return splits


def similar_pairs(thumbnails: np.ndarray, *, least: float) -> list[tuple[int, int]]:
    """Return all i < j whose visible and infrared thumbnails [n 2 d] both correlate by `least` or more."""
    found = []
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK]
        alike = np.minimum(block[:, 0] @ thumbnails[:, 0].T, block[:, 1] @ thumbnails[:, 1].T) >= least
        found += [(start + int(i), int(j)) for i, j in np.argwhere(alike) if start + i < j]
    return found


def sequence_key(name: str) -> tuple[str, int | None]:
    """Split a name into what stays and what counts along a recording: "a/FLIR_00018x" is ("a/FLIR_", 18)."""
    match = re.fullmatch(r"(.*?)(\d+)(\D*)", name)
    return (match[1], int(match[2])) if match else (name, None)


def _group(card: Card, scenes: Sequence[Scanned]) -> list[str]:
    """Return for each scene the name of the first scene of its group."""
    parent = list(range(len(scenes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i: int, j: int) -> None:
        first, second = sorted((root(i), root(j)))
        parent[second] = first

    if scenes:
        thumbnails = np.stack([scene.thumbnail for scene in scenes])
        order = sorted(range(len(scenes)), key=lambda i: scenes[i].name)
        for before, after in zip(order, order[1:], strict=False):
            if _follows(card, scenes[before], scenes[after]):
                join(before, after)
        for i, j in similar_pairs(thumbnails, least=DUPLICATE):
            join(i, j)
    return [scenes[root(i)].name for i in range(len(scenes))]


def _follows(card: Card, before: Scanned, after: Scanned) -> bool:
    if _in_sequence(card, before.name, after.name):
        return True
    same_kind = sequence_key(before.name)[0] == sequence_key(after.name)[0]
    return same_kind and bool((before.thumbnail * after.thumbnail).sum(axis=1).min() >= FOLLOWING)


def _in_sequence(card: Card, name: str, other: str) -> bool:
    """Whether two names say that their scenes are of one sequence; a name is in its own."""
    (kind, number), (other_kind, other_number) = sequence_key(name), sequence_key(other)
    if name == other or kind != other_kind:
        return name == other
    if any(kind.startswith(beginning) for beginning in card.one_sequence):
        return True
    return number is not None and other_number is not None and abs(other_number - number) <= card.gap


def _share(groups: Sequence[str], fractions: Mapping[str, float]) -> dict[str, str]:
    """Give every group to a split, in the order of a hash of its name: each goes where most is missing."""
    sizes: dict[str, int] = {}
    for group in groups:
        sizes[group] = sizes.get(group, 0) + 1
    filled = dict.fromkeys(fractions, 0)
    result = {}
    for group in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        done = sum(filled.values()) + sizes[group]
        split = max(fractions, key=lambda name: fractions[name] * done - filled[name])
        filled[split] += sizes[group]
        result[group] = split
    return result
