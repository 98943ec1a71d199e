"""Conversions between RGB, grey and YCbCr (ITU-R BT.601, full range, gamma-coded values in [0, 1])."""

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_images

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # luma weights of BT.601
# Written channel by channel and not as a 3x3 product: it fuses with its neighbours and never runs in the
# reduced precision of matrix units.


def rgb_to_gray(rgb: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
    """Luma 0.299 R + 0.587 G + 0.114 B."""
    red, green, blue = _channels(rgb)
    return _RED * red + _GREEN * green + _BLUE * blue


def channel_mean(image: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
    """Mean of few channels. On a CPU a reduction over three takes ten times as long as these sums."""
    check_images(image=image)
    channels = jnp.split(image, image.shape[3], axis=3)
    return functools.reduce(jnp.add, channels) * (1.0 / len(channels))


def rgb_to_ycbcr(rgb: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Luma and two colour differences, all in [0, 1]; grey has Cb = Cr = 0.5."""
    red, _, blue = _channels(rgb)
    luma = rgb_to_gray(rgb)
    cb = 0.5 + (blue - luma) * (0.5 / (1 - _BLUE))
    cr = 0.5 + (red - luma) * (0.5 / (1 - _RED))
    return jnp.concatenate([luma, cb, cr], axis=3)


def ycbcr_to_rgb(ycbcr: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Inverse of `rgb_to_ycbcr`; colours outside the RGB cube give values outside [0, 1]."""
    luma, cb, cr = _channels(ycbcr)
    blue = luma + (cb - 0.5) * (2 * (1 - _BLUE))
    red = luma + (cr - 0.5) * (2 * (1 - _RED))
    green = (luma - _RED * red - _BLUE * blue) * (1 / _GREEN)
    return jnp.concatenate([red, green, blue], axis=3)


def _channels(image: Array) -> list[Array]:
    check_images(image=image)
    if image.shape[3] != 3:
        raise InputError(f"the image has {image.shape[3]} channels; expected three")
    return jnp.split(image, 3, axis=3)
