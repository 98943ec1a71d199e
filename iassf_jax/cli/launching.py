"""Options of commands that may run as several processes."""

import argparse
from collections.abc import Callable
from pathlib import Path

from iassf_jax.core.errors import InputError


def add_launch_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; `docs/launch.md` has a recipe for every kind of machine."""
    group = parser.add_argument_group("several processes")
    group.add_argument(
        "--launcher",
        default="auto",
        metavar="NAME",
        help="who starts the processes: auto (looks at the environment), none, slurm, openmpi, tpu, "
        "kubernetes, or ray, which starts them itself",
    )
    group.add_argument(
        "--coordinator", metavar="HOST:PORT", help="address of process 0, if not found by itself"
    )
    group.add_argument("--num-processes", type=int, metavar="N", help="processes of the run; workers of ray")
    group.add_argument("--process-id", type=int, metavar="I", help="which of them this is, from 0")
    group.add_argument(
        "--ray-address", metavar="ADDRESS", help="cluster of ray: auto or HOST:PORT; this machine by default"
    )
    group.add_argument("--ray-worker", default="GPU=1", metavar="KIND=N", help="what a worker takes (GPU=1)")
    group.add_argument("--tpu-slice", metavar="TYPE:TOPOLOGY", help="slice for ray, such as TPU-V6E:4x4")


def join(args: argparse.Namespace) -> None:
    """Join the other processes of this run; before anything starts a JAX backend.

    Raises:
      IassfError: see `iassf_jax.training.distributed.initialize`.
    """
    from iassf_jax.training import distributed

    distributed.initialize(
        args.launcher,
        coordinator=args.coordinator,
        num_processes=args.num_processes,
        process_id=args.process_id,
    )


def launch_ray(args: argparse.Namespace, train_function: Callable[[], None], *, workdir: str | Path) -> None:
    """Let Ray start `train_function` in as many processes as the options say; returns when they have ended.

    Raises:
      IassfError: see `iassf_jax.training.ray_launch.launch_with_ray`.
    """
    from iassf_jax.training.ray_launch import Workers, launch_with_ray

    kind, _, number = args.ray_worker.partition("=")
    if not number.isdigit():
        raise InputError(f"--ray-worker {args.ray_worker}: expected KIND=N, such as GPU=8")
    slice_type, _, topology = (args.tpu_slice or "").partition(":")
    workers = Workers(
        count=args.num_processes or 1,
        kind=kind,
        per_worker=int(number),
        slice_type=slice_type or None,
        topology=topology or None,
    )
    launch_with_ray(train_function, workers=workers, storage=Path(workdir) / "ray", address=args.ray_address)
