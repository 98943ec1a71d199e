"""How close a restored image is to its reference: PSNR and SSIM.

Both take float images [b h w c] in [0,1], return one value per image, and are symmetric in their two images.
"""

import functools
import operator
from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.canvas import Size, mean, size_within

_WINDOW = 11  # pixels on a side
_SIGMA = 1.5  # pixels
_C1 = 0.01**2  # (K1 L)^2 with a value range L of 1
_C2 = 0.03**2  # (K2 L)^2


def psnr(
    image: Float[Array, "b h w c"], reference: Float[Array, "b h w c"], *, within: Size | None = None
) -> Float[Array, " b"]:
    """Return the peak signal-to-noise ratio in dB for a peak of 1; higher is better.

    Infinite for equal images. The mean square error runs over pixels and channels together.

    Raises:
      InputError: the images differ in shape or are not float.
    """
    image, reference = _pair(image, reference)
    squares = jnp.square(image - reference)
    return -10.0 * jnp.log10(mean(squares, size_within(squares, within)).mean(axis=1))


def ssim(
    image: Float[Array, "b h w c"], reference: Float[Array, "b h w c"], *, within: Size | None = None
) -> Float[Array, " b"]:
    """Return the structural similarity, in [-1,1]; higher is better, 1 for equal images.

    The index of Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
    2004: Gaussian window of 11x11 pixels and sigma 1.5, K1 = 0.01, K2 = 0.03, weighted variances without
    Bessel's correction, mean over the positions where the window lies inside the image, then over channels.

    Raises:
      InputError: the images differ in shape, are not float, or have a side under 11 pixels: a smaller window
        would give a number that compares with nothing.
    """
    image, reference = _pair(image, reference)
    if min(image.shape[1:3]) < _WINDOW:
        raise InputError(f"SSIM needs images of at least {_WINDOW}x{_WINDOW} pixels, got {image.shape[1:3]}")
    # Variances do not see an offset; values around zero lose less to cancellation in float32.
    offset_a, offset_b = (x.mean(axis=(1, 2), keepdims=True) for x in (image, reference))
    a, b = image - offset_a, reference - offset_b
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = (_window_mean(x) for x in (a, b, a * a, b * b, a * b))
    variances = (mean_aa - mean_a**2) + (mean_bb - mean_b**2)
    covariance = mean_ab - mean_a * mean_b
    mean_a, mean_b = mean_a + offset_a, mean_b + offset_b
    luminance = (2.0 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    contrast_and_structure = (2.0 * covariance + _C2) / (variances + _C2)
    size = size_within(image, within).windows(_WINDOW)
    return mean(luminance * contrast_and_structure, size).mean(axis=1)


def _pair(
    image: Float[Array, "b h w c"], reference: Float[Array, "b h w c"]
) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    if image.shape != reference.shape:
        raise InputError(
            f"image has shape {image.shape}, its reference {reference.shape}: they must be equal"
        )
    for array in (image, reference):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise InputError(f"metrics need float images in [0,1], got {array.dtype}")
    # Lower precisions are measured in float32.
    dtype = jnp.float64 if image.dtype == jnp.float64 else jnp.float32
    return image.astype(dtype), reference.astype(dtype)


def _window_mean(x: Float[Array, "b h w c"]) -> Float[Array, "b h-10 w-10 c"]:
    """Gaussian-weighted mean at every position of the window inside the image, rows first, then columns."""
    height, width = x.shape[1] - _WINDOW + 1, x.shape[2] - _WINDOW + 1
    rows = _weighted_sum(x[:, i : i + height] for i in range(_WINDOW))
    return _weighted_sum(rows[:, :, i : i + width] for i in range(_WINDOW))


def _weighted_sum(shifted: Iterable[Array]) -> Array:
    return functools.reduce(operator.add, (w * x for w, x in zip(_gaussian(), shifted, strict=True)))


def _gaussian() -> list[float]:
    offsets = np.arange(_WINDOW) - _WINDOW // 2
    weights = np.exp(-(offsets**2) / (2.0 * _SIGMA**2))
    return (weights / weights.sum()).tolist()
