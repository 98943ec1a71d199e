"""Dark channel prior: He, Sun and Tang, "Single image haze removal using dark channel prior" (PAMI 2011).

The functions follow its sections 3 and 4; the refinement is by a guided filter instead of soft matting.
"""

import math

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_at_least, check_images
from iassf_jax.ops.filters import min_filter
from iassf_jax.ops.guided_filter import guided_filter


def dark_channel(image: Float[Array, "b h w c"], *, window: int = 15) -> Float[Array, "b h w 1"]:
    """Minimum over the channels and over `window` x `window` pixels (Eq. 5); high where haze is thick."""
    check_images(image=image)
    return min_filter(jnp.min(image, axis=3, keepdims=True), window)


def airlight(
    image: Float[Array, "b h w c"], dark: Float[Array, "b h w 1"], *, fraction: float | int = 1e-3
) -> Float[Array, "b 1 1 c"]:
    """Mean colour of the haziest pixels: those with the highest dark channel.

    Args:
        image: hazy images.
        dark: their dark channel.
        fraction: share of the pixels to average, above 0 and at most 1; at least one pixel is used. Among
            equal values at the limit the first in row-major order are taken.

    Raises:
        InputError: the sizes differ, or `fraction` is outside (0, 1].
    """
    check_images(image=image, dark=dark)
    if dark.shape != (*image.shape[:3], 1):
        raise InputError(f"dark has shape {dark.shape}; expected {(*image.shape[:3], 1)} for this image")
    if not 0 < fraction <= 1:
        raise InputError(f"fraction is {fraction}; expected a number above 0 and at most 1")
    b, h, w, c = image.shape
    # The small term keeps a product such as 0.29 * 100 = 28.999... from losing a pixel.
    count = max(math.floor(h * w * fraction + 1e-9), 1)
    _, brightest = lax.top_k(dark.reshape(b, h * w), count)
    colours = jnp.take_along_axis(image.reshape(b, h * w, c), brightest[:, :, None], axis=1)
    return jnp.mean(colours, axis=1)[:, None, None, :]


def transmission(
    image: Float[Array, "b h w c"],
    airlight: Float[Array, "b 1 1 c"],
    *,
    window: int = 15,
    omega: float | int = 0.95,
    minimum_airlight: float | int = 1e-3,
) -> Float[Array, "b h w 1"]:
    """Share of the light that reaches the camera: 1 - omega * dark_channel(image / airlight) (Eq. 12).

    Args:
        image: hazy images.
        airlight: colour of the haze of each image.
        window: side of the dark channel's window in pixels.
        omega: share of the haze to account for; below 1 a little is left for the sense of depth.
        minimum_airlight: a darker airlight is raised to this, so that black images keep finite gradients.

    Returns:
        1 without haze, 1 - omega where a window has the airlight's colour, less where it is brighter.
    """
    check_images(image=image, airlight=airlight)
    check_at_least(1e-6, minimum_airlight=minimum_airlight)
    relative = image / jnp.maximum(airlight, jnp.asarray(minimum_airlight, airlight.dtype))
    return 1 - omega * dark_channel(relative, window=window)


def refine_transmission(
    transmission: Float[Array, "b h w 1"],
    guide: Float[Array, "b h w 1"],
    *,
    size: int = 60,
    epsilon: float | int = 1e-4,
) -> Float[Array, "b h w 1"]:
    """Align the blocks of a dark channel with the edges of the hazy image by a guided filter.

    Args:
        transmission: raw transmission.
        guide: grey hazy images.
        size: side of the filter's window in pixels, not its radius.
        epsilon: variance of the guide below which a window counts as flat.
    """
    return guided_filter(guide, transmission, size=size, epsilon=epsilon)
