"""Correlation and squared error between the fused image and its sources."""

from jax import numpy as jnp
from jaxtyping import Array, Float


def correlation_of_differences(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Q_SCD = r(F - B, A) + r(F - A, B) (Aslantas and Bendes 2015), in -2..2, higher is better.

    A correlation with a constant image, 0/0 in the tool boxes, counts as 0 (F equal to one source).
    """
    return _pearson(fused - visible, infrared) + _pearson(fused - infrared, visible)


def correlation_of_differences_uint8(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """SCD in MATLAB's saturating uint8 arithmetic: negative differences become 0. Faulty; see METRICS."""
    above_visible, above_infrared = jnp.maximum(fused - visible, 0.0), jnp.maximum(fused - infrared, 0.0)
    return _pearson(above_visible, infrared) + _pearson(above_infrared, visible)


def correlation(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """CC = (r(A, F) + r(B, F)) / 2, in -1..1; a constant image correlates to 0."""
    return 0.5 * (_pearson(infrared, fused) + _pearson(visible, fused))


def mean_squared_error(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Mean of the two sources' mean squared errors, on 0..1."""
    errors = jnp.square((infrared - fused) / 255.0) + jnp.square((visible - fused) / 255.0)
    return 0.5 * errors.mean((1, 2))


def peak_signal_to_noise(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """PSNR in dB of the mean of the two sources' squared errors; infinite for F = A = B."""
    return -10.0 * jnp.log10(mean_squared_error(infrared, visible, fused))


def peak_signal_to_noise_tang(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """PSNR as Tang's tool box prints it: a peak of 255 over an error on 0..1, 48.13 dB too high."""
    return peak_signal_to_noise(infrared, visible, fused) + 48.130803608679344


def peak_signal_to_noise_tang_half(
    infrared: Float[Array, "b h w"], visible: Float[Array, "b h w"], fused: Float[Array, "b h w"]
) -> Float[Array, " b"]:
    """Half of what Tang's tool box prints."""
    return 0.5 * peak_signal_to_noise_tang(infrared, visible, fused)


def _pearson(first: Float[Array, "b h w"], second: Float[Array, "b h w"]) -> Float[Array, " b"]:
    # The spread tells a constant image exactly; the sum of squares of its rounding errors would not.
    varies = (_spread(first) > 0) & (_spread(second) > 0)
    a, b = (x - x.mean((1, 2), keepdims=True) for x in (first, second))
    squares = (a * a).sum((1, 2)) * (b * b).sum((1, 2))
    scale = jnp.sqrt(jnp.where(varies, squares, 1.0))
    return jnp.where(varies, (a * b).sum((1, 2)) / scale, 0.0)


def _spread(x: Float[Array, "b h w"]) -> Float[Array, " b"]:
    return x.max((1, 2)) - x.min((1, 2))
