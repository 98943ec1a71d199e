"""Where a run's arrays live: a mesh of devices, rules that place parameters, batches split by rows.

The same program runs on one device and on many hosts: `jax.jit` splits the work along the shardings of its
arguments. A rule is text "PATTERN=PLACEMENT". The first rule whose regular expression is found in an array's
path ("params/dehaze/conv24_3/kernel"; averages end like their parameter, and so do moments, but for those of
arrays under 65,536 elements, which are joined, see `joining`) places it:

    replicated   a copy on every device
    data         split over the axis `data` along its longest side that divides (FSDP)
    model        split over the axis `model` along its last side
    data+model   both
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from iassf_jax.core.errors import ConfigError

AXES = ("data", "model")
PLACEMENTS = ("replicated", "data", "model", "data+model")
_SMALL = 2**11  # elements; splitting less costs more in communication than it saves in memory

Rules = Sequence[tuple[re.Pattern[str], str]]


def make_mesh(*, data: int = -1, model: int = 1, examples: int | None = None) -> Mesh:
    """Return a mesh with axes `data` and `model` over the devices of all processes.

    Args:
      data: devices along `data`; -1 takes all that are there, in a run of one process as many of them as
        divide `examples`. Fewer than there are is for one process only.
      model: devices along `model`.
      examples: of a micro-batch.

    Raises:
      ConfigError: the devices do not make such a mesh.
    """
    devices = jax.devices()
    if model < 1 or (data < 1 and data != -1):
        raise ConfigError(
            f"config.mesh is {data} x {model}; expected numbers from 1 up, or data = -1 for all"
        )
    if data == -1:
        data = max(1, len(devices) // model)
        if examples is not None and jax.process_count() == 1:
            data = max(n for n in range(1, data + 1) if examples % n == 0)
    wanted = data * model
    if wanted > len(devices) or (jax.process_count() > 1 and wanted != len(devices)):
        raise ConfigError(f"config.mesh asks for {data} x {model} devices; there are {len(devices)}")
    return jax.make_mesh(
        (data, model), AXES, axis_types=(AxisType.Auto, AxisType.Auto), devices=devices[:wanted]
    )


def parse_rules(texts: Sequence[str]) -> Rules:
    """Read "PATTERN=PLACEMENT" rules.

    Raises:
      ConfigError: a text that is no rule, or a placement that does not exist.
    """
    rules = []
    for text in texts:
        pattern, _, placement = text.rpartition("=")
        if not pattern or placement not in PLACEMENTS:
            raise ConfigError(
                f"config.mesh.rules has {text!r}; expected PATTERN=PLACEMENT with PLACEMENT one of "
                f"{', '.join(PLACEMENTS)}"
            )
        try:
            rules.append((re.compile(pattern), placement))
        except re.error as error:
            raise ConfigError(
                f"config.mesh.rules has {text!r}, which is no regular expression: {error}"
            ) from error
    return rules


def state_shardings(abstract_state: Any, mesh: Mesh, rules: Rules) -> Any:
    """Return the sharding of every leaf of a state, in its structure.

    Args:
      abstract_state: arrays or shapes.
      mesh: from `make_mesh`.
      rules: from `parse_rules`. Scalars need no rule: they are replicated.

    Raises:
      ConfigError: no rule covers some of the arrays; the first ones are named.
    """
    leaves, structure = jax.tree.flatten_with_path(abstract_state)
    placed = {_path(path): _placement(_path(path), leaf.shape, rules) for path, leaf in leaves}
    uncovered = [path for path, placement in placed.items() if placement is None]
    if uncovered:
        more = f" and {len(uncovered) - 3} more" if len(uncovered) > 3 else ""
        raise ConfigError(
            f"config.mesh.rules place neither {', '.join(uncovered[:3])}{more}: end the rules with "
            "'.*=replicated' or '.*=data'"
        )
    shardings = [
        NamedSharding(mesh, _spec(leaf.shape, placed[_path(path)] or "", mesh)) for path, leaf in leaves
    ]
    return jax.tree.unflatten(structure, shardings)


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def place_everywhere(tree: Any, mesh: Mesh) -> Any:
    """Put host arrays and numbers, the same in every process, on every device."""
    everywhere = replicated(mesh)
    if everywhere.is_fully_addressable:
        return jax.device_put(tree, everywhere)

    def place(value: Any) -> jax.Array:
        value = np.asarray(value)
        return jax.make_array_from_callback(value.shape, everywhere, lambda index: value[index])

    return jax.tree.map(place, tree)


def batch_placer(mesh: Mesh) -> Callable[[Mapping[str, np.ndarray]], dict[str, jax.Array]]:
    """Return a function that puts this process's rows of a batch on its devices, split over `data`.

    The rows of all processes put together are the batch; its length must be a multiple of the axis.
    """
    rows = NamedSharding(mesh, PartitionSpec("data"))

    def place(batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
        if rows.is_fully_addressable:
            return jax.device_put(dict(batch), rows)
        return {name: jax.make_array_from_process_local_data(rows, value) for name, value in batch.items()}

    return place


def check_kernels(fields: Mapping[str, Any], *, mesh: Mesh) -> None:
    """Check that a network of these fields can be split over the devices.

    Raises:
      ConfigError: it uses Pallas kernels, of which every device would compute the whole batch.
    """
    if fields.get("pallas") and mesh.size > 1:
        raise ConfigError(
            f"config.model.pallas is for one device, and there are {mesh.size}, over which XLA splits no "
            f"kernels; give config.model.pallas=False, or config.mesh.data=1 and config.mesh.model=1"
        )


def _path(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _placement(path: str, shape: tuple[int, ...], rules: Rules) -> str | None:
    if not shape:
        return "replicated"
    return next((placement for pattern, placement in rules if pattern.search(path)), None)


def _spec(shape: tuple[int, ...], placement: str, mesh: Mesh) -> PartitionSpec:
    """Return which side is split over which axis; sides that do not divide stay whole."""
    axes: list[str | None] = [None] * len(shape)
    if math.prod(shape) < _SMALL:
        return PartitionSpec()
    if "model" in placement and shape[-1] % mesh.shape["model"] == 0:
        axes[-1] = "model"
    if "data" in placement:
        free = [i for i, n in enumerate(shape) if axes[i] is None and n % mesh.shape["data"] == 0]
        if free:
            axes[max(free, key=lambda i: shape[i])] = "data"
    return PartitionSpec(*axes)
