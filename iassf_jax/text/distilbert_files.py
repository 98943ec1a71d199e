"""A DistilBERT folder as it is published: config.json and model.safetensors. Nothing is downloaded."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from iassf_jax.core.errors import CheckpointError
from iassf_jax.text.distilbert import DistilBertConfig

_PREFIX = "distilbert."


def read_config(folder: str | Path) -> DistilBertConfig:
    """Read the sizes from config.json.

    Raises:
      CheckpointError: no such file, one of another model, or one without all the sizes.
    """
    path = Path(folder) / "config.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON: {error}") from error
    names = [field.name for field in dataclasses.fields(DistilBertConfig)]
    missing = [name for name in names if not isinstance(stored.get(name), int)]
    if missing:
        raise CheckpointError(f"{path} is of no DistilBERT: it lacks {', '.join(missing)}")
    if stored.get("activation", "gelu") != "gelu":
        raise CheckpointError(f"{path} has the activation {stored['activation']!r}; only gelu is supported")
    return DistilBertConfig(**{name: stored[name] for name in names})


def read_weights(path: str | Path, config: DistilBertConfig) -> dict[str, Any]:
    """Return the variables of `DistilBert(config)` from a safetensors file.

    Names with and without the prefix "distilbert." are understood; what else the file holds, such as the head
    of the masked language model, is left.

    Raises:
      CheckpointError: the file is missing or damaged, or a tensor is missing or has another shape.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; expected the weights of a DistilBERT")
    try:
        stored = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or no .safetensors file ({error})") from error
    stored = {name.removeprefix(_PREFIX): array for name, array in stored.items()}
    flat, problems = {}, []
    for key, name, shape in _parameters(config):
        if name not in stored:
            problems.append(f"{name} is missing")
        elif stored[name].shape != shape:
            problems.append(f"{name} has shape {stored[name].shape}, expected {shape}")
        else:
            array = stored[name].astype(np.float32)
            flat[key] = array.T if key[-1] == "kernel" else array
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(f"{path} does not fit its config.json: {'; '.join(problems[:3])}{more}")
    return {"params": traverse_util.unflatten_dict(flat)}


def random_weights(config: DistilBertConfig, *, seed: int = 0) -> dict[str, Any]:
    """Return variables as a fresh DistilBERT has them: normal of deviation 0.02, norms 1 and biases 0."""
    rng = np.random.default_rng(seed)
    flat: dict[tuple[str, ...], np.ndarray] = {}
    for key, _, shape in _parameters(config):
        if key[-1] in ("kernel", "embedding"):
            drawn = rng.normal(0.0, 0.02, shape)
            flat[key] = (drawn.T if key[-1] == "kernel" else drawn).astype(np.float32)
        else:
            flat[key] = np.full(shape, float(key[-1] == "scale"), np.float32)
    return {"params": traverse_util.unflatten_dict(flat)}


Parameter = tuple[tuple[str, ...], str, tuple[int, ...]]


def _parameters(c: DistilBertConfig) -> Iterator[Parameter]:
    """Yield (path among ours, name in the file, shape in the file) of every parameter."""
    for table, size in (("word", c.vocab_size), ("position", c.max_position_embeddings)):
        name = f"embeddings.{table}_embeddings.weight"
        yield (f"{table}_embeddings", "embedding"), name, (size, c.dim)
    yield from _pair(("embeddings_norm",), "embeddings.LayerNorm", (c.dim,))
    for index in range(c.n_layers):
        ours, theirs = f"layer_{index}", f"transformer.layer.{index}"
        for name in ("q_lin", "k_lin", "v_lin", "out_lin"):
            yield from _pair((ours, name), f"{theirs}.attention.{name}", (c.dim, c.dim))
        yield from _pair((ours, "lin1"), f"{theirs}.ffn.lin1", (c.hidden_dim, c.dim))
        yield from _pair((ours, "lin2"), f"{theirs}.ffn.lin2", (c.dim, c.hidden_dim))
        for name in ("sa_layer_norm", "output_layer_norm"):
            yield from _pair((ours, name), f"{theirs}.{name}", (c.dim,))


def _pair(ours: tuple[str, ...], theirs: str, shape: tuple[int, ...]) -> Iterator[Parameter]:
    weight = "kernel" if len(shape) == 2 else "scale"
    yield (*ours, weight), f"{theirs}.weight", shape
    yield (*ours, "bias"), f"{theirs}.bias", shape[:1]


def sizes(variables: Mapping[str, Any]) -> int:
    """Return the number of parameters."""
    return sum(np.size(leaf) for leaf in traverse_util.flatten_dict(dict(variables)).values())
