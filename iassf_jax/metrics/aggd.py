"""Fits asymmetric generalised Gaussian distributions to blocks by the moments' method of NIQE.

The shape alpha is searched on the grid 0.2, 0.201, ..., 10 as in the LIVE release. The moment ratio grows
with alpha, so a binary search finds the nearest grid point; the Gamma functions come from tables.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

_GRID = (np.arange(9801) + 200) / 1000.0


class Aggd(NamedTuple):
    """Shape, scales of the two sides, and mean; NaN scales where a side has no sample."""

    alpha: Array
    left: Array
    right: Array
    mean: Array


class _Tables(NamedTuple):
    ratio: np.ndarray  # Gamma(2/a)^2 / (Gamma(1/a) Gamma(3/a)), increasing in a
    scale: np.ndarray  # sqrt(Gamma(1/a) / Gamma(3/a))
    mean: np.ndarray  # Gamma(2/a) / Gamma(1/a)


def fit_aggd(samples: Float[Array, "*n h w"]) -> Aggd:
    """Fit one distribution to each block; samples equal to 0 belong to neither side.

    Where a side has no sample the moment ratio is NaN, and alpha is the first grid point, 0.2, which is what
    MATLAB's `min` over NaN gives.
    """
    pixels = samples.shape[-2] * samples.shape[-1]
    negative, positive = samples < 0, samples > 0
    squares = samples * samples
    dtype = samples.dtype

    def total(x: Array) -> Array:
        return x.astype(dtype).sum((-2, -1))

    below, above = total(jnp.where(negative, squares, 0.0)), total(jnp.where(positive, squares, 0.0))
    left, right = jnp.sqrt(below / total(negative)), jnp.sqrt(above / total(positive))
    balance = left / right
    ratio = jnp.square(total(jnp.abs(samples)) / pixels) / ((below + above) / pixels)
    ratio = ratio * (balance**3 + 1.0) * (balance + 1.0) / jnp.square(balance**2 + 1.0)
    ratios, scales, means = (jnp.asarray(table, dtype) for table in _tables())
    nearest = _nearest(ratios, ratio)
    scale = scales[nearest]
    left, right = left * scale, right * scale
    alpha = jnp.asarray(_GRID, dtype)[nearest]
    return Aggd(alpha, left, right, (right - left) * means[nearest])


def _nearest(grid: Array, values: Array) -> Array:
    """Index of the grid point nearest to each value, the lower one in a tie; 0 for NaN."""
    above = jnp.clip(jnp.searchsorted(grid, values), 1, grid.shape[0] - 1)
    lower = values - grid[above - 1] <= grid[above] - values
    return jnp.where(jnp.isnan(values), 0, above - lower.astype(above.dtype))


@functools.cache
def _tables() -> _Tables:
    one, two, three = ([math.gamma(k / a) for a in _GRID.tolist()] for k in (1.0, 2.0, 3.0))
    first, second, third = np.asarray(one), np.asarray(two), np.asarray(three)
    return _Tables(second**2 / (first * third), np.sqrt(first / third), second / first)
