"""Show examples of a folder.

    iassf data inspect --input data/scenes/val --output val.png --count 6

Writes a picture with one row of hazy, clear and infrared for each example.
"""

import argparse
from pathlib import Path

from rich.console import Console

from data_pipelines.contact_sheet import contact_sheet
from data_pipelines.decode import ImageError
from data_pipelines.triplets import Triplet, list_triplets
from iassf_jax.cli.outputs import refuse_existing
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import OUTPUT_EXTENSIONS, write_image

SMALLEST = 16  # pixels, width of a picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf data inspect`."""
    add = parser.add_argument
    add("--input", type=Path, required=True, metavar="D", help="folder with GT, IR and, if any, hazy")
    add("--output", type=Path, required=True, metavar="F.png", help="picture to write")
    add("--count", type=int, default=8, metavar="N", help="number of rows, spread over the set (default: 8)")
    add("--width", type=int, default=320, metavar="N", help="width of each picture in pixels (default: 320)")
    add("--overwrite", action="store_true", help="replace an existing picture")


def run(args: argparse.Namespace) -> int:
    """Write the picture."""
    if args.count < 1 or args.width < SMALLEST:
        raise InputError(
            f"--count {args.count} --width {args.width}: expected at least 1 and at least {SMALLEST}"
        )
    if args.output.suffix.lower() not in OUTPUT_EXTENSIONS:
        raise InputError(
            f"--output {args.output}: expected a name that ends in {', '.join(sorted(OUTPUT_EXTENSIONS))}"
        )
    refuse_existing(args.output, overwrite=args.overwrite)
    try:
        triplets = _list(args.input)
        shown = _spread(triplets, args.count)
        sheet = contact_sheet(shown, width=args.width)
    except ImageError as error:
        raise InputError(str(error)) from error
    write_image(args.output, sheet)
    Console().print(
        f"{args.output}: {len(shown)} of {len(triplets)} examples of {args.input}", soft_wrap=True
    )
    return 0


def _list(folder: Path) -> list[Triplet]:
    """List the examples; a folder of splits gets the hint to name one of them."""
    splits = sorted(path.parent.name for path in folder.glob("*/GT"))
    if splits and not (folder / "GT").exists():
        raise InputError(
            f"{folder} holds {', '.join(splits)}: give one of them, for example {folder / splits[0]}"
        )
    return list_triplets(folder, require_hazy=False)


def _spread(triplets: list[Triplet], count: int) -> list[Triplet]:
    """Return `count` examples at even distances, all of them where there are fewer."""
    count = min(count, len(triplets))
    return [triplets[index * len(triplets) // count] for index in range(count)]
