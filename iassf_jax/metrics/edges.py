"""How much of the sources' edges the fused image keeps (Q_AB/F, Q_G) or invents (N_AB/F)."""

import functools
import math
from typing import NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, mean, size_within, total
from iassf_jax.metrics.windows import safe_divide, safe_sqrt, sobel

_RIGHT_ANGLE = math.pi / 2
_NEARLY_FLAT = 1e-5


class _Edges(NamedTuple):
    """Gradients and their strength; for integer levels the squared strength is an exact integer."""

    gx: Array
    gy: Array
    squared: Array
    strength: Array


def edge_preservation(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_AB/F of Xydeas and Petrovic with the constants of R. Hong's code; in 0..0.975, higher is better.

    Sobel with zero padding; where the strengths of source and fused image are equal, their ratio is replaced
    by the strength itself, as that code does (harmless on levels, wrong on [0,1]). 0 without any edge.
    """
    return _edge_preservation(infrared, visible, fused, size_within(fused, within), unit=1.0)


def edge_preservation_unit_range(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_AB/F of images on 0..1, where the quirk at equal strengths counts a perfect copy as almost nothing.

    Equality is that of the levels; on 0..1 rounding errors decide it, by which tool boxes differ (to 1 %).
    """
    return _edge_preservation(infrared, visible, fused, size_within(fused, within), unit=255.0)


def edge_preservation_liu(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_G of Zheng Liu's tool box: other constants, angles that wrap, and the mean of the pixels' ratios.

    A strength of 0 counts as 1e-5, so that two flat pixels agree.
    """
    size = size_within(fused, within)
    edges, source_a, source_b = (_raise_flat(_edges(x, "constant", size)) for x in (fused, infrared, visible))
    kept = _liu(source_a, edges) * source_a.strength + _liu(source_b, edges) * source_b.strength
    return mean(kept / (source_a.strength + source_b.strength), size)


def edge_artefacts(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """N_AB/F as modified by Shreyamsha Kumar: edges of the fused image that no source has; lower is better.

    Sobel / 8 with mirrored borders; weights g^1.5 for edges of strength 2 and more, else 0.001.
    """
    size = size_within(fused, within)
    edges, source_a, source_b = (_edges(x, "reflect", size) for x in (fused, infrared, visible))
    weight_a, weight_b = _artefact_weight(source_a), _artefact_weight(source_b)
    lost = (1.0 - _petrovic(source_a, edges)) * weight_a + (1.0 - _petrovic(source_b, edges)) * weight_b
    invented = (edges.squared > source_a.squared) & (edges.squared > source_b.squared)
    return total(jnp.where(invented, lost, 0.0), size) / total(weight_a + weight_b, size)


def _edge_preservation(infrared: Array, visible: Array, fused: Array, size: Size, *, unit: float) -> Array:
    edges, source_a, source_b = (_edges(x, "constant", size) for x in (fused, infrared, visible))
    kept = _hong(source_a, edges, unit) * source_a.strength + _hong(source_b, edges, unit) * source_b.strength
    return safe_divide(total(kept, size), total(source_a.strength + source_b.strength, size))


def _hong(source: _Edges, fused: _Edges, unit: float) -> Array:
    ratio = _strength_ratio(source, fused)
    ratio = jnp.where(source.squared == fused.squared, fused.strength / unit, ratio)
    # A flat gradient counts as upright here, as atan(0/0) does in that code.
    alignment = 1.0 - _turn(_lift_flat(source), _lift_flat(fused)) / _RIGHT_ANGLE
    return _sigmoid(ratio, 0.9994, 15.0, 0.5) * _sigmoid(alignment, 0.9879, 22.0, 0.8)


def _liu(source: _Edges, fused: _Edges) -> Array:
    alignment = jnp.abs(_turn(source, fused) - _RIGHT_ANGLE) / _RIGHT_ANGLE
    return _sigmoid(_strength_ratio(source, fused), 1.0, 10.0, 0.5) * _sigmoid(alignment, 1.0, 20.0, 0.75)


def _petrovic(source: _Edges, fused: _Edges) -> Array:
    turn = _turn(_level_flat(source), _level_flat(fused))
    alignment = jnp.abs(turn - _RIGHT_ANGLE) / _RIGHT_ANGLE
    strength = _sigmoid(_strength_ratio(source, fused), 0.9999, 19.0, 0.5)
    return jnp.sqrt(strength * _sigmoid(alignment, 0.9995, 22.0, 0.5))


def _artefact_weight(source: _Edges) -> Array:
    strength = source.strength / 8.0  # that code's Sobel masks are divided by 8
    strong = strength >= 2.0
    return jnp.where(strong, jnp.where(strong, strength, 1.0) ** 1.5, 0.001)


def _strength_ratio(source: _Edges, fused: _Edges) -> Array:
    """The weaker strength over the stronger, 0 where both are 0."""
    weaker = jnp.minimum(source.strength, fused.strength)
    return safe_divide(weaker, jnp.maximum(source.strength, fused.strength))


def _turn(first: _Edges, second: _Edges) -> Array:
    """Difference of the gradients' angles atan(gy/gx), each in [-pi/2, pi/2]: in 0..pi.

    With both gradients turned into the right half plane, it is the angle between them; from their cross and
    dot products one arctangent gives it, with products that are exact for integer levels.
    """
    ax, ay = _rightward(first)
    bx, by = _rightward(second)
    cross, dot = jnp.abs(ax * by - ay * bx), ax * bx + ay * by
    steep = cross > jnp.abs(dot)
    tangent = safe_divide(jnp.where(steep, jnp.abs(dot), cross), jnp.maximum(cross, jnp.abs(dot)))
    acute = _arctan_of_fraction(tangent)
    acute = jnp.where(steep, _RIGHT_ANGLE - acute, acute)
    return jnp.where(dot < 0, math.pi - acute, acute)


def _rightward(edges: _Edges) -> tuple[Array, Array]:
    leftward = edges.gx < 0
    return jnp.abs(edges.gx), jnp.where(leftward, -edges.gy, edges.gy)


def _arctan_of_fraction(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Arctangent on [0,1] by a polynomial in x^2: ten times as fast on a CPU as XLA's, which takes any x."""
    coefficients = _arctan_coefficients(22 if x.dtype == jnp.float64 else 11)
    square = x * x
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * square + coefficient
    return x * total


@functools.cache
def _arctan_coefficients(degree: int) -> list[float]:
    """Chebyshev interpolation of atan(sqrt(s)) / sqrt(s); the error falls sixfold with each degree."""

    def function(s):
        root = np.sqrt(np.maximum(s, 1e-300))
        return np.arctan(root) / root

    fit = np.polynomial.Chebyshev.interpolate(function, degree, domain=[0, 1])
    return fit.convert(kind=np.polynomial.Polynomial, domain=[-1, 1]).coef.tolist()


def _sigmoid(x: Array, height: float, slope: float, centre: float) -> Array:
    return height * jax.nn.sigmoid(slope * (x - centre))


def _edges(levels: Float[Array, "b h w"], padding: str, size: Size) -> _Edges:
    gx, gy = sobel(levels, size, padding=padding)
    squared = gx * gx + gy * gy
    return _Edges(gx, gy, squared, safe_sqrt(squared))


def _lift_flat(edges: _Edges) -> _Edges:
    """Angle +pi/2 wherever gx is 0, also for a gradient that points down or is 0."""
    upright = edges.gx == 0
    return edges._replace(gy=jnp.where(upright, 1.0, edges.gy))


def _level_flat(edges: _Edges) -> _Edges:
    """Angle 0 where the gradient is 0."""
    return edges._replace(gx=jnp.where(edges.squared == 0, 1.0, edges.gx))


def _raise_flat(edges: _Edges) -> _Edges:
    flat = edges.strength == 0
    return edges._replace(
        gx=jnp.where(edges.gx == 0, _NEARLY_FLAT, edges.gx),
        strength=jnp.where(flat, _NEARLY_FLAT, edges.strength),
    )
