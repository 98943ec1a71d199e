"""Measure fused images of any origin against their sources, and compare methods.

    iassf measure --visible D/GT --infrared D/IR --fused ours=out/ours --fused u2f=out/u2f --output report
    iassf measure --visible D/GT --infrared D/IR --baselines maximum,mean,laplacian --output report

Folders are matched by file name without extension. --visible is the clear visible image where there is one,
as the paper's tables use it, never the hazy one. OUTPUT gets per_image.csv, summary.json (mean, standard
deviation, median, count, 95 % bootstrap interval; paired bootstrap of every two methods), table.md and
table.tex with the best and second best marked. Images that cannot be measured are listed, and so are metrics
without a value. Q_PI has values where --ma-model names Ma's forests, or pyiqa has its weights. The exit code
is 0 when every image was measured and every metric named by itself has its values, else 1.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from iassf_jax.cli.metric_options import (
    add_metric_options,
    load_models,
    metrics_of,
    model_files,
    split_words,
)
from iassf_jax.cli.progress import progress_bar
from iassf_jax.core.atomic import written_aside
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import InputError
from iassf_jax.metrics import METRICS, RESTORATION
from iassf_jax.metrics.baselines import BASELINES
from iassf_jax.metrics.folders import Measurements, Method, measure_folders
from iassf_jax.metrics.report import (
    Summaries,
    rank,
    shown,
    summaries,
    to_csv,
    to_json,
    to_latex,
    to_markdown,
    without_value,
)

_FILES = ("per_image.csv", "summary.json", "table.md", "table.tex")
_STYLES = {1: "bold green", 2: "underline"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `iassf measure`."""
    add = parser.add_argument
    add("--visible", type=Path, required=True, metavar="D", help="folder of visible sources")
    add("--infrared", type=Path, required=True, metavar="D", help="folder of 8-bit infrared sources")
    add(
        "--fused",
        action="append",
        default=[],
        metavar="[NAME=]D",
        help="folder of a method's fused images; repeat it for several methods",
    )
    add("--baselines", default="", metavar="NAMES", help=f"also measure {','.join(BASELINES)}")
    add("--reference", type=Path, metavar="D", help="folder of clean images for PSNR, SSIM and CIEDE2000")
    add("--output", type=Path, required=True, metavar="D", help="folder to write")
    add_metric_options(parser)
    add("--precision", choices=("float32", "float64"), default="float32", help="of the computation")
    add("--overwrite", action="store_true", help="replace existing reports")


def run(args: argparse.Namespace) -> int:
    """Measure what `args` names; return 0 when all of it was done, else 1."""
    methods = _methods(args.fused, args.baselines)
    metrics = _metrics(args.metrics, has_reference=args.reference is not None)
    models = load_models(args)
    _check_output(args.output, overwrite=args.overwrite)
    enable_compilation_cache()
    with progress_bar("images") as update:
        measured = measure_folders(
            args.visible,
            args.infrared,
            methods,
            metrics=metrics,
            reference=args.reference,
            precision=args.precision,
            models=models,
            on_done=update,
        )
    table = summaries(measured)
    _write(args.output, measured, table, model_files(args))
    _print(Console(), measured, table, args.output)
    asked_for = set(split_words(args.metrics))
    missing = {*measured.not_computed, *measured.no_value}
    return 1 if measured.problems or asked_for & missing else 0


def _methods(fused: list[str], baselines: str) -> dict[str, Method]:
    methods: dict[str, Method] = {}
    for text in fused:
        name, separator, folder = text.partition("=")
        path = Path(folder if separator else text)
        _add(methods, name if separator else path.name, path)
    for name in split_words(baselines, tuple(BASELINES), option="--baselines"):
        _add(methods, name, name)
    if not methods:
        raise InputError("nothing to measure: give --fused with a folder, or --baselines")
    return methods


def _add(methods: dict[str, Method], name: str, method: Method) -> None:
    if not name or name in methods:
        raise InputError(f"two methods are called {name!r}: name them with --fused NAME=FOLDER")
    methods[name] = method


def _metrics(text: str, *, has_reference: bool) -> list[str]:
    return list(dict.fromkeys([*metrics_of(text), *(RESTORATION if has_reference else ())]))


def _check_output(folder: Path, *, overwrite: bool) -> None:
    if folder.is_file():
        raise InputError(f"--output {folder} is a file, expected a folder")
    existing = [name for name in _FILES if (folder / name).exists()]
    if existing and not overwrite:
        raise InputError(f"{folder} has {', '.join(existing)}: give another --output, or --overwrite")


def _write(folder: Path, measured: Measurements, table: Summaries, models: Mapping[str, str]) -> None:
    contents = (to_csv(measured), to_json(measured, table, models), to_markdown(table), to_latex(table))
    for name, content in zip(_FILES, contents, strict=True):
        with written_aside(folder / name) as path:
            path.write_text(content, encoding="utf-8")


def _print(console: Console, measured: Measurements, table: Summaries, folder: Path) -> None:
    """Metrics by row, because there are more of them than of methods."""
    arrows = {"higher": "↑", "lower": "↓", "none": ""}
    shown_table = Table("metric", title=f"means over {len(measured.names)} images")
    for method in table:
        shown_table.add_column(escape(method), justify="right")
    for metric in measured.metrics:
        cells = []
        for method, row in table.items():
            style = _STYLES.get(rank(table, method, metric))
            text = shown(row[metric].mean)
            cells.append(f"[{style}]{text}[/]" if style else text)
        shown_table.add_row(f"{METRICS[metric].title} {arrows[METRICS[metric].direction]}", *cells)
    console.print(shown_table)
    say = [f"tables, per-image values and intervals: {folder}"]
    say += without_value(measured)
    say += [f"{len(measured.problems)} problems:"] * bool(measured.problems)
    say += [f"  {problem}" for problem in measured.problems]
    for line in say:
        console.print(line, soft_wrap=True, markup=False, highlight=False)
