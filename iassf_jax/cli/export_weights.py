"""Write weights to one file: a run's or packaged ones as .safetensors, or as PyTorch reads them.

    iassf export-weights --weights runs/lite --output lite.safetensors --dtype float16
    iassf export-weights --weights W.safetensors --output IASSF.pth        # iassf_released only

    iassf export-weights --weights runs/b --average runs/a=0.4 --output mean.safetensors

Of a run the best checkpoint is taken (by its best_metric; without validation the newest), with the running
mean of the parameters where it has one. The mean of two runs of which one went on from the other is often
better than either.
"""

import argparse
import ast
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from rich.console import Console

from iassf_jax import models
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.checkpoints.torch_import import export_torch
from iassf_jax.checkpoints.weights import DTYPES, check_parameters, save_weights
from iassf_jax.cli.outputs import refuse_existing
from iassf_jax.core.errors import CheckpointError, InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--weights", required=True, help="packaged name, weights file, or workdir of a run")
    parser.add_argument(
        "--output", required=True, type=Path, help="file to write: .safetensors, .pth, or .npz"
    )
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="in a .safetensors file")
    parser.add_argument(
        "--info", action="append", default=[], metavar="KEY=TEXT", help="stored with a .safetensors file"
    )
    parser.add_argument(
        "--field",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a field of the network that has no part in its parameters, such as complement=0.3",
    )
    parser.add_argument(
        "--average",
        action="append",
        default=[],
        metavar="WEIGHTS=SHARE",
        help="give other weights of the same network a share in every parameter; repeatable",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> int:
    """Load, convert, write; 0 when the file is written."""
    refuse_existing(args.output, overwrite=args.overwrite)
    model, variables = load_pretrained(args.weights)
    variables = _averaged(variables, args.average)
    model = _with_fields(model, variables, args.field)
    if args.output.suffix == ".safetensors":
        info = dict(_pair(text) for text in args.info)
        save_weights(args.output, model=model, variables=variables, info=info, dtype=args.dtype)
    elif model["name"] != "iassf_released":
        raise CheckpointError(
            f"{args.weights} holds the network {model['name']!r}: only iassf_released has a PyTorch layout; "
            "a .safetensors file holds any"
        )
    elif model.get("ablation", "none") != "none":
        raise CheckpointError(
            f"{args.weights} is the ablation {model['ablation']!r}, which the released code has not: "
            "write a .safetensors file"
        )
    else:
        export_torch(variables, args.output, window=model.get("window", 8))
    Console().print(f"wrote {args.output} ({args.output.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)
    return 0


def _averaged(variables: Any, averages: list[str]) -> Any:
    """Return the mean of the variables and others, which have the shares that are given with them."""
    others, shares = [], []
    for text in averages:
        source, _, share = text.rpartition("=")
        try:
            shares.append(float(share))
        except ValueError:
            raise InputError(f"--average {text}: expected WEIGHTS=SHARE, such as runs/other=0.4") from None
        others.append(load_pretrained(source)[1])
    if not averages:
        return variables
    if not (all(share > 0 for share in shares) and sum(shares) < 1):  # so that NaN is refused, too
        raise InputError(
            f"--average: the shares are {shares}; expected more than 0 each and less than 1 in all"
        )
    shapes = [jax.tree.map(np.shape, tree) for tree in (variables, *others)]
    if any(shape != shapes[0] for shape in shapes):
        raise CheckpointError("--average: these weights are of another network or of other fields")
    weights = [1.0 - sum(shares), *shares]

    def mean(*leaves: Any) -> Any:
        parts = [w * np.asarray(leaf) for w, leaf in zip(weights, leaves, strict=True)]
        return np.sum(parts, axis=0, dtype=np.float32)

    return jax.tree.map(mean, variables, *others)


def _with_fields(model: dict[str, Any], variables: Any, fields: list[str]) -> dict[str, Any]:
    """Return the description with other fields; the parameters must still fit."""
    if not fields:
        return model
    changed = dict(model)
    for text in fields:
        name, value = _pair(text, option="--field")
        changed[name] = _field_value(model["name"], name, value)
    check_parameters(changed, flatten_dict(variables), name=f"--field {', '.join(fields)}")
    return changed


def _field_value(network: str, name: str, text: str) -> Any:
    """Read the value of a field as the type of its default; an unknown field is left to the network."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    default = models.model_fields(network).get(name)
    if default is None:
        return value
    if type(default) is float and type(value) is int:
        value = float(value)
    if not _fits(value, default):
        raise InputError(f"--field {name}={text}: expected {_kind(default)}, such as {default!r}")
    return value


def _fits(value: Any, default: Any) -> bool:
    if isinstance(value, tuple | list) and type(default) is tuple:
        return all(not default or _fits(each, default[0]) for each in value)
    is_number = type(default) is float and type(value) in (int, float)
    return math.isfinite(value) if is_number else type(value) is type(default)


def _kind(default: Any) -> str:
    of = f" of {type(default[0]).__name__}" if type(default) is tuple and default else ""
    return f"{type(default).__name__}{of}"


def _pair(text: str, *, option: str = "--info") -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not (key and separator):
        raise InputError(f"{option} {text}: expected NAME=VALUE")
    return key, value
