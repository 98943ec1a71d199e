"""Colour difference CIEDE2000 between a restored image and its clean reference."""

import math

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, mean, size_within
from iassf_jax.metrics.windows import safe_sqrt

# sRGB (IEC 61966-2-1) to XYZ, divided by the D65 white point, so that white gives 1, 1, 1.
_RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_TO_RELATIVE_XYZ = _RGB_TO_XYZ / _RGB_TO_XYZ.sum(axis=1, keepdims=True)
_LINEAR_BELOW = (6 / 29) ** 3
_CHROMA_25 = 25.0**7


def ciede2000(
    image: Float[Array, "b h w 3"], reference: Float[Array, "b h w 3"], *, within: Size | None = None
) -> Float[Array, " b"]:
    """Mean CIEDE2000 difference of sRGB images in [0,1], D65; >= 0, lower is better, 1 is barely visible."""
    difference = lab_difference(srgb_to_lab(image), srgb_to_lab(reference))
    return mean(difference, size_within(difference, within))


def srgb_to_lab(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Return CIE L*a*b* of sRGB in [0,1]."""
    dark = image <= 0.04045
    linear = jnp.where(dark, image / 12.92, ((jnp.where(dark, 1.0, image) + 0.055) / 1.055) ** 2.4)
    xyz = jnp.einsum("bhwc,dc->bhwd", linear, jnp.asarray(_TO_RELATIVE_XYZ, image.dtype), precision="highest")
    small = xyz <= _LINEAR_BELOW
    root = jnp.where(small, xyz * (841 / 108) + 4 / 29, jnp.where(small, 1.0, xyz) ** (1 / 3))
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return jnp.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], axis=-1)


def lab_difference(first: Float[Array, "*n 3"], second: Float[Array, "*n 3"]) -> Float[Array, "*n"]:
    """CIEDE2000 with all parametric factors 1 (Sharma, Wu and Dalal 2005, whose test pairs it reproduces)."""
    lightness_1, a_1, b_1 = (first[..., i] for i in range(3))
    lightness_2, a_2, b_2 = (second[..., i] for i in range(3))
    mean_chroma = (jnp.hypot(a_1, b_1) + jnp.hypot(a_2, b_2)) / 2.0
    stretch = 1.5 - 0.5 * _chroma_ratio(mean_chroma)
    chroma_1, hue_1 = _polar(a_1 * stretch, b_1)
    chroma_2, hue_2 = _polar(a_2 * stretch, b_2)
    grey = chroma_1 * chroma_2 == 0
    turn = jnp.where(grey, 0.0, _wrap(hue_2 - hue_1))
    mean_hue = jnp.where(grey, hue_1 + hue_2, hue_1 + turn / 2.0)
    hue_difference = 2.0 * jnp.sqrt(chroma_1 * chroma_2) * jnp.sin(turn / 2.0)
    lightness, chroma = (lightness_1 + lightness_2) / 2.0, (chroma_1 + chroma_2) / 2.0
    offset = jnp.square(lightness - 50.0)
    light_term = (lightness_2 - lightness_1) / (1.0 + 0.015 * offset / jnp.sqrt(20.0 + offset))
    chroma_term = (chroma_2 - chroma_1) / (1.0 + 0.045 * chroma)
    hue_term = hue_difference / (1.0 + 0.015 * chroma * _hue_weight(mean_hue))
    blue = jnp.exp(-jnp.square((_degrees(mean_hue) - 275.0) / 25.0)) * math.radians(60.0)
    rotation = -jnp.sin(blue) * 2.0 * _chroma_ratio(chroma)
    return safe_sqrt(light_term**2 + chroma_term**2 + hue_term**2 + rotation * chroma_term * hue_term)


def _chroma_ratio(chroma: Array) -> Array:
    power = chroma**7
    return safe_sqrt(power / (power + _CHROMA_25))


def _polar(a: Array, b: Array) -> tuple[Array, Array]:
    return jnp.hypot(a, b), jnp.arctan2(b, a)


def _wrap(angle: Array) -> Array:
    """Bring an angle into (-pi, pi]."""
    angle = jnp.where(angle > math.pi, angle - 2.0 * math.pi, angle)
    return jnp.where(angle <= -math.pi, angle + 2.0 * math.pi, angle)


def _degrees(angle: Array) -> Array:
    return jnp.mod(angle, 2.0 * math.pi) * (180.0 / math.pi)


def _hue_weight(hue: Array) -> Array:
    return (
        1.0
        - 0.17 * jnp.cos(hue - math.radians(30.0))
        + 0.24 * jnp.cos(2.0 * hue)
        + 0.32 * jnp.cos(3.0 * hue + math.radians(6.0))
        - 0.20 * jnp.cos(4.0 * hue - math.radians(63.0))
    )
