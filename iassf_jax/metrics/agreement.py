"""Correlation and squared error between the fused image and its sources."""

from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, centred, largest, mean, pixels, size_within, smallest, total

_PEAK = 48.130803608679344  # dB: 20 log10(255)


def correlation_of_differences(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_SCD = r(F - B, A) + r(F - A, B) (Aslantas and Bendes 2015), in -2..2, higher is better.

    A correlation with a constant image, 0/0 in the tool boxes, counts as 0 (F equal to one source).
    """
    size = size_within(fused, within)
    return _pearson(fused - visible, infrared, size) + _pearson(fused - infrared, visible, size)


def correlation_of_differences_uint8(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """SCD in MATLAB's saturating uint8 arithmetic: negative differences become 0. Faulty; see METRICS."""
    above_visible, above_infrared = jnp.maximum(fused - visible, 0.0), jnp.maximum(fused - infrared, 0.0)
    size = size_within(fused, within)
    return _pearson(above_visible, infrared, size) + _pearson(above_infrared, visible, size)


def correlation(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """CC = (r(A, F) + r(B, F)) / 2, in -1..1; a constant image correlates to 0."""
    size = size_within(fused, within)
    return 0.5 * (_pearson(infrared, fused, size) + _pearson(visible, fused, size))


def mean_squared_error(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Mean of the two sources' mean squared errors, on 0..1."""
    errors = jnp.square((infrared - fused) / 255.0) + jnp.square((visible - fused) / 255.0)
    return 0.5 * mean(errors, size_within(errors, within))


def peak_signal_to_noise(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """PSNR in dB of the mean of the two sources' squared errors; infinite for F = A = B."""
    return -10.0 * jnp.log10(mean_squared_error(infrared, visible, fused, within=within))


def peak_signal_to_noise_tang(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """PSNR as Tang's tool box prints it: a peak of 255 over an error on 0..1, 48.13 dB too high."""
    return peak_signal_to_noise(infrared, visible, fused, within=within) + _PEAK


def peak_signal_to_noise_tang_half(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Half of what Tang's tool box prints."""
    return 0.5 * peak_signal_to_noise_tang(infrared, visible, fused, within=within)


def peak_signal_to_noise_vifb(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """PSNR as VIFB prints it: the root of the summed squares over the pixels' number, for the mean square."""
    size = size_within(fused, within)
    roots = [jnp.sqrt(total(jnp.square(source - fused), size)) for source in (infrared, visible)]
    return -10.0 * jnp.log10((roots[0] + roots[1]) / (2.0 * pixels(fused, size))) + _PEAK


def peak_signal_to_noise_cddfuse(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """PSNR as CDDFuse prints it: the peak is the fused image's brightest level."""
    brightest = largest(fused, size_within(fused, within))[:, 0, 0] / 255.0
    error = mean_squared_error(infrared, visible, fused, within=within)
    decibels = 20.0 * jnp.log10(brightest) - 10.0 * jnp.log10(jnp.where(error > 0, error, 1.0))
    return jnp.where(error > 0, decibels, jnp.inf)


def _pearson(first: Float[Array, "b h w"], second: Float[Array, "b h w"], size: Size) -> Float[Array, " b"]:
    # The spread tells a constant image exactly; the sum of squares of its rounding errors would not.
    varies = (_spread(first, size) > 0) & (_spread(second, size) > 0)
    a, b = centred(first, size), centred(second, size)
    squares = total(a * a, size) * total(b * b, size)
    scale = jnp.sqrt(jnp.where(varies, squares, 1.0))
    return jnp.where(varies, total(a * b, size) / scale, 0.0)


def _spread(x: Float[Array, "b h w"], size: Size) -> Float[Array, " b"]:
    return (largest(x, size) - smallest(x, size))[:, 0, 0]
