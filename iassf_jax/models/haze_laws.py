"""Hazes that follow a law of three numbers, recognised in what a network restored.

A network finds the gain and the offset of every window on its own, and errs in each. Where the haze of a
whole image follows from three numbers, these are fitted to all windows at once and the errors cancel; then
the law is inverted exactly. An image whose restoration no law explains is left to the network.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from iassf_jax.core.errors import ConfigError

_GRID = (33, 9)  # values of k and c that are tried at once
_ZOOMS = 3  # times that the grid is made finer around the best point
_DAMPING = 1e-6  # of the last step, for numbers that are not free or, where k is near 0, say nothing
_EDGE = 1e-4  # distance from a limit up to which a number is at it
_NARROWER = 0.2  # the finer grid's sides, of the one before


class HazeLaw(NamedTuple):
    """hazy = squeeze * (J t + A (1 - t)) + base with t = exp(-k (1 + c sin(2 pi (x + y) / (W + H)))).

    The numbers are (k, c, A): optical depth, modulation, grey airlight.
    """

    lowest: tuple[float, float, float]
    highest: tuple[float, float, float]
    squeeze: float
    base: float
    certain: float  # mean difference between the law's and the network's image up to which the law is taken
    refused: float  # and from which on it is not; between the two they are mixed


HAZE_LAWS: dict[str, HazeLaw] = {
    # An even veil; with k = 0 there is none, and the image stays exactly what it is.
    "flat": HazeLaw((0.0, 0.0, 0.5), (2.0, 0.0, 1.05), 1.0, 0.0, certain=0.02, refused=0.03),
    # The hazy MSRS files of IASSF's authors, whose k, c and A lie in [0, 1.26], [0.4, 0.6] and [0.26, 0.6].
    "wave": HazeLaw((0.0, 0.38, 0.24), (1.35, 0.62, 0.62), 0.5, 127 / 255, certain=0.06, refused=0.08),
}


def check_laws(names: tuple[str, ...]) -> None:
    """Raise ConfigError for a name that is not in `HAZE_LAWS`."""
    for name in names:
        if name not in HAZE_LAWS:
            raise ConfigError(f"haze_laws has {name!r}; there are {', '.join(HAZE_LAWS)}")


class Explanation(NamedTuple):
    """What the best law makes of each image of a batch."""

    gain: Float[Array, "*b H W 1"]
    offset: Float[Array, "*b H W 1"]  # J = gain * hazy + offset
    trust: Float[Array, "*b 1 1 1"]  # 1 where the law explains the restored image, 0 where it does not


def explain(
    hazy: Float[Array, "b h w c"],
    restored: Float[Array, "b h w c"],
    *,
    laws: tuple[str, ...],
    size: tuple[int, int],
) -> Explanation:
    """Fit each law to reduced hazy images and what a network made of them, and return the best one's fields.

    Args:
      hazy, restored: reduced images in about [0,1].
      laws: names from `HAZE_LAWS`, at least one.
      size: (height, width) of the images themselves, for which the fields are.
    """

    def one(hazy: Float[Array, "h w c"], restored: Float[Array, "h w c"]) -> Explanation:
        options = [(HAZE_LAWS[name], _fit(HAZE_LAWS[name], hazy, restored, size)) for name in laws]
        best = jnp.argmin(jnp.stack([fit.difference for _, fit in options]))
        law, fit = jax.tree.map(lambda *choices: jnp.stack(choices)[best], *options)
        gain, offset = invert(law, fit.numbers, _pixel_sine(size, size))
        trust = (law.refused - fit.difference) / (law.refused - law.certain)
        return Explanation(gain, offset, jnp.clip(trust, 0.0, 1.0).reshape(1, 1, 1))

    return jax.vmap(one)(hazy, restored)


class _Fit(NamedTuple):
    numbers: Float[Array, " 3"]
    difference: Float[Array, ""]  # mean absolute difference to the restored image


def _fit(
    law: HazeLaw, hazy: Float[Array, "h w c"], restored: Float[Array, "h w c"], frame: tuple[int, int]
) -> _Fit:
    numbers = fit_law(law, hazy, restored, frame=frame)
    sine = _pixel_sine((hazy.shape[0], hazy.shape[1]), frame)
    gain, offset = invert(law, numbers, sine)
    return _Fit(numbers, jnp.abs(gain * hazy + offset - restored).mean())


def invert(
    law: HazeLaw, numbers: Float[Array, " 3"], sine: Float[Array, "*d"]
) -> tuple[Float[Array, "*d"], Float[Array, "*d"]]:
    """Return the gain and the offset that take away the law's haze with these (k, c, A)."""
    airlight, thinned = numbers[2], _thinned(numbers[:2], sine)
    return thinned / law.squeeze, airlight - (airlight + law.base / law.squeeze) * thinned


def _thinned(point: Float[Array, " 2"], sine: Float[Array, "*d"]) -> Float[Array, "*d"]:
    """Return 1 / t for (k, c)."""
    return jnp.exp(point[0] * (1.0 + point[1] * sine))


