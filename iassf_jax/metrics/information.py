"""Metrics of histograms: mutual information and entropy.

They count grey levels in 256 bins, so they have no useful gradient and are not losses. Counts are integers
and exact; the logarithms are taken of ratios of counts, which keeps float32 within 1e-6 of the float64 value.
"""

from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, inside, pixels, size_within
from iassf_jax.metrics.levels import integer_levels
from iassf_jax.metrics.windows import safe_divide

_LEVELS = 256
_LN2 = 0.6931471805599453


def mutual_information_sum(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_MI = MI(A;F) + MI(B;F) in nats, from joint histograms of 256x256 bins (Qu et al. 2002); >= 0."""
    first, second = (mutual_information(source, fused, within=within) for source in (infrared, visible))
    return first + second


def mutual_information_sum_bits(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_MI in bits."""
    return mutual_information_sum(infrared, visible, fused, within=within) / _LN2


def mutual_information_sum_uint8(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_MI in bits by a tool box whose uint8 index saturates: in the joint histogram alone, 255 is 254."""
    size = size_within(fused, within)
    folded = [jnp.minimum(x, 254.0) for x in (infrared, visible, fused)]
    shared = mutual_information_sum(*folded, within=within)
    lost = [_lost_by_folding(x, size) for x in (infrared, visible, fused)]
    return (shared + lost[0] + lost[1] + 2.0 * lost[2]) / _LN2


def mutual_information_hossny(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Hossny's normalisation: 2 [MI(A;F) / (H(A)+H(F)) + MI(B;F) / (H(B)+H(F))], in 0..2; 0 for constants."""
    size = size_within(fused, within)
    entropy_fused = _nats(fused, size)

    def share(source):
        both = mutual_information(source, fused, within=within)
        return safe_divide(both, _nats(source, size) + entropy_fused)

    return 2.0 * (share(infrared) + share(visible))


def mutual_information_of_sources(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """IVIF_ZOO's NMI: 2 [MI(A;F) + MI(B;F)] / (H(A) + H(B)); 0 for constant sources."""
    size = size_within(fused, within)
    both = mutual_information_sum(infrared, visible, fused, within=within)
    return 2.0 * safe_divide(both, _nats(infrared, size) + _nats(visible, size))


def entropy(fused: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, " b"]:
    """EN: entropy of the grey-level histogram in bits, in 0..8."""
    return _nats(fused, size_within(fused, within)) / _LN2


def mutual_information(
    first: Float[Array, "b h w"], second: Float[Array, "b h w"], *, within: Size | None = None
) -> Float[Array, " b"]:
    """MI(X;Y) in nats; symmetric; 0 if one image is constant."""
    size = size_within(first, within)
    number = pixels(first, size)
    bins = integer_levels(first) * _LEVELS + integer_levels(second)
    joint = _counts(bins, _LEVELS**2, size).astype(first.dtype)
    joint = joint.reshape(-1, _LEVELS, _LEVELS)
    independent = joint.sum(2, keepdims=True) * (joint.sum(1, keepdims=True) / number)
    present = joint > 0
    ratio = jnp.where(present, joint, 1.0) / jnp.where(present, independent, 1.0)
    # A sum of terms of both signs can end a rounding error below 0.
    return jnp.maximum((joint * jnp.log(ratio)).sum((1, 2)) / number, 0.0)


def _nats(levels: Array, size: Size) -> Array:
    share = _counts(integer_levels(levels), _LEVELS, size).astype(levels.dtype) / pixels(levels, size)
    return -(share * jnp.log(jnp.where(share > 0, share, 1.0))).sum(1)


def _lost_by_folding(levels: Array, size: Size) -> Array:
    """Entropy in nats by which the histogram exceeds the one in which 255 counts as 254."""
    counts = _counts(integer_levels(levels), _LEVELS, size)[:, -2:].astype(levels.dtype)
    ratio = counts.sum(1, keepdims=True) / jnp.where(counts > 0, counts, 1.0)
    return (counts * jnp.log(jnp.where(counts > 0, ratio, 1.0))).sum(1) / pixels(levels, size)


def _counts(bins: Array, length: int, size: Size) -> Array:
    """Count the bin numbers [b h w] of each image: int32 [b length]."""
    batch = bins.shape[0]
    counted = jnp.broadcast_to(inside(bins, size), bins.shape).astype(jnp.int32).ravel()
    bins = bins.reshape(batch, -1) + length * jnp.arange(batch, dtype=jnp.int32)[:, None]
    empty = jnp.zeros(batch * length, jnp.int32)
    return empty.at[bins.ravel()].add(counted, mode="promise_in_bounds").reshape(batch, length)
