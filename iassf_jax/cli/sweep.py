"""Trains the points of a sweep and collects their results. The same command again continues.

    iassf sweep --config configs/sweeps/alpha.py --workdir sweeps/alpha \\
        --config.data.train=DATA/train --config.data.val=DATA/val
    iassf sweep --config alpha --times seeds --base cpu_small --population 6 --workdir sweeps/small ...
    iassf sweep --config seeds --grid model.num_fusion_blocks=1,3 --grid alpha=1,2 --workdir sweeps/free ...

--config and --times take sweep files or packaged names (ablations, alpha, fusion_blocks, population_based,
seeds); they multiply, and so do --grid words. Every point has a folder of its own, which is an ordinary run.
Points that are finished are skipped; points that failed are tried again. The results are in points.csv and
points.md.

--engine says where: on this machine, on a Ray cluster (--address auto), or as a SLURM job array:

    iassf sweep --config alpha --engine ray --address auto --resources GPU=1,CPU=8 ...
    iassf sweep --config alpha --engine slurm --slurm gpus_per_node=1 --slurm partition=gpu ...

On Ray a scheduler may compare the points while they train, as get_scheduler() of the sweep file or
--scheduler says: it ends the worse ones early, or lets them go on from the state of better ones:

    iassf sweep --config alpha --engine ray --scheduler asha ...
    iassf sweep --config population_based --engine ray ...
"""

import argparse
from pathlib import Path

from rich.console import Console

from iassf_jax.cli.engines import add_engine_arguments, report_unit, train_units
from iassf_jax.core.errors import InputError
from iassf_jax.sweeps.collect import as_markdown, collect, write_tables
from iassf_jax.sweeps.folders import FINISHED, PRUNED, read_status, write_points
from iassf_jax.sweeps.groups import group_points
from iassf_jax.sweeps.points import make_points, sweep_scheduler


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
        "rates, weight decay and haze strength",
    )
    add_engine_arguments(parser)
    parser.add_argument("overrides", nargs="*", metavar="--config.NAME=VALUE", help="changes all points")


def run(args: argparse.Namespace) -> int:
    """Train; 0 when all points are finished or pruned, or a signal stopped it; 1 when some failed."""
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
    complete = train_units(
        args,
        units,
        args.workdir,
        lambda unit: report_unit(console, unit),
        schedule=sweep_scheduler(args.config, *args.times),
    )
    rows = collect(args.workdir)
    write_tables(args.workdir, rows)
    console.print(as_markdown(rows), highlight=False, markup=False, soft_wrap=True)
    if not complete:
        console.print("stopped; the same command continues")
        return 0
    return int(any(row["state"] not in (FINISHED, PRUNED) for row in rows))
