"""Window attention with a learned position bias and the blocks made of it (DehazeFormer's, as released)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.head_projection import Kernels, make_heads
from iassf_jax.models.layers.initializers import (
    block_gain,
    depthwise_xavier_truncated,
    torch_conv,
    torch_dense,
)
from iassf_jax.models.layers.mlp import Mlp
from iassf_jax.models.layers.norms import RescaledLayerNorm
from iassf_jax.models.layers.projection import Projection, compose, project
from iassf_jax.models.layers.recomputing import repeated
from iassf_jax.ops.depthwise import depthwise_conv
from iassf_jax.ops.padding import reflect_pad, spatial_size
from iassf_jax.ops.windows import window_merge, window_partition

_POSITION_HIDDEN = 256  # width of the position MLP
_DEPTHWISE_SIZE = 5


def relative_positions(window: int) -> np.ndarray:
    """Log-scaled offsets query minus key of a window's tokens, float32 [t, t, 2] with t = window^2."""
    axis = np.arange(window)
    tokens = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    delta = (tokens[:, None] - tokens[None]).astype(np.float32)
    return np.sign(delta) * np.log1p(np.abs(delta))


class WindowAttention(nn.Module):
    """Softmax attention among the tokens of each window: softmax(q k / sqrt(d) + P) v for each head.

    The values' bias is left to the caller, and with `kernels.values` None, for one head only, their kernel.
    """

    heads: int
    window: int = 8

    @nn.compact
    def __call__(self, windows: Float[Array, "b n t c"], kernels: Kernels) -> Float[Array, "b n t c"]:
        b, n, t, c = windows.shape
        tokens = windows.reshape(b * n * t, c)
        width = c // self.heads
        kernels = kernels.scale_queries(width**-0.5)
        heads = make_heads(tokens, kernels, self.heads)
        cut = (b * n, t, -1)
        attended = [
            attend(q.reshape(cut), k.reshape(cut), v.reshape(cut), position)[..., :width]
            for (q, k, v), position in zip(heads, self._position_bias(), strict=True)
        ]
        return jnp.concatenate(attended, axis=-1).reshape(b, n, t, c)

    def _position_bias(self) -> Float[Array, "heads t t"]:
        # Only (2w-1)^2 of the t^2 offsets differ: the MLP runs on those and the table is gathered.
        offsets, index = np.unique(
            relative_positions(self.window).reshape(-1, 2), axis=0, return_inverse=True
        )
        hidden = nn.relu(torch_dense(_POSITION_HIDDEN, 2, name="meta_0")(jnp.asarray(offsets)))
        bias = torch_dense(self.heads, _POSITION_HIDDEN, name="meta_2")(hidden)
        tokens = self.window**2
        return bias.T[:, index.reshape(tokens, tokens)]


def attend(
    q: Float[Array, "n t d"], k: Float[Array, "n t d"], v: Float[Array, "n t v"], bias: Float[Array, "t t"]
) -> Float[Array, "n t v"]:
    """Attend with one head: softmax(q k + bias) v among a window's tokens, softmax in float32.

    The sum divides the result and not the attention matrix, which saves a pass over the larger of the two.
    """
    logits = jnp.einsum("nqd,nkd->nqk", q, k).astype(jnp.float32) + bias[None]
    exponentials = jnp.exp(logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True)))
    total = exponentials.sum(axis=-1, keepdims=True)
    weighted = jnp.einsum("nqk,nkd->nqd", exponentials.astype(v.dtype), v).astype(jnp.float32)
    return (weighted / total).astype(v.dtype)


class AttentionUnit(nn.Module):
    """Window attention and a 5x5 depthwise convolution in parallel, either of them optional.

    Queries, keys and values are padded by reflection to whole windows; a shifted unit adds a border of
    `shift` pixels first, so its windows straddle those of an unshifted one without a cyclic roll or a mask.
    """

    heads: int = 1
    attention: bool = True
    depthwise: bool = False
    shift: int = 0  # pixels; 0 or half a window
    window: int = 8
    gain: float = 1.0  # of the initial values, see initializers.block_gain
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        c = x.shape[-1]
        value, value_bias = Projection(c, self.gain, name="V")(c)
        kernel, bias = Projection(c, self.gain, name="proj")(c)
        branches = []
        if self.attention:
            query_key, query_bias = Projection(2 * c, name="QK")(c)
            queries, keys = jnp.split(query_key, 2, axis=1)
            kernels = Kernels(queries, query_bias[:c], keys, value)
            bias = compose(value_bias, kernel) + bias
            if self.heads == 1 and not self.depthwise:
                kernels, kernel = kernels._replace(values=None), compose(value, kernel)
            branches.append(self._attend(x.astype(self.dtype), kernels))
        if self.depthwise:
            projected = project(x.astype(self.dtype), value, value_bias)
            branches.append(_DepthwiseConv(gain=self.gain, name="conv")(projected))
        return project(sum(branches[1:], branches[0]), kernel, bias)

    def _attend(self, x: Float[Array, "b h w c"], kernels: Kernels) -> Float[Array, "b h w c"]:
        h, w = spatial_size(x)
        pad_bottom = (self.shift + (-h) % self.window) % self.window
        pad_right = (self.shift + (-w) % self.window) % self.window
        # The projections are pointwise, so their input, a third of the channels, is padded and cut instead.
        padded = reflect_pad(x, ((self.shift, pad_bottom), (self.shift, pad_right)))
        size = spatial_size(padded)
        windows = window_partition(padded, self.window)
        attended = WindowAttention(self.heads, self.window, name="attn")(windows, kernels)
        merged = window_merge(attended, self.window, size)
        return merged[:, self.shift : self.shift + h, self.shift : self.shift + w]


