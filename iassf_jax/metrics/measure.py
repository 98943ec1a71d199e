"""Computes metrics of batches by name, on the device."""

import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, DTypeLike, Float, UInt8

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.canvas import Size
from iassf_jax.metrics.levels import check_uint8_images, grey_levels, luma_levels
from iassf_jax.metrics.metric import SHAVED, Metric
from iassf_jax.metrics.niqe_model import NiqeModel
from iassf_jax.metrics.records import MeanRecord
from iassf_jax.metrics.table import METRICS

IMAGES = ("visible", "infrared", "fused", "reference")


def measure(
    images: Mapping[str, UInt8[Array | np.ndarray, "b h w _"]],
    names: Sequence[str],
    *,
    dtype: DTypeLike = jnp.float32,
    images_at_once: int | None = None,
    niqe_model: NiqeModel | None = None,
    within: Size | None = None,
) -> dict[str, Float[Array, " b"]]:
    """Return the values of the metrics `names` for a batch; pure, safe under jit and vmap.

    Args:
      images: uint8 "visible", "infrared", "fused" and "reference" with 1 or 3 channels; only what the metrics
        need has to be there.
      names: keys of `METRICS`.
      dtype: of the computation; float64 needs `jax.enable_x64`.
      images_at_once: how many images are computed together. By default one on a CPU, whose caches hold the
        intermediates of one image, and all elsewhere.
      niqe_model: in place of the LIVE release's, for q_niqe.
      within: size of the images, if they lie in the top left corner of a larger canvas (see `canvas`).

    Raises:
      InputError: an unknown name, a missing image, images not uint8, differing in size or too small.
    """
    arrays = {name: jnp.asarray(image) for name, image in images.items()}
    needed = needed_images(names)
    check_images(arrays, needed)
    chosen = {name: arrays[name] for name in needed}
    height, width = chosen[needed[0]].shape[1:3]
    for name in names:
        if METRICS[name].function is None:
            raise InputError(f"{name} is computed on the host: use iassf_jax.metrics.evaluate")
        if not METRICS[name].fits(height, width):
            raise InputError(f"{name} needs {METRICS[name].requirement()}, got {height}x{width}")
    together = (1 if jax.default_backend() == "cpu" else None) if images_at_once is None else images_at_once
    compute = functools.partial(
        _compute, names=tuple(names), dtype=dtype, niqe_model=niqe_model, within=within
    )
    if together is None or together >= chosen[needed[0]].shape[0]:
        return compute(chosen)

    def one(example: Mapping[str, Array]) -> dict[str, Array]:
        return {name: value[0] for name, value in compute({k: v[None] for k, v in example.items()}).items()}

    return lax.map(one, chosen, batch_size=together if together > 1 else None)


def measure_records(
    images: Mapping[str, UInt8[Array | np.ndarray, "b h w _"]],
    names: Sequence[str],
    mask: Float[Array, " b"] | None = None,
    *,
    dtype: DTypeLike = jnp.float32,
) -> dict[str, MeanRecord]:
    """Return `measure` as records that merge over batches and hosts; `mask` is 0 for padded images."""
    values = measure(images, names, dtype=dtype)
    return {name: MeanRecord.from_values(value, mask) for name, value in values.items()}


def compiled_measure(
    names: Sequence[str], precision: str = "float32", *, niqe_model: NiqeModel | None = None
) -> Callable[..., dict[str, Array]]:
    """Return `measure` compiled for `names`; it is compiled once for each size of image.

    Raises:
      InputError: `precision` is neither "float32" nor "float64".
    """
    if precision not in ("float32", "float64"):
        raise InputError(f"precision {precision!r}: expected 'float32' or 'float64'")
    return _compiled(tuple(names), precision, niqe_model)


@functools.cache
def _compiled(
    names: tuple[str, ...], precision: str, niqe_model: NiqeModel | None
) -> Callable[..., dict[str, Array]]:
    dtype = jnp.dtype(precision)
    program = jax.jit(functools.partial(measure, names=names, dtype=dtype, niqe_model=niqe_model))
    if precision == "float32":
        return program

    def in_double_precision(
        images: Mapping[str, Array | np.ndarray], *, within: Size | None = None
    ) -> dict[str, Array]:
        with jax.enable_x64(True):
            return program(images, within=within)

    return in_double_precision


def _compute(
    images: Mapping[str, Array],
    *,
    names: tuple[str, ...],
    dtype: DTypeLike,
    niqe_model: NiqeModel | None,
    within: Size | None,
) -> dict[str, Array]:
    prepare: dict[str, Callable[[], Array]] = {
        "infrared": lambda: grey_levels(images["infrared"], dtype=dtype),
        "visible": lambda: grey_levels(images["visible"], dtype=dtype),
        "fused": lambda: grey_levels(images["fused"], dtype=dtype),
        "fused_y": lambda: luma_levels(images["fused"], dtype=dtype)[:, SHAVED:-SHAVED, SHAVED:-SHAVED],
        "fused_luma": lambda: luma_levels(images["fused"], dtype=dtype),
        "visible_levels": lambda: _channels(images["visible"], dtype),
        "fused_levels": lambda: _channels(images["fused"], dtype),
        "fused_rgb": lambda: _channels(images["fused"], dtype) / 255.0,
        "reference_rgb": lambda: _channels(images["reference"], dtype) / 255.0,
    }
    metrics = [METRICS[name] for name in names]
    inputs = {name: prepare[name]() for metric in metrics for name in metric.inputs}
    return {
        metric.name: metric.function(
            *(inputs[name] for name in metric.inputs),
            within=_shaved(within) if "fused_y" in metric.inputs else within,
            **({"model": niqe_model} if metric.takes_niqe_model else {}),
        )
        for metric in metrics
        if metric.function is not None
    }


def _shaved(within: Size | None) -> Size | None:
    return None if within is None else within.windows(2 * SHAVED + 1)


def _channels(images: Array, dtype: DTypeLike) -> Array:
    return jnp.broadcast_to(images, (*images.shape[:3], 3)).astype(dtype)


def find_metric(name: str) -> Metric:
    """Return the entry of METRICS; an unknown name is an InputError that lists the known ones."""
    if name not in METRICS:
        raise InputError(f"no metric is called {name!r}; there are {', '.join(METRICS)}")
    return METRICS[name]


def needed_images(names: Sequence[str]) -> list[str]:
    """Return which of `IMAGES` the metrics are computed from; no name at all is an InputError."""
    if not names:
        raise InputError("no metric was named")
    inputs = {part.split("_")[0] for name in names for part in find_metric(name).inputs}
    return [name for name in IMAGES if name in inputs]


def check_images(images: Mapping[str, Array | np.ndarray], needed: Sequence[str]) -> None:
    """Refuse batches that lack one of `needed`, are not uint8 or differ in size.

    Raises:
      InputError: says which, and what was expected.
    """
    missing = [name for name in needed if name not in images]
    if missing:
        raise InputError(f"these metrics also need the {' and '.join(missing)} images")
    check_uint8_images(**{name: images[name] for name in needed})
    shapes = {name: images[name].shape[:3] for name in needed}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{name} {'x'.join(map(str, shape[1:]))}" for name, shape in shapes.items())
        raise InputError(
            f"images differ in size or number: {sizes} (batches {[s[0] for s in shapes.values()]})"
        )
