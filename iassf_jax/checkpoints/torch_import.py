"""Import of the released PyTorch checkpoints into variables of `iassf_released`, and export back.

variables = import_torch("IASSF.pth")
export_torch(variables, "copy.pth")         # the same arrays, bit for bit
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from iassf_jax.checkpoints.listing import listing
from iassf_jax.checkpoints.named_arrays import Source, read_named_arrays, write_named_arrays
from iassf_jax.checkpoints.released_fields import released_fields
from iassf_jax.checkpoints.released_names import (
    BUFFER,
    UNUSED_MODULES,
    relative_positions,
    to_flax,
    to_released,
)
from iassf_jax.checkpoints.released_structure import NETWORKS, released_shapes
from iassf_jax.core.errors import CheckpointError

_BUFFER_TOLERANCE = 1e-6
_GROUP = "{}_network_state_dict"

State = dict[str, dict[str, np.ndarray]]


class TorchImport(NamedTuple):
    """What an import found.

    `variables["params"]` has "dehaze" and "fusion"; `variables["unused"]`, where the file has them, the four
    tensors that the released code stores and does not use. Arrays are float32.
    """

    variables: dict[str, Any]
    fields: dict[str, Any]  # of `models.create("iassf_released", **fields)`
    unused: list[str]  # names in the two state dicts that belong to no parameter
    other: list[str]  # other entries of the file: epoch, optimizer state


def import_torch(source: Source) -> dict[str, Any]:
    """Return the variables of `iassf_released` from a released checkpoint.

    Entries that belong to no parameter are left out with a warning that names them.

    Args:
      source: .pth, .npz, a part of a split .pth, the folder with the parts, or the list of them.

    Returns:
      {"params": {"dehaze": ..., "fusion": ...}, "unused": {"dehaze": ...}}, NumPy float32.

    Raises:
      CheckpointError: unreadable file, or parameters are missing or misshaped; the message names them.
    """
    result = import_with_report(source)
    if result.unused:
        warnings.warn(f"{_named(source)}: not used: {listing(result.unused)}", stacklevel=2)
    return result.variables


def import_with_report(source: Source) -> TorchImport:
    """Like `import_torch`, without the warning, together with what was inferred and left out."""
    groups = read_named_arrays(source)
    try:
        state = _state_of(groups)
        fields = released_fields(state)
        shapes = released_shapes(fields)
        _check_parameters(state, shapes, fields)
        _check_buffers(state, shapes)
    except CheckpointError as error:
        raise CheckpointError(f"{_named(source)}: {error}") from error
    return TorchImport(
        variables=_variables_of(state, shapes),
        fields=fields,
        unused=[f"{n}/{name}" for n in NETWORKS for name in state[n] if name not in shapes[n]],
        other=[str(key) for key in groups if key not in map(_GROUP.format, NETWORKS)],
    )


def export_torch(variables: Mapping[str, Any], path: str | Path, *, window: int = 8) -> None:
    """Write variables of `iassf_released` in the released layout, which the released code loads strictly.

    What `import_torch` read is written back bit for bit. Variables that never had the four unused tensors
    (those of a network trained here) get ones and zeros in their place; constants are recomputed.

    Args:
      path: .pth or .npz; replaced if it exists.
      window: the model field, which no parameter tells; the released code has 8.

    Raises:
      CheckpointError: the variables are not those of `iassf_released`, or the file cannot be written.
    """
    state = _state_from(variables)
    fields = {**released_fields(state), "window": window}
    shapes = released_shapes(fields)
    for network, expected in shapes.items():
        for name, shape in expected.items():
            if name.endswith(BUFFER):
                state[network][name] = relative_positions(window)
            elif name not in state[network] and _is_unused(name):
                state[network][name] = np.full(shape, 1.0 if shape == (1,) else 0.0, np.float32)
    _check_parameters(state, shapes, fields)
    strangers = [f"{n}/{name}" for n in NETWORKS for name in state[n] if name not in shapes[n]]
    if strangers:
        raise CheckpointError(
            f"the variables are not those of iassf_released: unexpected {listing(strangers)}"
        )
    write_named_arrays(
        path, {_GROUP.format(n): {name: state[n][name] for name in shapes[n]} for n in NETWORKS}
    )


def _state_of(groups: Mapping[str, Any]) -> State:
    """Return the two state dicts, without the prefix that PyTorch's DataParallel puts before every name."""
    state = {}
    for network in NETWORKS:
        key = _GROUP.format(network)
        group = groups.get(key)
        if not isinstance(group, dict):
            raise CheckpointError(f"expected an entry {key!r} with named tensors, found {listing(groups)}")
        state[network] = {
            name.removeprefix("module."): array
            for name, array in group.items()
            if isinstance(array, np.ndarray)
        }
    return state


def _variables_of(state: State, shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> dict[str, Any]:
    flat = {}
    for network, expected in shapes.items():
        for name in expected:
            translated = to_flax(name, state[network][name]) if name in state[network] else None
            if translated is not None:
                path, array = translated
                collection = "unused" if _is_unused(name) else "params"
                # A copy: the original lies in the mapped file, whose pages a later write could change.
                flat[collection, network, *path] = np.array(array, np.float32, order="C")
    return traverse_util.unflatten_dict(flat)


def _state_from(variables: Mapping[str, Any]) -> State:
    state: State = {network: {} for network in NETWORKS}
    for (collection, *path), array in traverse_util.flatten_dict(variables).items():
        if collection not in ("params", "unused"):
            continue
        network, *rest = path
        translated = (
            to_released(tuple(rest), np.asarray(array, np.float32)) if network in state and rest else None
        )
        if translated is None:
            raise CheckpointError(f"{'/'.join(path)} has no counterpart in the released PyTorch network")
        state[network][translated[0]] = np.ascontiguousarray(translated[1])
    return state


def _check_parameters(
    state: State, shapes: Mapping[str, Mapping[str, tuple[int, ...]]], fields: Mapping[str, Any]
) -> None:
    missing, misshaped = [], []
    for network, expected in shapes.items():
        for name, shape in expected.items():
            found = state[network].get(name)
            if found is None:
                if not name.endswith(BUFFER) and not _is_unused(name):
                    missing.append(f"{network}/{name}")
            elif found.shape != shape:
                misshaped.append(f"{network}/{name} (expected {shape}, found {found.shape})")
    problems = [
        f"{len(names)} {what}: {listing(names)}"
        for what, names in (("missing", missing), ("with another shape", misshaped))
        if names
    ]
    if problems:
        raise CheckpointError(f"parameters {'; '.join(problems)}; for a network with {dict(fields)}")


def _check_buffers(state: State, shapes: Mapping[str, Mapping[str, tuple[int, ...]]]) -> None:
    for network, expected in shapes.items():
        for name in expected:
            if name.endswith(BUFFER) and name in state[network]:
                found = state[network][name]
                wanted = relative_positions(round(found.shape[0] ** 0.5))
                error = float(np.abs(found.astype(np.float32) - wanted).max())
                if not error <= _BUFFER_TOLERANCE:
                    raise CheckpointError(
                        f"{network}/{name} is off by {error:.3g} from sign(d) ln(1 + |d|): made by other code"
                    )


def _is_unused(name: str) -> bool:
    return name.partition(".")[0] in UNUSED_MODULES


def _named(source: Source) -> str:
    return str(source) if isinstance(source, (str, Path)) else f"{source[0]} and further parts"
