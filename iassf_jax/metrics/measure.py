"""Computes metrics by name: on the device for batches (`measure`), on the host for one image (`evaluate`)."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, DTypeLike, Float, UInt8

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.canvas import Size
from iassf_jax.metrics.learned import MA_NAMES, learned_value, why_unavailable
from iassf_jax.metrics.levels import check_uint8_images, grey_levels, luma_levels
from iassf_jax.metrics.metric import SHAVED, Metric
from iassf_jax.metrics.models import SHIPPED, Models
from iassf_jax.metrics.niqe_model import NiqeModel
from iassf_jax.metrics.records import MeanRecord
from iassf_jax.metrics.table import METRICS, RESTORATION, STANDARD

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
    needed = _needed_images(names)
    _check_images(arrays, needed)
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


def evaluate(
    visible: np.ndarray,
    infrared: np.ndarray,
    fused: np.ndarray,
    *,
    reference: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    precision: str = "float32",
    models: Models = SHIPPED,
    canvas: tuple[int, int] | None = None,
) -> dict[str, float]:
    """Return the metrics of one fused image.

    Args:
      visible: uint8 [h, w], [h, w, 1] or [h, w, 3], the visible source; if the input was hazy, the clear one.
      infrared: likewise.
      fused: likewise.
      reference: clean image for the restoration metrics.
      names: keys of `METRICS`; by default the usual ones, and those of restoration if there is a reference.
      precision: "float32", or "float64" for values to 1e-9 (several times slower).
      models: parameters of the user's.
      canvas: height and width of a program to use for images of this size and smaller; by default one is
        compiled for each size. For folders of many sizes (see `canvas.canvases`).

    Returns:
      A float for each name; NaN where the metric has no value for these images (see `why_not_computed`).

    Raises:
      InputError: an unknown name, images that are not uint8 or differ in size.
    """
    given = {"visible": visible, "infrared": infrared, "fused": fused}
    if reference is not None:
        given["reference"] = reference
    batch = {name: _as_batch(name, image) for name, image in given.items()}
    _check_images(batch, list(batch))
    if canvas is not None and any(n > m for n, m in zip(fused.shape, canvas, strict=False)):
        size = "x".join(map(str, fused.shape[:2]))
        raise InputError(f"a canvas of {canvas[0]}x{canvas[1]} is too small for images of {size}")
    if names is None:
        names = STANDARD + (RESTORATION if reference is not None else ())
    has_reference = reference is not None
    reasons = why_not_computed(names, fused.shape[:2], has_reference=has_reference, models=models)
    computed = [name for name in names if name not in reasons]
    on_device = {name for name in computed if METRICS[name].function is not None}
    on_host = [name for name in computed if name not in on_device]
    if models.ma is not None and "q_pi" in on_host:
        on_device.add("niqe_for_pi")
    values = _on_device(batch, tuple(sorted(on_device)), precision, models.niqe, canvas) if on_device else {}
    values |= _on_host(batch["fused"], on_host, models, values)
    return {name: values.get(name, math.nan) for name in names}


def why_not_computed(
    names: Sequence[str],
    size: tuple[int, ...],
    *,
    has_reference: bool = False,
    models: Models = SHIPPED,
) -> dict[str, str]:
    """Return, for those of `names` that have no value for images of this size, the reason.

    Raises:
      InputError: an unknown name.
    """
    reasons = {}
    for metric in map(_metric, names):
        if "reference_rgb" in metric.inputs and not has_reference:
            reasons[metric.name] = "needs a clean reference"
        elif not metric.fits(*size[:2]):
            reasons[metric.name] = f"needs {metric.requirement()}, got {size[0]}x{size[1]}"
        elif metric.function is not None or (metric.name in MA_NAMES and models.ma is not None):
            continue
        elif reason := why_unavailable(metric.name):
            reasons[metric.name] = reason
    return reasons


def _on_host(
    fused: UInt8[np.ndarray, "1 h w _"], names: Sequence[str], models: Models, known: Mapping[str, float]
) -> dict[str, float]:
    """Metrics with learned parameters; q_pi by a model of the user's takes niqe_for_pi from `known`."""
    if models.ma is None or not set(MA_NAMES) & set(names):
        return {name: learned_value(name, fused[0]) for name in names}
    others = [name for name in names if name not in MA_NAMES]
    levels = np.asarray(luma_levels(jnp.asarray(fused)))[0, SHAVED:-SHAVED, SHAVED:-SHAVED]
    score = models.ma.score(levels.astype(np.float64))
    found = {name: learned_value(name, fused[0]) for name in others} | {"ma": score}
    if "q_pi" in names:
        found["q_pi"] = 0.5 * (10.0 - score + known["niqe_for_pi"])
    return found


def _on_device(
    batch: Mapping[str, np.ndarray],
    names: tuple[str, ...],
    precision: str,
    niqe_model: NiqeModel | None,
    canvas: tuple[int, int] | None,
) -> dict[str, float]:
    chosen = {name: batch[name] for name in _needed_images(names)}
    size = next(iter(chosen.values())).shape[1:3]
    within = None
    if canvas is not None:
        border = [(0, 0), *((0, m - n) for n, m in zip(size, canvas, strict=True)), (0, 0)]
        chosen = {name: np.pad(image, border) for name, image in chosen.items()}
        within = Size(*(jnp.asarray(n, jnp.int32) for n in size))
    program = compiled_measure(names, precision, niqe_model=niqe_model)
    return {name: float(value[0]) for name, value in program(chosen, within=within).items()}


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


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise InputError(f"no metric is called {name!r}; there are {', '.join(METRICS)}")
    return METRICS[name]


def _needed_images(names: Sequence[str]) -> list[str]:
    if not names:
        raise InputError("no metric was named")
    inputs = {part.split("_")[0] for name in names for part in _metric(name).inputs}
    return [name for name in IMAGES if name in inputs]


def _check_images(images: Mapping[str, Array | np.ndarray], needed: Sequence[str]) -> None:
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


def _as_batch(name: str, image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise InputError(f"{name}: expected shape [h, w], [h, w, 1] or [h, w, 3], got {list(image.shape)}")
    return image[None]
