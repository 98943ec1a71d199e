"""Blocks that are traced once for all their equals, and may keep nothing but inputs for the backward pass."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn


def repeated(block: type[nn.Module], *, remat: bool) -> type[nn.Module]:
    """Return a class of the same block, parameters and results alike, for networks that repeat it.

    JAX traces and differentiates it once for all blocks with the same fields and shapes, which takes a third
    off the time to trace a training step of the released network. With `remat` it is recomputed in the
    backward pass, see `recompute`. Its inputs are arrays, and then with a common batch axis; it may have
    parameters and no other variables.
    """

    def call(self: nn.Module, *inputs: jax.Array) -> Any:
        if self.is_initializing():
            return block.__call__(self, *inputs)
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        apply = functools.partial(_apply, block(**(own | {"parent": None, "name": None})))
        return recompute(apply, self.variables, *inputs) if remat else apply(self.variables, *inputs)

    return type(f"Repeated{block.__name__}", (block,), {"__call__": call, "__module__": __name__})


@functools.partial(jax.jit, static_argnums=0)
def _apply(block: nn.Module, variables: Any, *inputs: jax.Array) -> Any:
    return block.apply(variables, *inputs)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def recompute(apply: Callable, variables: Any, *inputs: jax.Array) -> Any:
    """Return `apply(variables, *inputs)`; of it, only its arguments are kept for the backward pass.

    The inputs, and the first array of the result, have a common batch axis in front.

    `jax.checkpoint` leaves it to XLA when this is computed anew, and on CPU that is too early: its barriers
    are gone before the schedule is made, so that all blocks are computed twice first and nothing is saved:
    2.47 instead of 2.48 GB of temporaries in a training step of the released network at 256x256. Here what is
    computed anew depends on the gradient that arrives, and cannot begin before: 0.83 GB.
    """
    return apply(variables, *inputs)


def _forward(apply: Callable, variables: Any, *inputs: jax.Array) -> tuple[Any, tuple]:
    return apply(variables, *inputs), (variables, inputs)


def _backward(apply: Callable, saved: tuple, gradient: Any) -> tuple:
    variables, inputs = saved
    first = jax.tree.leaves(gradient)[0]
    # Zero, which XLA does not find out; one for each sample, so that no device waits for another.
    late = jnp.minimum(jnp.square(first[(slice(None),) + (0,) * (first.ndim - 1)]), 0)
    delayed = jax.tree.map(lambda x: x + late.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1)), inputs)
    _, pull_back = jax.vjp(apply, variables, *delayed)
    return pull_back(gradient)


recompute.defvjp(_forward, _backward)