def fit_law(
    law: HazeLaw, hazy: Float[Array, "h w c"], restored: Float[Array, "h w c"], *, frame: tuple[int, int]
) -> Float[Array, " 3"]:
    """Return the (k, c, A) whose inversion of `hazy` comes closest to `restored` in squares.

    The best point of a grid over k and c, made finer around it; the best A for each is known (linear least
    squares). All pixels of a diagonal share their transmission, so five sums for each are all that is needed.
    A step of Gauss-Newton from there is the end, and all that gradients see.
    """
    best = jax.lax.stop_gradient(_search(law, hazy, restored, frame))
    sine = _pixel_sine((hazy.shape[0], hazy.shape[1]), frame)

    def undone(numbers: Float[Array, " 3"]) -> Float[Array, " n"]:
        gain, offset = invert(law, numbers, sine)
        return (gain * hazy + offset).ravel()

    low, high = jnp.asarray(law.lowest), jnp.asarray(law.highest)
    free = (best > low + _EDGE) & (best < high - _EDGE)  # what is at a limit stays: the others allow for it
    jacobian = jax.lax.stop_gradient(jnp.where(free, jax.jacfwd(undone)(best), 0.0))
    normal = jacobian.T @ jacobian / jacobian.shape[0]
    gradient = jacobian.T @ (undone(best) - restored.ravel()) / jacobian.shape[0]
    step = jnp.linalg.solve(normal + _DAMPING * jnp.eye(3), gradient)
    return jnp.clip(best - step, low, high)


def _search(
    law: HazeLaw, hazy: Float[Array, "h w c"], restored: Float[Array, "h w c"], frame: tuple[int, int]
) -> Float[Array, " 3"]:
    sums = _diagonal_sums((hazy - law.base) / law.squeeze, restored)
    sine = _sine(jnp.linspace(*_ends((hazy.shape[0], hazy.shape[1]), frame), sums.n.size), frame)
    low, high = jnp.asarray(law.lowest), jnp.asarray(law.highest)
    centre, width = 0.5 * (low + high), high - low
    numbers = centre
    for _ in range(_ZOOMS):
        points = _grid(jnp.clip(centre - width / 2, low, high), jnp.clip(centre + width / 2, low, high))
        airlight, squares = jax.vmap(lambda point: _best_airlight(sums, sine, point, law))(points)
        best = jnp.argmin(squares)
        numbers = jnp.append(points[best], airlight[best])
        centre, width = numbers, width * _NARROWER
    return numbers


def _grid(low: Float[Array, " 3"], high: Float[Array, " 3"]) -> Float[Array, "n 2"]:
    axes = (jnp.linspace(low[i], high[i], n) for i, n in enumerate(_GRID))
    return jnp.stack(jnp.meshgrid(*axes), axis=-1).reshape(-1, 2)


class _Sums(NamedTuple):
    """Over the pixels and channels of each diagonal; u is the hazy image, J the restored one."""

    n: Float[Array, " d"]
    u: Float[Array, " d"]
    j: Float[Array, " d"]
    uu: Float[Array, " d"]
    uj: Float[Array, " d"]
    jj: Float[Array, " d"]


def _diagonal_sums(u: Float[Array, "h w c"], j: Float[Array, "h w c"]) -> _Sums:
    height, width, _ = u.shape
    index: Int[Array, "h w"] = jnp.arange(height)[:, None] + jnp.arange(width)[None, :]
    products = jnp.stack([x.sum(axis=-1) for x in (jnp.ones_like(u), u, j, u * u, u * j, j * j)], axis=-1)
    return _Sums(*jax.ops.segment_sum(products.reshape(-1, 6), index.ravel(), height + width - 1).T)


def _best_airlight(
    sums: _Sums, sine: Float[Array, " d"], point: Float[Array, " 2"], law: HazeLaw
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return the A that minimises the squares of e + A v, with e = u / t - J and v = 1 - 1 / t, and these."""
    thinned = _thinned(point, sine)
    v = 1.0 - thinned
    ee = (thinned * thinned * sums.uu - 2.0 * thinned * sums.uj + sums.jj).sum()
    ve, vv = (v * (thinned * sums.u - sums.j)).sum(), (v * v * sums.n).sum()
    airlight = jnp.clip(-ve / jnp.maximum(vv, 1e-12), law.lowest[2], law.highest[2])
    return airlight, ee + airlight * (2.0 * ve + airlight * vv)


def _pixel_sine(size: tuple[int, int], frame: tuple[int, int]) -> Float[Array, "h w 1"]:
    """Return the sine at the pixels of a reduced image of `size`, whose whole has the size `frame`."""
    rows, columns = (
        (jnp.arange(n, dtype=jnp.float32) + 0.5) * (full / n) - 0.5
        for n, full in zip(size, frame, strict=True)
    )
    return _sine(rows[:, None] + columns[None, :], frame)[..., None]


def _ends(size: tuple[int, int], frame: tuple[int, int]) -> tuple[float, float]:
    """Return x + y of the first and of the last pixel; between them they are evenly spaced, or nearly so."""
    first = sum(0.5 * full / n - 0.5 for n, full in zip(size, frame, strict=True))
    return first, sum(frame) - 2 - first


def _sine(diagonals: Float[Array, "*d"], frame: tuple[int, int]) -> Float[Array, "*d"]:
    return jnp.sin(diagonals * (2 * math.pi / sum(frame)))
