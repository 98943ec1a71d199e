"""Low resolution: blur, bicubic reduction and bicubic enlargement to the original size.

All three are linear and treat rows and columns alike, so that together they are one small matrix for each
side, built with NumPy while tracing.
"""

import numpy as np
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

_BLUR = 1.0  # deviation of the blur before the reduction, pixels
_SHARPNESS = -0.5  # of the cubic kernel (Keys)


def reduce_resolution(clean: Float[Array, "b h w c"], factor: int) -> Float[Array, "b h w c"]:
    """Return images that hold no more than every `factor`-th row and column could tell."""
    rows, columns = (jnp.asarray(_loss_matrix(side, factor), clean.dtype) for side in clean.shape[1:3])
    # Full float32 products: the reduced ones of GPUs (TF32) would leave three digits of the image.
    exact = lax.Precision.HIGHEST
    x = jnp.einsum("yh,bhwc->bywc", rows, clean, precision=exact)
    return jnp.einsum("xw,bhwc->bhxc", columns, x, precision=exact)


def _loss_matrix(side: int, factor: int) -> np.ndarray:
    small = max(1, -(-side // factor))
    return _bicubic(small, side) @ _bicubic(side, small) @ _gaussian(side)


def _bicubic(n: int, m: int) -> np.ndarray:
    """Resize n pixels to m; a reduction widens the kernel, so that nothing is folded back."""
    scale = n / m
    width = max(scale, 1.0)
    source = (np.arange(m) + 0.5) * scale - 0.5
    weights = _cubic(np.abs(source[:, None] - np.arange(n)[None, :]) / width)
    return weights / weights.sum(axis=1, keepdims=True)


def _cubic(x: np.ndarray) -> np.ndarray:
    a = _SHARPNESS
    inner = (a + 2) * x**3 - (a + 3) * x**2 + 1
    outer = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def _gaussian(n: int) -> np.ndarray:
    """Blur n pixels; at the ends the weights of the pixels that there are add up to 1."""
    offset = np.arange(n)[:, None] - np.arange(n)[None, :]
    weights = np.exp(-0.5 * (offset / _BLUR) ** 2) * (np.abs(offset) <= 4 * _BLUR)
    return weights / weights.sum(axis=1, keepdims=True)
