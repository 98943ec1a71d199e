"""The rounding of 8-bit files, after a gain has made it visible."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.color import channel_mean
from iassf_jax.ops.filters import box_mean

_STEP_VARIANCE = 1.0 / (12.0 * 255.0**2)  # of the rounding of [0,1] to 8 bits


def smooth_rounding(
    image: Float[Array, "b h w c"],
    gain: Float[Array, "#b #h #w #c"],
    *,
    size: int = 7,
    strength: float | int = 1.0,
) -> Float[Array, "b h w c"]:
    """Smooth what is no larger than the rounding of an 8-bit image multiplied by `gain`.

    A self-guided filter (He, Sun and Tang, Guided Image Filtering, 2013) whose regularisation is known: in
    each window, detail keeps the share of its variance that is not rounding. A gain of 1 or less changes
    nothing, since then the rounding is that of the file itself.

    Args:
      image: in about [0,1], made of an 8-bit image by multiplication with `gain` and addition.
      gain: one for all channels, or one for each.
      size: side of the windows, pixels.
      strength: factor on the variance of the rounding; 0 changes nothing.

    Raises:
      InputError: a negative strength.
    """
    if strength < 0:
        raise InputError(f"strength is {strength}; expected 0 or more")
    excess = jnp.maximum(channel_mean(jnp.square(gain)) - 1.0, 0.0)
    mean = box_mean(image, size)
    squares = box_mean(channel_mean(jnp.square(image)), size)
    variance = squares - channel_mean(jnp.square(mean))
    noise = strength * _STEP_VARIANCE * excess
    kept = jnp.maximum(0.0, 1.0 - noise / jnp.maximum(variance, 1e-12))
    return box_mean(kept, size) * image + box_mean((1.0 - kept) * mean, size)
