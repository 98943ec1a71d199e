"""The haze of the hazy MSRS images that IASSF's authors released, and a fit of its three numbers to a pair.

With the clear image J in [0,1] of H x W pixels, column x and row y counted from 0,

    t(x, y) = exp(-k (1 + c sin(2 pi (x + y) / (W + H))))
    h       = J t + A (1 - t)
    stored  = floor(255 (h / 2 + 1 / 2))

The formula was recovered from the released pairs. There is no scene depth in it, the airlight A is grey, and
no stored value is below 127. The files were truncated, not rounded: with rounding, at best 95 % of the values
agree; with truncation 99.7 % do, and what is left lies within 0.29 grey levels, which is rounding alone.
"""

import dataclasses
import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from iassf_jax.ops import scatter

OFFSET = 127 / 255  # what black would be stored as
# A fit starts from the best point of a grid over what the released images hold, with room around it.
_GRID_K = np.linspace(0.02, 1.5, 38)
_GRID_C = np.linspace(0.2, 0.8, 13)
_LIMITS = ((1e-4, -1.0, -1.0), (4.0, 2.0, 2.0))  # of (k, c, A): far outside of any haze, short of overflow
_ITERATIONS = 30
_HALVINGS = 12
_TOLERANCE = 1e-12  # relative fall of the squares below which a fit has converged


def wave_distance(
    rows: Float[Array, "b h 1 1"],
    columns: Float[Array, "b 1 w 1"],
    modulation: Float[Array, "b 1 1 1"],
    *,
    frame: tuple[int, int],
) -> Float[Array, "b h w 1"]:
    """Return 1 + c sin(2 pi (x + y) / (W + H)) at pixel coordinates of a frame of (H, W) pixels."""
    phase = (rows + columns) * (2 * math.pi / sum(frame))
    return 1 + modulation * jnp.sin(phase)


