"""Pointwise projections whose kernel and bias the caller applies."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import xavier_truncated


class Projection(nn.Module):
    """Kernel and bias of a pointwise projection, float32."""

    features: int
    gain: float = 1.0  # of the initial values, see initializers.block_gain

    @nn.compact
    def __call__(self, channels: int) -> tuple[Float[Array, "c o"], Float[Array, " o"]]:
        kernel = self.param("kernel", xavier_truncated(self.gain), (channels, self.features))
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


def project(
    x: Float[Array, "*n c"], kernel: Float[Array, "c o"], bias: Float[Array, " o"]
) -> Float[Array, "*n o"]:
    """Return `x @ kernel + bias` in the dtype of `x`.

    One product over all pixels: gradients of products with three contracted axes take half as long again on
    CPU.
    """
    flat = x.reshape(-1, x.shape[-1]) @ kernel.astype(x.dtype) + bias.astype(x.dtype)[None]
    return flat.reshape(*x.shape[:-1], -1)


def compose(first: Float[Array, "*n c"], second: Float[Array, "c o"]) -> Float[Array, "*n o"]:
    """Return the kernel of two projections one after the other; of float32 quality on every device."""
    return jnp.matmul(first, second, precision=lax.Precision.HIGHEST)
