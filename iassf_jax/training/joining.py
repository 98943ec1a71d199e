"""The small arrays of a tree as one vector, so that elementwise work on them is one loop instead of hundreds.

Of the 751 arrays of the released network, all but its prompt pools hold an eighth of the numbers. Taken one
by one, the 113 of them from 2048 elements up alone add 436 to the 3683 loops of a compiled training step, and
XLA's CPU compiler takes about 35 ms of processor time for a loop, however little it does.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

_SMALL = 2**16  # elements
_NONE = optax.MaskedNode()  # optax's mark for no array; checkpoints leave it out


class Joined(NamedTuple):
    """A tree with its small arrays joined; the larger ones are placed on devices as their parameters are."""

    small: Float[Array, " n"] | optax.MaskedNode  # one after the other, in the order of the tree
    large: Any  # the tree with `optax.MaskedNode()` in their place


def join(tree: Any) -> Joined:
    """Return the tree's arrays, which have one type, with the small ones joined."""
    leaves, structure = jax.tree.flatten(tree)
    small = [jnp.ravel(leaf) for leaf in leaves if _is_small(leaf)]
    large = jax.tree.unflatten(structure, [_NONE if _is_small(leaf) else leaf for leaf in leaves])
    return Joined(jnp.concatenate(small) if small else _NONE, large)


def separate(joined: Joined, like: Any) -> Any:
    """Return the tree that was joined; `like` has its structure and shapes."""
    leaves, structure = jax.tree.flatten(like)
    small: Any = joined.small
    large, start, separated = iter(jax.tree.leaves(joined.large)), 0, []
    for leaf in leaves:
        if not _is_small(leaf):
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


def _is_small(leaf: Any) -> bool:
    return math.prod(leaf.shape) < _SMALL
