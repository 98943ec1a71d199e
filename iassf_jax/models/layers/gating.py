"""Gates that choose between feature maps."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import torch_dense


class SelectiveKernelFusion(nn.Module):
    """Weights two maps against each other, channel by channel (selective-kernel fusion, without biases)."""

    reduction: int = 8

    @nn.compact
    def __call__(
        self, first: Float[Array, "b h w c"], second: Float[Array, "b h w c"]
    ) -> Float[Array, "b h w c"]:
        channels = first.shape[-1]
        hidden = max(channels // self.reduction, 4)
        pooled = (first + second).astype(jnp.float32).mean(axis=(1, 2))
        squeezed = nn.relu(torch_dense(hidden, channels, name="mlp_0", use_bias=False)(pooled))
        logits = torch_dense(2 * channels, hidden, name="mlp_2", use_bias=False)(squeezed)
        shares = jax.nn.softmax(logits.reshape(-1, 2, channels), axis=1).astype(first.dtype)
        return first * shares[:, None, None, 0] + second * shares[:, None, None, 1]
