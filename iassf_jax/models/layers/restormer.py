"""Restormer's transformer block and the stacks made of it (Zamir et al., "Restormer", CVPR 2022).

Attention runs between channels instead of pixels, so its cost is linear in the number of pixels. Convolutions
pad with zeros; pointwise convolutions are dot products on the channel axis. Parameters, norms, logits and
softmax are float32, everything else has the dtype of `RestormerOptions`.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.layers.initializers import torch_conv, torch_dense, torch_uniform
from iassf_jax.models.layers.recomputing import repeated
from iassf_jax.ops.depthwise import depthwise_conv
from iassf_jax.ops.pixel_shuffle import pixel_shuffle, pixel_unshuffle

NORM_KINDS = ("with_bias", "bias_free")

# Under the root of a sum over all pixels: far below the energy of any feature, and the gradient stays finite
# where a feature is zero all over the image.
_ENERGY_EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class RestormerOptions:
    """What all blocks of a network have in common."""

    norm_kind: str = "with_bias"  # one of NORM_KINDS
    expansion: float = 2.66  # hidden width of the feed-forward network over channels, rounded down
    dtype: Any = jnp.float32  # of the computation
    remat: bool = False  # recompute blocks in the backward pass: less memory, a third more time

    def __post_init__(self):
        if self.norm_kind not in NORM_KINDS:
            raise ConfigError(f"norm_kind must be one of {NORM_KINDS}, not {self.norm_kind!r}")


class LayerNorm(nn.Module):
    """Normalises the channels of each pixel; statistics in float32, biased variance.

    "with_bias" is the usual layer norm, (x - mean) / sqrt(var + epsilon) * scale + bias. "bias_free" divides
    by the standard deviation but does not subtract the mean, and has no bias.
    """

    kind: str = "with_bias"  # one of NORM_KINDS
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])[None, None, None]
        x32 = x.astype(jnp.float32)
        centred = x32 - x32.mean(axis=-1, keepdims=True)
        gain = scale * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + self.epsilon)
        if self.kind == "bias_free":
            return (x32 * gain).astype(x.dtype)
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])[None, None, None]
        return (centred * gain + bias).astype(x.dtype)


class DepthwiseConv(nn.Module):
    """Depthwise convolution without bias at the same size, zeros outside."""

    size: int = 3  # side of the kernel, odd

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        shape = (self.size, self.size, x.shape[-1])
        kernel = self.param("kernel", torch_uniform(self.size**2), shape)
        return depthwise_conv(x, kernel.astype(x.dtype), padding="zero")


def channel_attention(
    query: Float[Array, "b n c"], key: Float[Array, "b n c"], temperature: Float[Array, " heads"]
) -> Float[Array, "b heads d d"]:
    """Return softmax(temperature * cos(q_i, k_j)) between the d = c / heads channels of each head.

    The cosine is taken over all n pixels: normalising the products instead of the maps gives the same numbers
    without another pass over the pixels. Heads are the outer part of the channel axis. Result in float32.
    """
    heads = temperature.shape[0]
    q_BxNxHxD, k_BxNxHxD = (x.reshape(*x.shape[:2], heads, -1) for x in (query, key))
    products = jnp.einsum("bnhi,bnhj->bhij", q_BxNxHxD, k_BxNxHxD, preferred_element_type=jnp.float32)
    q_norm, k_norm = (_inverse_norm(x) for x in (q_BxNxHxD, k_BxNxHxD))
    cosine = products * q_norm[:, :, :, None] * k_norm[:, :, None, :]
    return jax.nn.softmax(cosine * temperature[None, :, None, None], axis=-1)


def _inverse_norm(x: Float[Array, "b n heads d"]) -> Float[Array, "b heads d"]:
    return jax.lax.rsqrt(jnp.square(x.astype(jnp.float32)).sum(axis=1) + _ENERGY_EPSILON)


def mix_channels(
    value: Float[Array, "b n c"], attention: Float[Array, "b heads d d"], projection: Float[Array, "c o"]
) -> Float[Array, "b n o"]:
    """Return attention times value in every head, through the projection that follows; dtype of `value`.

    Both are matrices on channels: multiplied with each other first, they cost one pass over the pixels
    instead of two.
    """
    b, heads, d, _ = attention.shape
    by_head = projection.reshape(heads, d, -1)
    mixing = jnp.einsum("bhij,hio->bhjo", attention, by_head).reshape(b, heads * d, -1)
    return jnp.einsum("bnc,bco->bno", value, mixing.astype(value.dtype))


class MDTA(nn.Module):
    """Multi-Dconv head transposed attention: every channel becomes a mixture of its head's channels."""

    heads: int  # divides the number of channels
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        if c % self.heads:
            raise ConfigError(f"{c} channels cannot be shared out to {self.heads} attention heads")
        qkv = torch_dense(3 * c, c, name="qkv", use_bias=False, dtype=self.dtype)(x)
        qkv = DepthwiseConv(name="qkv_depthwise")(qkv).reshape(b, h * w, 3 * c)
        query, key, value = jnp.split(qkv, 3, axis=-1)
        temperature = self.param("temperature", nn.initializers.ones, (self.heads,))
        projection = self.param("projection", torch_uniform(c), (c, c))
        attention = channel_attention(query, key, temperature)
        return mix_channels(value, attention, projection).reshape(b, h, w, c)