class _DepthwiseConv(nn.Module):
    gain: float

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        shape = (_DEPTHWISE_SIZE, _DEPTHWISE_SIZE, x.shape[-1])
        kernel = self.param("kernel", depthwise_xavier_truncated(self.gain), shape)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        return depthwise_conv(x, kernel.astype(x.dtype), bias.astype(x.dtype), padding="reflect")


class MainBlock(nn.Module):
    """Residual block of the restoration U: depthwise convolution, attention in some blocks, MLP.

    Blocks without attention have no normalisation at all; the MLP branch is never normalised.
    """

    heads: int
    mlp_ratio: float
    attention: bool
    shift: int
    window: int
    gain: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        unit = AttentionUnit(
            self.heads, self.attention, True, self.shift, self.window, self.gain, self.dtype, name="attn"
        )
        if self.attention:
            normed, rescale, rebias = RescaledLayerNorm(name="norm1")(x)
            x = x + unit(normed) * rescale + rebias
        else:
            x = x + unit(x)
        return x + Mlp(self.mlp_ratio, self.gain, self.dtype, name="mlp")(x)


class MainLayer(nn.Module):
    """Main blocks one after the other, every second one with shifted windows.

    Returns the feature after the layer and after each block.
    """

    depth: int
    heads: int
    attn_ratio: float  # share of the blocks with attention
    mlp_ratio: float
    window: int
    gain: float
    dtype: Any
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> tuple[Float[Array, "b h w c"], list[Array]]:
        blocks = []
        for index, attends in enumerate(attention_blocks(self.depth, self.attn_ratio)):
            shift = self.window // 2 if attends and index % 2 else 0
            x = repeated(MainBlock, remat=self.remat)(
                self.heads, self.mlp_ratio, attends, shift, self.window, self.gain, self.dtype,
                name=f"blocks_{index}",
            )(x)  # fmt: skip
            blocks.append(x)
        return x, blocks


def attention_blocks(depth: int, ratio: float) -> list[bool]:
    """Tell for each block of a layer whether it attends: the last ones, i >= depth - ratio * depth."""
    return [index >= depth - ratio * depth for index in range(depth)]


class EncoderBlock(nn.Module):
    """Pointwise input projection, then window attention and MLP, each under a rescaled layer norm.

    The released code calls this block Restormer; it shares nothing but the name with that network.
    Returns the feature and, under stable names, what happened on the way.
    """

    features: int
    window: int = 8
    dtype: Any = jnp.float32
    mlp_ratio: float = 2.66
    gain: float = block_gain(4)

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> tuple[Float[Array, "b h w f"], dict[str, Array]]:
        taps: dict[str, Array] = {}
        x = taps["proj_in"] = torch_dense(self.features, x.shape[-1], name="mlp", dtype=self.dtype)(x)
        normed, rescale, rebias = RescaledLayerNorm(name="norm1")(x)
        attended = AttentionUnit(window=self.window, gain=self.gain, dtype=self.dtype, name="attn")(normed)
        x = x + attended * rescale + rebias
        taps |= {"norm1": normed, "rescale1": rescale, "rebias1": rebias, "attn": attended}
        normed, rescale, rebias = RescaledLayerNorm(name="norm2")(x)
        fed = Mlp(self.mlp_ratio, self.gain, self.dtype, name="ffn")(normed)
        taps |= {"norm2": normed, "rescale2": rescale, "rebias2": rebias, "ffn": fed}
        return x + fed * rescale + rebias, taps


def embed_prompt(
    feature: Float[Array, "b h w c"],
    prompt: Float[Array, "b h w c"] | None,
    *,
    heads: int = 1,
    attention: bool = True,
    window: int = 8,
    gain: float = block_gain(4),
    dtype: Any = jnp.float32,
    suffix: str = "",
) -> tuple[Float[Array, "b h w c"], dict[str, Array]]:
    """Mix a prompt into a feature of the same width: window attention on both, then 1x1 and 3x3 convolutions.

    Neither normalised nor residual; the 3x3 convolution pads with zeros. Call it inside a compact module,
    which then owns the parameters; `suffix` ends the two convolutions' names, which differ in the two
    released networks. Without a prompt the same layers work on the feature alone; `attention` False leaves
    the first of them out.
    """
    c = feature.shape[-1]
    x = feature if prompt is None else jnp.concatenate([feature, prompt.astype(feature.dtype)], axis=-1)
    taps = {}
    if attention:
        x = AttentionUnit(heads, window=window, gain=gain, dtype=dtype, name="attention")(x)
        taps["attn"] = x
    reduced = torch_dense(c, x.shape[-1], name=f"conv1x1{suffix}", use_bias=False, dtype=dtype)(x)
    embedded = torch_conv(c, c, 3, name=f"conv3x3{suffix}", padding=1, use_bias=False, dtype=dtype)(reduced)
    return embedded, {**taps, "1x1": reduced}
