"""Computes metrics of one image: pure JAX on the device, what needs learned parameters on the host."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jax import numpy as jnp
from jaxtyping import UInt8

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.canvas import Size
from iassf_jax.metrics.learned import MA_NAMES, learned_value, why_unavailable
from iassf_jax.metrics.levels import luma_levels
from iassf_jax.metrics.measure import check_images, compiled_measure, find_metric, needed_images
from iassf_jax.metrics.metric import SHAVED
from iassf_jax.metrics.models import SHIPPED, Models
from iassf_jax.metrics.niqe_model import NiqeModel
from iassf_jax.metrics.table import METRICS, RESTORATION, STANDARD


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
    check_images(batch, list(batch))
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
    for metric in map(find_metric, names):
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
    chosen = {name: batch[name] for name in needed_images(names)}
    size = next(iter(chosen.values())).shape[1:3]
    within = None
    if canvas is not None:
        border = [(0, 0), *((0, m - n) for n, m in zip(size, canvas, strict=True)), (0, 0)]
        chosen = {name: np.pad(image, border) for name, image in chosen.items()}
        within = Size(*(jnp.asarray(n, jnp.int32) for n in size))
    program = compiled_measure(names, precision, niqe_model=niqe_model)
    return {name: float(value[0]) for name, value in program(chosen, within=within).items()}


def _as_batch(name: str, image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise InputError(f"{name}: expected shape [h, w], [h, w, 1] or [h, w, 3], got {list(image.shape)}")
    return image[None]
