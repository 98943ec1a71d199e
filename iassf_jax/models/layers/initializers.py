"""Initial values of the released networks (PyTorch's defaults and scaled truncated normals)."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from iassf_jax.ops.convolution import correlate

Initializer = Callable[..., jax.Array]


def torch_uniform(fan_in: int) -> Initializer:
    """PyTorch's default for weights and biases: uniform in +-1/sqrt(fan_in)."""
    bound = 1.0 / math.sqrt(fan_in)

    def init(key, shape, dtype=jnp.float32):
        return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)

    return init


def xavier_truncated(gain: float = 1.0) -> Initializer:
    """Normal with std gain*sqrt(2/(fan_in+fan_out)), cut at +-2 absolute, for kernels [..., in, out]."""

    def init(key, shape, dtype=jnp.float32):
        receptive = math.prod(shape[:-2])
        std = gain * math.sqrt(2.0 / (receptive * (shape[-2] + shape[-1])))
        return truncated_normal(std)(key, shape, dtype)

    return init


def depthwise_xavier_truncated(gain: float) -> Initializer:
    """The same for depthwise kernels [kh, kw, c]: one input channel, c output channels."""

    def init(key, shape, dtype=jnp.float32):
        return xavier_truncated(gain)(key, (*shape[:-1], 1, shape[-1]), dtype).reshape(shape)

    return init


def truncated_normal(std: float) -> Initializer:
    """Normal with the given std, cut at +-2 (absolute)."""

    def init(key, shape, dtype=jnp.float32):
        return std * jax.random.truncated_normal(key, -2.0 / std, 2.0 / std, shape, dtype)

    return init


def block_gain(num_blocks: int) -> float:
    """Damping of residual branches with the network's depth: (8 N)^(-1/4)."""
    return (8 * num_blocks) ** -0.25


def torch_dense(features: int, fan_in: int, *, name: str, use_bias: bool = True, dtype=None) -> nn.Dense:
    """A 1x1 convolution or linear layer with PyTorch's default initial values."""
    init = torch_uniform(fan_in)
    return nn.Dense(
        features, use_bias=use_bias, kernel_init=init, bias_init=init, dtype=dtype, dot_general=_flat_product,
        name=name,
    )  # fmt: skip


def _flat_product(x: jax.Array, kernel: jax.Array, _dimensions: Any, **options: Any) -> jax.Array:
    """Multiply pixels in one axis: a kernel's gradient over three axes takes 2 to 5 times as long on CPU."""
    product = lax.dot_general(x.reshape(-1, x.shape[-1]), kernel, (((1,), (0,)), ((), ())), **options)
    return product.reshape(*x.shape[:-1], kernel.shape[1])


def torch_conv(
    features: int,
    fan_in: int,
    kernel: int,
    *,
    name: str,
    stride: int = 1,
    padding: str | int = "VALID",
    use_bias: bool = True,
    dtype=None,
) -> nn.Conv:
    """A k x k convolution with PyTorch's default initial values; `fan_in` is its number of input channels."""
    init = torch_uniform(fan_in * kernel * kernel)
    return nn.Conv(
        features, (kernel, kernel), strides=stride, padding=padding, use_bias=use_bias,
        kernel_init=init, bias_init=init, dtype=dtype, conv_general_dilated=correlation, name=name,
    )  # fmt: skip


def correlation(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, **_: Any) -> jax.Array:
    """Convolve with `ops.convolution.correlate`; for `conv_general_dilated` of an `nn.Conv`.

    The options left out must be Flax's defaults: no dilation, no groups and no precision.
    """
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
    return correlate(x, kernel, tuple(strides), tuple(map(tuple, padding)))
