"""Trains the points of a sweep and collects their results. The same command again continues.

    iassf sweep --config configs/sweeps/alpha.py --workdir sweeps/alpha \\
        --config.data.train=DATA/train --config.data.val=DATA/val
    iassf sweep --config alpha --times seeds --base cpu_small --population 6 --workdir sweeps/small ...
    iassf sweep --config seeds --grid model.num_fusion_blocks=1,3 --grid alpha=1,2 --workdir sweeps/free ...

--config and --times take sweep files or packaged names (ablations, alpha, fusion_blocks, seeds); they
multiply, and so do --grid words. Every point has a folder of its own, which is an ordinary run. Points that
are finished are skipped; points that failed are tried again. The results are in points.csv and points.md.

--engine says where: on this machine, on a Ray cluster (--address auto), or as a SLURM job array:

    iassf sweep --config alpha --engine ray --address auto --resources GPU=1,CPU=8 ...
    iassf sweep --config alpha --engine slurm --slurm gpus_per_node=1 --slurm partition=gpu ...
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from iassf_jax.core.errors import InputError
from iassf_jax.sweeps.collect import as_markdown, collect, write_tables
from iassf_jax.sweeps.folders import FINISHED, Unit, read_status, write_points
from iassf_jax.sweeps.groups import group_points
from iassf_jax.sweeps.local import run_local
from iassf_jax.sweeps.points import make_points
from iassf_jax.sweeps.ray_tune import run_ray
from iassf_jax.sweeps.slurm import run_slurm

_OF_ENGINE = {"address": "ray", "resources": "ray", "scheduler": "ray", "slurm": "slurm"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the words `--config.NAME=VALUE` arrive in `overrides`, see `cli.main`."""
    parser.add_argument("--config", required=True, metavar="FILE", help="sweep file or packaged name")
    parser.add_argument(
        "--workdir", required=True, type=Path, metavar="FOLDER", help="where the sweep is kept"
    )
    parser.add_argument(
        "--times", action="append", default=[], metavar="FILE", help="another sweep, multiplied"
    )
    parser.add_argument(
        "--grid", action="append", default=[], metavar="NAME=V,V", help="values of one option"
    )
    parser.add_argument(
        "--base", metavar="FILE", help="configuration of all points, not the sweep file's own"
    )
    parser.add_argument(
        "--population",
        type=int,
        default=1,
        metavar="N",
        help="train up to N points together that share a program: they differ only in alpha, seed, learning "
        "rates and weight decay",
    )
    parser.add_argument("--engine", choices=("local", "ray", "slurm"), default="local", help="where (local)")
    parser.add_argument("--parallel", type=int, metavar="N", help="processes, trials or tasks at a time")
    parser.add_argument("--retries", type=int, default=1, metavar="N", help="further tries after a failure")
    parser.add_argument("--address", metavar="ADDRESS", help="Ray cluster: auto, HOST:PORT; default: here")
    parser.add_argument(
        "--resources", metavar="KIND=N,...", help="what a trial of Ray takes, as GPU=1,CPU=8 (CPU=1)"
    )
    parser.add_argument("--scheduler", metavar="NAME", help="of Ray: asha ends the worse points early")
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of a task: gpus_per_node, cpus_per_task, mem_gb, timeout_min, or an option of sbatch",
    )
    parser.add_argument("overrides", nargs="*", metavar="--config.NAME=VALUE", help="changes all points")


def run(args: argparse.Namespace) -> int:
    """Train; 0 when all points are finished, or when SIGTERM or Ctrl-C stopped it; 1 when some failed."""
    console = Console()
    if args.population < 1:
        raise InputError(f"--population {args.population}; expected at least 1")
    points = make_points(
        args.config, times=args.times, grids=args.grid, base=args.base, overrides=args.overrides
    )
    folders = write_points(args.workdir, points)
    units = group_points(folders, population=args.population)
    done = sum(read_status(folder).state == FINISHED for folder in folders)
    console.print(f"{len(points)} points in {len(units)} programs, {done} finished before", highlight=False)
    complete = _train(args, units, lambda unit: _report(console, unit))
    rows = collect(args.workdir)
    write_tables(args.workdir, rows)
    console.print(as_markdown(rows), highlight=False, markup=False, soft_wrap=True)
    if not complete:
        console.print("stopped; the same command continues")
        return 0
    return int(any(row["state"] != FINISHED for row in rows))


def _train(args: argparse.Namespace, units: list[Unit], report: Callable[[Unit], None]) -> bool:
    for option, engine in _OF_ENGINE.items():
        if getattr(args, option) and args.engine != engine:
            raise InputError(f"--{option} is for --engine {engine}; the engine is {args.engine}")
    if args.engine == "local":
        return run_local(units, parallel=args.parallel or 1, retries=args.retries, report=report)
    storage, parallel = args.workdir / args.engine, args.parallel or 0
    if args.engine == "slurm":
        options = _numbers(args.slurm)
        return run_slurm(units, storage=storage, options=options, parallel=parallel, report=report)
    return run_ray(
        units,
        storage=storage,
        address=args.address,
        resources=_numbers((args.resources or "CPU=1").split(",")),
        parallel=parallel,
        retries=args.retries,
        scheduler=args.scheduler or "none",
        report=report,
    )


def _numbers(words: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE words; values that are numbers become numbers."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise InputError(f"{word!r}: expected KEY=VALUE")
        found[key] = int(value) if value.isdigit() else value
    return found


def _report(console: Console, unit: Unit) -> None:
    for folder in unit:
        status = read_status(folder)
        reason = f": {status.error}; see {folder / 'output.log'}" if status.error else ""
        console.print(f"{folder.name} {status.state}{reason}", highlight=False, markup=False, soft_wrap=True)
