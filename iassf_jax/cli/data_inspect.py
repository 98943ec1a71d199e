"""Look at a folder or built set before training on it.

    iassf data inspect --input data/pairs --output report.html
    iassf data inspect --input roadscene:train --output sheet.png --count 6

A name ending in .html gives a report on every pair: missing partners, unreadable images, sizes, swapped
modalities, misregistration, near-duplicates, constant images, squeezed haze, kinds of infrared. Exit code 1
when it holds an error. Another name gives a picture with a row of hazy, clear and infrared for each example;
infrared of more than 8 bits is shown between its 0.1 and 99.9 percentiles.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from data_pipelines.contact_sheet import contact_sheet
from data_pipelines.decode import ImageError
from data_pipelines.doctor.findings import Report, examine
from data_pipelines.doctor.measures import to_eight_bits
from data_pipelines.doctor.page import report_page
from data_pipelines.doctor.pairs import list_pairs
from data_pipelines.examples import open_examples
from data_pipelines.sets.cards import CARDS
from data_pipelines.sets.stored import default_data_dir, find_set, import_tfds
from iassf_jax.cli.outputs import refuse_existing
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.errors import InputError, MissingDependencyError
from iassf_jax.core.images import OUTPUT_EXTENSIONS, write_image

SMALLEST = 16  # pixels, width of a picture
_PAGES = frozenset({".html", ".htm"})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf data inspect`."""
    add = parser.add_argument
    add("--input", required=True, metavar="D|NAME", help="folder, zip archive (report only), or built set")
    add("--output", type=Path, required=True, metavar="F", help="report (.html) or picture (.png, .jpg)")
    add("--count", type=int, default=8, metavar="N", help="examples shown, spread over the set (default: 8)")
    add("--width", type=int, default=320, metavar="N", help="width of each picture in pixels (default: 320)")
    add("--layout", choices=sorted(CARDS), default="folder", help="set whose folders to expect in a report")
    add("--data-dir", type=Path, metavar="D", help=f"folder of built sets (default: {default_data_dir()})")
    add("--overwrite", action="store_true", help="replace an existing file")


def run(args: argparse.Namespace) -> int:
    """Write the report or picture."""
    _check(args)
    try:
        if find_set(args.input.rpartition(":")[0] or args.input, data_dir=args.data_dir) is not None:
            import_tfds()  # before the progress bar has a thread
        return _write_report(args) if args.output.suffix.lower() in _PAGES else _write_picture(args)
    except ImportError as error:
        raise MissingDependencyError(str(error)) from error
    except ImageError as error:
        raise InputError(str(error)) from error


def _check(args: argparse.Namespace) -> None:
    if args.count < 1 or args.width < SMALLEST:
        raise InputError(
            f"--count {args.count} --width {args.width}: expected at least 1 and at least {SMALLEST}"
        )
    if args.output.suffix.lower() not in OUTPUT_EXTENSIONS | _PAGES:
        known = ", ".join(sorted(OUTPUT_EXTENSIONS | _PAGES))
        raise InputError(f"--output {args.output}: expected a name that ends in {known}")
    refuse_existing(args.output, overwrite=args.overwrite)


def _write_report(args: argparse.Namespace) -> int:
    pairs, problems = list_pairs(args.input, card=args.layout, data_dir=args.data_dir)
    with progress_bar("pairs") as update:
        report = examine(pairs, problems, progress=update)
    page = report_page(report, title=f"Pairs of {args.input}", count=args.count)
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(page, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--output {args.output} cannot be written: {error.strerror}") from error
    _summarise(report, args.output)
    return 1 if any(finding.level == "error" for finding in report.findings) else 0


def _summarise(report: Report, output: Path) -> None:
    console = Console()
    for finding in report.findings:
        count = f" ({len(finding.names)})" if finding.names else ""
        text = escape(f"{finding.level}: {finding.title}{count}: {finding.detail}")
        console.print(text, soft_wrap=True, highlight=False)
    console.print(f"{output}: {len(report.pairs)} pairs", soft_wrap=True, highlight=False)


def _write_picture(args: argparse.Namespace) -> int:
    _name_splits(args.input)
    examples = open_examples(args.input, data_dir=args.data_dir, require_hazy=False, infrared_range=None)
    count = min(args.count, len(examples))
    shown = [_visible(examples[index * len(examples) // count]) for index in range(count)]
    write_image(args.output, contact_sheet(shown, width=args.width))
    text = f"{args.output}: {count} of {len(examples)} examples of {args.input}"
    Console().print(text, soft_wrap=True, highlight=False)
    return 0


def _visible(example: dict[str, Any]) -> dict[str, Any]:
    """Return the example with infrared of any range to look at."""
    return {**example, "infrared": to_eight_bits(example["infrared"][:, :, 0])[:, :, None]}


def _name_splits(folder: str) -> None:
    """A folder of splits gets the hint to name one of them."""
    splits = sorted(path.parent.name for path in Path(folder).glob("*/GT"))
    if splits and not (Path(folder) / "GT").exists():
        raise InputError(
            f"{folder} holds {', '.join(splits)}: give one of them, for example {Path(folder) / splits[0]}"
        )
