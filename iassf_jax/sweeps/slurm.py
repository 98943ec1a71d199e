"""The engine of a SLURM cluster: the units of work are the tasks of a job array, submitted by submitit.

The sweep's folder must be on storage that the nodes reach under the same path. A task that is preempted or
runs into its time limit is queued again by submitit and goes on from the checkpoints of its runs. The command
may be ended while tasks are queued: the same command again waits for them, and submits what has failed.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from iassf_jax.core.errors import InputError, MissingDependencyError
from iassf_jax.sweeps.folders import FAILED, Status, Unit, is_done, write_status

_JOB = "slurm_job.txt"
_OPTIONS = ("timeout_min", "gpus_per_node", "cpus_per_task", "mem_gb", "nodes", "tasks_per_node")


class UnitTask:
    """What a task does; submitit calls `checkpoint` when SLURM is about to end it."""

    def __call__(self, unit: Sequence[str]) -> None:
        """Train the points of a unit."""
        from iassf_jax.core.compilation import enable_compilation_cache
        from iassf_jax.sweeps.worker import train_points

        enable_compilation_cache()
        train_points([Path(folder) for folder in unit])

    def checkpoint(self, unit: Sequence[str]) -> Any:
        """Return the same task, to be queued again: the runs find their own checkpoints."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, unit)


def run_slurm(
    units: Sequence[Unit],
    *,
    storage: Path,
    options: Mapping[str, Any] | None = None,
    parallel: int = 0,
    report: Callable[[Unit], None] = lambda unit: None,
    cluster: str = "slurm",
    poll: float = 30.0,
) -> bool:
    """Submit the units that are neither done nor queued, and wait for all; False after Ctrl-C.

    Args:
      units: folders of the points that one task trains.
      storage: folder for scripts and logs of the jobs.
      options: of submitit: "timeout_min", "gpus_per_node", "cpus_per_task", "mem_gb"; others go to sbatch,
        such as "partition" or "account".
      parallel: tasks of the array that run at a time; 0 is no limit.
      report: called with a unit whose task has ended.
      cluster: submitit's name of the scheduler; "local" runs the tasks here.
      poll: seconds between looks at the queue.

    Raises:
      MissingDependencyError: submitit is not installed.
      InputError: SLURM is not here or refuses the job.
    """
    try:
        import submitit
    except ImportError as error:
        raise MissingDependencyError(
            f"--engine slurm needs submitit, but there is {error}: pip install submitit"
        ) from error
    folder = storage.absolute()
    waiting = [unit for unit in units if not is_done(unit)]
    jobs = {unit: job for unit in waiting if (job := _queued(submitit, unit, folder, cluster)) is not None}
    new = [unit for unit in waiting if unit not in jobs]
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(**_parameters(options or {}, parallel=parallel, cluster=cluster))
        jobs |= _submit(executor, new)
    except (RuntimeError, submitit.core.utils.FailedJobError) as error:
        raise InputError(f"the sweep cannot be submitted: {error}") from error
    try:
        _wait(jobs, report, poll)
    except KeyboardInterrupt:
        return False
    return True


def _submit(executor: Any, units: Sequence[Unit]) -> dict[Unit, Any]:
    if not units:
        return {}
    jobs = executor.map_array(UnitTask(), [[str(path.absolute()) for path in unit] for unit in units])
    for unit, job in zip(units, jobs, strict=True):
        (unit[0] / _JOB).write_text(json.dumps({"job": job.job_id}), encoding="utf-8")
    return dict(zip(units, jobs, strict=True))


def _parameters(options: Mapping[str, Any], *, parallel: int, cluster: str) -> dict[str, Any]:
    shared = {key: value for key, value in options.items() if key in _OPTIONS}
    if cluster == "slurm":
        further = {key: value for key, value in options.items() if key not in _OPTIONS}
        shared |= {"slurm_additional_parameters": further} if further else {}
        shared |= {"slurm_array_parallelism": parallel} if parallel else {}
    return {"name": "iassf_sweep", **shared}


def _queued(submitit: Any, unit: Unit, folder: Path, cluster: str) -> Any:
    """Return the job of an earlier command that still waits or trains."""
    path = unit[0] / _JOB
    if not path.exists() or cluster != "slurm":
        return None
    job = submitit.SlurmJob(folder=folder, job_id=json.loads(path.read_text(encoding="utf-8"))["job"])
    return None if job.done(force_check=True) else job


def _wait(jobs: Mapping[Unit, Any], report: Callable[[Unit], None], poll: float) -> None:
    left = dict(jobs)
    while left:
        for unit in [unit for unit, job in left.items() if job.done()]:
            error = left.pop(unit).exception()
            if error is not None and not is_done(unit):
                for folder in unit:
                    write_status(folder, Status(FAILED, error=f"its job failed: {error}"))
            report(unit)
        if left:
            time.sleep(poll)
