"""Sliding Gaussian windows: means, variances and covariances without cancellation, edge filters, safe roots.

The textbook E[x^2] - E[x]^2 loses most digits of a small variance in float32. Here every window subtracts its
own mean before squaring, one axis at a time (law of total variance: the variance over a square is the mean of
the rows' variances plus the variance of the rows' means), at the same number of operations. Windows are sums
of shifted slices, which XLA fuses into single loops. A constant window has variance exactly 0.
"""

from collections.abc import Sequence

import numpy as np
from jax import lax
from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, padded

Pairs = Sequence[tuple[int, int]]


def gaussian(size: int, sigma: float) -> tuple[float, ...]:
    """Return the weights of a one-dimensional Gaussian window of odd `size`; they sum to 1."""
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets**2) / (2.0 * sigma**2))
    return tuple((weights / weights.sum()).tolist())


def window_means(
    images: Sequence[Float[Array, "b h w"]], weights: Sequence[float]
) -> list[Float[Array, "b H W"]]:
    """Return the images' weighted means over every square window inside them (separable, odd size)."""
    means = list(images)
    for axis in (2, 1):
        means = lax.optimization_barrier([_mean_along(x, weights, axis) for x in means])
    return means


def window_moments(
    images: Sequence[Float[Array, "b h w"]], pairs: Pairs, weights: Sequence[float], *, stored: bool = False
) -> tuple[list[Float[Array, "b H W"]], list[Float[Array, "b H W"]]]:
    """Return the images' means and the covariances of `pairs` over every square window inside the image.

    Args:
      images: of equal shape.
      pairs: indices into `images`; (i, i) gives the variance of image i.
      weights: of the one-dimensional window, odd in number, with sum 1.
      stored: the covariances leave a loop, so that XLA stores them. Wanted where each is used once, in a sum:
        fused into the sum they take four times as long on a CPU.
    """
    inputs, inner = lax.optimization_barrier(list(images)), None
    for axis in (2, 1):
        # Without the barriers XLA fuses the means into every tap that uses them and computes them again.
        means = lax.optimization_barrier([_mean_along(x, weights, axis) for x in inputs])
        operands = [
            (inputs[a], inputs[b], means[a], means[b], *([] if inner is None else [inner[k]]))
            for k, (a, b) in enumerate(pairs)
        ]
        if stored and axis == 1:
            stacks = tuple(jnp.stack(column) for column in zip(*operands, strict=True))
            moments = list(lax.map(lambda xs: _moment_along(xs, weights, 1), stacks))
        else:
            moments = lax.optimization_barrier([_moment_along(xs, weights, axis) for xs in operands])
        inputs, inner = means, moments
    return means, moments


def sobel(
    x: Float[Array, "b h w"], size: Size, *, padding: str
) -> tuple[Float[Array, "b h w"], Float[Array, "b h w"]]:
    """Return the responses to [-1 0 1; -2 0 2; -1 0 1] and [1 2 1; 0 0 0; -1 -2 -1] (correlation).

    Args:
      x: images.
      size: of the images in `x`.
      padding: "constant" (zeros), "reflect" (mirrored without the edge) or "edge" (the edge repeated).
    """
    border = padded(x, 1, padding, size)
    height, width = x.shape[1:]
    columns = [border[:, :, i : i + width] for i in range(3)]
    rows = [border[:, i : i + height] for i in range(3)]
    across = columns[2] - columns[0]
    down = rows[0] - rows[2]
    gx = across[:, :height] + 2.0 * across[:, 1 : height + 1] + across[:, 2:]
    gy = down[:, :, :width] + 2.0 * down[:, :, 1 : width + 1] + down[:, :, 2:]
    return gx, gy


def safe_sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Square root whose gradient at 0 is 0 instead of infinite."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def safe_divide(numerator: Float[Array, "..."], denominator: Float[Array, "..."]) -> Float[Array, "..."]:
    """Quotient; 0, with gradient 0, where the denominator is 0."""
    nonzero = denominator != 0
    return jnp.where(nonzero, numerator / jnp.where(nonzero, denominator, 1.0), 0.0)


def _mean_along(x: Array, weights: Sequence[float], axis: int) -> Array:
    """Weighted mean as the middle pixel plus weighted differences: exact where the window is constant."""
    middle, length = len(weights) // 2, x.shape[axis] - len(weights) + 1
    centre = _shifted(x, middle, length, axis)
    total = centre
    for i, weight in enumerate(weights):
        if i != middle:
            total = total + weight * (_shifted(x, i, length, axis) - centre)
    return total


def _moment_along(operands: tuple[Array, ...], weights: Sequence[float], axis: int) -> Array:
    """Covariance along one axis of two images with their means; to it the mean of their inner covariances."""
    first, second, mean_first, mean_second, *inner = operands
    length = mean_first.shape[axis]
    total = jnp.zeros_like(mean_first)
    for i, weight in enumerate(weights):
        offset = _shifted(first, i, length, axis) - mean_first
        value = offset * (_shifted(second, i, length, axis) - mean_second)
        for covariance in inner:
            value = value + _shifted(covariance, i, length, axis)
        total = total + weight * value
    return total


def _shifted(x: Array, start: int, length: int, axis: int) -> Array:
    return lax.slice_in_dim(x, start, start + length, axis=axis)
