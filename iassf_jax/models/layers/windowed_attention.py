"""Window attention with a learned position bias and the blocks made of it (DehazeFormer's, as released)."""

import dataclasses
from typing import Any

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
from iassf_jax.ops.window_attention import attend
from iassf_jax.ops.windows import window_merge, window_partition

_POSITION_HIDDEN = 256  # width of the position MLP
_DEPTHWISE_SIZE = 5


@dataclasses.dataclass(frozen=True)
class WindowOptions:
    """What all layers with window attention have in common."""

    size: int = 8  # side of a window, pixels
    dtype: Any = jnp.float32  # of the computation
    pallas: bool = False  # on GPUs, kernels for attention and the gradients of depthwise taps


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
    options: WindowOptions = WindowOptions()

    @nn.compact
    def __call__(self, windows: Float[Array, "b n t c"], kernels: Kernels) -> Float[Array, "b n t c"]:
        b, n, t, c = windows.shape
        tokens = windows.reshape(b * n * t, c)
        width = c // self.heads
        kernels = kernels.scale_queries(width**-0.5)
        heads = make_heads(tokens, kernels, self.heads)
        attended = []
        for head, position in zip(heads, self._position_bias(), strict=True):
            q, k, v = (x.reshape(b * n, t, -1) for x in head)
            attended.append(attend(q, k, v, position, pallas=self.options.pallas)[..., :width])
        return jnp.concatenate(attended, axis=-1).reshape(b, n, t, c)

    def _position_bias(self) -> Float[Array, "heads t t"]:
        # Only (2w-1)^2 of the t^2 offsets differ: the MLP runs on those and the table is gathered.
        offsets, index = np.unique(
            relative_positions(self.options.size).reshape(-1, 2), axis=0, return_inverse=True
        )
        hidden = nn.relu(torch_dense(_POSITION_HIDDEN, 2, name="meta_0")(jnp.asarray(offsets)))
        bias = torch_dense(self.heads, _POSITION_HIDDEN, name="meta_2")(hidden)
        tokens = self.options.size**2
        return bias.T[:, index.reshape(tokens, tokens)]


class AttentionUnit(nn.Module):
    """Window attention and a 5x5 depthwise convolution in parallel, either of them optional.

    Queries, keys and values are padded by reflection to whole windows; a shifted unit adds a border of
    `shift` pixels first, so its windows straddle those of an unshifted one without a cyclic roll or a mask.
    """

    heads: int = 1
    attention: bool = True
    depthwise: bool = False
    shift: int = 0  # pixels; 0 or half a window
    gain: float = 1.0  # of the initial values, see initializers.block_gain
    options: WindowOptions = WindowOptions()

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
            branches.append(self._attend(x.astype(self.options.dtype), kernels))
        if self.depthwise:
            projected = project(x.astype(self.options.dtype), value, value_bias)
            branches.append(_DepthwiseConv(self.gain, self.options.pallas, name="conv")(projected))
        return project(sum(branches[1:], branches[0]), kernel, bias)

    def _attend(self, x: Float[Array, "b h w c"], kernels: Kernels) -> Float[Array, "b h w c"]:
        h, w = spatial_size(x)
        side = self.options.size
        pad_bottom = (self.shift + (-h) % side) % side
        pad_right = (self.shift + (-w) % side) % side
        # The projections are pointwise, so their input, a third of the channels, is padded and cut instead.
        padded = reflect_pad(x, ((self.shift, pad_bottom), (self.shift, pad_right)))
        size = spatial_size(padded)
        windows = window_partition(padded, side)
        attended = WindowAttention(self.heads, self.options, name="attn")(windows, kernels)
        merged = window_merge(attended, side, size)
        return merged[:, self.shift : self.shift + h, self.shift : self.shift + w]


class _DepthwiseConv(nn.Module):
    gain: float
    pallas: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        shape = (_DEPTHWISE_SIZE, _DEPTHWISE_SIZE, x.shape[-1])
        kernel = self.param("kernel", depthwise_xavier_truncated(self.gain), shape)
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        bias = bias.astype(x.dtype)
        return depthwise_conv(x, kernel.astype(x.dtype), bias, padding="reflect", pallas=self.pallas)


