"""Trains a network on a folder of triplets (GT/, hazy/, IR/). The same command again resumes.

    iassf train --config configs/cpu_small.py --workdir runs/small \\
        --config.data.train=DATA/train --config.data.val=DATA/val --config.alpha=3

--config takes a file, or the name of a packaged configuration (default, iassf, iassf_released, lite,
cpu_small, smoke). Every option in it can be changed by --config.NAME=VALUE; `configs/default.py` lists them
all. Ctrl-C and SIGTERM save a checkpoint before the command ends.

All accelerators of the machine are used. On several machines the same command runs on each, started by SLURM,
Open MPI, Kubernetes or a TPU pod, see `docs/launch.md`; `--launcher ray` starts it on a Ray cluster.
"""

import argparse
import functools
import signal

from ml_collections import ConfigDict
from rich.console import Console

from iassf_jax.cli.launching import add_launch_arguments, join, launch_ray
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.config import load_config

_INTERRUPTED = 130  # what shells give for Ctrl-C


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the words `--config.NAME=VALUE` arrive in `overrides`, see `cli.main`."""
    parser.add_argument("--config", required=True, metavar="FILE", help="configuration file or packaged name")
    parser.add_argument("--workdir", required=True, metavar="FOLDER", help="where the run is kept")
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="continue a run although its configuration was another one",
    )
    add_launch_arguments(parser)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="--config.NAME=VALUE",
        help="changes one option of the configuration",
    )


def run(args: argparse.Namespace) -> int:
    """Train; 0 when finished or stopped by SIGTERM with a checkpoint, 130 after Ctrl-C."""
    config = load_config(args.config, args.overrides)
    if args.launcher == "ray":
        launch_ray(args, functools.partial(_work_for_ray, config, args), workdir=args.workdir)
        return 0
    join(args)
    return _train(config, args)


def _work_for_ray(config: ConfigDict, args: argparse.Namespace) -> None:
    _train(config, args)


def _train(config: ConfigDict, args: argparse.Namespace) -> int:
    from iassf_jax.training import run_training
    from iassf_jax.training.distributed import is_main

    enable_compilation_cache()
    console = Console(quiet=not is_main())
    result = run_training(config, args.workdir, allow_changes=args.allow_changes, console=console)
    if result.signal is not None:
        name = signal.Signals(result.signal).name
        console.print(f"{name}: saved at step {result.step} of {result.steps}; the same command continues")
        return _INTERRUPTED if result.signal == signal.SIGINT else 0
    console.print(f"finished {result.steps} steps; the run is in {args.workdir}", soft_wrap=True)
    return 0
