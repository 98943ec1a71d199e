"""Show versions, devices, packaged weights and the networks with their parameter counts.

iassf info
iassf info --weights iassf-lite             # what weights hold, and the card of packaged ones
iassf info --flops                          # also the arithmetic for one 256x256 pair (slower)
"""

import argparse
import importlib.metadata
import math
import platform
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from iassf_jax import __version__, models
from iassf_jax.checkpoints.sources import load_pretrained, model_card, packaged_weights
from iassf_jax.checkpoints.weights import parameter_shapes, read_header

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "opencv-python-headless")
_SIDE = 256  # pixels, of the image that FLOPs are given for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--weights", help="show only this: packaged name, weights file, .pth, .npz or workdir"
    )
    parser.add_argument(
        "--flops", action="store_true", help=f"count the arithmetic for one {_SIDE}x{_SIDE} pair"
    )


def run(args: argparse.Namespace) -> int:
    """Print the tables; 0."""
    console = Console()
    if args.weights is not None:
        _print_weights(console, args.weights, flops=args.flops)
        return 0
    console.print(_versions())
    console.print(_devices())
    console.print(_packaged())
    console.print(_networks(flops=args.flops))
    return 0


def parameter_count(model: Mapping[str, Any]) -> int:
    """Return the number of trainable parameters of a network; nothing is computed."""
    return sum(math.prod(shape) for shape in parameter_shapes(model).values())


def flop_count(model: Mapping[str, Any]) -> float:
    """Return the floating point operations of one 256x256 pair, as XLA counts them before optimising."""
    network = models.create(model)
    image = jax.ShapeDtypeStruct((1, _SIDE, _SIDE, 3), np.float32)
    infrared = jax.ShapeDtypeStruct((1, _SIDE, _SIDE, 1), np.float32)
    variables = jax.eval_shape(network.init, jax.random.key(0), image, infrared)
    analysis: Any = jax.jit(network.apply).lower(variables, image, infrared).cost_analysis()
    return float(analysis["flops"])


def _versions() -> Table:
    table = Table("package", "version", title="versions")
    table.add_row("iassf_jax", __version__)
    table.add_row("python", platform.python_version())
    for package in _PACKAGES:
        table.add_row(package, _version_of(package))
    return table


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _devices() -> Table:
    table = Table("id", "platform", "kind", "process", title=f"devices ({jax.default_backend()} is used)")
    for device in jax.devices():
        table.add_row(str(device.id), device.platform, device.device_kind, str(device.process_index))
    return table


def _packaged() -> Table:
    table = Table("name", "network", "stored as", "about", title="packaged weights")
    for name, path in packaged_weights().items():
        header = read_header(path)
        about = ", ".join(f"{key}: {value}" for key, value in header.info.items())
        table.add_row(name, header.model["name"], header.dtype, about)
    if table.row_count == 0:
        table.add_row("none", "", "", "")
    return table


def _networks(*, flops: bool) -> Table:
    table = Table("network", title="networks with default fields")
    table.add_column("parameters", justify="right")
    if flops:
        table.add_column(f"GFLOPs at {_SIDE}x{_SIDE}", justify="right")
    for name in models.MODELS:
        model = {"name": name}
        counts = [f"{flop_count(model) / 1e9:.2f}"] if flops else []
        table.add_row(name, f"{parameter_count(model):,}", *counts)
    return table


def _print_weights(console: Console, source: str, *, flops: bool) -> None:
    model, variables = load_pretrained(source)
    leaves = jax.tree.leaves(variables["params"])
    table = Table("what", "value", title=source)
    for name, value in model.items():
        table.add_row("network" if name == "name" else name, str(value))
    table.add_section()
    table.add_row("parameters", f"{sum(int(np.size(leaf)) for leaf in leaves):,}")
    table.add_row("tensors", str(len(leaves)))
    finite = all(bool(np.isfinite(leaf).all()) for leaf in leaves)
    table.add_row("all finite", "yes" if finite else "NO: the network gives no usable images")
    if flops:
        table.add_row(f"GFLOPs at {_SIDE}x{_SIDE}", f"{flop_count(model) / 1e9:.2f}")
    console.print(table)
    if source in packaged_weights():
        console.print(Markdown(model_card(source)))
