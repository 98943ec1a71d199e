"""Smooth noise over a frame in several octaves, for pseudo-depth and for patchy haze."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

CELLS = (
    2,
    3,
    5,
    8,
)  # of each octave along the height and along the width; few common lines, so no grid shows
GAIN = 0.6  # amplitude of an octave over that of the one before


def smooth_noise(
    keys: Key[Array, " b"], rows: Float[Array, "b h"], columns: Float[Array, "b w"]
) -> Float[Array, "b h w 1"]:
    """Return noise of mean 0 and deviation about 1, one field for each key.

    Args:
      keys: one for each example.
      rows, columns: where to sample, as shares of the frame's height and width in [0,1].
    """
    ends = list(itertools.accumulate((cells + 1) ** 2 for cells in CELLS))
    draw = jax.vmap(lambda key: jax.random.uniform(key, (ends[-1],), jnp.float32, -1.0, 1.0))
    grids = jnp.split(draw(keys), ends[:-1], axis=1)
    octaves = [
        gain * _interpolate(grid.reshape(-1, cells + 1, cells + 1), rows, columns)
        for grid, cells, gain in zip(grids, CELLS, _AMPLITUDES, strict=True)
    ]
    return sum(octaves[1:], start=octaves[0])[..., None]


def _interpolate(
    grid: Float[Array, "b n n"], rows: Float[Array, "b h"], columns: Float[Array, "b w"]
) -> Float[Array, "b h w"]:
    cells = grid.shape[1] - 1
    return jnp.einsum(
        "bhi,bij,bwj->bhw",
        _weights(rows, cells),
        grid,
        _weights(columns, cells),
        precision=lax.Precision.HIGHEST,
    )


def _weights(positions: Float[Array, "b n"], cells: int) -> Float[Array, "b n k"]:
    """Share of every grid line in every position: the two nearest ones, blended along a smooth step."""
    distance = jnp.abs(positions[:, :, None] * cells - jnp.arange(cells + 1.0)[None, None, :])
    near = jnp.maximum(1.0 - distance, 0.0)
    return near * near * (3.0 - 2.0 * near)


def _amplitudes() -> list[float]:
    """Grid values have variance 1/3. Between grid lines the blend averages them: the mean over all positions
    of the sum of the squared weights is 26/35 along each axis.
    """
    gains = GAIN ** np.arange(len(CELLS))
    return list(map(float, gains / np.sqrt((gains**2).sum() / 3 * (26 / 35) ** 2)))


_AMPLITUDES = _amplitudes()
