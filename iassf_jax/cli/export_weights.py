"""Write the weights of an `iassf_released` network as a PyTorch checkpoint that the released code loads.

iassf export-weights --weights W.safetensors --output IASSF.pth
"""

import argparse
from pathlib import Path

from rich.console import Console

from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.checkpoints.torch_import import export_torch
from iassf_jax.cli.outputs import refuse_existing
from iassf_jax.core.errors import CheckpointError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--weights", required=True, help="packaged name, weights file, or workdir of a run")
    parser.add_argument("--output", required=True, type=Path, help="file to write: .pth, or .npz")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> int:
    """Load, convert, write; 0 when the file is written."""
    refuse_existing(args.output, overwrite=args.overwrite)
    model, variables = load_pretrained(args.weights)
    if model["name"] != "iassf_released":
        raise CheckpointError(
            f"{args.weights} holds the network {model['name']!r}: only iassf_released has a PyTorch layout"
        )
    export_torch(variables, args.output, window=model.get("window", 8))
    Console().print(f"wrote {args.output} ({args.output.stat().st_size / 1e6:.1f} MB)", soft_wrap=True)
    return 0
