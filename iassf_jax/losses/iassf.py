"""The total loss of the IASSF paper (Li et al., Eqs. 6-9)."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.losses.terms import gradient_error, intensity_error, restoration_error


def iassf_loss(
    outputs: Mapping[str, Any],
    batch: Mapping[str, Any],
    *,
    alpha: float | int | Float[Array, ""] = 2.0,
    signed: bool = False,
) -> dict[str, Float[Array, ""]]:
    """Return the loss and its parts as float32 scalars.

    `total = intensity + gradient + alpha * restoration` (Eq. 9); each part is the mean of its error over
    images, pixels and channels. The printed Eqs. 7 and 8 sum over channels, which would weigh them three
    times as much against the restoration as a mean does.

    Args:
      outputs: "fused" and "restored", float [b h w 3], not clipped: clipping would stop the gradient.
      batch: "visible_clear" [b h w 3] and "infrared" [b h w 1] (or 3 channels), float in [0,1]; optionally
        "mask" [b], 1 for an image that counts and 0 for padding. A padded image changes neither the values
        nor the gradients, whatever it holds. If no image counts, every part is 0.
      alpha: weight of the restoration; may be traced, so that another value does not recompile.
      signed: map all images from [0,1] to [-1,1] first, as the released code trains. That doubles every part
        and turns the zeros outside the image, which the gradient sees at the border, from black to mid-grey.

    Returns:
      "total", "intensity", "gradient", "restoration" (the last without alpha).

    Raises:
      InputError: a missing entry, images of integer type, or shapes that do not agree.
    """
    mask = batch["mask"].astype(jnp.float32) if "mask" in batch else None
    fused, restored = (_image(outputs, name, mask, signed) for name in ("fused", "restored"))
    clear, infrared = (_image(batch, name, mask, signed) for name in ("visible_clear", "infrared"))
    parts = {
        "intensity": _masked_mean(intensity_error(fused, clear, infrared), mask),
        "gradient": _masked_mean(gradient_error(fused, clear, infrared), mask),
        "restoration": _masked_mean(restoration_error(restored, clear), mask),
    }
    total = parts["intensity"] + parts["gradient"] + jnp.asarray(alpha, jnp.float32) * parts["restoration"]
    return {"total": total, **parts}


def _image(
    images: Mapping[str, Any], name: str, mask: Float[Array, " b"] | None, signed: bool
) -> Float[Array, "b h w c"]:
    if name not in images:
        raise InputError(f"the loss needs {name!r}; there are {', '.join(sorted(images)) or 'no entries'}")
    image = images[name]
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise InputError(
            f"{name} has type {image.dtype}: the loss needs float images in [0,1] (see to_float)"
        )
    image = image.astype(jnp.float32)
    if signed:
        image = 2.0 * image - 1.0
    if mask is None:
        return image
    if mask.shape != image.shape[:1]:
        raise InputError(
            f"mask has shape {mask.shape}, {name} {image.shape}: one mask value per image is needed"
        )
    # Selecting before the arithmetic keeps NaN of a padded image out of the gradients as well as the value.
    return jnp.where(mask[:, None, None, None] > 0, image, 0.0)


def _masked_mean(error: Float[Array, "b h w c"], mask: Float[Array, " b"] | None) -> Float[Array, ""]:
    if mask is None:
        return error.mean()
    per_image = error.mean(axis=(1, 2, 3))
    return (per_image * mask).sum() / jnp.maximum(mask.sum(), 1.0)
