"""Starting from the parameters of another run or file, with an account of what was taken."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from iassf_jax.checkpoints.listing import listing
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.core.errors import CheckpointError


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """Names of parameters, as "dehaze/conv24_3/kernel"."""

    source: str
    loaded: list[str]
    missing: list[str]  # the network has them, the source does not: they keep their fresh values
    reshaped: list[str]  # of other shape in the source, with both shapes: likewise
    unused: list[str]  # the source has them, the network does not

    def report(self) -> str:
        """Return what was and what was not loaded, a line each."""
        lines = [f"{len(self.loaded)} parameters from {self.source}"]
        for what, names in (
            ("not in the source, fresh", self.missing),
            ("of another shape, fresh", self.reshaped),
            ("in the source only, left out", self.unused),
        ):
            if names:
                lines.append(f"{len(names)} {what}: {listing(names)}")
        return "\n".join(lines)


def warm_start(params: Any, source: str | Path, *, partially: bool = False) -> tuple[Any, WarmStart]:
    """Return `params` with the values of `source` wherever name and shape agree, and the account.

    Args:
      params: fresh parameters; the result has their types and lives where they live.
      source: see `load_pretrained`.
      partially: accept that the two networks are not the same.

    Raises:
      CheckpointError: nothing that can be read, nothing that fits, or not all of it and `partially` is False.
    """
    fresh = traverse_util.flatten_dict(params, sep="/")
    given = traverse_util.flatten_dict(load_pretrained(source)[1]["params"], sep="/")
    common = [name for name in fresh if name in given]
    account = WarmStart(
        source=str(source),
        loaded=[name for name in common if fresh[name].shape == given[name].shape],
        missing=sorted(fresh.keys() - given.keys()),
        reshaped=[
            f"{name} {list(given[name].shape)} -> {list(fresh[name].shape)}"
            for name in common
            if fresh[name].shape != given[name].shape
        ],
        unused=sorted(given.keys() - fresh.keys()),
    )
    if not account.loaded:
        raise CheckpointError(f"no parameter of {source} fits this network: it is another one")
    if not partially and (account.missing or account.reshaped or account.unused):
        raise CheckpointError(
            f"the weights are those of another network:\n{account.report()}\n"
            "Use the same config.model, or config.init_partially=true to take what fits"
        )
    taken = {name: _like(given[name], fresh[name]) for name in account.loaded}
    return traverse_util.unflatten_dict({**fresh, **taken}, sep="/"), account


def _like(value: np.ndarray, like: jax.Array) -> jax.Array:
    value = np.asarray(value, like.dtype)
    return jax.make_array_from_callback(like.shape, like.sharding, lambda index: value[index])