def gelu(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Return x * Phi(x), exact up to rounding, evaluated in float32."""
    # Through erf, which is three times as fast on CPU as the erfc of jax.nn.gelu.
    x32 = x.astype(jnp.float32)
    return (0.5 * x32 * (1.0 + jax.lax.erf(x32 * math.sqrt(0.5)))).astype(x.dtype)


class GDFN(nn.Module):
    """Gated-Dconv feed-forward network: GELU(a) * b of two depthwise-filtered projections."""

    expansion: float = 2.66  # hidden width over channels, rounded down
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        c = x.shape[-1]
        hidden = int(c * self.expansion)
        both = torch_dense(2 * hidden, c, name="project_in", use_bias=False, dtype=self.dtype)(x)
        gate, value = jnp.split(DepthwiseConv(name="depthwise")(both), 2, axis=-1)
        gated = gelu(gate) * value
        return torch_dense(c, hidden, name="project_out", use_bias=False, dtype=self.dtype)(gated)


class RestormerBlock(nn.Module):
    """x + MDTA(LN(x)), then x + GDFN(LN(x))."""

    heads: int = 1
    options: RestormerOptions = RestormerOptions()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        kind, dtype = self.options.norm_kind, self.options.dtype
        x = x + MDTA(self.heads, dtype, name="attention")(LayerNorm(kind, name="norm_1")(x))
        return x + GDFN(self.options.expansion, dtype, name="feed_forward")(LayerNorm(kind, name="norm_2")(x))


def restormer_block(heads: int, options: RestormerOptions, *, name: str) -> nn.Module:
    """Return a block that is recomputed in the backward pass if the options say so; same parameters."""
    return repeated(RestormerBlock, remat=options.remat)(heads, options, name=name)


class RestormerStack(nn.Module):
    """Equal blocks one after the other."""

    depth: int
    heads: int = 1
    options: RestormerOptions = RestormerOptions()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        for index in range(self.depth):
            x = restormer_block(self.heads, self.options, name=f"block_{index + 1}")(x)
        return x


class Downsample(nn.Module):
    """Half the resolution, twice the channels: 3x3 convolution to c/2, pixel-unshuffle. Even sides and c."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        c = x.shape[-1]
        return pixel_unshuffle(
            torch_conv(c // 2, c, 3, name="conv", padding=1, use_bias=False, dtype=self.dtype)(x), 2
        )


class Upsample(nn.Module):
    """Twice the resolution, half the channels: 3x3 convolution to 2c, pixel-shuffle. Even c."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 c2"]:
        c = x.shape[-1]
        return pixel_shuffle(
            torch_conv(2 * c, c, 3, name="conv", padding=1, use_bias=False, dtype=self.dtype)(x), 2
        )


class RestormerU(nn.Module):
    """U of L levels at resolutions 1, 1/2, 1/4, ... with widths c, 2c, 4c, ...; without a final residual.

    Skips are concatenated and halved by a pointwise convolution at every level. Sides have to be multiples of
    2^(L-1), c even.
    """

    heads: tuple[int, ...] = (1, 2, 4)  # of each level, L values
    blocks: tuple[int, ...] = (2, 2, 4, 2, 2)  # of each stage from left to right along the U, 2L-1 values
    options: RestormerOptions = RestormerOptions()

    def __post_init__(self):
        if len(self.blocks) != 2 * len(self.heads) - 1:
            raise ConfigError(
                f"a U with {len(self.heads)} levels has {2 * len(self.heads) - 1} stages, but blocks are "
                f"given for {len(self.blocks)}: heads {self.heads}, blocks {self.blocks}"
            )
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        dtype, levels = self.options.dtype, len(self.heads)
        skips = []
        for level in range(levels - 1):
            x = self._stage(level, level, f"encoder_{level + 1}")(x)
            skips.append(x)
            x = Downsample(dtype, name=f"down_{level + 1}")(x)
        x = self._stage(levels - 1, levels - 1, "latent")(x)
        for level in reversed(range(levels - 1)):
            x = Upsample(dtype, name=f"up_{level + 1}")(x)
            joint = jnp.concatenate([x, skips[level]], axis=-1)
            width = x.shape[-1]
            x = torch_dense(width, 2 * width, name=f"skip_{level + 1}", use_bias=False, dtype=dtype)(joint)
            x = self._stage(2 * levels - 2 - level, level, f"decoder_{level + 1}")(x)
        return x

    def _stage(self, stage: int, level: int, name: str) -> nn.Module:
        return RestormerStack(self.blocks[stage], self.heads[level], self.options, name=name)
