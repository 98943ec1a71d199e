"""Random parameters under the released names, so that every contender computes the same numbers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from iassf_jax.checkpoints.named_arrays import write_named_arrays
from iassf_jax.checkpoints.released_names import BUFFER, relative_positions
from iassf_jax.checkpoints.released_structure import released_shapes


def released_arrays(fields: Mapping[str, Any], *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return `{dehaze,fusion}_network_state_dict/NAME` arrays for a network with these fields.

    Pools uniform in [0,1), the rest uniform within 1 / sqrt(fan-in), scales of norms around 1: no parameter
    is left at a value that hides its effect, and activations stay of order one.
    """
    rng = np.random.default_rng(seed)
    return {
        f"{part}_network_state_dict/{name}": _draw(rng, name, shape)
        for part, shapes in released_shapes(fields).items()
        for name, shape in shapes.items()
    }


def write_released(path: Any, fields: Mapping[str, Any], *, seed: int = 0) -> None:
    """Write `released_arrays` as an .npz that both sides of a comparison load."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for key, array in released_arrays(fields, seed=seed).items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = array
    write_named_arrays(path, groups)


def _draw(rng: np.random.Generator, name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith(BUFFER):
        return relative_positions(round(shape[0] ** 0.5))
    if name.endswith("prompt_param"):
        return rng.random(shape, np.float32)
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 16
    centre = 1.0 if name.split(".")[-2:] in (["norm1", "weight"], ["norm2", "weight"]) else 0.0
    spread = 0.2 if centre else fan_in**-0.5
    return (centre + spread * rng.uniform(-1, 1, shape)).astype(np.float32)
