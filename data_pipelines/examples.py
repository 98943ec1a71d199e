"""Scenes by number: a folder of triplets or a split of a built set behind one interface; host side only."""

import dataclasses
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from data_pipelines.cropping import resize_images
from data_pipelines.decode import ImageError, image_size
from data_pipelines.depth_files import DepthRule
from data_pipelines.restoration_pairs import is_manifest, open_pairs
from data_pipelines.sets.cards import DEPTH, HAZY
from data_pipelines.sets.stored import Records, StoredSet, decode_record, default_data_dir, find_set, open_set
from data_pipelines.triplets import InfraredRange, Triplet, list_triplets, read_triplet


@dataclasses.dataclass(frozen=True)
class Reading:
    """What is read of scenes, and how.

    Attributes:
      require_hazy: refuse scenes without a hazy image.
      with_hazy: False leaves hazy images undecoded and out of the examples, for haze that is made later;
        nothing is required of them then.
      infrared_range: how infrared of more than 8 bits becomes uint8, see `triplets.scale_infrared`; None
        leaves it as it is stored, to look at.
      depth: how depth files are read; None leaves them out, with a rule every scene must have one.
      pair_tasks: degradations that are taken from manifests of pairs, see `restoration_pairs`.
    """

    require_hazy: bool = True
    with_hazy: bool = True
    infrared_range: InfraredRange | None = "full"
    depth: DepthRule | None = None
    pair_tasks: Sequence[str] = ()


_ALL = Reading()


@runtime_checkable
class Examples(Protocol):
    """Random access to decoded scenes; safe to share among threads and to pickle.

    An example is a dict with "visible_clear" and, if the scene has one, "visible_hazy" uint8 [h w 3],
    "infrared" uint8 [h w 1], where it is read "depth" float32 [h w 1] in metres, and "name".
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @property
    def names(self) -> Sequence[str]:
        """The scenes' names in order."""

    @property
    def has_haze(self) -> bool:
        """Whether every example has "visible_hazy"."""

    @property
    def has_depth(self) -> bool:
        """Whether every example has "depth"."""

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of an example without decoding it."""


class FolderExamples:
    """Scenes of a folder with GT/, IR/ and, if they are there and read, hazy/ and depth/.

    Raises:
      FolderError: see `triplets.list_triplets`.
    """

    def __init__(self, root: str | os.PathLike, reading: Reading = _ALL):
        self._triplets: list[Triplet] = list_triplets(
            root,
            require_hazy=reading.require_hazy,
            with_hazy=reading.with_hazy,
            with_depth=reading.depth is not None,
        )
        self._reading = reading
        self.names = [triplet.name for triplet in self._triplets]
        self.has_haze = all(triplet.hazy is not None for triplet in self._triplets)
        self.has_depth = reading.depth is not None

    def __len__(self) -> int:
        return len(self._triplets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        reading = self._reading
        return read_triplet(self._triplets[index], infrared_range=reading.infrared_range, depth=reading.depth)

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) from the file's header."""
        return image_size(self._triplets[index].clear)


class StoredExamples:
    """Scenes of a split of a built set.

    Raises:
      ImageError: there is no such split, it cannot be opened, or it lacks haze or depth that is to be read.
    """

    def __init__(self, stored: StoredSet, split: str, reading: Reading = _ALL):
        self._entries = stored.entries(split)
        self._records: Records = stored.records(split)
        self._where = f"{stored.name}:{split}"
        self._options: Mapping[str, Any] = {
            "where": self._where,
            "resize_infrared": stored.manifest.resize_infrared,
            "infrared_range": reading.infrared_range,
            "with_hazy": reading.with_hazy,
            "depth": reading.depth,
        }
        self.names = [entry.name for entry in self._entries]
        self.has_haze = reading.with_hazy and self._all_have(HAZY)
        self.has_depth = reading.depth is not None
        if reading.require_hazy and reading.with_hazy and not self.has_haze:
            raise ImageError(self._where, "has no hazy images, which are needed here")
        if self.has_depth and not self._all_have(DEPTH):
            raise ImageError(self._where, "has no depth for each scene, which is needed here")

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return decode_record(self._records[index], **self._options)

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) as the manifest has it."""
        return self._entries[index].height, self._entries[index].width

    def _all_have(self, role: str) -> bool:
        return all(role in entry.files for entry in self._entries)


class _Changed:
    """Examples made of others, one by one: the base of what follows, which differs in `__getitem__`."""

    def __init__(self, examples: Examples):
        self._examples = examples
        self.names, self.has_haze, self.has_depth = examples.names, examples.has_haze, examples.has_depth

    def __len__(self) -> int:
        return len(self._examples)

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of an example."""
        return self._examples.size(index)


