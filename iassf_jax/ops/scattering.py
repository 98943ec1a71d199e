"""Atmospheric scattering (Koschmieder's law): what haze does to an image, and its inverse.

I = J t + A (1 - t) with the clear image J, the transmission t and the airlight A. Nothing is clipped: values
outside [0, 1] pass through.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_images


def scatter(
    clear: Float[Array, "b h w c"],
    transmission: Float[Array, "b #h #w #c"],
    airlight: Float[Array, "b #h #w #c"],
) -> Float[Array, "b h w c"]:
    """Hazy image J t + A (1 - t).

    Args:
        clear: images without haze.
        transmission: in [0, 1]; one channel or one per colour, one pixel or one per pixel.
        airlight: colour of the haze, usually [b, 1, 1, c].
    """
    check_images(clear=clear, transmission=transmission, airlight=airlight)
    return clear * transmission + airlight * (1 - transmission)


def unscatter(
    hazy: Float[Array, "b h w c"],
    transmission: Float[Array, "b #h #w #c"],
    airlight: Float[Array, "b #h #w #c"],
    *,
    minimum_transmission: float | int = 0.1,
) -> Float[Array, "b h w c"]:
    """Clear image (I - A) / max(t, minimum) + A: the inverse of `scatter` where t is at least the minimum.

    Args:
        hazy: images with haze.
        transmission: as in `scatter`.
        airlight: as in `scatter`.
        minimum_transmission: limits the gain in thick haze, where noise would be all that is left; above 0.

    Raises:
        InputError: `minimum_transmission` is not above 0.
    """
    check_images(hazy=hazy, transmission=transmission, airlight=airlight)
    if not minimum_transmission > 0:
        raise InputError(f"minimum_transmission is {minimum_transmission}; expected a number above 0")
    floor = jnp.asarray(minimum_transmission, transmission.dtype)
    return (hazy - airlight) / jnp.maximum(transmission, floor) + airlight


def transmission_from_depth(
    depth: Float[Array, "b h w c"], beta: Float[Array, "b #h #w #c"] | Float[Array, ""] | float | int
) -> Float[Array, "b h w c"]:
    """Transmission exp(-beta d) of a homogeneous haze (Beer-Lambert).

    Args:
        depth: distance from the camera along the ray, at least 0; infinite for the sky.
        beta: extinction per unit of depth, above 0: one number, one per image or a map.
    """
    check_images(depth=depth)
    return jnp.exp(-beta * depth)
