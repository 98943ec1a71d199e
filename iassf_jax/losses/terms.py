"""The error maps of Eqs. 6-8 of the IASSF paper (Li et al.), one value per pixel and channel.

Images are NHWC float, the infrared has one channel or as many as the others. Everything is computed and
returned in float32, whatever precision the network ran in. The targets come from the clear visible image,
never from the hazy one.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_images, check_same_shape
from iassf_jax.ops.gradients import sobel_magnitude_l1


def intensity_error(
    fused: Float[Array, "b h w c"], clear: Float[Array, "b h w c"], infrared: Float[Array, "b h w k"]
) -> Float[Array, "b h w c"]:
    """Return |fused - max(infrared, clear)| (Eq. 8): the brighter source wins at every pixel.

    Raises:
      InputError: the images differ in size, or the infrared has neither one channel nor those of `clear`.
    """
    fused, clear, infrared = _aligned(fused, clear, infrared)
    return jnp.abs(fused - jnp.maximum(clear, infrared))


def gradient_error(
    fused: Float[Array, "b h w c"], clear: Float[Array, "b h w c"], infrared: Float[Array, "b h w k"]
) -> Float[Array, "b h w c"]:
    """Return ||grad fused| - max(|grad infrared|, |grad clear|)| (Eq. 7): the sharper source wins.

    |grad x| is |Sobel_x| + |Sobel_y| per channel, with zeros outside the image. The formula as printed has no
    bars around the fused image's gradient; a signed gradient could never follow the target downhill.

    Raises:
      InputError: the images differ in size, or the infrared has neither one channel nor those of `clear`.
    """
    fused, clear, infrared = _aligned(fused, clear, infrared)
    fused_edges, clear_edges, infrared_edges = (sobel_magnitude_l1(x) for x in (fused, clear, infrared))
    return jnp.abs(fused_edges - jnp.maximum(clear_edges, infrared_edges))


def restoration_error(
    restored: Float[Array, "b h w c"], clear: Float[Array, "b h w c"]
) -> Float[Array, "b h w c"]:
    """Return |restored - clear| (Eq. 6).

    Raises:
      InputError: the two images differ in shape.
    """
    check_same_shape(restored=restored, clear=clear)
    return jnp.abs(restored.astype(jnp.float32) - clear.astype(jnp.float32))


def _aligned(
    fused: Float[Array, "b h w c"], clear: Float[Array, "b h w c"], infrared: Float[Array, "b h w k"]
) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"], Float[Array, "b h w c"]]:
    """Return the three as float32 of one shape, checked before any arithmetic could broadcast them."""
    check_images(fused=fused, infrared=infrared)
    check_same_shape(fused=fused, clear=clear)
    if infrared.shape[:-1] != clear.shape[:-1] or infrared.shape[-1] not in (1, clear.shape[-1]):
        raise InputError(
            f"infrared has shape {infrared.shape}, the clear visible image {clear.shape}: "
            f"batch, height and width must agree and the infrared must have 1 or {clear.shape[-1]} channels"
        )
    infrared = jnp.broadcast_to(infrared.astype(jnp.float32), clear.shape)
    return fused.astype(jnp.float32), clear.astype(jnp.float32), infrared