class MainBlock(nn.Module):
    """Residual block of the restoration U: depthwise convolution, attention in some blocks, MLP.

    Blocks without attention have no normalisation at all; the MLP branch is never normalised.
    """

    heads: int
    mlp_ratio: float
    attention: bool
    shift: int
    gain: float
    options: WindowOptions

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        unit = AttentionUnit(
            self.heads, self.attention, True, self.shift, self.gain, self.options, name="attn"
        )
        if self.attention:
            normed, rescale, rebias = RescaledLayerNorm(name="norm1")(x)
            x = x + unit(normed) * rescale + rebias
        else:
            x = x + unit(x)
        return x + Mlp(self.mlp_ratio, self.gain, self.options.dtype, name="mlp")(x)


class MainLayer(nn.Module):
    """Main blocks one after the other, every second one with shifted windows.

    Returns the feature after the layer and after each block.
    """

    depth: int
    heads: int
    attn_ratio: float  # share of the blocks with attention
    mlp_ratio: float
    gain: float
    options: WindowOptions
    remat: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> tuple[Float[Array, "b h w c"], list[Array]]:
        blocks = []
        for index, attends in enumerate(attention_blocks(self.depth, self.attn_ratio)):
            shift = self.options.size // 2 if attends and index % 2 else 0
            block = repeated(MainBlock, remat=self.remat)
            x = block(
                self.heads, self.mlp_ratio, attends, shift, self.gain, self.options, name=f"blocks_{index}"
            )(x)
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
    options: WindowOptions = WindowOptions()
    mlp_ratio: float = 2.66
    gain: float = block_gain(4)

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> tuple[Float[Array, "b h w f"], dict[str, Array]]:
        taps: dict[str, Array] = {}
        dtype = self.options.dtype
        x = taps["proj_in"] = torch_dense(self.features, x.shape[-1], name="mlp", dtype=dtype)(x)
        normed, rescale, rebias = RescaledLayerNorm(name="norm1")(x)
        attended = AttentionUnit(gain=self.gain, options=self.options, name="attn")(normed)
        x = x + attended * rescale + rebias
        taps |= {"norm1": normed, "rescale1": rescale, "rebias1": rebias, "attn": attended}
        normed, rescale, rebias = RescaledLayerNorm(name="norm2")(x)
        fed = Mlp(self.mlp_ratio, self.gain, dtype, name="ffn")(normed)
        taps |= {"norm2": normed, "rescale2": rescale, "rebias2": rebias, "ffn": fed}
        return x + fed * rescale + rebias, taps


def embed_prompt(
    feature: Float[Array, "b h w c"],
    prompt: Float[Array, "b h w c"] | None,
    *,
    heads: int = 1,
    attention: bool = True,
    gain: float = block_gain(4),
    options: WindowOptions = WindowOptions(),
    suffix: str = "",
) -> tuple[Float[Array, "b h w c"], dict[str, Array]]:
    """Mix a prompt into a feature of the same width: window attention on both, then 1x1 and 3x3 convolutions.

    Neither normalised nor residual; the 3x3 convolution pads with zeros. Call it inside a compact module,
    which then owns the parameters; `suffix` ends the two convolutions' names, which differ in the two
    released networks. Without a prompt the same layers work on the feature alone; `attention` False leaves
    the first of them out.
    """
    c, dtype = feature.shape[-1], options.dtype
    x = feature if prompt is None else jnp.concatenate([feature, prompt.astype(feature.dtype)], axis=-1)
    taps = {}
    if attention:
        x = AttentionUnit(heads, gain=gain, options=options, name="attention")(x)
        taps["attn"] = x
    reduced = torch_dense(c, x.shape[-1], name=f"conv1x1{suffix}", use_bias=False, dtype=dtype)(x)
    embedded = torch_conv(c, c, 3, name=f"conv3x3{suffix}", padding=1, use_bias=False, dtype=dtype)(reduced)
    return embedded, {**taps, "1x1": reduced}