class Resized(_Changed):
    """Examples brought to one size, see `cropping.resize_images`."""

    def __init__(self, examples: Examples, size: tuple[int, int]):
        super().__init__(examples)
        self._size = size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return resize_images(self._examples[index], self._size)

    def size(self, index: int) -> tuple[int, int]:
        """Return the size that all examples have."""
        return self._size


class Clear(_Changed):
    """Examples without their hazy images."""

    def __init__(self, examples: Examples):
        super().__init__(examples)
        self.has_haze = False

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: value for name, value in self._examples[index].items() if name != "visible_hazy"}


class ScenesAsPairs(_Changed):
    """Scenes among pairs of a manifest: the same entries, with "pair" [-1, 0, 0] for a task that is drawn.

    "visible_hazy" is the clear image, since the degraded one is always made.
    """

    def __init__(self, examples: Examples):
        super().__init__(examples)
        self.has_haze = True

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self._examples[index]
        drawn = np.array([-1, 0, 0], np.int32)
        return {**example, "visible_hazy": example["visible_clear"], "pair": drawn}


class Cached(_Changed):
    """Examples of which the first that fit a budget are kept in memory.

    Replacing them by recent ones would be worse: every scene is used once an epoch, so a recent one comes
    back last. A copy in another process starts empty.
    """

    def __init__(self, examples: Examples, *, num_bytes: int):
        super().__init__(examples)
        self._budget = self._free = num_bytes
        self._kept: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> dict[str, Any]:
        kept = self._kept.get(index)
        if kept is not None:
            return kept
        example = self._examples[index]
        self._keep(index, example)
        return example

    def __reduce__(self) -> tuple[Callable, tuple]:
        return _cached, (self._examples, self._budget)

    def _keep(self, index: int, example: dict[str, Any]) -> None:
        images = [value for value in example.values() if isinstance(value, np.ndarray)]
        size = sum(image.nbytes for image in images)
        with self._lock:
            if index in self._kept or size > self._free:
                return
            for image in images:
                image.setflags(write=False)
            self._kept[index] = example
            self._free -= size


def open_examples(
    spec: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    require_hazy: bool = True,
    with_hazy: bool = True,
    infrared_range: InfraredRange | None = "full",
    depth: DepthRule | None = None,
    pair_tasks: Sequence[str] = (),
) -> Examples:
    """Return the scenes that `spec` names.

    Args:
      spec: a folder with GT/, IR/ and hazy/; a built set and its split as "msrs:train" or
        "sets/msrs:train+val", where the split may be left out if there is only one; or a manifest of pairs
        and, if wanted, its split as "pairs.csv:train".
      data_dir: folder of built sets; TFDS's own by default.
      require_hazy, with_hazy, infrared_range, depth, pair_tasks: see `Reading`.

    Raises:
      FolderError: a folder whose images cannot be paired.
      ImageError: no such folder or set or split, or a set that cannot be opened or lacks what is required.
      ManifestError: see `restoration_pairs.open_pairs`.
    """
    reading = Reading(require_hazy, with_hazy, infrared_range, depth, pair_tasks)
    text = os.fspath(spec)
    name, colon, split = text.rpartition(":")
    if not colon:
        name, split = text, ""
    if is_manifest(name):
        return open_pairs(name, split=split, tasks=pair_tasks, infrared_range=infrared_range)
    if find_set(name, data_dir=data_dir) is not None:
        stored = open_set(name, data_dir=data_dir)
        return StoredExamples(stored, split or _only_split(stored), reading)
    if colon and not Path(text).exists():
        open_set(name, data_dir=data_dir)  # says where it was looked for
    if not Path(text).exists() and os.sep not in text:
        place = Path(data_dir) if data_dir else default_data_dir()
        raise ImageError(text, f"is neither a folder with GT/, hazy/ and IR/ nor a built set in {place}")
    return FolderExamples(spec, reading)


def _only_split(stored: StoredSet) -> str:
    splits = stored.manifest.splits
    if len(splits) > 1:
        shown = ", ".join(f"{stored.name}:{split}" for split in splits)
        raise ImageError(stored.folder, f"has several splits: give one of {shown}")
    return next(iter(splits))


def _cached(examples: Examples, num_bytes: int) -> Cached:
    return Cached(examples, num_bytes=num_bytes)
