"""Make and look at data sets in the GT/hazy/IR layout.

    iassf data scenes --output data/scenes --count 64 --seed 1
    iassf data inspect --input data/scenes/val --output val.png --count 6

`scenes` writes generated streets: train/ and val/ with GT, hazy, IR and depth (16 bits, centimetres), and
manifest.jsonl. `inspect` writes a picture with one row of hazy, clear and infrared for each example.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from data_pipelines.contact_sheet import contact_sheet
from data_pipelines.decode import ImageError
from data_pipelines.scenes import write_scenes
from data_pipelines.triplets import Triplet, list_triplets
from iassf_jax.cli.outputs import refuse_existing
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import OUTPUT_EXTENSIONS, write_image

SMALLEST = 16  # pixels a side, the smallest that the networks take


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `iassf data`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_scenes(
        actions.add_parser("scenes", help="write generated street scenes with infrared, depth and haze")
    )
    _add_inspect(actions.add_parser("inspect", help="write a picture of examples of a folder"))


def run(args: argparse.Namespace) -> int:
    """Run the chosen subcommand and return the exit code."""
    return {"scenes": _run_scenes, "inspect": _run_inspect}[args.action](args)


def _add_scenes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add("--count", type=int, required=True, metavar="N", help="number of scenes, validation included")
    add("--seed", type=int, default=0, metavar="N", help="same seed, same scenes (default: %(default)s)")
    add("--size", default="480x640", metavar="HxW", help="height and width in pixels (default: %(default)s)")
    add("--val-count", type=int, metavar="N", help="how many of them go to val/ (default: an eighth)")
    add("--overwrite", action="store_true", help="write into a folder that is not empty")


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--input", type=Path, required=True, metavar="D", help="folder with GT, IR and, if any, hazy")
    add("--output", type=Path, required=True, metavar="F.png", help="picture to write")
    add("--count", type=int, default=8, metavar="N", help="number of rows, spread over the set (default: 8)")
    add("--width", type=int, default=320, metavar="N", help="width of each picture in pixels (default: 320)")
    add("--overwrite", action="store_true", help="replace an existing picture")


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


def _run_scenes(args: argparse.Namespace) -> int:
    height, width = parse_size(args.size)
    splits = _splits(args.count, args.val_count)
    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: expected 0 or more")
    _refuse_used(args.output, overwrite=args.overwrite)
    with _progress() as progress:
        task = progress.add_task("scenes", total=args.count)
        try:
            lines = write_scenes(
                args.output,
                count=args.count,
                seed=args.seed,
                height=height,
                width=width,
                splits=splits,
                progress=lambda done, _: progress.update(task, completed=done),
            )
        except OSError as error:
            raise InputError(f"--output {args.output} cannot be written: {error}") from error
    nights = sum(line["night"] for line in lines)
    counts = ", ".join(f"{number} {name}" for name, number in splits.items() if number)
    Console().print(f"{args.output}: {counts} ({nights} by night), {height}x{width} pixels", soft_wrap=True)
    return 0


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


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


def _run_inspect(args: argparse.Namespace) -> int:
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
