"""How good a network is on a folder of triplets: restoration against the clear image, and the losses."""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from data_pipelines.evaluation_batches import group_examples
from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.measures import Images, Objective, make_measure, metric_names
from iassf_jax.metrics import MeanRecord

_NETWORK_IMAGES = ("restored", "fused", "haze density")
_SOURCES = {"hazy": "visible_hazy", "infrared": "infrared", "clear": "visible_clear"}


@dataclasses.dataclass(frozen=True)
class Validation:
    """Means over all scenes, and pictures of the first ones.

    `metrics` has the entries of `measures.metric_names`: PSNR (dB) and SSIM of the restored and of the hazy
    image against the clear one, losses as in training. `pictures`: per scene its name and uint8 images
    "hazy", "infrared", "restored", "fused", "haze density", "clear".
    """

    metrics: dict[str, float]
    pictures: list[dict[str, Any]]


class Validator:
    """Validates parameters of one network; the network is compiled once for each size of images.

    The means are over images and do not depend on how these are put into batches.

    Args:
      objective: the network and its losses.
      batch_size: images computed together, where they come one at a time. Neighbours of one size share a
        batch; memory grows with it.
      shard: puts the arrays of a batch on the devices, for example split over them by the first axis. With
        several hosts it makes arrays of all hosts out of each host's rows; every host has to validate equally
        many batches of equal shapes (`data_pipelines.evaluation_batches`), and gets the means over all and
        the pictures of its own rows.
      merge: puts the records together with those of hosts that validate other scenes by themselves.
    """

    def __init__(
        self,
        objective: Objective,
        *,
        batch_size: int = 1,
        shard: Callable[[dict[str, np.ndarray]], Any] | None = None,
        merge: Callable[[dict[str, MeanRecord]], dict[str, MeanRecord]] = lambda records: records,
    ):
        if batch_size < 1:
            raise InputError(f"batch_size of the validation is {batch_size}; expected at least 1")
        measure = make_measure(objective)

        def records_of(params: Any, batch: Mapping[str, Array], alpha: Array) -> tuple[dict, Images]:
            values, images = measure(params, batch, alpha)
            mask = batch["mask"]
            return {name: MeanRecord.from_values(value, mask) for name, value in values.items()}, images

        self._measure, self._names = jax.jit(records_of), metric_names(objective)
        self._batch_size = batch_size
        self._merge = merge
        self._shard = shard or (lambda batch: batch)

    def __call__(
        self,
        params: Any,
        examples: Iterable[Mapping[str, Any]],
        *,
        alpha: float,
        num_pictures: int = 0,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Validation | None:
        """Run over `examples` at full size.

        They come one at a time (`data_pipelines.folder.evaluation_examples`) or in batches with "mask"
        (`data_pipelines.evaluation_batches`). `should_stop` is asked before every batch; where it says yes,
        the validation is given up: None.

        Raises:
          InputError: no examples.
        """
        records = {name: MeanRecord.empty() for name in self._names}
        pictures: list[dict[str, Any]] = []
        device_alpha = jnp.asarray(alpha, jnp.float32)
        for batch in _batches(examples, self._batch_size):
            if should_stop():
                return None
            arrays = {name: value for name, value in batch.items() if name != "name"}
            measured, images = self._measure(params, self._shard(arrays), device_alpha)
            # The host does not run ahead of the device, so that a stop is noticed at once.
            jax.block_until_ready(images)
            records = {name: records[name].merge(measured[name]) for name in self._names}
            if len(pictures) < num_pictures:
                pictures += _pictures(batch, images)[: num_pictures - len(pictures)]
        records = self._merge(records)
        if not records[self._names[0]].count > 0:
            raise InputError("there are no images to validate on")
        return Validation({key: float(records[key].result()) for key in self._names}, pictures)


def rows_of_this_host(array: Array) -> np.ndarray:
    """Return an array, or of one that is split over several hosts by its first axis this host's rows."""
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    parts = {shard.index[0].start or 0: shard.data for shard in array.addressable_shards}
    return np.concatenate([np.asarray(parts[start]) for start in sorted(parts)])


def _batches(examples: Iterable[Mapping[str, Any]], batch_size: int) -> Iterator[Mapping[str, Any]]:
    """Take batches as they come and put single examples together."""
    items = iter(examples)
    first = next(items, None)
    if first is None:
        return iter(())
    items = itertools.chain([first], items)
    return items if "mask" in first else group_examples(items, batch_size=batch_size)


def _pictures(batch: Mapping[str, Any], images: Images) -> list[dict[str, Any]]:
    made = {name: rows_of_this_host(images[name]) for name in _NETWORK_IMAGES}
    sources = {name: batch[key] for name, key in _SOURCES.items()}
    return [
        {"name": name, **{column: rows[index] for column, rows in (sources | made).items()}}
        for index, name in enumerate(batch["name"])
        if batch["mask"][index] > 0
    ]
