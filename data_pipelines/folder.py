"""Batches for training and examples for evaluation, from a folder, a built set or a mixture; host side only.

The one place where text such as "DATA/train", "msrs:train" or "msrs:train*0.7 + roadscene:train*0.3" becomes
data. Images stay uint8 until they are on the device (`data_pipelines.augment.to_float`); flips, rotations and
haze are made there too.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

from data_pipelines.depth_files import DepthRule
from data_pipelines.loaders import BatchIterator, training_batches
from data_pipelines.mixtures import open_mixture
from data_pipelines.triplets import FolderError, InfraredRange, Triplet, list_triplets

__all__ = ["FolderError", "Triplet", "evaluation_examples", "list_triplets", "training_iterator"]

DEFAULT_CACHE_BYTES = 1 << 30


def training_iterator(
    root: str | os.PathLike,
    *,
    batch_size: int,
    crop: int,
    seed: int,
    resize: tuple[int, int] | None = None,
    scale: tuple[float, float] | None = None,
    host: int = 0,
    num_hosts: int = 1,
    num_threads: int = 4,
    num_workers: int = 0,
    drop_remainder: bool = True,
    require_hazy: bool = True,
    with_hazy: bool = True,
    infrared_range: InfraredRange = "full",
    depth: DepthRule | None = None,
    pair_tasks: Sequence[str] = (),
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    data_dir: str | os.PathLike | None = None,
    places_only: bool = False,
) -> BatchIterator:
    """Return an endless iterator over batches of random crops, shuffled anew in every epoch.

    A batch is a dict with "visible_hazy" and "visible_clear" uint8 [b,crop,crop,3], "infrared" uint8
    [b,crop,crop,1] and "name", a list of b strings; with a rule for `depth` also "depth" float32
    [b,crop,crop,1] in metres. The sequence of batches is a function of the scenes and
    the options, `seed` above all; it does not depend on `num_threads`, `num_workers`, `cache_bytes`, nor,
    hosts' rows put together, on `num_hosts`. `get_state()` gives the position as a small dict (JSON can hold
    it), and `set_state` on a new iterator with the same scenes and options continues with the very next
    batch.

    Args:
      root: folder with GT/, hazy/ and IR/ (see `list_triplets`), a built set as "NAME:SPLIT" or a manifest of
        pairs (see `examples.open_examples`), or a mixture (see `mixtures.parse_mixture`).
      batch_size: images in the batch of all hosts, always exactly as many.
      crop: side of the square crops in pixels; smaller images are extended by reflection. 0 takes whole
        images, which must all be of one size (see `resize`).
      seed: 0 to 2^32 - 1.
      resize: (height, width) to which every image is brought before the crop. (256, 256) with a crop of 256
        is what the released IASSF code does to its 480x640 images.
      scale: (low, high), limits of a random factor by which images are resized before the crop and after
        `resize`; with (0.5, 1.0) a crop shows up to twice its side.
      host, num_hosts: read this host's rows only.
      num_threads: batches prepared at a time; 0 prepares each when it is asked for.
      num_workers: processes that prepare batches; 0 prepares them in this one.
      drop_remainder: True leaves out the images of every epoch that do not fill a batch (other ones in every
        epoch). False fills that batch with the first images of the next epoch.
      require_hazy: False accepts sets without hazy images; the batches then have no "visible_hazy".
      with_hazy: False neither decodes nor gives hazy images, for haze that is made on the device.
      infrared_range: how infrared of more than 8 bits becomes uint8, see `triplets.scale_infrared`.
      depth: how the scenes' depth files are read, see `depth_files`; None leaves them out.
      pair_tasks: degradations that are taken from manifests of pairs; batches then have "pair" int32 [b 3],
        see `restoration_pairs.PairExamples`.
      cache_bytes: decoded (and resized) images are kept in memory up to this size. A 480x640 scene takes
        2.15 MB, so the 1,083 of MSRS take 2.3 GB. 0 decodes every image every time.
      data_dir: folder of built sets; TFDS's own by default.
      places_only: give the places of the crops in place of their images, see `loaders.training_batches`.

    Raises:
      FolderError: see `list_triplets`; or fewer scenes than `batch_size` with `drop_remainder`.
      ValueError: an option out of its range.
      ImageError: a set that cannot be opened; from `next`, when an image cannot be read or the images of a
        scene differ in size.
    """
    if resize is not None and not (
        len(resize) == 2 and all(isinstance(side, int) and side > 0 for side in resize)
    ):
        raise ValueError(
            f"resize is {resize}; expected (height, width) in pixels; a random factor is `scale`"
        )
    mixture = open_mixture(
        root,
        data_dir=data_dir,
        require_hazy=require_hazy,
        with_hazy=with_hazy,
        infrared_range=infrared_range,
        depth=depth,
        pair_tasks=pair_tasks,
        resize=resize,
    )
    if drop_remainder and len(mixture.components) == 1 and 0 < len(mixture.names) < batch_size:
        reason = f"has {len(mixture.names)} scenes, fewer than batch_size={batch_size}"
        raise FolderError(root, f"{reason}; take a smaller batch or drop_remainder=False")
    return training_batches(
        mixture,
        batch_size=batch_size,
        crop=crop,
        seed=seed,
        scale=scale,
        host=host,
        num_hosts=num_hosts,
        num_threads=num_threads,
        num_workers=num_workers,
        drop_remainder=drop_remainder,
        cache_bytes=cache_bytes,
        places_only=places_only,
    )


def evaluation_examples(
    root: str | os.PathLike,
    *,
    limit: int | None = None,
    require_hazy: bool = True,
    with_hazy: bool = True,
    infrared_range: InfraredRange = "full",
    depth: DepthRule | None = None,
    pair_tasks: Sequence[str] = (),
    data_dir: str | os.PathLike | None = None,
) -> Iterator[dict[str, Any]]:
    """Return an iterator over the scenes at full size, in the order of their names.

    An example is a dict with "visible_hazy" and "visible_clear" uint8 [h,w,3], "infrared" uint8 [h,w,1] and
    "name", a string, with a rule for `depth` also "depth" float32 [h,w,1]; sizes may differ between examples.
    `limit` keeps the first so many. The folder or set is
    checked at once, the images are read one example at a time. A mixture gives its sets one after the other.

    Raises:
      FolderError: see `list_triplets`.
      ValueError: `limit` below 1.
      ImageError: a set that cannot be opened; from `next`, see `read_triplet`.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; expected at least 1, or None for all")
    mixture = open_mixture(
        root,
        data_dir=data_dir,
        require_hazy=require_hazy,
        with_hazy=with_hazy,
        infrared_range=infrared_range,
        depth=depth,
        pair_tasks=pair_tasks,
    )
    every = ((examples, index) for examples in mixture.components for index in range(len(examples)))
    return (examples[index] for examples, index in itertools.islice(every, limit))
