"""Write hazy copies of clear images: GT/, hazy/, IR/ and haze.jsonl with the parameters of every image.

    iassf data haze --input data/MSRS/train --output data/hazy --preset physical --seed 1
    iassf data haze --input roadscene:train --output data/roadscene_hazy
    iassf data haze --input DATA --output OUT --preset "reside_ots:2,clear:1" \\
        --depth DATA/depth --depth-kind distance --depth-scale 0.01

The input has GT/ (clear) and IR/ with equal names, or is a built set. The haze of an image depends on its
name, its content and the seed, not on the other images. Images that cannot be used are named at the end (exit
code 1).
"""

import argparse
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from data_pipelines.decode import ImageError
from data_pipelines.depth_files import list_depth_files
from data_pipelines.haze import PRESETS, as_mixture
from data_pipelines.haze.pseudo_depth import KINDS
from data_pipelines.sets.stored import default_data_dir
from iassf_jax.cli.depth_options import add_depth_options, depth_options_given, depth_rule
from iassf_jax.cli.haze_folder import PARAMETERS, DepthFolder, write_hazy_copies
from iassf_jax.cli.haze_sources import list_clear_scenes
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import InputError, MissingDependencyError

_FAILURES_SHOWN = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf data haze`."""
    add = parser.add_argument
    presets = "; ".join(f"{name} ({preset.source})" for name, preset in PRESETS.items())
    add("--input", required=True, metavar="D|NAME:SPLIT", help="folder with GT/ and IR/, or a built set")
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add("--preset", default="physical", metavar="P", help=f"a recipe, or NAME:WEIGHT,...; {presets}")
    add("--seed", type=int, default=0, metavar="N", help="same seed, same haze (default: %(default)s)")
    add("--pseudo-depth", choices=KINDS, default="mixed", help="depth where there are no files")
    add("--depth", type=Path, metavar="D", help="folder of depth maps, images or .npy, named like the scenes")
    add_depth_options(parser)
    add("--data-dir", type=Path, metavar="D", help=f"folder of built sets (default: {default_data_dir()})")
    add("--limit", type=int, metavar="N", help="only the first so many scenes")
    add(
        "--overwrite", action="store_true", help="write into a folder that is not empty; replaces equal names"
    )


def run(args: argparse.Namespace) -> int:
    """Write the copies; 1 when some could not be made."""
    haze = as_mixture(args.preset)
    if not 0 <= args.seed < 2**31:
        raise InputError(f"--seed {args.seed}: expected 0 up to 2^31 - 1")
    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit {args.limit}: expected at least 1")
    try:
        scenes = list_clear_scenes(args.input, data_dir=args.data_dir)[: args.limit]
        depth = _depth(args)
    except ImportError as error:
        raise MissingDependencyError(str(error)) from error
    except ImageError as error:
        raise InputError(str(error)) from error
    _check_output(args)
    enable_compilation_cache()
    with progress_bar("images") as update:
        lines, failures = write_hazy_copies(
            scenes,
            args.output,
            haze=haze,
            seed=args.seed,
            pseudo_depth=args.pseudo_depth,
            depth=depth,
            progress=update,
        )
    _report(args.output, lines, failures)
    return 1 if failures else 0


def _depth(args: argparse.Namespace) -> DepthFolder | None:
    if args.depth is None:
        if given := depth_options_given(args):
            raise InputError(f"{' and '.join(given)} without --depth: say where the depth maps are")
        return None
    rule = depth_rule(args)
    if rule is None:
        raise InputError("--depth needs --depth-kind: distance (larger is farther) or disparity (nearer)")
    return DepthFolder(list_depth_files(args.depth), rule)


def _check_output(args: argparse.Namespace) -> None:
    output = args.output
    if output.exists() and not output.is_dir():
        raise InputError(f"--output {output} is a file, expected a folder")
    if output.is_dir() and Path(args.input).is_dir() and output.samefile(args.input):
        raise InputError(f"--output {output} is the input folder: give another one")
    if output.is_dir() and any(output.iterdir()) and not args.overwrite:
        raise InputError(f"{output} is not empty: give another --output, or --overwrite to write into it")


def _report(output: Path, lines: list[dict], failures: list[tuple[str, str]]) -> None:
    console = Console()

    def say(text: str) -> None:
        console.print(escape(text), soft_wrap=True, highlight=False)

    say(f"{output}: {len(lines)} hazy images, parameters in {PARAMETERS}")
    if lines:
        shares = [line["mean_transmission"] for line in lines]
        say(f"mean transmission {sum(shares) / len(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")
    for name, reason in failures[:_FAILURES_SHOWN]:
        say(f"failed {name}: {reason}")
    if len(failures) > _FAILURES_SHOWN:
        say(f"and {len(failures) - _FAILURES_SHOWN} more")
