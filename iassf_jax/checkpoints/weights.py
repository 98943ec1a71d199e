"""The project's own weights file: one .safetensors with the parameters and the network they belong to.

    save_weights("w.safetensors", model={"name": "iassf", **fields}, variables=variables)
    model, variables = load_weights("w.safetensors")
    network = models.create(model)

Arrays are named by their path ("params/dehaze/skip0/kernel"); the metadata holds the format's version, the
network as JSON and whatever the writer had to say ("info"). Such a file cannot execute code.
"""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from iassf_jax import models
from iassf_jax.checkpoints.listing import listing
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import CheckpointError, ConfigError

FORMAT = "iassf_jax weights"
FORMAT_VERSION = 1
DTYPES = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
_FILE_DTYPES = {"F32": DTYPES["float32"], "F16": DTYPES["float16"], "BF16": DTYPES["bfloat16"]}
_PROBE = 64  # side of the image that a network's parameter shapes are derived with

Shapes = dict[tuple[str, ...], tuple[int, ...]]


class Header(NamedTuple):
    """What a weights file says about itself."""

    model: dict[str, Any]  # {"name": ..., **fields}
    info: dict[str, Any]  # of the writer: where the weights come from, training step, scores
    dtype: str  # of the arrays in the file


def save_weights(
    path: str | Path,
    *,
    model: Mapping[str, Any],
    variables: Mapping[str, Any],
    info: Mapping[str, Any] | None = None,
    dtype: str = "float32",
) -> None:
    """Write a weights file; it replaces `path` whole or not at all.

    Args:
      path: ends in .safetensors.
      model: {"name": ..., **fields} as `models.create` takes it; JSON values.
      variables: nested mappings of arrays, "params" among them.
      info: anything JSON that should travel with the weights.
      dtype: float32, or float16 or bfloat16 for a file of half the size (loaded back as float32).

    Raises:
      CheckpointError: the variables do not fit the model or the dtype's range, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise CheckpointError(f"{path} has the suffix {path.suffix!r}, expected .safetensors")
    if dtype not in DTYPES:
        raise CheckpointError(f"no weights are stored as {dtype!r}; there are {', '.join(DTYPES)}")
    flat = traverse_util.flatten_dict(variables)
    check_parameters(model, flat, name="variables")
    arrays = {"/".join(key): _cast(array, dtype, "/".join(key)) for key, array in flat.items()}
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "model": json.dumps(dict(model)),
        "info": json.dumps(dict(info or {})),
    }
    with written_aside(path, error=CheckpointError) as aside:
        # save_file would make a file that only its owner can read.
        aside.write_bytes(safetensors.numpy.save(arrays, metadata=metadata))


def load_weights(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a weights file and check it against the network that it names.

    Returns:
      The model mapping {"name": ..., **fields} and the variables, NumPy float32.

    Raises:
      CheckpointError: missing, truncated or foreign file; parameters that are missing, misshaped or unknown.
    """
    path = Path(path)
    header = read_header(path)
    flat: dict[tuple[str, ...], np.ndarray] = {}
    try:
        for name, view in safetensors.deserialize(path.read_bytes()):
            array = np.frombuffer(view["data"], _FILE_DTYPES[view["dtype"]]).reshape(view["shape"])
            flat[tuple(name.split("/"))] = array.astype(np.float32)
    except KeyError as error:
        raise CheckpointError(
            f"{path}: {name} is stored as {error}, expected one of {list(_FILE_DTYPES)}"
        ) from error
    check_parameters(header.model, flat, name=str(path))
    return header.model, traverse_util.unflatten_dict(flat)


def read_header(path: str | Path) -> Header:
    """Read what a weights file says about itself, without its arrays.

    Raises:
      CheckpointError: missing, truncated or foreign file, or one of a newer version.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path} {'is a folder' if path.is_dir() else 'does not exist'}, expected a weights file"
        )
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            stored = file.get_slice(next(iter(names))).get_dtype() if names else "F32"
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or no .safetensors file ({error})") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is a .safetensors file of another program: its metadata has no {FORMAT!r}"
        )
    if metadata.get("format_version") != str(FORMAT_VERSION):
        version = metadata.get("format_version")
        raise CheckpointError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}: update it"
        )
    dtype = _FILE_DTYPES[stored].name if stored in _FILE_DTYPES else stored
    try:
        # JSON has lists only; fields of networks are tuples.
        model = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(metadata["model"]).items()}
        return Header(model, json.loads(metadata["info"]), dtype)
    except (KeyError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} has unreadable metadata ({error!r})") from error


def parameter_shapes(model: Mapping[str, Any]) -> Shapes:
    """Return the shape of every parameter of a network by its path below "params"; nothing is computed.

    Raises:
      ConfigError: no such network or field.
    """
    # Tracing a network takes a second or more, and one session asks for the same few again and again.
    return dict(_shapes_of(json.dumps(dict(model))))


@functools.lru_cache(maxsize=32)
def _shapes_of(model: str) -> Shapes:
    network = models.create(json.loads(model))

    def init() -> Any:
        image = jax.numpy.zeros((1, _PROBE, _PROBE, 3), jax.numpy.float32)
        return network.init(jax.random.key(0), image, image[..., :1])["params"]

    tree = jax.eval_shape(init)
    return {key: leaf.shape for key, leaf in traverse_util.flatten_dict(tree).items()}


def check_parameters(model: Mapping[str, Any], flat: Mapping[tuple[str, ...], Any], *, name: str) -> None:
    """Check that variables, flat by path, hold exactly the network's parameters.

    Raises:
      CheckpointError: names the network and the parameters that are missing, misshaped or unknown to it.
    """
    try:
        expected = parameter_shapes(model)
    except ConfigError as error:
        raise CheckpointError(f"{name} names a network that this version does not have: {error}") from error
    found = {key[1:]: np.shape(array) for key, array in flat.items() if key[0] == "params"}
    problems = {
        "missing": [f"{'/'.join(k)} {shape}" for k, shape in expected.items() if k not in found],
        "with another shape": [
            f"{'/'.join(k)} (expected {shape}, found {found[k]})"
            for k, shape in expected.items()
            if k in found and found[k] != shape
        ],
        "unknown": [f"{'/'.join(k)} {shape}" for k, shape in found.items() if k not in expected],
    }
    told = [f"{len(items)} {what}: {listing(items)}" for what, items in problems.items() if items]
    if told:
        raise CheckpointError(f"{name} does not fit the network {dict(model)}: parameters {'; '.join(told)}")


def _cast(array: Any, dtype: str, name: str) -> np.ndarray:
    original = np.asarray(array, np.float32)
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(original.astype(DTYPES[dtype])).reshape(original.shape)
    if np.isfinite(original).all() and not np.isfinite(cast.astype(np.float32)).all():
        raise CheckpointError(f"{name} exceeds the range of {dtype}: store it as bfloat16 or float32")
    return cast
