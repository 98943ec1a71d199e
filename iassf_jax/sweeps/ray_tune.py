"""The engine of a Ray cluster: every unit of work is a trial of Ray Tune, on whichever machine has room.

The sweep's folder must be on storage that all machines reach under the same path. A trial whose process dies
is started again and goes on from the checkpoints of its runs.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import InputError, MissingDependencyError
from iassf_jax.sweeps.folders import (
    FINAL,
    PRUNED,
    STOPPED,
    Status,
    Unit,
    is_done,
    read_config,
    read_status,
    write_status,
)
from iassf_jax.training.ray_launch import connect

SCHEDULERS = ("none", "asha")
_POLL = 1.0  # seconds between looks at a run's metrics


def run_ray(
    units: Sequence[Unit],
    *,
    storage: Path,
    address: str | None = None,
    resources: Mapping[str, Any] | None = None,
    parallel: int = 0,
    retries: int = 1,
    scheduler: str = "none",
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
      scheduler: "asha" ends points early whose validation is among the worse ones; "none" trains all.
      report: called with each unit at the end.

    Raises:
      MissingDependencyError: Ray is not installed.
      InputError: the cluster cannot be reached, or points that the scheduler cannot compare.
    """
    waiting = [unit for unit in units if not is_done(unit)]
    if scheduler not in SCHEDULERS:
        raise InputError(f"--scheduler {scheduler}; expected one of {', '.join(SCHEDULERS)}")
    if scheduler != "none" and any(len(unit) > 1 for unit in units):
        raise InputError("--scheduler ends single points and cannot be combined with --population")
    try:
        import ray
        from ray import tune
    except ImportError as error:
        raise MissingDependencyError(
            f'--engine ray needs Ray Tune, but there is {error}: pip install "iassf_jax[ray]"'
        ) from error
    if not waiting:
        return True
    connect(ray, address)
    results = tune.Tuner(
        tune.with_resources(_trial, dict(resources or {"CPU": 1})),
        param_space={"unit": tune.grid_search([[str(f.absolute()) for f in unit] for unit in waiting])},
        tune_config=tune.TuneConfig(
            max_concurrent_trials=parallel or None, scheduler=_scheduler(scheduler, waiting)
        ),
        run_config=tune.RunConfig(
            name="ray",
            storage_path=str(storage.absolute()),
            failure_config=tune.FailureConfig(max_failures=retries),
        ),
    ).fit()
    stopped = len(results) < len(waiting) or any(
        not is_done(unit) and read_status(unit[0]).state == STOPPED for unit in waiting
    )
    for unit in waiting:
        if scheduler != "none" and not is_done(unit) and not read_status(unit[0]).error:
            write_status(unit[0], Status(PRUNED, *_newest(unit[0])))
        report(unit)
    return not stopped


def _trial(parameters: Mapping[str, Any]) -> None:
    """What a trial does: train its unit and report every validation of its first point to Tune."""
    from ray import tune

    from iassf_jax.sweeps.worker import train_points

    unit = tuple(Path(folder) for folder in parameters["unit"])
    thread = threading.Thread(target=train_points, args=(unit,), daemon=True)
    thread.start()
    for line in _validations(unit[0], thread):
        tune.report({name: value for name, value in line.items() if name != "kind"})
    if failed := [status for status in map(read_status, unit) if status.error and status.state not in FINAL]:
        raise RuntimeError(failed[0].error)


def _validations(folder: Path, thread: threading.Thread) -> Iterator[dict[str, Any]]:
    """Yield the validations of a run as they appear in its metrics, until `thread` has ended."""
    seen = -1
    running = True
    while running:
        thread.join(_POLL)
        running = thread.is_alive()
        for line in read_validations(folder):
            if line["step"] > seen:
                seen = line["step"]
                yield line


def read_validations(folder: Path) -> list[dict[str, Any]]:
    """Return the validations of a run so far, whole lines only."""
    path = folder / "metrics.jsonl"
    if not path.exists():
        return []
    *lines, _ = path.read_text(encoding="utf-8").split("\n")  # after the last end of line it is being written
    return [entry for entry in map(json.loads, lines) if entry["kind"] == "eval"]


def _scheduler(name: str, units: Sequence[Unit]) -> Any:
    if name == "none":
        return None
    from ray.tune.schedulers import ASHAScheduler

    configs = [read_config(unit[0]) for unit in units]
    kinds = {(config.best_metric, config.best_mode, config.steps, config.eval_every) for config in configs}
    if len(kinds) != 1:
        raise InputError("--scheduler asha compares points of equal best_metric, steps and eval_every")
    metric, mode, steps, every = kinds.pop()
    if not (metric and every and configs[0].data.val):
        raise InputError("--scheduler asha needs validation: data.val, eval_every and best_metric")
    return ASHAScheduler(time_attr="step", metric=metric, mode=mode, max_t=steps, grace_period=every)


def _newest(folder: Path) -> tuple[int, dict[str, float]]:
    validations = read_validations(folder)
    if not validations:
        return 0, {}
    last = validations[-1]
    return last["step"], {name: value for name, value in last.items() if name not in ("kind", "step")}
