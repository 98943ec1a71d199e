"""Q_CV of Chen and Varshney: perceived difference from the sources, weighted by their edges."""

import functools

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.windows import safe_divide, safe_sqrt, sobel

_BLOCK = 16  # pixels on a side
_EDGE_POWER = 5
_HALF_STEP = (
    5e-4  # less than half the distance of two quotients 255 k / d from each other, more than rounding
)


def perceived_difference(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Q_CV of Chen and Varshney (2007) as in Liu's and VIFB's tool boxes; lower is better, 0 for F = A = B.

    Every image is stretched to 0..255 and rounded; Sobel with zero padding, so the image's border counts as
    an edge; blocks of 16x16 pixels, the last ones filled with zeros; Mannos-Sakrison contrast sensitivity in
    the DFT domain without padding. A constant image is stretched to 0.
    """
    return perceived_difference_unstretched(_stretch(infrared), _stretch(visible), _stretch(fused))


def perceived_difference_unstretched(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Q_CV without the stretch to 0..255: moves the means of data sets by -40 % to +146 %."""
    salience_a, salience_b = _salience(infrared), _salience(visible)
    weighted = salience_a * _block_difference(infrared, fused) + salience_b * _block_difference(
        visible, fused
    )
    return safe_divide(weighted.sum((1, 2)), (salience_a + salience_b).sum((1, 2)))


def _stretch(levels: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    low, high = levels.min((1, 2), keepdims=True), levels.max((1, 2), keepdims=True)
    # Ties, exact in real numbers, must round up however the division is computed.
    return jnp.floor(
        safe_divide(255.0 * (levels - low), jnp.broadcast_to(high - low, levels.shape)) + 0.5 + _HALF_STEP
    )


def _salience(levels: Float[Array, "b h w"]) -> Float[Array, "b H W"]:
    gx, gy = sobel(levels, padding="constant")
    return _blocks(safe_sqrt(gx * gx + gy * gy) ** _EDGE_POWER).sum((2, 4))


def _block_difference(source: Float[Array, "b h w"], fused: Float[Array, "b h w"]) -> Float[Array, "b H W"]:
    height, width = source.shape[1:]
    spectrum = jnp.fft.rfft2(source - fused)
    sensitivity = jnp.asarray(_sensitivity(height, width), spectrum.dtype)[None]
    seen = jnp.fft.irfft2(spectrum * sensitivity, s=(height, width))
    return _blocks(seen * seen).sum((2, 4)) / _BLOCK**2


def _blocks(x: Float[Array, "b h w"]) -> Float[Array, "b H 16 W 16"]:
    rows, columns = (-(-size // _BLOCK) for size in x.shape[1:])
    padding = ((0, 0), (0, rows * _BLOCK - x.shape[1]), (0, columns * _BLOCK - x.shape[2]))
    return jnp.pad(x, padding).reshape(x.shape[0], rows, _BLOCK, columns, _BLOCK)


@functools.cache
def _sensitivity(height: int, width: int) -> np.ndarray:
    """Mannos-Sakrison on the frequencies of `rfft2`; cycles per degree are an eighth of the image's side."""
    across = width / 8 * 2 * np.fft.rfftfreq(width)
    down = height / 8 * 2 * np.fft.fftfreq(height)
    radius = np.hypot(across[None, :], down[:, None])
    return 2.6 * (0.0192 + 0.144 * radius) * np.exp(-((0.144 * radius) ** 1.1))
