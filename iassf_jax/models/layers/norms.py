"""Normalisation over whole images that hands its statistics back (DehazeFormer's rescaled layer norm)."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from iassf_jax.models.layers.initializers import truncated_normal

_EPSILON = 1e-5


class RescaledLayerNorm(nn.Module):
    """Normalises each sample over (h, w, c) and predicts what undoes it.

    Returns `(normed, rescale, rebias)`; the owner adds `f(normed) * rescale + rebias` to its input, so that a
    sub-layer sees normalised values while brightness and contrast, which carry the haze, are kept.
    Statistics are float32 in two passes: one pass loses digits on large images.
    """

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"]
    ) -> tuple[Float[Array, "b h w c"], Float[Array, "b 1 1 c"], Float[Array, "b 1 1 c"]]:
        channels = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        x32 = x.astype(jnp.float32)
        mean = x32.mean(axis=(1, 2, 3), keepdims=True)
        centred = x32 - mean
        std = jnp.sqrt(jnp.square(centred).mean(axis=(1, 2, 3), keepdims=True) + _EPSILON)
        normed = centred * (scale[None, None, None] / std) + bias[None, None, None]
        rescale = _StatisticHead(channels, bias=1.0, name="meta1")(std)
        rebias = _StatisticHead(channels, bias=0.0, name="meta2")(mean)
        return normed.astype(x.dtype), rescale.astype(x.dtype), rebias.astype(x.dtype)


class _StatisticHead(nn.Module):
    """One statistic of a sample to one value per channel."""

    channels: int
    bias: float  # initial value

    @nn.compact
    def __call__(self, statistic: Float[Array, "b 1 1 1"]) -> Float[Array, "b 1 1 c"]:
        kernel = self.param("kernel", truncated_normal(0.02), (self.channels,))
        bias = self.param("bias", nn.initializers.constant(self.bias), (self.channels,))
        return statistic * kernel[None, None, None] + bias[None, None, None]
