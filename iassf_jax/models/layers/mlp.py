"""The pointwise perceptron of the released networks' blocks."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.projection import Projection, project
from iassf_jax.models.layers.recomputing import recompute

Parameters = tuple[Array, Array, Array, Array]  # kernel and bias, twice


class Mlp(nn.Module):
    """Pointwise expansion by `ratio`, ReLU, pointwise reduction."""

    ratio: float
    gain: float = 1.0
    dtype: Any = jnp.float32
    remat: bool = False  # compute the hidden layer, the widest feature of a block, anew in the backward pass

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        width = int(channels * self.ratio)
        expand = Projection(width, self.gain, name="mlp_0")(channels)
        reduce = Projection(channels, self.gain, name="mlp_2")(width)
        if self.remat:
            return recompute(_perceptron, (*expand, *reduce), x.astype(self.dtype))
        return _perceptron((*expand, *reduce), x.astype(self.dtype))


def _perceptron(parameters: Parameters, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    kernel, bias, reduce_kernel, reduce_bias = parameters
    return project(nn.relu(project(x, kernel, bias)), reduce_kernel, reduce_bias)
