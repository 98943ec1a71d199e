"""Feature mutual information (Haghighat, Aghagolzadeh and Seyedarabi 2011; Fast-FMI 2014).

A 3x3 window of a feature, brought to [0,1] and divided by its sum, is read as a distribution over the nine
positions, column by column. The joint distribution of two windows is not counted but constructed: between
independence and the coupling that Frechet's bound gives, at the weight that yields the Pearson correlation of
the two windows. Where the correlation is negative the lower bound applies, which is the upper bound with one
window read backwards.
"""

import math

from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, DTypeLike, Float

from iassf_jax.metrics.canvas import Length, Size, central_differences, clear, mean, size_within
from iassf_jax.metrics.windows import safe_divide, safe_sqrt

SMALLEST_SIDE = 3  # pixels, the window
_POSITIONS = 9


def pixel_information(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """FMI of grey levels: mean over 3x3 windows and both sources of 2 MI / (H + H); 1 for equal windows.

    0 where a window is constant; the authors' program decides there by rounding errors.
    """
    size = size_within(fused, within).windows(3)
    shared = [_shared(_windows(source), _windows(fused), size) for source in (infrared, visible)]
    return 0.5 * (shared[0] + shared[1])


def gradient_information(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """FMI of the horizontal derivative (central differences, one-sided at the edges), as `fmi_pixel`."""
    size = size_within(fused, within)
    derivatives = (central_differences(x, 2, size) for x in (infrared, visible, fused))
    return pixel_information(*derivatives, within=within)


def dct_information(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """FMI of the discrete cosine transform of the whole image, as `fmi_pixel`."""
    size = size_within(fused, within)
    transforms = (_cosine_transform(x, size) for x in (infrared, visible, fused))
    return pixel_information(*transforms, within=within)


def _cosine_transform(x: Float[Array, "b h w"], size: Size) -> Float[Array, "b h w"]:
    rows, columns = (_cosines(n, length, x.dtype) for n, length in zip(x.shape[1:], size, strict=True))
    return jnp.einsum("kh,bhw,lw->bkl", rows, clear(x, size), columns, precision=lax.Precision.HIGHEST)


def _cosines(number: int, length: Length, dtype: DTypeLike) -> Float[Array, "n n"]:
    """Orthonormal cosines of `length` positions in a matrix [number, number]."""
    frequency, position = jnp.arange(number)[:, None], jnp.arange(number)[None]
    real_length = jnp.asarray(length, dtype)
    # Whole turns are dropped while the phase is an integer, so that float32 loses nothing in large images.
    phase = ((frequency * (2 * position + 1)) % (4 * length)).astype(dtype) / (2.0 * real_length)
    scale = jnp.sqrt(jnp.where(frequency == 0, 1.0, 2.0).astype(dtype) / real_length)
    return jnp.where(position < length, scale * jnp.cos(math.pi * phase), 0.0)


def _windows(x: Float[Array, "b h w"]) -> Float[Array, "9 b H W"]:
    height, width = x.shape[1] - 2, x.shape[2] - 2
    return jnp.stack([x[:, i : i + height, j : j + width] for j in range(3) for i in range(3)])


def _shared(
    first: Float[Array, "9 b h w"], second: Float[Array, "9 b h w"], size: Size
) -> Float[Array, " b"]:
    """Mean over the windows of the mutual information's share of the entropies."""
    p, q = _distribution(first), _distribution(second)
    correlation = _correlation(p, q)
    p = jnp.where((correlation < 0)[None], p[::-1], p)
    weight = _weight(p, q, jnp.abs(correlation))
    marginal = _entropy_terms(p).sum(0) + _entropy_terms(q).sum(0)
    share = 2.0 * safe_divide(marginal - _joint_entropy(p, q, weight), marginal)
    return mean(jnp.where((first == second).all(0), 1.0, share), size)


def _distribution(windows: Float[Array, "9 b h w"]) -> Float[Array, "9 b h w"]:
    low, high = windows.min(0, keepdims=True), windows.max(0, keepdims=True)
    flat = high == low
    raised = jnp.where(flat, 1.0, windows - low)
    return raised / raised.sum(0, keepdims=True)


def _correlation(p: Float[Array, "9 b h w"], q: Float[Array, "9 b h w"]) -> Float[Array, "b h w"]:
    """Pearson's; 0 where a distribution is uniform, which comes of a flat window."""
    p, q = ((x - 1.0 / _POSITIONS) * (x.max(0) > x.min(0))[None].astype(x.dtype) for x in (p, q))
    return safe_divide((p * q).sum(0), safe_sqrt((p * p).sum(0) * (q * q).sum(0)))


def _weight(
    p: Float[Array, "9 b h w"], q: Float[Array, "9 b h w"], correlation: Float[Array, "b h w"]
) -> Float[Array, "b h w"]:
    """How much of Frechet's coupling gives this correlation of the positions; 0 for a single position."""
    positions = jnp.arange(_POSITIONS, dtype=p.dtype)[:, None, None, None]
    from_p, from_q = (positions - (positions * x).sum(0, keepdims=True) for x in (p, q))
    spread = safe_sqrt((from_p**2 * p).sum(0) * (from_q**2 * q).sum(0))

    def add(i: Array, total: Array) -> Array:
        return total + from_p[i] * (from_q * _coupled(p, q, i)).sum(0)

    covariance = lax.fori_loop(0, _POSITIONS, add, jnp.zeros_like(spread))
    return safe_divide(correlation * spread, jnp.where(spread > 0, covariance, 0.0))


def _joint_entropy(
    p: Float[Array, "9 b h w"], q: Float[Array, "9 b h w"], weight: Float[Array, "b h w"]
) -> Float[Array, "b h w"]:
    def add(i: Array, total: Array) -> Array:
        joint = weight[None] * _coupled(p, q, i) + (1.0 - weight)[None] * (p[i][None] * q)
        return total + _entropy_terms(joint).sum(0)

    return lax.fori_loop(0, _POSITIONS, add, jnp.zeros_like(weight))


def _coupled(p: Float[Array, "9 b h w"], q: Float[Array, "9 b h w"], i: Array) -> Float[Array, "9 b h w"]:
    """Row i of the coupling that orders both alike: how far the intervals of their sums overlap."""
    p_above, q_above = jnp.cumsum(p, 0), jnp.cumsum(q, 0)
    upper = jnp.minimum(p_above[i][None], q_above)
    lower = jnp.maximum((p_above[i] - p[i])[None], q_above - q)
    return jnp.maximum(upper - lower, 0.0)


def _entropy_terms(p: Array) -> Array:
    """-p log |p|, 0 for 0: a weight above 1 makes negative entries, of which the real part counts."""
    return -p * jnp.log(jnp.where(p == 0, 1.0, jnp.abs(p)))
