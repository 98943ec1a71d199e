"""Write a report on evaluations, runs and sweeps: tables, statistics, figures, images, one page of HTML.

    iassf report --workdir sweeps/alpha --output reports/alpha
    iassf report --workdir ours=out/evaluation --workdir u2f=out/measured --output reports/compared \\
        --images hazy=out/evaluation/hazy --images ours=out/evaluation/fused

--workdir is a folder with what `iassf evaluate` or `iassf measure` wrote, somewhere below it: an evaluation,
a run, or a sweep; repeat it for several. Runs that differ only in their seed become one row, with the
standard deviation over seeds; intervals and paired tests are over images; a difference is also held against
the noise of seeds. What was swept (alpha, M, ablations) stands beside the paper's published values.
OUTPUT gets table.md, table.tex, table.csv (all numbers), figures/ and report.html, which needs nothing else.
Figures need matplotlib: pip install 'iassf_jax[report]'.
"""

import argparse
from pathlib import Path

from rich.console import Console

from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.errors import InputError
from iassf_jax.metrics import PAPER
from iassf_jax.report.complexity import Cost, costs_of_rows
from iassf_jax.report.pictures import Gallery, find_gallery
from iassf_jax.report.published import TITLES
from iassf_jax.report.results import Result, read_results
from iassf_jax.report.rows import Block, make_blocks
from iassf_jax.report.write import FILES, Options, write_report

_KINDS = ("hazy", "restored", "fused")  # folders of images that `iassf evaluate --save` writes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf report`."""
    add = parser.add_argument
    add(
        "--workdir",
        action="append",
        required=True,
        metavar="[LABEL=]D",
        help="folder of an evaluation, a run or a sweep; repeatable",
    )
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add(
        "--metrics",
        metavar="NAMES",
        help="of fused images: paper, or names, separated by commas (default: all)",
    )
    add("--reference", metavar="ROW", help="row to compare the others with (default: the first)")
    add("--paper", choices=tuple(TITLES), help="published table to print below (default: by what was swept)")
    add(
        "--images",
        action="append",
        default=[],
        metavar="[LABEL=]D",
        help="column of the image panel; repeatable (default: what the first evaluation saved)",
    )
    add("--scenes", type=int, default=4, metavar="N", help="scenes that are shown (default: 4)")
    add(
        "--bubbles",
        action="store_true",
        help="also what networks cost, and a chart of it",
    )
    add("--latency", action="store_true", help="also their memory and time here (compiles: minutes)")
    add("--no-figures", action="store_true", help="tables and images only, without matplotlib")
    add("--title", default="Report", help="of the page")
    add("--overwrite", action="store_true", help="replace an existing report")


def run(args: argparse.Namespace) -> int:
    """Write the report; return 0."""
    _check(args)
    results = read_results(_labelled(args.workdir, "--workdir"))
    blocks = make_blocks(results, metrics=_metrics(args.metrics, results))
    options = Options(
        title=args.title,
        reference=args.reference,
        paper=args.paper,
        scenes=args.scenes,
        with_figures=not args.no_figures,
    )
    costs = _costs(args, blocks[0])
    with progress_bar("parts") as on_done:
        path = write_report(
            args.output,
            blocks,
            options,
            gallery=_gallery(args.images, results),
            costs=costs,
            on_done=on_done,
        )
    console = Console()
    rows = sum(len(block.rows) for block in blocks)
    console.print(f"{rows} rows from {len(results)} results: {path}", soft_wrap=True, markup=False)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.scenes < 1:
        raise InputError(f"--scenes {args.scenes}: expected at least 1")
    if args.output.is_file():
        raise InputError(f"--output {args.output} is a file, expected a folder")
    existing = [name for name in FILES if (args.output / name).exists()]
    if existing and not args.overwrite:
        raise InputError(f"{args.output} has {', '.join(existing)}: give another --output, or --overwrite")


def _metrics(text: str | None, results: list[Result]) -> list[str] | None:
    """Names of metrics, "paper" being those of the paper that the files have; None for all."""
    if text is None:
        return None
    known = {metric for result in results if result.part == "fusion" for metric in result.metrics}
    names: list[str] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        names += [name for name in PAPER if name in known] if word == "paper" else [word]
    if not names:
        raise InputError(f"--metrics {text!r} names no metric that the files have")
    return list(dict.fromkeys(names))


def _labelled(texts: list[str], option: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in texts:
        label, separator, folder = text.partition("=")
        # "alpha=2" is a good name of a folder, too.
        if not separator or Path(text).exists():
            label, folder = Path(text).resolve().name, text
        if label in found:
            raise InputError(f"{option} {text}: there are two of {label!r}; name them LABEL=FOLDER")
        found[label] = Path(folder)
    return found


def _gallery(images: list[str], results: list[Result]) -> Gallery | None:
    """The columns asked for, or those that the first evaluation saved; None without any."""
    folders = _labelled(images, "--images")
    if not folders:
        first = results[0].folder
        folders = {kind: first / kind for kind in _KINDS if (first / kind).is_dir()}
    return find_gallery(folders) if folders else None


def _costs(args: argparse.Namespace, block: Block) -> dict[str, Cost] | None:
    """FLOPs and parameters of every trained row, measured on this device with --latency."""
    if not (args.bubbles or args.latency):
        return None
    costs = costs_of_rows(block, measured=args.latency)
    if not costs:
        raise InputError("--bubbles and --latency: no row is a run of a network that is known here")
    return costs
