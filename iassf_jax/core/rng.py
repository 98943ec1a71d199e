"""Named random streams: a run is a function of (configuration, seed, data), see design, conventions.

Every consumer of randomness has a name here and derives its key from the run's seed, that name and the
step. No key is passed from step to step, so a resumed run draws what the uninterrupted one would have drawn.
"""

from typing import Literal, get_args
from zlib import crc32

import jax

Stream = Literal["init", "augment", "haze", "dropout"]
_STREAM_INDEX = {name: index for index, name in enumerate(get_args(Stream))}


def stream_key(seed: int | jax.Array, stream: Stream, step: int | jax.Array = 0) -> jax.Array:
    """Return the typed key of `stream` at `step`; `step` may be traced."""
    root = jax.random.key(seed)
    return jax.random.fold_in(jax.random.fold_in(root, _STREAM_INDEX[stream]), step)


def example_id(name: str) -> int:
    """Return the number, below 2^32, that stands for an example in random draws: a function of its name.

    What is drawn for an example then depends neither on its place in a batch nor on who reads it.
    """
    return crc32(name.encode())
