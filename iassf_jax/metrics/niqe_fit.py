"""Chooses the blocks of clean images that NIQE's model is fitted to, as its authors chose theirs."""

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float, UInt8

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.levels import grey_levels
from iassf_jax.metrics.niqe import block_features, block_sharpness
from iassf_jax.metrics.niqe_model import BLOCK, SHARPNESS_SHARE


def sharp_block_features(image: UInt8[np.ndarray, "h w c"]) -> Float[np.ndarray, "n 36"]:
    """Return the features of the image's sharp blocks, which tell of no blur.

    A block is sharp if its mean local deviation exceeds 0.75 of the sharpest block's (Mittal et al. 2013,
    section II.C). The sharpest block always is, unless the whole image is constant.

    Args:
      image: grey or RGB.

    Raises:
      InputError: the image is smaller than a block.
    """
    rows, columns = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    if not rows or not columns:
        raise InputError(
            f"{image.shape[0]}x{image.shape[1]} pixels: NIQE needs a block of {BLOCK}x{BLOCK} at least"
        )
    # Cropped here already, so that sizes with the same number of blocks share a compiled program.
    features, sharpness = _features(image[None, : rows * BLOCK, : columns * BLOCK])
    sharp = np.asarray(sharpness[0]) > SHARPNESS_SHARE * np.max(sharpness[0])
    return np.asarray(features[0])[sharp]


@jax.jit
def _features(images: UInt8[Array, "b h w c"]) -> tuple[Float[Array, "b n 36"], Float[Array, "b n"]]:
    levels = grey_levels(jnp.asarray(images))
    return block_features(levels), block_sharpness(levels)
