"""Convolutions between resolutions, padded by reflection."""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import torch_conv, torch_dense
from iassf_jax.ops.padding import reflect_pad
from iassf_jax.ops.pixel_shuffle import pixel_shuffle


class ReflectConv(nn.Module):
    """3x3 convolution at the same resolution."""

    features: int
    dtype: Any = None
    leaf: str = "proj"  # name of the convolution's parameters

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        padded = reflect_pad(x, ((1, 1), (1, 1)))
        return torch_conv(self.features, x.shape[-1], 3, name=self.leaf, dtype=self.dtype)(padded)


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
