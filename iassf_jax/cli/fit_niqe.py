"""Fit NIQE's model of clean images to a folder of them, for `iassf measure --niqe-model`.

    iassf fit-niqe --input clean_images --output model.npz

The sharp blocks of 96x96 pixels of all images give the model; a hundred varied images or more give a useful
one. Values of different models cannot be compared: the published Q_NIQE is that of the shipped LIVE model.
Images that cannot be used are listed, and then the exit code is 1.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from data_pipelines.decode import ImageError, list_images, read_visible
from iassf_jax.cli.outputs import refuse_existing
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import InputError
from iassf_jax.metrics.niqe_fit import sharp_block_features
from iassf_jax.metrics.niqe_model import fit_model, save_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf fit-niqe`."""
    parser.add_argument("--input", type=Path, required=True, metavar="D", help="folder of clean images")
    parser.add_argument("--output", type=Path, required=True, metavar="F.npz", help="model file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output if it exists")


def run(args: argparse.Namespace) -> int:
    """Fit and write the model; return 0 when every image was used, else 1."""
    if args.output.suffix != ".npz":
        raise InputError(f"--output {args.output}: expected a name that ends in .npz")
    refuse_existing(args.output, overwrite=args.overwrite)
    try:
        paths = list_images(args.input)
    except ImageError as error:
        raise InputError(str(error)) from error
    enable_compilation_cache()
    features, problems = _features(paths)
    try:
        model = fit_model(np.concatenate(features)) if features else None
    except InputError as error:
        raise InputError("; ".join([f"{args.input}: {error}", *problems])) from error
    if model is None:
        raise InputError("; ".join([f"{args.input}: no image can be used", *problems]))
    with written_aside(args.output) as path:
        save_model(path, model)
    console = Console()
    blocks = sum(len(one) for one in features)
    say = [f"{args.output}: fitted to {blocks} sharp blocks of {len(features)} images"]
    for line in [*say, *(f"not used: {problem}" for problem in problems)]:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    return 1 if problems else 0


def _features(paths: list[Path]) -> tuple[list[np.ndarray], list[str]]:
    """Features of the sharp blocks of each usable image, and what is wrong with the others."""
    features, problems = [], []
    with progress_bar("images") as on_done:
        for i, path in enumerate(paths, start=1):
            try:
                features.append(sharp_block_features(read_visible(path)))
            except ImageError as error:
                problems.append(str(error))
            except InputError as error:
                problems.append(f"{path}: {error}")
            on_done(i, len(paths))
    return features, problems
