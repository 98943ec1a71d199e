"""Visual information fidelity: pixel-domain VIF (Sheikh and Bovik 2006) and VIFF (Han et al. 2013)."""

from collections.abc import Iterator
from typing import NamedTuple

from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, size_within, total
from iassf_jax.metrics.windows import gaussian, window_means, window_moments

SMALLEST_SIDE = 41  # pixels: the coarsest of the four scales is then a single window
_SIZES = (17, 9, 5, 3)  # window of each scale, sigma = size / 5
_TINY = 1e-10
_NOISE_VIF = 2.0  # variance, grey levels squared
_NOISE_VIFF = 0.005 * 255.0**2
_VIFF_WEIGHTS = (1.0, 0.0, 0.15, 1.0)  # of the scales, before division by their sum
_VIFF_STABILISER = 1e-7 * 2.302585092994046  # 1e-7 in the decimal logarithms of its definition


class _Channel(NamedTuple):
    """The distortion channel of one source at one scale: variance of the source, gain and added noise."""

    source: Array
    gain: Array
    noise: Array


def information_fidelity(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_VIF: mean of the pixel-domain VIF of the fused image with respect to the two sources; >= 0.

    A source without any detail has no information to lose: its VIF counts as 1.
    """
    return 0.5 * _vif_sum(infrared, visible, fused, size_within(fused, within), saturate=False)


def information_fidelity_sum(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """The sum instead of the mean: "VIF" of Tang's tool box and IVIF_ZOO, "VIFF" of CDDFuse."""
    return _vif_sum(infrared, visible, fused, size_within(fused, within), saturate=False)


def information_fidelity_uint8(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_VIF with products that saturate at 255 at the finest scale, as uint8 in MATLAB; faulty."""
    return 0.5 * _vif_sum(infrared, visible, fused, size_within(fused, within), saturate=True)


def fusion_fidelity(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """VIFF of Han et al. (2013): at every pixel the source with the smaller gain (the visible in a tie).

    Noise variance 325.125, weights of the four scales 1, 0, 0.15, 1 over 2.15. Can exceed 1.
    """
    fidelity = jnp.zeros(fused.shape[0], fused.dtype)
    scales = _channels(infrared, visible, fused, size_within(fused, within))
    for weight, (first, second, size) in zip(_VIFF_WEIGHTS, scales, strict=True):
        if weight == 0:
            continue
        take_first = first.gain < second.gain
        gain, noise, source = (
            jnp.where(take_first, a, b)
            for a, b in (
                (first.gain, second.gain),
                (first.noise, second.noise),
                (first.source, second.source),
            )
        )
        kept = jnp.log1p(gain * gain * source / (noise + _NOISE_VIFF)) + _VIFF_STABILISER
        present = jnp.log1p(source / _NOISE_VIFF) + _VIFF_STABILISER
        fidelity = fidelity + weight * total(kept, size) / total(present, size)
    return fidelity / sum(_VIFF_WEIGHTS)


def _vif_sum(infrared: Array, visible: Array, fused: Array, size: Size, *, saturate: bool) -> Array:
    kept = [jnp.zeros(fused.shape[0], fused.dtype)] * 2
    present = list(kept)
    for *channels, inner in _channels(infrared, visible, fused, size, saturate=saturate):
        for i, channel in enumerate(channels):
            gained = channel.gain * channel.gain * channel.source
            kept[i] = kept[i] + total(jnp.log1p(gained / (channel.noise + _NOISE_VIF)), inner)
            present[i] = present[i] + total(jnp.log1p(channel.source / _NOISE_VIF), inner)
    return sum(
        (jnp.where(p > 0, k / jnp.where(p > 0, p, 1.0), 1.0) for k, p in zip(kept, present, strict=True)),
        start=jnp.zeros_like(kept[0]),
    )


def _channels(
    infrared: Array, visible: Array, fused: Array, size: Size, *, saturate: bool = False
) -> Iterator[tuple[_Channel, _Channel, Size]]:
    """Yield the channels of the infrared and the visible source and their size, finest scale first."""
    images = [infrared, visible, fused]
    for scale, side in enumerate(_SIZES):
        weights = gaussian(side, side / 5)
        if scale > 0:
            images = [mean[:, ::2, ::2] for mean in window_means(images, weights)]
            size = size.windows(side).halved()
        moments = _saturated_moments if saturate and scale == 0 else _moments
        first, second, target, cross_first, cross_second = moments(images, weights)
        channels = _channel(first, target, cross_first), _channel(second, target, cross_second)
        yield *channels, size.windows(side)


_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 2), (1, 2))


def _moments(images: list[Array], weights: tuple[float, ...]) -> list[Array]:
    """Variances of infrared, visible and fused, then the covariances of the sources with the fused image."""
    return window_moments(images, _PAIRS, weights)[1]


def _saturated_moments(images: list[Array], weights: tuple[float, ...]) -> list[Array]:
    means = window_means(images, weights)
    products = window_means([jnp.minimum(images[i] * images[j], 255.0) for i, j in _PAIRS], weights)
    moments = [product - means[i] * means[j] for product, (i, j) in zip(products, _PAIRS, strict=True)]
    return [jnp.maximum(moment, 0.0) for moment in moments[:3]] + moments[3:]


def _channel(source: Array, target: Array, cross: Array) -> _Channel:
    """Gain and noise of target = gain * source + noise, with the reference code's corrections in order."""
    gain = cross / (source + _TINY)
    noise = target - gain * cross
    flat_source, flat_target = source < _TINY, target < _TINY
    gain = jnp.where(flat_source, 0.0, gain)
    noise = jnp.where(flat_source, target, noise)
    source = jnp.where(flat_source, 0.0, source)
    gain = jnp.where(flat_target, 0.0, gain)
    noise = jnp.where(flat_target, 0.0, noise)
    noise = jnp.where(gain < 0, target, noise)
    gain = jnp.maximum(gain, 0.0)
    return _Channel(source, gain, jnp.maximum(noise, _TINY))
