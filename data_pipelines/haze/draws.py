"""Distributions of a recipe's numbers, and the random numbers that they are drawn with.

A distribution is its quantile function: it turns numbers that are uniform on [0,1) into draws. All numbers of
an example come from one call of the generator, which compiles ten times as fast as a call for each.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

Draw = Callable[[Float[Array, " b"]], Float[Array, " b"]]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Evenly between two limits."""

    low: float
    high: float

    def __call__(self, uniform: Float[Array, " b"]) -> Float[Array, " b"]:
        return self.low + (self.high - self.low) * uniform


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Evenly in the logarithm between two limits above 0."""

    low: float
    high: float

    def __call__(self, uniform: Float[Array, " b"]) -> Float[Array, " b"]:
        return jnp.exp(math.log(self.low) + math.log(self.high / self.low) * uniform)


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of some values, all with the same probability; a single value is always that one."""

    values: tuple[float, ...]

    def __call__(self, uniform: Float[Array, " b"]) -> Float[Array, " b"]:
        position = jnp.floor(uniform * len(self.values)).astype(jnp.int32)
        # The product of a float32 just below 1 may round up to the number of values.
        return jnp.asarray(self.values, jnp.float32)[jnp.minimum(position, len(self.values) - 1)]


@dataclasses.dataclass(frozen=True)
class Scaled:
    """What another distribution gives, times a number, which may be a traced one."""

    draw: "Draw"
    factor: float | Float[Array, ""]

    def __call__(self, uniform: Float[Array, " b"]) -> Float[Array, " b"]:
        return self.draw(uniform) * self.factor


def uniforms(keys: Key[Array, " b"], purposes: Sequence[str]) -> dict[str, Float[Array, " b"]]:
    """Return a number in [0,1) for every purpose and example.

    Each is a function of the example's key and the purpose's name: a further one leaves the others alone.
    """
    folded = _fold(keys, [crc32(purpose.encode()) for purpose in purposes])
    numbers = jax.vmap(jax.vmap(lambda key: jax.random.uniform(key, (), jnp.float32)))(folded)
    return {purpose: numbers[:, i] for i, purpose in enumerate(purposes)}


def purpose_keys(keys: Key[Array, " b"], purpose: str) -> Key[Array, " b"]:
    """Return a key for each example and one named purpose."""
    return _fold(keys, [crc32(purpose.encode())])[:, 0]


def _fold(keys: Key[Array, " b"], numbers: Sequence[int]) -> Key[Array, "b n"]:
    data = jnp.asarray(np.array(numbers, np.uint32))
    return jax.vmap(lambda key: jax.vmap(lambda number: jax.random.fold_in(key, number))(data))(keys)
