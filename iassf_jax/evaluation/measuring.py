"""Metrics of many images at once, each on one of several devices."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from jaxtyping import UInt8

from iassf_jax.inference.buckets import Size
from iassf_jax.metrics import METRICS, Models, why_not_computed
from iassf_jax.metrics import evaluate as measure_image
from iassf_jax.metrics import measure as measure_batch


class Row(NamedTuple):
    """An image to measure, with its sources; `reference` for the metrics of restoration."""

    visible: UInt8[np.ndarray, "h w 3"]
    infrared: UInt8[np.ndarray, "h w"]
    image: UInt8[np.ndarray, "h w 3"]
    reference: UInt8[np.ndarray, "h w 3"] | None = None


class Measurer:
    """Measures images by `iassf_jax.metrics`, with several devices as many at a time.

    Args:
      devices: where. Images that lie on a canvas, those of sets of many sizes, take the default device.
      canvases: size of image -> canvas, see `metrics.canvas`.
      models: of learned metrics.
    """

    def __init__(self, devices: Sequence[jax.Device], *, canvases: Mapping[Size, Size], models: Models):
        self._canvases, self._models = canvases, models
        self._programs: dict[tuple[str, ...], Callable[..., Any]] = {}
        self._mesh = (
            jax.make_mesh((len(devices),), ("data",), (AxisType.Auto,), devices=devices)
            if len(devices) > 1
            else None
        )

    def __call__(self, rows: Sequence[Row], names: Sequence[str]) -> list[dict[str, float]]:
        """Return the metrics `names` of every row; all rows are of one size. NaN where there is no value."""
        if not rows or not names:
            return [{} for _ in rows]
        size: Size = (rows[0].image.shape[0], rows[0].image.shape[1])
        canvas = self._canvases.get(size)
        missing = why_not_computed(
            names, size, has_reference=rows[0].reference is not None, models=self._models
        )
        on_device = [name for name in names if name not in missing and METRICS[name].function is not None]
        if self._mesh is None or canvas is not None or not on_device:
            return [self._one(row, names, canvas) for row in rows]
        found = self._split(rows, tuple(on_device))
        rest = [name for name in names if name not in on_device]
        others = [self._one(row, rest, None) if rest else {} for row in rows]
        return [{name: (a | b)[name] for name in names} for a, b in zip(found, others, strict=True)]

    def _one(self, row: Row, names: Sequence[str], canvas: Size | None) -> dict[str, float]:
        return measure_image(
            row.visible,
            row.infrared,
            row.image,
            reference=row.reference,
            names=names,
            models=self._models,
            canvas=canvas,
        )

    def _split(self, rows: Sequence[Row], names: tuple[str, ...]) -> list[dict[str, float]]:
        """Measure one row on each device at a time; the last ones are repeated to give each device one."""
        assert self._mesh is not None
        count, found = self._mesh.size, []
        place = NamedSharding(self._mesh, PartitionSpec("data"))
        for start in range(0, len(rows), count):
            chunk = list(rows[start : start + count])
            full = chunk + [chunk[-1]] * (count - len(chunk))
            values = jax.device_get(self._program(names)(jax.device_put(_stacked(full), place)))
            found += [{name: float(values[name][i]) for name in names} for i in range(len(chunk))]
        return found

    def _program(self, names: tuple[str, ...]) -> Callable[..., Any]:
        if names not in self._programs:
            measure = functools.partial(measure_batch, names=names, niqe_model=self._models.niqe)
            rows = PartitionSpec("data")
            split = jax.shard_map(measure, mesh=self._mesh, in_specs=rows, out_specs=rows, check_vma=False)
            self._programs[names] = jax.jit(split)
        return self._programs[names]


def _stacked(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    images = {
        "visible": np.stack([row.visible for row in rows]),
        "infrared": np.stack([row.infrared[:, :, None] for row in rows]),
        "fused": np.stack([row.image for row in rows]),
    }
    if rows[0].reference is None:
        return images
    return images | {"reference": np.stack([row.reference for row in rows if row.reference is not None])}
