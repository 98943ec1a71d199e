"""Metrics of histograms: mutual information and entropy.

They count grey levels in 256 bins, so they have no useful gradient and are not losses. Counts are integers
and exact; the logarithms are taken of ratios of counts, which keeps float32 within 1e-6 of the float64 value.
"""

from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.levels import integer_levels
from iassf_jax.metrics.windows import safe_divide

_LEVELS = 256
_LN2 = 0.6931471805599453


def mutual_information_sum(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Q_MI = MI(A;F) + MI(B;F) in nats, from joint histograms of 256x256 bins (Qu et al. 2002); >= 0."""
    return mutual_information(infrared, fused) + mutual_information(visible, fused)


def mutual_information_sum_bits(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Q_MI in bits."""
    return mutual_information_sum(infrared, visible, fused) / _LN2


def mutual_information_hossny(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Hossny's normalisation: 2 [MI(A;F) / (H(A)+H(F)) + MI(B;F) / (H(B)+H(F))], in 0..2; 0 for constants."""
    entropy_fused = _nats(fused)

    def share(source):
        return safe_divide(mutual_information(source, fused), _nats(source) + entropy_fused)

    return 2.0 * (share(infrared) + share(visible))


def mutual_information_of_sources(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """IVIF_ZOO's NMI: 2 [MI(A;F) + MI(B;F)] / (H(A) + H(B)); 0 for constant sources."""
    both = mutual_information_sum(infrared, visible, fused)
    return 2.0 * safe_divide(both, _nats(infrared) + _nats(visible))


def entropy(fused: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """EN: entropy of the grey-level histogram in bits, in 0..8."""
    return _nats(fused) / _LN2


def mutual_information(first: Float[Array, "b h w"], second: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """MI(X;Y) in nats; symmetric; 0 if one image is constant."""
    pixels = first.shape[1] * first.shape[2]
    joint = _counts(integer_levels(first) * _LEVELS + integer_levels(second), _LEVELS**2).astype(first.dtype)
    joint = joint.reshape(-1, _LEVELS, _LEVELS)
    independent = joint.sum(2, keepdims=True) * (joint.sum(1, keepdims=True) / pixels)
    present = joint > 0
    ratio = jnp.where(present, joint, 1.0) / jnp.where(present, independent, 1.0)
    # A sum of terms of both signs can end a rounding error below 0.
    return jnp.maximum((joint * jnp.log(ratio)).sum((1, 2)) / pixels, 0.0)


def _nats(levels: Array) -> Array:
    share = _counts(integer_levels(levels), _LEVELS).astype(levels.dtype) / (
        levels.shape[1] * levels.shape[2]
    )
    return -(share * jnp.log(jnp.where(share > 0, share, 1.0))).sum(1)


def _counts(bins: Array, length: int) -> Array:
    """Count the bin numbers [b h w] of each image: int32 [b length]."""
    batch = bins.shape[0]
    bins = bins.reshape(batch, -1) + length * jnp.arange(batch, dtype=jnp.int32)[:, None]
    empty = jnp.zeros(batch * length, jnp.int32)
    return empty.at[bins.ravel()].add(1, mode="promise_in_bounds").reshape(batch, length)
