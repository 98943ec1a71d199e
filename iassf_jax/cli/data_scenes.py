"""Write generated streets: aligned visible and infrared images with true depth and haze.

    iassf data scenes --output data/scenes --count 64 --seed 1

Writes train/ and val/ with GT, hazy, IR and depth (16 bits, centimetres), and manifest.jsonl.
"""

import argparse
from pathlib import Path

from rich.console import Console

from data_pipelines.scenes import write_scenes
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.errors import InputError

SMALLEST = 16  # pixels a side, the smallest that the networks take


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf data scenes`."""
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add("--count", type=int, required=True, metavar="N", help="number of scenes, validation included")
    add("--seed", type=int, default=0, metavar="N", help="same seed, same scenes (default: %(default)s)")
    add("--size", default="480x640", metavar="HxW", help="height and width in pixels (default: %(default)s)")
    add("--val-count", type=int, metavar="N", help="how many of them go to val/ (default: an eighth)")
    add("--overwrite", action="store_true", help="write into a folder that is not empty")


def run(args: argparse.Namespace) -> int:
    """Write the scenes."""
    height, width = parse_size(args.size)
    splits = _splits(args.count, args.val_count)
    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: expected 0 or more")
    _refuse_used(args.output, overwrite=args.overwrite)
    with progress_bar("scenes") as update:
        try:
            lines = write_scenes(
                args.output,
                count=args.count,
                seed=args.seed,
                height=height,
                width=width,
                splits=splits,
                progress=update,
            )
        except OSError as error:
            raise InputError(f"--output {args.output} cannot be written: {error}") from error
    nights = sum(line["night"] for line in lines)
    counts = ", ".join(f"{number} {name}" for name, number in splits.items() if number)
    Console().print(f"{args.output}: {counts} ({nights} by night), {height}x{width} pixels", soft_wrap=True)
    return 0


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) from "480x640".

    Raises:
      InputError: not two whole numbers of at least 16.
    """
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal() and min(int(height), int(width)) >= SMALLEST):
        raise InputError(
            f"--size {text}: expected HEIGHTxWIDTH, each at least {SMALLEST}, for example 480x640"
        )
    return int(height), int(width)


def _splits(count: int, val_count: int | None) -> dict[str, int]:
    if count < 1:
        raise InputError(f"--count {count}: expected at least 1")
    if val_count is None:
        val_count = 0 if count == 1 else max(1, count // 8)
    if not 0 <= val_count <= count:
        raise InputError(f"--val-count {val_count}: expected 0 to --count, which is {count}")
    return {"train": count - val_count, "val": val_count}


def _refuse_used(output: Path, *, overwrite: bool) -> None:
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file, expected a folder")
    if output.is_dir() and any(output.iterdir()) and not overwrite:
        raise InputError(
            f"{output} is not empty: give another --output, or --overwrite to replace its scenes"
        )
