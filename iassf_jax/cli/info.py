"""Show versions, devices, packaged weights and what the networks cost.

    iassf info
    iassf info --weights iassf-lite             # what weights hold, and the card of packaged ones
    iassf info --flops                          # parameters and arithmetic of every network and M
    iassf info --latency --network iassf        # also memory and time on this device (compiles: minutes)

Networks have their default fields. Prompt pools are counted apart. FLOPs are XLA's count for one pair before
it optimises, a multiplication and its addition are two. Memory is what XLA reserves for activations; latency
is the median of five calls with one pair.
"""

import argparse
import importlib.metadata
import platform
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from iassf_jax import __version__, models
from iassf_jax.checkpoints.sources import load_pretrained, model_card, packaged_weights
from iassf_jax.checkpoints.weights import read_header
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.errors import InputError
from iassf_jax.report import complexity
from iassf_jax.report.complexity import flop_count

__all__ = ["add_arguments", "flop_count", "parameter_count", "run"]

_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "opencv-python-headless")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--weights", help="show only this: packaged name, weights file, .pth, .npz or workdir"
    )
    parser.add_argument("--flops", action="store_true", help="count the arithmetic, for every M")
    parser.add_argument(
        "--latency", action="store_true", help="also measure memory and time on this device (compiles)"
    )
    parser.add_argument(
        "--network",
        action="append",
        choices=tuple(models.MODELS),
        help="only this network's --flops or --latency; repeatable (default: all)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the tables; 0."""
    console = Console()
    if args.network and not (args.flops or args.latency):
        raise InputError("--network says whose costs to show: give --flops or --latency, too")
    if args.network and args.weights is not None:
        given = " ".join(f"--network {name}" for name in args.network)
        raise InputError(f"{given}: the costs are those of --weights {args.weights}; give one of the two")
    if args.weights is not None:
        _print_weights(console, args.weights, flops=args.flops, latency=args.latency)
        return 0
    if not args.network:
        for table in (_versions(), _devices(), _packaged(), _networks()):
            console.print(table)
    if args.flops or args.latency:
        labelled = {
            _label(model): model
            for name in args.network or models.MODELS
            for model in complexity.variants({"name": name})
        }
        _print_costs(console, labelled, latency=args.latency)
    return 0


def parameter_count(model: Mapping[str, Any]) -> int:
    """Return the number of trainable parameters of a network; nothing is computed."""
    return sum(complexity.parameter_counts(model))


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
        table.add_row(name, header.model["name"], header.dtype, escape(about))
    if table.row_count == 0:
        table.add_row("none", "", "", "")
    return table


def _networks() -> Table:
    table = Table("network", title="networks with default fields")
    table.add_column("parameters", justify="right")
    table.add_column("of them in prompt pools", justify="right")
    for name in models.MODELS:
        own, pools = complexity.parameter_counts({"name": name})
        table.add_row(name, f"{own + pools:,}", f"{pools:,}")
    return table


def _label(model: Mapping[str, Any]) -> str:
    blocks = model.get("num_fusion_blocks")
    return f"{model['name']}, M = {blocks}" if blocks else model["name"]


def _print_costs(console: Console, labelled: Mapping[str, Mapping[str, Any]], *, latency: bool) -> None:
    costs = {}
    with progress_bar("networks") as on_done:
        for label, model in labelled.items():
            costs[label] = complexity.cost_of(model, measured=latency)
            on_done(len(costs), len(labelled))
    heading, lines = complexity.table(costs)
    table = Table(heading[0], title=f"cost of one pair, float32, on {jax.devices()[0].device_kind}")
    for name in heading[1:]:
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(*line)
    # A table wider than the terminal is better read in a pager than squeezed.
    wide = Measurement.get(console, console.options.update(width=10_000), table).maximum
    console.width = max(console.width, wide)
    console.print(table)


def _print_weights(console: Console, source: str, *, flops: bool, latency: bool) -> None:
    model, variables = load_pretrained(source)
    leaves = jax.tree.leaves(variables["params"])
    table = Table("what", "value", title=escape(source))
    for name, value in model.items():
        table.add_row("network" if name == "name" else name, escape(str(value)))
    table.add_section()
    table.add_row("parameters", f"{sum(int(np.size(leaf)) for leaf in leaves):,}")
    table.add_row("tensors", str(len(leaves)))
    finite = all(bool(np.isfinite(leaf).all()) for leaf in leaves)
    table.add_row("all finite", "yes" if finite else "NO: the network gives no usable images")
    console.print(table)
    if flops or latency:
        _print_costs(console, {_label(model): model}, latency=latency)
    if source in packaged_weights():
        console.print(Markdown(model_card(source)))
