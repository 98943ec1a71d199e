"""From uint8 images to the grey levels that fusion metrics are defined on.

Grey levels are floats with integer values in 0..255. VIF's noise, SSIM's constants and Q_AB/F's test for
equal gradients are stated for that range: the same formulas on [0,1] give other numbers, which is why every
metric here takes levels and only uint8 images become levels without being asked.
"""

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, DTypeLike, Float, Int, UInt8

from iassf_jax.core.errors import InputError

# First row of the inverse of the NTSC matrix, as MATLAB's rgb2gray uses it.
GREY_WEIGHTS = (0.298936021293775, 0.587043074451121, 0.114020904255103)
_FRACTION_BITS = 22  # 255 * 2^22 fits into int32, and 22 bits are exact in float32


def grey_levels(images: UInt8[Array, "b h w c"], *, dtype: DTypeLike = jnp.float32) -> Float[Array, "b h w"]:
    """Return the grey levels of images with 1 or 3 channels: MATLAB's `rgb2gray`, rounded half up.

    OpenCV and Pillow use 0.299, 0.587, 0.114, which moves a few pixels by one level.

    Raises:
      InputError: not uint8, or neither 1 nor 3 channels.
    """
    check_uint8_images(images=images)
    if images.shape[-1] == 1:
        return images[..., 0].astype(dtype)
    return _weighted_grey(images).astype(dtype)


def luma_levels(images: UInt8[Array, "b h w c"], *, dtype: DTypeLike = jnp.float32) -> Float[Array, "b h w"]:
    """Return Y of MATLAB's `rgb2ycbcr` (BT.601, 16..235), rounded half up; grey counts as RGB.

    Raises:
      InputError: not uint8, or neither 1 nor 3 channels.
    """
    check_uint8_images(images=images)
    channels = images.astype(jnp.int32)
    red, green, blue = (channels[..., min(i, images.shape[-1] - 1)] for i in range(3))
    # Thousandths of the coefficients 65.481, 128.553 and 24.966 of 255, in integers: ties round up.
    numerator = 65481 * red + 128553 * green + 24966 * blue
    return (16 + (2 * numerator + 255_000) // 510_000).astype(dtype)


def levels_of_unit(images: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
    """Return the grey levels of float images in [0,1], unrounded, so that gradients pass: for losses.

    A measurement takes uint8 images (`grey_levels`); its value can differ where rounding matters.

    Raises:
      InputError: not floating point, or neither 1 nor 3 channels.
    """
    if not jnp.issubdtype(images.dtype, jnp.floating):
        raise InputError(f"expected float images in [0,1], got {images.dtype}; uint8 goes to grey_levels")
    _check_channels("images", images.shape)
    weights = (1.0,) if images.shape[-1] == 1 else GREY_WEIGHTS
    grey = sum(weight * images[..., i] for i, weight in enumerate(weights))
    return 255.0 * jnp.asarray(grey, images.dtype)


def integer_levels(levels: Float[Array, "b h w"]) -> Int[Array, "b h w"]:
    """Return levels rounded to integers in 0..255, the bins of a histogram."""
    return jnp.clip(jnp.round(levels), 0, 255).astype(jnp.int32)


def check_uint8_images(**images: Array | np.ndarray) -> None:
    """Refuse anything but uint8 images [b h w c] with 1 or 3 channels; the keyword names the image.

    Raises:
      InputError: another type or shape.
    """
    for name, image in images.items():
        if image.dtype != np.uint8:
            raise InputError(
                f"{name}: metrics are defined on 8-bit images, expected uint8, got {image.dtype}; "
                "round a float image in [0,1] with iassf_jax.core.images.to_uint8"
            )
        _check_channels(name, image.shape)


def _check_channels(name: str, shape: tuple[int, ...]) -> None:
    if len(shape) != 4 or shape[-1] not in (1, 3):
        raise InputError(f"{name}: expected shape [b, h, w, 1 or 3], got {list(shape)}")


def _weighted_grey(images: UInt8[Array, "b h w 3"]) -> Int[Array, "b h w"]:
    """Round the weighted sum exactly: fixed point, and near a tie the digits that fixed point drops."""
    channels = images.astype(jnp.int32)
    scale = 1 << _FRACTION_BITS
    fixed = [round(weight * scale) for weight in GREY_WEIGHTS]
    dropped = [weight - part / scale for weight, part in zip(GREY_WEIGHTS, fixed, strict=True)]
    total = sum(part * channels[..., i] for i, part in enumerate(fixed))
    rest = sum(part * channels[..., i].astype(jnp.float32) for i, part in enumerate(dropped))
    above_half = (jnp.bitwise_and(total, scale - 1) - scale // 2).astype(jnp.float32) / scale
    return jnp.right_shift(total, _FRACTION_BITS) + (above_half + rest >= 0).astype(jnp.int32)
