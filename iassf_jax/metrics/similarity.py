"""Structural similarity of the fused image with its sources, on grey levels."""

import functools
import operator

from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, clear, mean, padded, size_within
from iassf_jax.metrics.windows import gaussian, window_moments

SMALLEST_SIDE = 11  # pixels, the window
SMALLEST_SIDE_MULTI_SCALE = 161  # pixels: the window fits at the coarsest of five scales
_WINDOW = gaussian(11, 1.5)
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def structural_similarity(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """SSIM = mean of SSIM(A, F) and SSIM(B, F), in -1..1 (Wang et al. 2004).

    Gaussian window 11x11, sigma 1.5, only windows inside the image, K1 0.01, K2 0.03, range 255.
    """
    return 0.5 * structural_similarity_sum(infrared, visible, fused, within=within)


def structural_similarity_sum(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """The sum over the two sources, which VIFB and many tables print."""
    return _mean_sum(_maps(infrared, visible, fused), size_within(fused, within).windows(len(_WINDOW)))


def structural_similarity_unit_range(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """SSIM of grey levels with the constants of the range 1, edges repeated: mean over the two sources.

    MATLAB's `ssim` takes arrays of doubles to be in [0,1] unless told otherwise; tool boxes that pass it
    levels in 0..255 print this number, in which the constants hardly stabilise anything.
    """
    reach = len(_WINDOW) // 2
    size = size_within(fused, within)
    maps = _maps(*(padded(x, reach, "edge", size) for x in (infrared, visible, fused)), value_range=1.0)
    return 0.5 * _mean_sum(maps, size)


def structural_similarity_clamped(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """SSIM as pyiqa computes it: contrast times structure below 0 counts as 0; mean over the two sources."""
    size = size_within(fused, within).windows(len(_WINDOW))
    maps = [(light, jnp.maximum(structure, 0.0)) for light, structure in _maps(infrared, visible, fused)]
    return 0.5 * _mean_sum(maps, size)


def multi_scale_similarity(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """MS-SSIM = mean over the two sources (Wang et al. 2003), in 0..1.

    Five scales, weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333; halved by 2x2 means, with a border of zeros
    at odd sizes. Contrast and structure below 0 count as 0, since powers of negative numbers are not real.
    """
    images = (infrared, visible, fused)
    size = size_within(fused, within)
    factors: list[list[Array]] = [[], []]
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        last = scale == len(_SCALE_WEIGHTS) - 1
        for factor, (light, structure) in zip(factors, _maps(*images), strict=True):
            structure = jnp.maximum(structure, 0.0)
            value = mean(light * structure if last else structure, size.windows(len(_WINDOW)))
            factor.append(_power(value, weight))
        if not last:
            images = (_halve(images[0], size), _halve(images[1], size), _halve(images[2], size))
            size = size.halved()
    return 0.5 * sum(
        (functools.reduce(operator.mul, factor) for factor in factors), jnp.zeros_like(fused[:, 0, 0])
    )


def _mean_sum(maps: list[tuple[Array, Array]], size: Size) -> Array:
    first, second = (mean(light * structure, size) for light, structure in maps)
    return first + second


def _maps(
    infrared: Array, visible: Array, fused: Array, *, value_range: float = 255.0
) -> list[tuple[Array, Array]]:
    """Luminance, and contrast times structure, at every window, for each of the two sources."""
    pairs = ((0, 0), (1, 1), (2, 2), (0, 2), (1, 2))
    means, moments = window_moments((infrared, visible, fused), pairs, _WINDOW, stored=True)
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    maps = []
    for i in (0, 1):
        light = (2.0 * means[i] * means[2] + c1) / (means[i] ** 2 + means[2] ** 2 + c1)
        maps.append((light, (2.0 * moments[3 + i] + c2) / (moments[i] + moments[2] + c2)))
    return maps


def _halve(image: Float[Array, "b h w"], size: Size) -> Float[Array, "b H W"]:
    """Means of 2x2 pixels; a side of odd length gets a border of zeros at both ends."""
    framed = jnp.pad(clear(image, size), ((0, 0), (1, 1), (1, 1)))
    for axis in (1, 2):
        # From the border if the length is odd, from the image's first pixel if it is even.
        start, length = 1 - size[axis - 1] % 2, image.shape[axis] + image.shape[axis] % 2
        framed = lax.dynamic_slice_in_dim(framed, start, length, axis)
    batch, rows, columns = framed.shape
    return framed.reshape(batch, rows // 2, 2, columns // 2, 2).mean((2, 4))


def _power(base: Array, exponent: float) -> Array:
    positive = base > 0
    return jnp.where(positive, jnp.where(positive, base, 1.0) ** exponent, 0.0)
