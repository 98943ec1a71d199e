"""Learnable prompt pools (IASSF, section III-B, Eq. 2 with the selection weights read as one per prompt)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.ops.resize import resize_bilinear


def mix_prompts(
    pool: Float[Array, "l s s c"],
    weights: Float[Array, "b l"],
    size: tuple[int, int],
    *,
    align_corners: bool = False,
) -> Float[Array, "b h w c"]:
    """Weight the pool's prompts per image and resize the mixture to `size` = (h, w).

    Both steps are linear, so mixing first gives the same result and resizes one prompt instead of all.
    """
    # A product of matrices: of one with four axes XLA's CPU compiler transposes the gradient and back.
    mixed = (weights @ pool.reshape(len(pool), -1)).reshape(-1, *pool.shape[1:])
    return resize_bilinear(mixed, size, align_corners=align_corners)


def pool_init(key, shape, dtype=jnp.float32) -> Array:
    """Draw a pool uniformly from [0,1), as PromptIR and the released code do."""
    return nn.initializers.uniform(scale=1.0)(key, shape, dtype)


class PromptPool(nn.Module):
    """A pool of square prompts and their mixture at the feature's size."""

    channels: int
    num_prompts: int = 5  # prompts in the pool
    size: int = 64  # side of a stored prompt, pixels; any image size works
    align_corners: bool = False

    @nn.compact
    def __call__(self, weights: Float[Array, "b l"], size: tuple[int, int]) -> Float[Array, "b h w c"]:
        shape = (self.num_prompts, self.size, self.size, self.channels)
        pool = self.param("prompt_param", pool_init, shape)
        return mix_prompts(pool.astype(weights.dtype), weights, size, align_corners=self.align_corners)
