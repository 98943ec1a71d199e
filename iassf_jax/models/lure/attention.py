"""Attention of LURE: between the channels of two maps, guided by text, and inside windows."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.layers.initializers import torch_uniform
from iassf_jax.models.layers.restormer import DepthwiseConv, channel_attention, mix_channels
from iassf_jax.ops.padding import pad_to_multiple, spatial_size
from iassf_jax.ops.windows import window_merge, window_partition

Feature = Float[Array, "b h w c"]
TGA_VARIANTS = ("channel_query", "spatial_gate", "gate")


def pointwise(features: int, fan_in: int, *, name: str, use_bias: bool = False, dtype: Any) -> nn.Dense:
    """A 1x1 convolution or linear layer: kernel uniform in +-1/sqrt(fan_in), bias zero."""
    return nn.Dense(features, use_bias=use_bias, kernel_init=torch_uniform(fan_in), dtype=dtype, name=name)


class ChannelCrossAttention(nn.Module):
    """Channels of one map, the queries, attend to channels of another; the cost is linear in the pixels."""

    heads: int  # divides the number of channels
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, query_map: Feature, source_map: Feature) -> Feature:
        b, h, w, c = source_map.shape
        _check_heads(c, self.heads)
        query = pointwise(c, c, name="query", dtype=self.dtype)(query_map)
        query = DepthwiseConv(name="query_depthwise")(query).reshape(b, h * w, c)
        both = pointwise(2 * c, c, name="key_value", dtype=self.dtype)(source_map)
        both = DepthwiseConv(name="key_value_depthwise")(both).reshape(b, h * w, 2 * c)
        key, value = jnp.split(both, 2, axis=-1)
        temperature = self.param("temperature", nn.initializers.ones, (self.heads,))
        projection = self.param("projection", torch_uniform(c), (c, c))
        attention = channel_attention(query, key, temperature)
        return mix_channels(value, attention, projection).reshape(b, h, w, c)


class TextGuidedAttention(nn.Module):
    """Attention in which a text vector has a say; see `TGA_VARIANTS`.

    channel_query: the text weights the channels that the queries are made of. It does so before the pointwise
      projection: behind it, the normalisation of the queries would divide the weights out again.
    spatial_gate: the text is the query, and every pixel passes as much of its value as it matches the query.
    gate: the text weights the channels, nothing attends (the ablation "TGA->Gate").
    """

    variant: str = "channel_query"
    heads: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Feature, text: Float[Array, "b d"]) -> Feature:
        c = x.shape[-1]
        if self.variant == "spatial_gate":
            return _SpatialGate(self.heads, self.dtype, name="attention")(x, text)
        weights = nn.sigmoid(pointwise(c, text.shape[-1], name="gate", use_bias=True, dtype=self.dtype)(text))
        gated = x * weights[:, None, None, :]
        if self.variant == "gate":
            return pointwise(c, c, name="projection", dtype=self.dtype)(gated)
        return ChannelCrossAttention(self.heads, self.dtype, name="attention")(gated, x)


class _SpatialGate(nn.Module):
    """sigmoid(temperature * cos(query, key)) at every pixel, times the value."""

    heads: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Feature, text: Float[Array, "b d"]) -> Feature:
        b, h, w, c = x.shape
        _check_heads(c, self.heads)
        statistics = x.astype(jnp.float32).mean(axis=(1, 2)).astype(x.dtype)
        shares = nn.sigmoid(pointwise(c, c, name="statistics", use_bias=True, dtype=self.dtype)(statistics))
        query = pointwise(c, text.shape[-1], name="query", use_bias=True, dtype=self.dtype)(text) * shares
        both = pointwise(2 * c, c, name="key_value", dtype=self.dtype)(x)
        key, value = jnp.split(DepthwiseConv(name="key_value_depthwise")(both), 2, axis=-1)
        temperature = self.param("temperature", nn.initializers.constant(4.0), (self.heads,))
        query_BxHxD, key_BxNxHxD = _by_head(query[:, None], self.heads), _by_head(key, self.heads)
        cosine = (_unit(key_BxNxHxD) * _unit(query_BxHxD)).sum(axis=-1, keepdims=True)
        passed = nn.sigmoid(cosine * temperature[None, None, :, None])
        mixed = (_by_head(value, self.heads) * passed.astype(value.dtype)).reshape(b, h, w, c)
        return pointwise(c, c, name="projection", dtype=self.dtype)(mixed)


class WindowCrossAttention(nn.Module):
    """Patches of one map attend to those of another in the same window (after CrossFuse, simplified).

    `reverse` turns the sign of the logits: a patch then takes what it resembles least, the complement.
    """

    heads: int  # divides the channels of a patch
    reverse: bool = False
    window: int = 16  # side, pixels
    patch: int = 2  # side, pixels; divides the window
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, query_map: Feature, source_map: Feature) -> Feature:
        c = query_map.shape[-1]
        query = pointwise(c, c, name="query", dtype=self.dtype)(query_map)
        both = pointwise(2 * c, c, name="key_value", dtype=self.dtype)(source_map)
        key, value = jnp.split(both, 2, axis=-1)
        height, width = spatial_size(query)
        padded = [pad_to_multiple(x, self.window)[0] for x in (query, key, value)]
        size = spatial_size(padded[0])
        q, k, v = (self._tokens(x) for x in padded)
        sign = -1.0 if self.reverse else 1.0
        logits = jnp.einsum("bnqhd,bnkhd->bnhqk", q, k, preferred_element_type=jnp.float32)
        attention = jax.nn.softmax(logits * (sign / math.sqrt(q.shape[-1])), axis=-1).astype(v.dtype)
        mixed = jnp.einsum("bnhqk,bnkhd->bnqhd", attention, v)
        merged = window_merge(self._pixels(mixed, c), self.window, size)[:, :height, :width]
        return pointwise(c, c, name="projection", dtype=self.dtype)(merged)

    def _tokens(self, x: Feature) -> Float[Array, "b n t heads d"]:
        """Windows, patches, heads; a token is all the channels of a patch."""
        b, _, _, c = x.shape
        side, p = self.window // self.patch, self.patch
        _check_heads(p * p * c, self.heads)
        windows = window_partition(x, self.window).reshape(b, -1, side, p, side, p, c)
        return windows.transpose(0, 1, 2, 4, 3, 5, 6).reshape(
            b, -1, side * side, self.heads, p * p * c // self.heads
        )

    def _pixels(self, tokens: Float[Array, "b n t heads d"], c: int) -> Float[Array, "b n p c"]:
        b, n = tokens.shape[:2]
        side, p = self.window // self.patch, self.patch
        patches = tokens.reshape(b, n, side, side, p, p, c).transpose(0, 1, 2, 4, 3, 5, 6)
        return patches.reshape(b, n, self.window**2, c)


def _check_heads(channels: int, heads: int) -> None:
    if channels % heads:
        raise ConfigError(f"{channels} channels cannot be shared out to {heads} attention heads")


def _by_head(x: Array, heads: int) -> Float[Array, "b n heads d"]:
    return x.reshape(x.shape[0], -1, heads, x.shape[-1] // heads)


def _unit(x: Float[Array, "b n heads d"]) -> Float[Array, "b n heads d"]:
    x32 = x.astype(jnp.float32)
    return x32 * jax.lax.rsqrt(jnp.square(x32).sum(axis=-1, keepdims=True) + 1e-12)
