"""Restore visible or infrared images, one or a folder of them, told what is wrong with them.

    iassf restore --image hazy.png --modality visible --output clear.png --weights runs/lure \\
        --prompt "remove the haze"
    iassf restore --image thermal --modality infrared --output restored --weights runs/lure --task LC

A folder gives OUTPUT/NAME.png. Images that cannot be used are named with the reason at the end, and the
others are written. The exit code is 0 when every image gave a result, 1 when some did not, 2 when nothing
could be started.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from data_pipelines.decode import ImageError, list_images, read_infrared, read_visible
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import OUTPUT_EXTENSIONS, parse_infrared_range, write_image
from iassf_jax.inference.folder import PAIR_ERRORS, reason_of
from iassf_jax.inference.pairs import refuse_unwritable_kind
from iassf_jax.inference.restorer import MODALITIES, Restorer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf restore`."""
    add = parser.add_argument
    add("--image", type=Path, required=True, metavar="P", help="image, or a folder of them")
    add("--modality", choices=MODALITIES, required=True, help="which camera took them")
    add("--output", type=Path, required=True, metavar="P", help="folder, or for one image also an image file")
    add("--weights", required=True, metavar="W", help="run folder or weights file of a network such as lure")
    add("--prompt", metavar="TEXT", help="what is wrong with the images, in words")
    add("--task", help="the same by name: HZ, OE, LL (visible), LC, SR (infrared) or PD (nothing)")
    add("--tile", type=int, metavar="N", help="images above NxN pixels are tiled (default: by memory)")
    add("--overwrite", action="store_true", help="replace existing outputs")
    add(
        "--ir-range",
        default="auto",
        metavar="RULE",
        help="infrared values that become black and white: auto, full or lo,hi (default: auto)",
    )


def run(args: argparse.Namespace) -> int:
    """Restore what `args` names; return 0 when every image gave a result, else 1."""
    jobs = _jobs(args.image, args.output, overwrite=args.overwrite)
    ir_range = parse_infrared_range(args.ir_range)
    enable_compilation_cache()
    restorer = Restorer.from_pretrained(args.weights, ir_range=ir_range, tile=args.tile)
    told = {"modality": args.modality, "text": args.prompt, "task": args.task}
    restorer.conditions(**told)  # what is wrong here is wrong for every image
    failures = []
    for source, target in track(jobs, "images", console=Console(stderr=True)):
        try:
            write_image(target, restorer(_read(source, args.modality), **told))
        except PAIR_ERRORS as error:
            failures.append(f"{source.name}: {reason_of(error)}")
    lines = [f"{len(jobs) - len(failures)} of {len(jobs)} restored: {args.output}", *failures]
    Console().print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)
    return 1 if failures else 0


def _jobs(image: Path, output: Path, *, overwrite: bool) -> list[tuple[Path, Path]]:
    """Return (input, output) for every image.

    Raises:
      InputError: no images, an output that is an input or exists, or one file for several images.
    """
    if not image.exists():
        raise InputError(f"--image {image}: no such file or folder")
    try:
        sources = list_images(image) if image.is_dir() else [image]
    except ImageError as error:
        raise InputError(str(error)) from error
    if not sources:
        raise InputError(f"--image {image}: no images in this folder")
    to_file = output.suffix.lower() in OUTPUT_EXTENSIONS and not output.is_dir()
    if to_file and image.is_dir():
        raise InputError(f"--output {output} is an image file; a folder of images needs a folder")
    if not image.is_dir():
        refuse_unwritable_kind(output)
    jobs = [(source, output if to_file else output / f"{source.stem}.png") for source in sources]
    inputs = {source.resolve() for source in sources}
    targets = [target for _, target in jobs]
    for target in targets:
        if target.resolve() in inputs:
            raise InputError(f"{target} is an input that its result would replace; give another output")
        if targets.count(target) > 1:
            raise InputError(f"several images would be written to {target}; give them different names")
        if target.exists() and not overwrite:
            raise InputError(f"{target} exists already; --overwrite replaces it")
    return jobs


def _read(path: Path, modality: str) -> np.ndarray:
    return read_visible(path) if modality == "visible" else read_infrared(path)
