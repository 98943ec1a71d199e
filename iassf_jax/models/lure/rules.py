"""Fusion rules without parameters: what two latents become before anything is learned (after DenseFuse)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError

Map = Float[Array, "b h w c"]
RULES = ("l1norm", "mean", "sum", "softmax_sum", "none")


def fuse_by_rule(visible: Map, infrared: Map, *, rule: str = "l1norm", l1_radius: int = 1) -> Map:
    """Return the fused map of a rule (Li, Wu, "DenseFuse", IEEE TIP 2019); dtype of the maps.

    l1norm: weights by activity, which is the sum of |z| over channels, averaged over a square.
    mean, sum: (v + r) / 2 and v + r.
    softmax_sum: weights by a softmax of the two signed sums over channels.
    none: zero, for a fusion that is learned from nothing.

    Args:
      visible, infrared: latents of equal shape.
      rule: one of `RULES`.
      l1_radius: l1norm: the square has 2 r + 1 pixels on a side; 0 takes every pixel by itself.

    Raises:
      InputError: there is no such rule.
    """
    fusers: dict[str, Callable[[Map, Map], Map]] = {
        "l1norm": lambda v, r: _l1_norm(v, r, l1_radius),
        "mean": lambda v, r: 0.5 * (v + r),
        "sum": lambda v, r: v + r,
        "softmax_sum": _softmax_sum,
        "none": lambda v, r: jnp.zeros_like(v),
    }
    if rule not in fusers:
        raise InputError(f"there is no fusion rule {rule!r}; there are {', '.join(RULES)}")
    return fusers[rule](visible, infrared)


def _l1_norm(visible: Map, infrared: Map, radius: int) -> Map:
    v, r = (
        _box_mean(jnp.abs(z.astype(jnp.float32)).sum(-1, keepdims=True), radius) for z in (visible, infrared)
    )
    # Where both are silent the weight does not matter; it only must not be 0 / 0.
    return _blend(visible, infrared, v / (v + r + 1e-8))


def _softmax_sum(visible: Map, infrared: Map) -> Map:
    v, r = (z.astype(jnp.float32).sum(-1, keepdims=True) for z in (visible, infrared))
    return _blend(visible, infrared, jax.nn.sigmoid(v - r))


def _blend(visible: Map, infrared: Map, weight: Float[Array, "b h w 1"]) -> Map:
    weight = weight.astype(visible.dtype)
    return weight * visible + (1.0 - weight) * infrared


def _box_mean(x: Float[Array, "b h w 1"], radius: int) -> Float[Array, "b h w 1"]:
    """Mean over squares; the edge pixels are repeated outwards."""
    padded = jnp.pad(x, ((0, 0), (radius, radius), (radius, radius), (0, 0)), mode="edge")
    height, width = x.shape[1:3]
    side = 2 * radius + 1
    rows = sum((padded[:, i : i + height] for i in range(1, side)), start=padded[:, :height])
    both = sum((rows[:, :, i : i + width] for i in range(1, side)), start=rows[:, :, :width])
    return both * (1.0 / side**2)
