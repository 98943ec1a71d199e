"""Fusion of two images without parameters: the larger one, with the stronger detail of either."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.ops import blur, channel_mean, collapse, laplacian_pyramid, rgb_to_gray

_SMOOTHING = 8  # blurs of the map that says which detail is stronger; without them it flickers


def fuse(
    visible: Float[Array, "b h w 3"],
    infrared: Float[Array, "b h w k"],
    *,
    detail_levels: int = 0,
    visible_detail: float | int = 1.0,
    infrared_detail: float | int = 1.0,
    complement: float | int = 0.0,
    faint_infrared: float | int = 0.0,
) -> Float[Array, "b h w 3"]:
    """Fuse two images in [0,1] by their maximum, at which the loss of IASSF aims, and what the fields add.

    The gradient term of that loss aims at the stronger gradient of the two, which a maximum does not have
    where the darker image is the structured one. So the finest `detail_levels` levels of a Laplacian pyramid
    are taken from whichever image has the larger amplitude around a pixel, and the maximum is of the rest.

    Args:
      visible, infrared: of one size; infrared has one channel or three.
      detail_levels: levels whose stronger detail is taken; 0 is the maximum of the images themselves.
      visible_detail, infrared_detail: factors on the detail of those levels, before the stronger is taken.
      complement: share of the smaller image's luma that is added to the larger image, without its mean, which
        keeps the brightness. Luma, for colours of the darker image would tint what the brighter one shows.
      faint_infrared: root mean square that the finest detail of an infrared image may have, in [0,1], for the
        factors and the complement to apply in full; they fade until it is twice as much, and then there are
        none. They help where infrared shows little; where it shows much (RoadScene), they only take the
        result away from both sources. 0 applies them to all.

    Returns:
      the fused image in about [0,1], not clipped.
    """
    strength = _faintness(infrared, faint_infrared) if faint_infrared else 1.0
    visible_factor = 1.0 + strength * (visible_detail - 1.0)
    infrared_factor = 1.0 + strength * (infrared_detail - 1.0)
    *visible_details, visible_rest = laplacian_pyramid(visible, detail_levels)
    *infrared_details, infrared_rest = laplacian_pyramid(infrared, detail_levels)
    rest = jnp.maximum(visible_rest, infrared_rest)
    if complement:
        smaller = rgb_to_gray(jnp.minimum(visible_rest, infrared_rest))
        rest = rest + strength * complement * (smaller - smaller.mean(axis=(1, 2), keepdims=True))
    details = [
        _stronger(visible_factor * a, infrared_factor * b)
        for a, b in zip(visible_details, infrared_details, strict=True)
    ]
    return collapse([*details, rest])


def _faintness(infrared: Float[Array, "b h w k"], limit: float | int) -> Float[Array, "b 1 1 1"]:
    """Return 1 where the finest detail is at most `limit` strong, 0 from twice as much on, linear between."""
    finest, _ = laplacian_pyramid(infrared, 1)
    variance = jnp.square(finest).mean(axis=(1, 2, 3), keepdims=True)
    # The root of no less than limit^2, below which nothing changes: its gradient is finite for flat images.
    return jnp.maximum(2.0 - jnp.sqrt(jnp.maximum(variance, limit**2)) / limit, 0.0)


def _stronger(a: Float[Array, "b h w c"], b: Float[Array, "b h w k"]) -> Float[Array, "b h w c"]:
    lead = channel_mean(jnp.abs(a)) - channel_mean(jnp.abs(b))
    return jnp.where(blur(lead, _SMOOTHING) >= 0, a, b)
