"""The engine of a Ray cluster: every unit of work is a trial of Ray Tune, on whichever machine has room.

The sweep's folder must be on storage that all machines reach under the same path. A trial whose process dies
is started again and goes on from the checkpoints of its runs.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import InputError, MissingDependencyError
from iassf_jax.sweeps.folders import (
    FAILED,
    PRUNED,
    WAITING,
    Status,
    Unit,
    is_done,
    read_config,
    read_status,
    write_status,
)
from iassf_jax.sweeps.ray_trial import train_trial
from iassf_jax.sweeps.schedulers import TOKEN, Asha, Pbt, Scheduler, compare
from iassf_jax.training.ray_launch import connect

_HANDOVERS = "checkpoint_*"  # Ray's copies of what points have handed over, in a trial's folder
_KEPT = 4  # of them for each trial: one that is about to be taken over must not vanish


def run_ray(
    units: Sequence[Unit],
    *,
    storage: Path,
    address: str | None = None,
    resources: Mapping[str, Any] | None = None,
    parallel: int = 0,
    retries: int = 1,
    scheduler: Scheduler | None = None,
    report: Callable[[Unit], None] = lambda unit: None,
) -> bool:
    """Train the units that are not done yet; False if it was stopped.

    Args:
      units: folders of the points that one trial trains.
      storage: folder for Ray's own records.
      address: the cluster: "auto" is the one that this machine belongs to; None is RAY_ADDRESS, or else a
        cluster of this machine alone.
      resources: what a trial takes, such as {"GPU": 1, "CPU": 8}; one CPU by default.
      parallel: trials at a time; 0 is as many as there is room for.
      retries: further tries of a unit.
      scheduler: see `sweeps.schedulers`; None trains all points to their end.
      report: called with each unit at the end.

    Raises:
      MissingDependencyError: Ray is not installed.
      InputError: the cluster cannot be reached, or the scheduler cannot do with these options.
      ConfigError: points that the scheduler cannot compare.
    """
    waiting = [unit for unit in units if not is_done(unit)]
    ray, tune = _import_ray()
    decides = _ray_scheduler(scheduler, units, parallel) if scheduler else None
    if not waiting:
        return True
    connect(ray, address)
    _drop_handovers(storage)
    results = tune.Tuner(
        tune.with_resources(train_trial, dict(resources or {"CPU": 1})),
        param_space=_parameters(tune, waiting, scheduler),
        tune_config=tune.TuneConfig(
            scheduler=decides,
            # It would hold trials back until others have ended, but under pbt all take turns.
            max_concurrent_trials=None if isinstance(scheduler, Pbt) else parallel or None,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=time.strftime("%Y-%m-%d_%H-%M-%S"),
            storage_path=str(storage.absolute()),
            failure_config=tune.FailureConfig(max_failures=retries),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=_KEPT),
        ),
    ).fit()
    _drop_handovers(storage)
    stopped = _record_ends(waiting, [*results], getattr(decides, "ended", set()))
    for unit in waiting:
        report(unit)
    return not stopped


def _import_ray() -> tuple[Any, Any]:
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise MissingDependencyError(
            f'--engine ray needs Ray Tune, but there is {error}: pip install "iassf_jax[ray]"'
        ) from error
    return ray, tune


def _ray_scheduler(scheduler: Scheduler, units: Sequence[Unit], parallel: int) -> Any:
    """Check that the scheduler can compare the units, and return it as Ray's."""
    from iassf_jax.sweeps.ray_schedulers import make_ray_scheduler

    name = "asha" if isinstance(scheduler, Asha) else "pbt"
    if any(len(unit) > 1 for unit in units):
        raise InputError(f"scheduler {name} looks at single points and cannot be combined with --population")
    if name == "pbt" and 0 < parallel < len(units):
        raise InputError(
            f"--parallel {parallel}: all points of pbt take turns; how many train at a time follows from "
            "what each of them takes, see --resources"
        )
    comparison = compare(scheduler, [read_config(unit[0]) for unit in units])
    return make_ray_scheduler(scheduler, comparison)


def _parameters(tune: Any, units: Sequence[Unit], scheduler: Scheduler | None) -> dict[str, Any]:
    """Return the parameters of trials; under population based training with the values that may change.

    A trial that takes over gets the parameters of its donor, so it is told by its name which point it is.
    """
    folders = {unit[0].name: [str(folder.absolute()) for folder in unit] for unit in units}
    parameters: dict[str, Any] = {"unit": tune.grid_search(list(folders.values())), "cwd": os.getcwd()}
    if isinstance(scheduler, Pbt):
        configs = {str(unit[0].absolute()): read_config(unit[0]) for unit in units}
        for option in scheduler.mutations:
            values = {folder: float(_option(config, option)) for folder, config in configs.items()}
            parameters[option] = tune.sample_from(lambda drawn, own=values: own[drawn["unit"][0]])
        parameters |= {TOKEN: "", "interval": scheduler.interval}
    return parameters


def _trial_name(trial: Any) -> str:
    return Path(trial.config["unit"][0]).name


def _record_ends(units: Sequence[Unit], results: Sequence[Any], ended: set[str]) -> bool:
    """Record what the points could not record themselves; whether some were stopped with the command."""
    errors = {Path(result.path).name: result.error for result in results if result.path}
    stopped = False
    for unit in units:
        name = unit[0].name
        for folder in unit:
            if read_status(folder).state != WAITING:
                continue
            if errors.get(name) is not None:
                write_status(folder, Status(FAILED, error=f"its process failed: {_first_line(errors[name])}"))
            elif name in ended:
                write_status(folder, Status(PRUNED, *_newest(folder)))
        stopped |= not is_done(unit) and not any(read_status(folder).error for folder in unit)
    return stopped


def _first_line(error: Exception) -> str:
    return next((line for line in reversed(str(error).strip().splitlines()) if line), type(error).__name__)


def _drop_handovers(storage: Path) -> None:
    for place in storage.glob(f"*/*/{_HANDOVERS}"):
        shutil.rmtree(place, ignore_errors=True)


def read_validations(folder: Path) -> list[dict[str, Any]]:
    """Return the validations of a run so far, whole lines only."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")  # after the last end of line it is being written
    return [entry for entry in map(json.loads, lines) if entry["kind"] == "eval"]


def _newest(folder: Path) -> tuple[int, dict[str, float]]:
    validations = read_validations(folder)
    if not validations:
        return 0, {}
    last = validations[-1]
    return last["step"], {name: value for name, value in last.items() if name not in ("kind", "step")}


def _option(config: Any, option: str) -> Any:
    for key in option.split("."):
        config = config[key]
    return config
