"""Convert the released PyTorch checkpoint into a weights file; no code in it is executed.

iassf import-weights IASSF.pth --output IASSF.safetensors
iassf import-weights IASSF_part_aa --output IASSF.safetensors     # finds the other parts beside it
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util
from rich.console import Console
from rich.table import Table

from iassf_jax.checkpoints.listing import listing
from iassf_jax.checkpoints.torch_import import TorchImport, import_with_report
from iassf_jax.checkpoints.weights import DTYPES, save_weights
from iassf_jax.cli.outputs import refuse_existing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "source",
        nargs="+",
        help=".pth, .npz, one part of a split .pth, the folder with the parts, or all the parts",
    )
    parser.add_argument("--output", required=True, type=Path, help="weights file to write (.safetensors)")
    parser.add_argument("--dtype", choices=sorted(DTYPES), default="float32", help="of the stored numbers")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> int:
    """Import, print what was mapped, write; 0 when the file is written."""
    refuse_existing(args.output, overwrite=args.overwrite)
    found = import_with_report(args.source[0] if len(args.source) == 1 else args.source)
    model = {"name": "iassf_released", **found.fields}
    info = {"source": [Path(source).name for source in args.source]}
    save_weights(args.output, model=model, variables=found.variables, info=info, dtype=args.dtype)
    _print_report(Console(), found, args.output)
    return 0


def _print_report(console: Console, found: TorchImport, output: Path) -> None:
    console.print(_mapped_table(found.variables))
    fields = Table("field", "value", title="inferred network: iassf_released")
    for name, value in found.fields.items():
        fields.add_row(name, str(value))
    console.print(fields)
    console.print(f"not used: {listing(found.unused)}")
    console.print(f"other entries, left out: {listing(found.other)}")
    console.print(f"wrote {output} ({output.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)


def _mapped_table(variables: dict[str, Any]) -> Table:
    """Count tensors and parameters by module, those that the released code never uses apart."""
    tensors: dict[tuple[str, str], int] = defaultdict(int)
    parameters: dict[tuple[str, str], int] = defaultdict(int)
    for (collection, network, module, *_), array in traverse_util.flatten_dict(variables).items():
        row = (network, module if collection == "params" else "(stored, never used)")
        tensors[row] += 1
        parameters[row] += int(np.size(array))
    table = Table("network", "module", title="mapped parameters")
    table.add_column("tensors", justify="right")
    table.add_column("parameters", justify="right")
    for row in tensors:
        table.add_row(*row, str(tensors[row]), f"{parameters[row]:,}")
    table.add_section()
    table.add_row("total", "", str(sum(tensors.values())), f"{sum(parameters.values()):,}")
    return table
