"""Sobel derivatives."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.ops.arguments import check_images


def sobel(x: Float[Array, "b h w c"]) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    """Horizontal and vertical Sobel responses of each channel, zero outside the image, not normalised.

    Cross-correlation with the rows (-1 0 1; -2 0 2; -1 0 1) and (1 2 1; 0 0 0; -1 -2 -1): the first grows
    with values that rise to the right, the second with values that rise upwards.
    """
    check_images(x=x)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return _smooth(_difference(padded, 2), 1), -_smooth(_difference(padded, 1), 2)


def sobel_magnitude_l1(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """|gx| + |gy| of the Sobel responses; the gradient is zero where a response is exactly zero."""
    gx, gy = sobel(x)
    return jnp.abs(gx) + jnp.abs(gy)


def _difference(x: Array, axis: int) -> Array:
    return _shifted(x, 2, axis) - _shifted(x, 0, axis)


def _smooth(x: Array, axis: int) -> Array:
    return _shifted(x, 0, axis) + 2 * _shifted(x, 1, axis) + _shifted(x, 2, axis)


def _shifted(x: Array, start: int, axis: int) -> Array:
    return lax.slice_in_dim(x, start, start + x.shape[axis] - 2, axis=axis)
