"""Loss scaling for float16, whose smallest numbers gradients fall below (Micikevicius et al., 2018)."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from iassf_jax.core.errors import ConfigError

KINDS = ("none", "dynamic")
_FIRST = 2.0**15
_PATIENCE = 2000  # steps without overflow before a larger scale is tried
_LARGEST = 2.0**24


@flax.struct.dataclass
class LossScale:
    """The loss is multiplied by `scale` before, its gradient divided by it after the backward pass."""

    scale: Any  # float32 scalar, a power of two: nothing is rounded
    good_steps: Any  # int32 scalar: steps since the scale changed


def initial_loss_scale(kind: str) -> LossScale | None:
    """Return the scale of a fresh run, None for "none".

    Raises:
      ConfigError: there is no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"config.loss_scale is {kind!r}; there are {', '.join(KINDS)}")
    if kind == "none":
        return None
    return LossScale(scale=jnp.asarray(_FIRST, jnp.float32), good_steps=jnp.zeros((), jnp.int32))


def adjust(loss_scale: LossScale, finite: Bool[Array, ""]) -> LossScale:
    """Halve the scale after an overflow, double it after 2000 steps without one."""
    good = loss_scale.good_steps + 1
    grows = good >= _PATIENCE
    larger = jnp.minimum(loss_scale.scale * jnp.where(grows, 2.0, 1.0), _LARGEST)
    return LossScale(
        scale=jnp.where(finite, larger, jnp.maximum(loss_scale.scale * 0.5, 1.0)),
        good_steps=jnp.where(finite & ~grows, good, 0),
    )


def can_shrink(loss_scale: LossScale) -> Bool[Array, ""]:
    """Whether an overflow is answered by a smaller scale; at a scale of 1 the loss itself has diverged."""
    return loss_scale.scale > 1.0


def choose(finite: Bool[Array, ""], new: Any, old: Any) -> Any:
    """Return the tree `new`, or `old` where a step overflowed."""
    return jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, old)


def unscale(grads: Any, scale: Float[Array, ""]) -> Any:
    """Divide gradients by the scale."""
    return jax.tree.map(lambda gradient: gradient / scale, grads)
