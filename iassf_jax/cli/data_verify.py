"""Check a built set: checksums, pairing, sizes, published counts and lists, leakage between splits.

    iassf data verify roadscene
    iassf data verify /data/sets/harbour

Exit code 1 when something is damaged or splits leak; notes do not count.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from data_pipelines.decode import ImageError
from data_pipelines.sets.stored import default_data_dir, import_tfds, open_set
from data_pipelines.sets.verify import verify_set
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.errors import InputError, MissingDependencyError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf data verify`."""
    add = parser.add_argument
    add("set", metavar="NAME|D", help="name of a built set, or its folder")
    add("--data-dir", type=Path, metavar="D", help=f"folder of built sets (default: {default_data_dir()})")


def run(args: argparse.Namespace) -> int:
    """Verify the set; 1 when it is not sound."""
    try:
        import_tfds()
        stored = open_set(args.set, data_dir=args.data_dir)
        with progress_bar("scenes") as update:
            result = verify_set(stored, progress=update)
    except ImportError as error:
        raise MissingDependencyError(str(error)) from error
    except ImageError as error:
        raise InputError(str(error)) from error
    console = Console()
    for finding in result.findings:
        console.print(escape(f"{finding.level}: {finding.text}"), soft_wrap=True, highlight=False)
    splits = ", ".join(f"{len(entries)} {name}" for name, entries in stored.manifest.splits.items())
    verdict = "sound" if result.sound else "NOT sound"
    console.print(
        f"{stored.folder}: {verdict}; {result.scenes} scenes ({splits}), {result.num_bytes / 1e6:.1f} MB",
        soft_wrap=True,
        highlight=False,
    )
    return 0 if result.sound else 1