def squeeze(hazy: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """Return h / 2 + 127 / 255, whose 8-bit rounding is what the released files hold: 127 up to 254.

    floor(127.5 h + 127.5) is round(127.5 h + 127), so these files are rounded like all others.
    """
    return 0.5 * hazy + OFFSET


def released_haze(
    clear: Float[Array, "b h w 3"],
    density: Float[Array, " b"],
    modulation: Float[Array, " b"],
    airlight: Float[Array, " b"],
) -> Float[Array, "b h w 3"]:
    """Return what a released hazy file holds, before it is rounded, as values in [0,1].

    Args:
      clear: whole clear images in [0,1].
      density: k, the mean optical depth.
      modulation: c, how much it varies along the diagonal.
      airlight: A, grey.
    """
    height, width = clear.shape[1:3]
    rows = jnp.arange(height, dtype=jnp.float32)[None, :, None, None]
    columns = jnp.arange(width, dtype=jnp.float32)[None, None, :, None]
    k, c, a = (value[:, None, None, None] for value in (density, modulation, airlight))
    rows, columns = (jnp.tile(x, (clear.shape[0], 1, 1, 1)) for x in (rows, columns))
    transmission = jnp.exp(-k * wave_distance(rows, columns, c, frame=(height, width)))
    return squeeze(scatter(clear, transmission, a))


@dataclasses.dataclass(frozen=True)
class ReleasedFit:
    """The haze of one released pair."""

    density: float  # k
    modulation: float  # c
    airlight: float  # A
    residual: float  # root mean square of stored minus unrounded values, grey levels; 0.29 is rounding alone


def fit_released(clear: UInt8[np.ndarray, "h w 3"], hazy: UInt8[np.ndarray, "h w 3"]) -> ReleasedFit:
    """Return the (k, c, A) that bring `released_haze` of the clear file closest to the hazy file.

    Least squares by Gauss-Newton. All pixels of one diagonal x + y share their transmission, so five sums for
    each diagonal are all that the fit needs of the images. Where k is near 0, c and A say little.

    Raises:
      ValueError: the images differ in size.
    """
    if clear.shape != hazy.shape:
        raise ValueError(f"the clear image is {clear.shape} but the hazy one is {hazy.shape}: give a pair")
    sums = _diagonal_sums(clear / 255.0, (hazy - 127.0) / 127.5)
    k, c = (grid.ravel() for grid in np.meshgrid(_GRID_K, _GRID_C, indexing="ij"))
    grid = np.stack([k, c, _best_airlight(sums, k, c)], axis=1)
    start = grid[_squares(sums, grid).argmin()]
    best, total = _gauss_newton(sums, start)
    residual = 127.5 * math.sqrt(max(total, 0.0) / clear.size)
    return ReleasedFit(float(best[0]), float(best[1]), float(best[2]), residual)


class _Diagonals(NamedTuple):
    """Sums over the pixels of each diagonal; u is the hazy image back in [0,1], J the clear one."""

    sine: np.ndarray  # sin of the diagonal's phase
    n: np.ndarray
    j: np.ndarray
    u: np.ndarray
    jj: np.ndarray
    uj: np.ndarray
    uu: np.ndarray


def _diagonal_sums(clear: Float[np.ndarray, "h w 3"], hazy: Float[np.ndarray, "h w 3"]) -> _Diagonals:
    height, width = clear.shape[:2]
    index = (np.arange(height)[:, None] + np.arange(width)).ravel()
    phases = np.arange(height + width - 1) * (2 * math.pi / (height + width))
    products = (np.ones_like(clear), clear, hazy, clear * clear, hazy * clear, hazy * hazy)
    return _Diagonals(np.sin(phases), *(np.bincount(index, p.sum(axis=2).ravel()) for p in products))


def _transmission(
    sums: _Diagonals, k: Float[np.ndarray, " n"], c: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n d"]:
    return np.exp(-k[:, None] * (1 + c[:, None] * sums.sine[None, :]))


def _squares(sums: _Diagonals, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
    """Sum of (u - J t - A (1 - t))^2 over all pixels, for each (k, c, A)."""
    t = _transmission(sums, points[:, 0], points[:, 1])
    v = points[:, 2, None] * (1 - t)
    terms = sums.uu + t * t * sums.jj + v * v * sums.n + 2 * (t * v * sums.j - t * sums.uj - v * sums.u)
    return terms.sum(axis=1)


def _best_airlight(
    sums: _Diagonals, k: Float[np.ndarray, " n"], c: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """The A that minimises the squares for given k and c: linear least squares."""
    t = _transmission(sums, k, c)
    return ((1 - t) * (sums.u - t * sums.j)).sum(axis=1) / ((1 - t) ** 2 * sums.n).sum(axis=1)


def _gauss_newton(sums: _Diagonals, start: Float[np.ndarray, " 3"]) -> tuple[Float[np.ndarray, " 3"], float]:
    """Minimise the squares over (k, c, A); a step that does not lower them is halved."""
    best, least = start, float(_squares(sums, start[None])[0])
    for _ in range(_ITERATIONS):
        steps = 0.5 ** np.arange(_HALVINGS)
        trials = np.clip(best + steps[:, None] * _newton_step(sums, best), *_LIMITS)
        values = _squares(sums, trials)
        lower = np.flatnonzero(values < least * (1 - _TOLERANCE))
        if not lower.size:
            break
        best, least = trials[lower[0]], float(values[lower[0]])
    return best, least


def _newton_step(sums: _Diagonals, point: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """Solve the normal equations of the residual r = (u - A) - (J - A) t."""
    k, c, a = point
    t = _transmission(sums, point[:1], point[1:2])[0]
    x = sums.j - a * sums.n  # sum of J - A
    xx = sums.jj - 2 * a * sums.j + a * a * sums.n  # sum of (J - A)^2
    rx = sums.uj - a * (sums.u + sums.j) + a * a * sums.n - t * xx  # sum of r (J - A)
    r = sums.u - a * sums.n - t * x
    # dr/dk = (J - A) dk, dr/dc = (J - A) dc, dr/dA = -da
    dk, dc, da = t * (1 + c * sums.sine), t * k * sums.sine, 1 - t
    normal = np.array(
        [
            [(dk * dk * xx).sum(), (dk * dc * xx).sum(), -(dk * da * x).sum()],
            [(dk * dc * xx).sum(), (dc * dc * xx).sum(), -(dc * da * x).sum()],
            [-(dk * da * x).sum(), -(dc * da * x).sum(), (da * da * sums.n).sum()],
        ]
    )
    gradient = np.array([(dk * rx).sum(), (dc * rx).sum(), -(da * r).sum()])
    return -np.linalg.lstsq(normal, gradient, rcond=None)[0]
