"""Remove haze and fuse visible and infrared images: one pair, or two folders matched by file name.

    iassf fuse --visible day/visible --infrared day/infrared --output day/fused --weights runs/first
    iassf fuse --visible a.jpg --infrared a_ir.png --output fused.png --weights w.safetensors
    iassf fuse --visible a.jpg --infrared a_ir.png --output fused.png --weights runs/lure_fusion \
        --prompt "the visible image is hazy, the thermal one has low contrast"

Folders give OUTPUT/NAME.png; with --save, OUTPUT/fused, OUTPUT/restored and OUTPUT/haze. The haze density is
written as 8-bit grey, white where the haze is densest. Pairs that cannot be used, and files without partner,
are named with the reason at the end; the others are written. The exit code is 0 when every image gave a
result, 1 when some did not, 2 when nothing could be started.
"""

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from iassf_jax.checkpoints.sources import packaged_weights
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import OUTPUT_EXTENSIONS, parse_infrared_range
from iassf_jax.inference import Failure, FolderReport, Fuser, OutputLayout, Pair, fuse_pairs, match_pairs
from iassf_jax.inference.buckets import MAX_SHAPES
from iassf_jax.inference.pairs import EXTRAS, refuse_unwritable_kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf fuse`."""
    add = parser.add_argument
    add("--visible", type=Path, required=True, metavar="P", help="hazy visible image, or a folder of them")
    add("--infrared", type=Path, required=True, metavar="P", help="infrared image, or a folder of them")
    add("--output", type=Path, required=True, metavar="P", help="folder, or for one pair also an image file")
    add("--weights", metavar="W", help="run folder, weights file, released checkpoint or packaged name")
    add("--save", default="", metavar="KINDS", help=f"what else to write: {','.join(EXTRAS)}, or one of them")
    add("--tile", type=int, metavar="N", help="images above NxN pixels are tiled (default: by memory)")
    add(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="images or tiles computed together; memory grows with N (default: 1)",
    )
    add(
        "--max-shapes",
        type=int,
        default=MAX_SHAPES,
        metavar="N",
        help="sizes are padded to at most N shapes, each compiled once (default: %(default)s)",
    )
    add("--prompt", metavar="TEXT", help="what is wrong with the images, for networks that are told (lure)")
    add("--task-visible", metavar="TASK", help="the same by name for the visible image: HZ, OE, LL or PD")
    add("--task-infrared", metavar="TASK", help="and for the infrared image: LC, SR or PD")
    add("--overwrite", action="store_true", help="replace existing outputs")
    add("--resize-infrared", action="store_true", help="resize infrared to the size of the visible image")
    add(
        "--ir-range",
        default="auto",
        metavar="RULE",
        help="infrared values that become black and white: auto (8-bit: 0 to 255; 16-bit and float: 0.1 to "
        "99.9 percentile of each image), full (the whole range of the type) or lo,hi (default: auto)",
    )


def run(args: argparse.Namespace) -> int:
    """Fuse what `args` names; return 0 when every image gave a result, else 1."""
    extras = _parse_extras(args.save)
    ir_range = parse_infrared_range(args.ir_range)
    _check_counts(args)
    pairs, unmatched = _find_pairs(args.visible, args.infrared)
    layout = OutputLayout(args.output, extras)
    _check_output(layout, args.visible)
    layout.check(pairs, overwrite=args.overwrite)  # before the seconds that loading the network takes
    enable_compilation_cache()
    fuser = Fuser.from_pretrained(_weights(args.weights), ir_range=ir_range, tile=args.tile, batch=args.batch)
    told = {"text": args.prompt, "task_visible": args.task_visible, "task_infrared": args.task_infrared}
    if any(value is not None for value in told.values()):
        fuser.describe(**told)
    with _progress() as progress, warnings.catch_warnings():
        # Pillow warns about odd metadata; images it cannot read are reported below.
        warnings.filterwarnings("ignore", module="PIL")
        bars = _Bars(progress, len(pairs))
        report = fuse_pairs(
            fuser,
            pairs,
            layout,
            overwrite=args.overwrite,
            resize_infrared=args.resize_infrared,
            batch=args.batch,
            max_shapes=args.max_shapes,
            on_done=bars.advance,
            on_tiles=bars.show_tiles,
        )
    report.failures = sorted([*report.failures, *unmatched], key=lambda failure: failure.name)
    _print_summary(Console(), report, layout, fuser.tile)
    return 1 if report.failures else 0


def _parse_extras(text: str) -> tuple[str, ...]:
    chosen = {part.strip() for part in text.split(",") if part.strip()}
    unknown = sorted(chosen - set(EXTRAS))
    if unknown:
        raise InputError(f"--save {text}: unknown {', '.join(unknown)}; there are {', '.join(EXTRAS)}")
    return tuple(kind for kind in EXTRAS if kind in chosen)


def _check_counts(args: argparse.Namespace) -> None:
    for option in ("batch", "max_shapes"):
        if getattr(args, option) < 1:
            raise InputError(f"--{option.replace('_', '-')} {getattr(args, option)}: expected at least 1")


def _find_pairs(visible: Path, infrared: Path) -> tuple[list[Pair], list[Failure]]:
    for option, path in (("--visible", visible), ("--infrared", infrared)):
        if not path.exists():
            raise InputError(f"{option} {path}: no such file or folder")
    if visible.is_dir() != infrared.is_dir():
        raise InputError(f"give two images or two folders: only one of {visible} and {infrared} is a folder")
    if visible.is_dir():
        return match_pairs(visible, infrared)
    return [Pair(visible.stem, visible, infrared)], []


def _check_output(layout: OutputLayout, visible: Path) -> None:
    if visible.is_dir() and (layout.is_file() or layout.root.is_file()):
        raise InputError(f"--output {layout.root} is an image file; two folders of images need a folder")
    if not visible.is_dir():
        refuse_unwritable_kind(layout.root)
    if not layout.is_file() and layout.root.is_file():
        known = ", ".join(sorted(OUTPUT_EXTENSIONS))
        raise InputError(
            f"--output {layout.root}: a file that is no image; give a folder or a name with {known}"
        )


def _weights(source: str | None) -> str:
    """What was asked for, else the packaged weights `iassf` or the first other ones."""
    packaged = packaged_weights()
    if source is None and not packaged:
        raise InputError(
            "no network to use: give --weights with the folder of a training run (`iassf train`), a "
            "weights file, or the released checkpoint (IASSF.pth, or its import by `iassf import-weights`)"
        )
    return source or ("iassf" if "iassf" in packaged else next(iter(packaged)))


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))


class _Bars:
    """A bar for the pairs, and below it one for the tiles of a large pair while it is computed."""

    def __init__(self, progress: Progress, pairs: int):
        self._progress = progress
        self._pairs = progress.add_task("pairs", total=pairs)
        self._tiles = progress.add_task("tiles", visible=False)

    def advance(self, name: str) -> None:
        self._progress.advance(self._pairs)

    def show_tiles(self, name: str, done: int, total: int) -> None:
        self._progress.update(
            self._tiles,
            description=escape(f"tiles of {name}"),
            completed=done,
            total=total,
            visible=done < total,
        )


def _print_summary(console: Console, report: FolderReport, layout: OutputLayout, tile: int) -> None:
    def say(line: str, style: str | None = None) -> None:
        console.print(line, style=style, soft_wrap=True, markup=False, highlight=False)

    count = len(report.written)
    rate = f"{count / report.seconds:.3g} pairs/s" if report.seconds else ""
    say(f"{count} of {count + len(report.failures)} fused in {report.seconds:.1f} s ({rate}): {layout.root}")
    if report.tiled:
        pairs = ", ".join(f"{name} ({tiles} tiles)" for name, tiles in report.tiled.items())
        say(f"larger than {tile}x{tile} pixels, so computed in tiles with blended overlaps: {pairs}")
    if report.failures:
        say(f"{len(report.failures)} failed:", style="bold red")
        _print_failures(say, report.failures)


def _print_failures(say: Callable[[str], None], failures: Sequence[Failure]) -> None:
    width = max(len(failure.name) for failure in failures)
    for failure in failures:
        say(f"  {failure.name:<{width}}  {failure.reason}")
