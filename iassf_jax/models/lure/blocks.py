"""Building blocks of LURE: NAFNet's block, text-guided attention, modality embedding, bottleneck."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from iassf_jax.models.layers.initializers import torch_uniform
from iassf_jax.models.layers.recomputing import repeated
from iassf_jax.models.layers.restormer import GDFN, LayerNorm
from iassf_jax.models.lure.attention import TextGuidedAttention, pointwise
from iassf_jax.ops import box_mean, depthwise_conv

Feature = Float[Array, "b h w c"]


@dataclasses.dataclass(frozen=True)
class BlockOptions:
    """What all blocks of a network have in common."""

    heads: int = 4  # of every attention
    ffn_factor: float = 2.66  # hidden width of the feed-forward networks over channels, rounded down
    tga_variant: str = "channel_query"  # one of attention.TGA_VARIANTS
    sca_window: int = 0  # NAFBlock: means over windows of so many pixels; 0 is the whole image
    dtype: Any = jnp.float32  # of the computation
    remat: bool = False  # recompute blocks in the backward pass: less memory, a third more time


class NAFBlock(nn.Module):
    """Block without activation functions (Chen et al., "Simple Baselines for Image Restoration", ECCV 2022).

    Products of two halves take the place of activations, and channel attention is a linear map of the
    channels' means. Both residual branches start at zero, so the block starts as the identity.
    """

    sca_window: int = 0  # means over windows of so many pixels; 0 is the whole image
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Feature) -> Feature:
        c = x.shape[-1]
        zeros = nn.initializers.zeros
        h = LayerNorm(epsilon=1e-6, name="norm_1")(x)
        h = self._pointwise(2 * c, c, "expand_1")(h)
        kernel = self.param("depthwise_kernel", torch_uniform(9), (3, 3, 2 * c))
        bias = self.param("depthwise_bias", zeros, (2 * c,))
        h = _gated(depthwise_conv(h, kernel.astype(h.dtype), bias.astype(h.dtype), padding="zero"))
        h = h * self._pointwise(c, c, "channel_attention")(self._means(h))
        beta = self.param("beta", zeros, (c,)).astype(h.dtype)[None, None, None]
        x = x + self._pointwise(c, c, "project_1")(h) * beta
        h = LayerNorm(epsilon=1e-6, name="norm_2")(x)
        h = _gated(self._pointwise(2 * c, c, "expand_2")(h))
        gamma = self.param("gamma", zeros, (c,)).astype(h.dtype)[None, None, None]
        return x + self._pointwise(c, c, "project_2")(h) * gamma

    def _pointwise(self, features: int, fan_in: int, name: str) -> nn.Dense:
        return pointwise(features, fan_in, name=name, use_bias=True, dtype=self.dtype)

    def _means(self, h: Feature) -> Float[Array, "b h2 w2 c"]:
        # Training sees crops. A mean over a whole large image is another statistic than it was trained with;
        # windows of 1.5 crops bring it back.
        if self.sca_window and min(h.shape[1:3]) > self.sca_window:
            return box_mean(h.astype(jnp.float32), self.sca_window).astype(h.dtype)
        return h.astype(jnp.float32).mean(axis=(1, 2), keepdims=True).astype(h.dtype)


def _gated(x: Feature) -> Float[Array, "b h w d"]:
    first, second = jnp.split(x, 2, axis=-1)
    return first * second


class TGABlock(nn.Module):
    """x + text-guided attention of LN(x), then x + GDFN(LN(x))."""

    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(self, x: Feature, text: Float[Array, "b d"]) -> Feature:
        o = self.options
        attention = TextGuidedAttention(o.tga_variant, o.heads, o.dtype, name="guided")
        x = x + attention(LayerNorm(name="norm_1")(x), text)
        return x + GDFN(o.ffn_factor, o.dtype, name="feed_forward")(LayerNorm(name="norm_2")(x))


class BaseBlock(nn.Module):
    """NAFBlock(x + e[m]) with a learned vector e for each modality, 0 visible and 1 infrared."""

    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(self, x: Feature, modality: Int[Array, " b"]) -> Feature:
        table = self.param("modality", nn.initializers.normal(0.02), (2, x.shape[-1]))
        embedding = table[modality].astype(x.dtype)[:, None, None, :]
        return NAFBlock(self.options.sca_window, self.options.dtype, name="block")(x + embedding)


class BottleNeck(nn.Module):
    """NAFBlock, then a 1x1 convolution to `features` channels."""

    features: int
    options: BlockOptions = BlockOptions()

    @nn.compact
    def __call__(self, x: Feature) -> Float[Array, "b h w o"]:
        o = self.options
        x = NAFBlock(o.sca_window, o.dtype, name="block")(x)
        return pointwise(self.features, x.shape[-1], name="project", use_bias=True, dtype=o.dtype)(x)


def tga_block(options: BlockOptions, *, name: str) -> nn.Module:
    """Return a block that is recomputed in the backward pass if the options say so; same parameters."""
    return repeated(TGABlock, remat=options.remat)(options, name=name)


def bottleneck(features: int, options: BlockOptions, *, name: str) -> nn.Module:
    """Return a bottleneck that is recomputed in the backward pass if the options say so; same parameters."""
    return repeated(BottleNeck, remat=options.remat)(features, options, name=name)
