"""Haze density of a feature map by the dark-channel prior (IASSF, section III-C, Eqs. 3 and 4)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.ops.dark_channel import airlight, dark_channel
from iassf_jax.ops.guided_filter import guided_filter

_SMALLEST_RANGE = 1e-8  # keeps the normalisation of a constant feature finite
_SMALLEST_AIRLIGHT = 1e-3


def haze_density(
    feature: Float[Array, "b h w c"],
    *,
    window: int = 15,
    omega: float = 0.95,
    box: int = 61,
    epsilon: float = 1e-4,
    divide_by_airlight: bool = True,
    quantise: bool = False,
    clip: bool = True,
    gradient: bool = False,
) -> Float[Array, "b h w"]:
    """Estimate how much haze lies over each pixel, relative to the rest of its image.

    The channel mean, stretched to [0,1] per image, takes the place of the colour image in the dark-channel
    prior: T = 1 - omega * dark(F / A), refined by a guided filter with the mean feature as guide; H = 1 - T.

    The defaults follow the paper. The released code corresponds to `box=60, divide_by_airlight=False,
    quantise=True, clip=False`: its airlight never reaches the transmission, it rounds the mean feature down
    to 8 bits, and its density may leave [0,1] by the guided filter's overshoot.

    Args:
      feature: visible encoder feature, any range.
      window: side of the dark channel's minimum window, pixels.
      omega: share of the haze that is removed, in (0, 1].
      box: side of the guided filter's box, pixels.
      epsilon: regularisation of the guided filter.
      divide_by_airlight: normalise by the airlight as in Eq. 3.
      quantise: truncate the normalised mean feature to 8 bits.
      clip: confine the density to [0,1].
      gradient: let gradients through; the density is a constant of the backward pass otherwise.

    Returns:
      Density H in float32; 0 is clear.
    """
    guide = _normalised_mean(feature.astype(jnp.float32))
    if quantise:
        guide = jnp.floor(guide * 255.0) / 255.0
    image = guide
    if divide_by_airlight:
        light = airlight(guide, dark_channel(guide, window=window))
        image = guide / jnp.maximum(light, _SMALLEST_AIRLIGHT)
    # The guided filter is linear and keeps constants, so 1 - guided(1 - omega * dark) = guided(omega * dark).
    density = guided_filter(guide, omega * dark_channel(image, window=window), size=box, epsilon=epsilon)[
        ..., 0
    ]
    density = jnp.clip(density, 0.0, 1.0) if clip else density
    return density if gradient else jax.lax.stop_gradient(density)


def _normalised_mean(feature: Float[Array, "b h w c"]) -> Float[Array, "b h w 1"]:
    mean = feature.mean(axis=-1, keepdims=True)
    low = mean.min(axis=(1, 2, 3), keepdims=True)
    high = mean.max(axis=(1, 2, 3), keepdims=True)
    return (mean - low) / (high - low + _SMALLEST_RANGE)
