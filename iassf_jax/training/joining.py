"""The small arrays of a tree as one vector, so that elementwise work on them is one loop instead of hundreds.

Of the 751 arrays of the released network, 636 hold 1.4 % of its numbers. Taken one by one, they made a third
of the compiled training step's loops and took a sixth of the time to compile it.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from iassf_jax.training.sharding import is_small

_NONE = optax.MaskedNode()  # optax's mark for no array; checkpoints leave it out


class Joined(NamedTuple):
    """A tree with its small arrays joined; the larger ones can still be split over devices."""

    small: Float[Array, " n"] | optax.MaskedNode  # one after the other, in the order of the tree
    large: Any  # the tree with `optax.MaskedNode()` in their place


def join(tree: Any) -> Joined:
    """Return the tree's arrays, which have one type, with the small ones joined."""
    leaves, structure = jax.tree.flatten(tree)
    small = [jnp.ravel(leaf) for leaf in leaves if is_small(leaf.shape)]
    large = jax.tree.unflatten(structure, [_NONE if is_small(leaf.shape) else leaf for leaf in leaves])
    return Joined(jnp.concatenate(small) if small else _NONE, large)


def separate(joined: Joined, like: Any) -> Any:
    """Return the tree that was joined; `like` has its structure and shapes."""
    leaves, structure = jax.tree.flatten(like)
    small: Any = joined.small
    large, start, separated = iter(jax.tree.leaves(joined.large)), 0, []
    for leaf in leaves:
        if not is_small(leaf.shape):
            separated.append(next(large))
            continue
        end = start + math.prod(leaf.shape)
        separated.append(small[start:end].reshape(leaf.shape))
        start = end
    return jax.tree.unflatten(structure, separated)


def on_joined(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Return the same transformation, which works on each number by itself, done to joined arrays.

    Its state holds joined moments. What regards arrays as a whole (norms of layers, masks, matrices) does not
    belong inside; the norm of all together is no harm.
    """

    def init(params: Any) -> Any:
        return inner.init(join(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        changed, state = inner.update(join(updates), state, None if params is None else join(params))
        return separate(changed, updates), state

    return optax.GradientTransformation(init, update)


def joint_norm(tree: Any) -> Float[Array, ""]:
    """Return the norm of all numbers of a tree."""
    return optax.tree.norm(join(tree))
