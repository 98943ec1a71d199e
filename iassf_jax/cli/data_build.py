"""Build a set of pairs that loads fast and can be verified.

    iassf data build roadscene --source ~/downloads/RoadScene-master.zip
    iassf data build folder --source my_pairs --name harbour --splits train=0.9,val=0.1
    iassf data build m3fd --archive M3FD_Fusion.zip

The source is the set as it is distributed, a folder or a zip archive. Without one the published archive is
downloaded and checked, where its address and checksum are known (M3FD). Files are stored as they are; no
TensorFlow is needed. Scenes that cannot be used are left out and named with the reason (exit code 1). Train
with `--config.data.train=roadscene:train`.
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from data_pipelines.decode import ImageError
from data_pipelines.sets.build import Built, build_set
from data_pipelines.sets.cards import CARDS
from data_pipelines.sets.download import fetch_archive
from data_pipelines.sets.stored import default_data_dir, import_tfds
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.errors import InputError, MissingDependencyError

_SKIPPED_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf data build`."""
    titles = "; ".join(f"{card.name} ({card.title})" for card in CARDS.values())
    add = parser.add_argument
    add("set", metavar="NAME", choices=sorted(CARDS), help=titles)
    add("--source", type=Path, metavar="D|F.zip", help="folder or zip archive of the set (else: download)")
    add("--archive", metavar="NAME", help="which archive to download, where a set has several")
    add("--data-dir", type=Path, metavar="D", help=f"folder of built sets (default: {default_data_dir()})")
    add("--name", metavar="N", help="name to store it under (default: NAME)")
    add("--splits", metavar="A=X,B=Y", help="shares of splits, for scenes that lie in no split's folder")
    add("--resize-infrared", action="store_true", help="accept infrared of another size; resize when read")
    add("--overwrite", action="store_true", help="replace a set of that name")


def run(args: argparse.Namespace) -> int:
    """Build the set; 1 when scenes had to be left out."""
    if args.source and args.archive:
        raise InputError(f"--archive {args.archive} is for downloads: leave it out or --source")
    try:
        import_tfds()
        source = args.source or _download(args)
        with progress_bar("scenes") as update:
            built = build_set(
                args.set,
                source,
                data_dir=args.data_dir,
                name=args.name,
                fractions=parse_splits(args.splits) if args.splits else None,
                resize_infrared=args.resize_infrared,
                overwrite=args.overwrite,
                progress=update,
            )
    except ImportError as error:
        raise MissingDependencyError(str(error)) from error
    except (ImageError, ValueError) as error:
        raise InputError(str(error)) from error
    _report(built, Console())
    return 1 if built.manifest.skipped else 0


def _download(args: argparse.Namespace) -> Path:
    folder = (args.data_dir or default_data_dir()) / "downloads"
    with progress_bar("bytes") as update:
        return fetch_archive(CARDS[args.set], folder, name=args.archive, progress=update)


def parse_splits(text: str) -> dict[str, float]:
    """Return shares of splits from "train=0.9,val=0.1".

    Raises:
      InputError: not of that form.
    """
    try:
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(share) for name, share in pairs}
    except ValueError:
        raise InputError(f"--splits {text}: expected for example train=0.9,val=0.1") from None


def _report(built: Built, console: Console) -> None:
    manifest = built.manifest
    counts = ", ".join(f"{len(entries)} {split}" for split, entries in manifest.splits.items())
    console.print(f"{built.folder}: {counts}", soft_wrap=True, highlight=False)
    if manifest.note:
        console.print(escape(manifest.note), soft_wrap=True)
    for problem in manifest.skipped[:_SKIPPED_SHOWN]:
        console.print(escape(f"left out {problem.name}: {problem.reason}"), soft_wrap=True, highlight=False)
    if len(manifest.skipped) > _SKIPPED_SHOWN:
        console.print(f"and {len(manifest.skipped) - _SKIPPED_SHOWN} more, see manifest.json")
