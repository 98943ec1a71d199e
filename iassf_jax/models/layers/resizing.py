"""Convolutions between resolutions, padded by reflection."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import torch_conv, torch_dense, torch_uniform
from iassf_jax.ops.convolution import conv
from iassf_jax.ops.pixel_shuffle import pixel_shuffle


class ReflectConv(nn.Module):
    """3x3 convolution at the same resolution."""

    features: int
    dtype: Any = jnp.float32
    leaf: str = "proj"  # name of the convolution's parameters

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        return _ReflectKernel(self.features, self.dtype, name=self.leaf)(x)


class _ReflectKernel(nn.Module):
    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        init = torch_uniform(9 * x.shape[-1])
        kernel = self.param("kernel", init, (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", init, (self.features,))
        return conv(x.astype(self.dtype), kernel, bias, padding="reflect")


class PatchMerge(nn.Module):
    """2x2 convolution with stride 2: half the resolution; sides must be even."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        return torch_conv(self.features, x.shape[-1], 2, name="proj", stride=2, dtype=self.dtype)(x)


class PatchSplit(nn.Module):
    """Pointwise convolution and pixel shuffle: twice the resolution."""

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 f"]:
        wide = torch_dense(4 * self.features, x.shape[-1], name="proj_0", dtype=self.dtype)(x)
        return pixel_shuffle(wide, 2)
