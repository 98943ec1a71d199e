"""The pointwise perceptron of the released networks' blocks."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.projection import Projection, project


class Mlp(nn.Module):
    """Pointwise expansion by `ratio`, ReLU, pointwise reduction."""

    ratio: float
    gain: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        width = int(channels * self.ratio)
        expand = Projection(width, self.gain, name="mlp_0")(channels)
        reduce = Projection(channels, self.gain, name="mlp_2")(width)
        return project(nn.relu(project(x.astype(self.dtype), *expand)), *reduce)
