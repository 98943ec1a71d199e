"""Q_CV of Chen and Varshney: perceived difference from the sources, weighted by their edges."""

import functools
import math

from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Complex, DTypeLike, Float, Int

from iassf_jax.metrics.canvas import Length, Size, clear, fills, largest, pixels, size_within, smallest
from iassf_jax.metrics.windows import safe_divide, safe_sqrt, sobel

_BLOCK = 16  # pixels on a side
_EDGE_POWER = 5
_HALF_STEP = (
    5e-4  # less than half the distance of two quotients 255 k / d from each other, more than rounding
)


def perceived_difference(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_CV of Chen and Varshney (2007) as in Liu's and VIFB's tool boxes; lower is better, 0 for F = A = B.

    Every image is stretched to 0..255 and rounded; Sobel with zero padding, so the image's border counts as
    an edge; blocks of 16x16 pixels, the last ones filled with zeros; Mannos-Sakrison contrast sensitivity in
    the DFT domain without padding. A constant image is stretched to 0.
    """
    size = size_within(fused, within)
    stretched = (_stretch(x, size) for x in (infrared, visible, fused))
    return perceived_difference_unstretched(*stretched, within=within)


def perceived_difference_unstretched(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_CV without the stretch to 0..255: moves the means of data sets by -40 % to +146 %."""
    size = size_within(fused, within)
    salience_a, salience_b = _salience(infrared, size), _salience(visible, size)
    weighted = salience_a * _block_difference(infrared, fused, size)
    weighted = weighted + salience_b * _block_difference(visible, fused, size)
    return safe_divide(weighted.sum((1, 2)), (salience_a + salience_b).sum((1, 2)))


def _stretch(levels: Float[Array, "b h w"], size: Size) -> Float[Array, "b h w"]:
    low, high = smallest(levels, size), largest(levels, size)
    # Ties, exact in real numbers, must round up however the division is computed.
    return jnp.floor(
        safe_divide(255.0 * (levels - low), jnp.broadcast_to(high - low, levels.shape)) + 0.5 + _HALF_STEP
    )


def _salience(levels: Float[Array, "b h w"], size: Size) -> Float[Array, "b H W"]:
    gx, gy = sobel(levels, size, padding="constant")
    return _blocks(clear(safe_sqrt(gx * gx + gy * gy) ** _EDGE_POWER, size)).sum((2, 4))


def _block_difference(
    source: Float[Array, "b h w"], fused: Float[Array, "b h w"], size: Size
) -> Float[Array, "b H W"]:
    difference = source - fused
    seen = _filtered(difference) if fills(difference, size) else _filtered_within(difference, size)
    return _blocks(seen * seen).sum((2, 4)) / _BLOCK**2


def _filtered(difference: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    height, width = difference.shape[1:]
    spectrum = jnp.fft.rfft2(difference)
    down, across = _signed(jnp.arange(height), height), jnp.arange(width // 2 + 1)
    sensitivity = _sensitivity(down, across, dtype=difference.dtype).astype(spectrum.dtype)
    return jnp.fft.irfft2(spectrum * sensitivity, s=(height, width))


def _filtered_within(difference: Float[Array, "b h w"], size: Size) -> Float[Array, "b h w"]:
    """The same by dense transforms of the images' own lengths, which a fast transform cannot take."""
    numbers = [jnp.arange(n) for n in difference.shape[1:]]
    down, across = (_transform(k, n, difference.dtype) for k, n in zip(numbers, size, strict=True))
    signed = (_signed(k, n) for k, n in zip(numbers, size, strict=True))
    product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    spectrum = product(product(down, clear(difference, size).astype(down.dtype)), across)
    spectrum = spectrum * _sensitivity(*signed, dtype=difference.dtype).astype(down.dtype)
    seen = product(product(down.conj(), spectrum), across.conj()).real
    return seen / pixels(difference, size)


def _transform(k: Int[Array, " n"], length: Length, dtype: DTypeLike) -> Complex[Array, "n n"]:
    """Matrix of the discrete Fourier transform, 0 beyond the length; the phases are exact fractions."""
    turns = ((k[:, None] * k[None]) % length).astype(dtype) / jnp.asarray(length, dtype)
    known = (k[:, None] < length) & (k[None] < length)
    angle = -2.0 * math.pi * turns
    return lax.complex(jnp.where(known, jnp.cos(angle), 0.0), jnp.where(known, jnp.sin(angle), 0.0))


def _signed(k: Int[Array, " n"], length: Length) -> Int[Array, " n"]:
    """Numbers of the frequencies from the numbers of the coefficients: the upper half is negative."""
    return jnp.where(2 * k >= length, k - length, k)


def _sensitivity(
    down: Int[Array, " h"], across: Int[Array, " w"], *, dtype: DTypeLike
) -> Float[Array, "1 h w"]:
    """Mannos-Sakrison; cycles per degree are an eighth of the image's side, the k-th frequency k / 4."""
    radius = 0.25 * jnp.hypot(down.astype(dtype)[:, None], across.astype(dtype)[None])
    return (2.6 * (0.0192 + 0.144 * radius) * jnp.exp(-((0.144 * radius) ** 1.1)))[None]


def _blocks(x: Float[Array, "b h w"]) -> Float[Array, "b H 16 W 16"]:
    rows, columns = (-(-size // _BLOCK) for size in x.shape[1:])
    padding = ((0, 0), (0, rows * _BLOCK - x.shape[1]), (0, columns * _BLOCK - x.shape[2]))
    return jnp.pad(x, padding).reshape(x.shape[0], rows, _BLOCK, columns, _BLOCK)
