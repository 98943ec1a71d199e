"""The options that say where the points of a sweep are trained, and what they mean."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from iassf_jax.core.errors import InputError
from iassf_jax.sweeps.folders import Unit, read_status
from iassf_jax.sweeps.local import run_local
from iassf_jax.sweeps.ray_tune import run_ray
from iassf_jax.sweeps.schedulers import NAMES, read_scheduler
from iassf_jax.sweeps.slurm import run_slurm

_OF_ENGINE = {"address": "ray", "resources": "ray", "slurm": "slurm"}


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--engine", choices=("local", "ray", "slurm"), default="local", help="where (local)")
    parser.add_argument("--parallel", type=int, metavar="N", help="processes, trials or tasks at a time")
    parser.add_argument("--retries", type=int, default=1, metavar="N", help="further tries after a failure")
    parser.add_argument("--address", metavar="ADDRESS", help="Ray cluster: auto, HOST:PORT; default: here")
    parser.add_argument(
        "--resources", metavar="KIND=N,...", help="what a trial of Ray takes, as GPU=1,CPU=8 (CPU=1)"
    )
    parser.add_argument(
        "--scheduler",
        choices=NAMES,
        help="of Ray: asha ends the worse points early; pbt lets them take over from better ones (default: "
        "what the sweep file says, or none)",
    )
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="of a task: gpus_per_node, cpus_per_task, mem_gb, timeout_min, or an option of sbatch",
    )


def train_units(
    args: argparse.Namespace,
    units: list[Unit],
    storage: Path,
    report: Callable[[Unit], None],
    *,
    schedule: Mapping[str, Any] | None = None,
) -> bool:
    """Train the units that are not done on the chosen engine; False if it was stopped.

    Args:
      args: with the options of `add_engine_arguments`.
      units: folders of the points that one process trains.
      storage: folder of the sweep; an engine's own records go below it.
      report: called with a unit that has ended.
      schedule: from the sweep file, see `points.sweep_scheduler`.

    Raises:
      ConfigError: a scheduler that makes no sense for these points.
      InputError: options of another engine, or the engine cannot be used.
      MissingDependencyError: its package is not installed.
    """
    for option, engine in _OF_ENGINE.items():
        if getattr(args, option) and args.engine != engine:
            raise InputError(f"--{option} is for --engine {engine}; the engine is {args.engine}")
    scheduler = read_scheduler(args.scheduler, schedule)
    if scheduler is not None and args.engine != "ray":
        raise InputError(
            f"schedulers are for --engine ray; the engine is {args.engine}, which trains all points to their "
            "end: give --scheduler none for that"
        )
    if args.engine == "local":
        return run_local(units, parallel=args.parallel or 1, retries=args.retries, report=report)
    storage, parallel = storage / args.engine, args.parallel or 0
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
        scheduler=scheduler,
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


def report_unit(console: Console, unit: Unit) -> None:
    """Say how the points of a unit ended."""
    for folder in unit:
        status = read_status(folder)
        reason = f": {status.error}; see {folder / 'output.log'}" if status.error else ""
        console.print(f"{folder.name} {status.state}{reason}", highlight=False, markup=False, soft_wrap=True)
