"""Batches for training and examples for evaluation from a folder with GT/, hazy/ and IR/; host side only.

Images stay uint8 until they are on the device (`data_pipelines.augment.to_float`); flips, rotations and haze
are made there too.
"""

import functools
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grain
import numpy as np

from data_pipelines.cropping import random_crop, resize_images
from data_pipelines.triplets import (
    FolderError,
    InfraredRange,
    Triplet,
    list_triplets,
    read_triplet,
)

__all__ = ["FolderError", "Triplet", "evaluation_examples", "list_triplets", "training_iterator"]

DEFAULT_CACHE_BYTES = 1 << 30
_BATCHES_AHEAD_PER_THREAD = 2


def training_iterator(
    root: str | os.PathLike,
    *,
    batch_size: int,
    crop: int,
    seed: int,
    resize: tuple[int, int] | None = None,
    scale: tuple[float, float] | None = None,
    num_threads: int = 4,
    drop_remainder: bool = True,
    require_hazy: bool = True,
    infrared_range: InfraredRange = "full",
    cache_bytes: int = DEFAULT_CACHE_BYTES,
) -> grain.DatasetIterator:
    """Return an endless iterator over batches of random crops, shuffled anew in every epoch.

    A batch is a dict with "visible_hazy" and "visible_clear" uint8 [b,crop,crop,3], "infrared" uint8
    [b,crop,crop,1] and "name", a list of b strings. The sequence of batches is a function of the files and
    the options, `seed` above all; it does not depend on `num_threads` or `cache_bytes`. `get_state()` gives
    the position as a small dict (JSON can hold it), and `set_state` on a new iterator with the same files and
    options continues with the very next batch.

    Args:
      root: folder with GT/, hazy/ and IR/, see `list_triplets`.
      batch_size: images in a batch, always exactly as many.
      crop: side of the square crops in pixels; smaller images are extended by reflection.
      seed: 0 to 2^32 - 1.
      resize: (height, width) to which every image is brought before the crop. (256, 256) with a crop of 256
        is what the released IASSF code does to its 480x640 images.
      scale: (low, high), limits of a random factor by which images are resized before the crop and after
        `resize`; with (0.5, 1.0) a crop shows up to twice its side.
      num_threads: batches prepared at a time; 0 prepares each when it is asked for.
      drop_remainder: True leaves out the images of every epoch that do not fill a batch (other ones in every
        epoch). False fills that batch with the first images of the next epoch.
      require_hazy: False accepts a folder without hazy/; the batches then have no "visible_hazy".
      infrared_range: how infrared of more than 8 bits becomes uint8, see `triplets.scale_infrared`.
      cache_bytes: decoded (and resized) images are kept in memory up to this size. A 480x640 scene takes
        2.15 MB, so the 1,083 of MSRS take 2.3 GB. 0 decodes every image every time.

    Raises:
      FolderError: see `list_triplets`; or fewer scenes than `batch_size` with `drop_remainder`.
      ValueError: an option out of its range.
      ImageError: from `next`, when an image cannot be read or the images of a scene differ in size.
    """
    _check_options(batch_size=batch_size, crop=crop, resize=resize, scale=scale, num_threads=num_threads)
    triplets = list_triplets(root, require_hazy=require_hazy)
    if drop_remainder and len(triplets) < batch_size:
        reason = f"has {len(triplets)} scenes, fewer than batch_size={batch_size}"
        raise FolderError(root, f"{reason}; take a smaller batch or drop_remainder=False")
    source = _SceneSource(triplets, resize=resize, infrared_range=infrared_range, cache_bytes=cache_bytes)
    scenes = grain.MapDataset.source(source).seed(seed).shuffle()
    crops = scenes.random_map(functools.partial(random_crop, size=crop, scale=scale))
    if drop_remainder:
        batches = crops.batch(batch_size, drop_remainder=True, batch_fn=_stack).repeat()
    else:
        batches = crops.repeat().batch(batch_size, drop_remainder=True, batch_fn=_stack)
    # Threads, not processes: decoding and resizing release the interpreter's lock, and the cache is shared.
    options = grain.ReadOptions(
        num_threads=num_threads, prefetch_buffer_size=_BATCHES_AHEAD_PER_THREAD * num_threads
    )
    return iter(batches.to_iter_dataset(options))


def evaluation_examples(
    root: str | os.PathLike,
    *,
    limit: int | None = None,
    require_hazy: bool = True,
    infrared_range: InfraredRange = "full",
) -> Iterator[dict[str, Any]]:
    """Return an iterator over the scenes at full size, in the order of their names.

    An example is a dict with "visible_hazy" and "visible_clear" uint8 [h,w,3], "infrared" uint8 [h,w,1] and
    "name", a string; sizes may differ between examples. `limit` keeps the first so many. The folder is
    checked at once, the images are read one example at a time.

    Raises:
      FolderError: see `list_triplets`.
      ValueError: `limit` below 1.
      ImageError: from `next`, see `read_triplet`.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; expected at least 1, or None for all")
    triplets = list_triplets(root, require_hazy=require_hazy)[:limit]
    return (read_triplet(triplet, infrared_range=infrared_range) for triplet in triplets)


class _SceneSource:
    """Random access to decoded scenes, with a cache shared by the reading threads.

    The first scenes that fit the budget stay. Replacing them by recent ones would be worse: every scene is
    used once an epoch, so a recent one comes back last.
    """

    def __init__(
        self,
        triplets: Sequence[Triplet],
        *,
        resize: tuple[int, int] | None,
        infrared_range: InfraredRange,
        cache_bytes: int,
    ):
        self._triplets = triplets
        self._resize = resize
        self._infrared_range = infrared_range
        self._free_bytes = cache_bytes
        self._cache: dict[int, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._triplets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        cached = self._cache.get(index)
        if cached is not None:
            return cached
        scene = read_triplet(self._triplets[index], infrared_range=self._infrared_range)
        if self._resize is not None:
            scene = resize_images(scene, self._resize)
        self._keep(index, scene)
        return scene

    def _keep(self, index: int, scene: dict[str, Any]) -> None:
        images = [value for value in scene.values() if isinstance(value, np.ndarray)]
        size = sum(image.nbytes for image in images)
        with self._lock:
            if index in self._cache or size > self._free_bytes:
                return
            for image in images:
                image.setflags(write=False)
            self._cache[index] = scene
            self._free_bytes -= size


def _stack(examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    columns = {name: [example[name] for example in examples] for name in examples[0]}
    return {name: column if name == "name" else np.stack(column) for name, column in columns.items()}


def _check_options(
    *,
    batch_size: int,
    crop: int,
    resize: tuple[int, int] | None,
    scale: tuple[float, float] | None,
    num_threads: int,
) -> None:
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("crop", crop, 1),
        ("num_threads", num_threads, 0),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}; expected at least {least}")
    if resize is not None and not all(isinstance(side, int) and side > 0 for side in resize):
        raise ValueError(
            f"resize is {resize}; expected (height, width) in pixels; a random factor is `scale`"
        )
    if scale is not None and not 0 < scale[0] <= scale[1]:
        raise ValueError(f"scale is {scale}; expected (low, high) with 0 < low <= high")
