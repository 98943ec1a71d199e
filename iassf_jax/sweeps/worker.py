"""The process that trains and evaluates points: one run, or several as a population.

    python -m iassf_jax.sweeps.worker WORKDIR/alpha=0.5 [WORKDIR/alpha=1.0 ...]

Every engine starts this command, on whatever machine it chose. How each point ended is in its folder.
"""

import dataclasses
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from iassf_jax.core.allocator import keep_freed_memory, restart_with_huge_pages
from iassf_jax.core.compilation import enable_compilation_cache
from iassf_jax.core.errors import IassfError, TrainingError
from iassf_jax.sweeps.folders import (
    DIVERGED,
    FAILED,
    FINAL,
    FINISHED,
    STOPPED,
    Status,
    read_config,
    read_evaluations,
    read_status,
    write_status,
)
from iassf_jax.sweeps.handover import finish_takeover
from iassf_jax.sweeps.lifeline import ATTACHED, end_with_parent
from iassf_jax.training import RunResult, run_training
from iassf_jax.training.loop import Tell


def train_points(folders: Sequence[Path], *, tell: Tell | None = None) -> list[Status]:
    """Train the points of `folders`, or continue them, make their evaluations and record how each ended.

    Several are a population and must share a program (`sweeps.groups`). Points that are done are left alone.
    An error is recorded, printed and not raised.

    Args:
      folders: of the points.
      tell: called with the validations of a point that is trained alone, see `training.loop.train`.
    """
    open_folders = [folder for folder in folders if read_status(folder).state not in FINAL]
    for folder, status in zip(open_folders, _train(open_folders, tell), strict=True):
        write_status(folder, _evaluate(folder, status) if status.state == FINISHED else status)
    return [read_status(folder) for folder in folders]


def _train(open_folders: Sequence[Path], tell: Tell | None) -> list[Status]:
    try:
        for folder in open_folders:
            finish_takeover(folder)
        if len(open_folders) > 1:
            from iassf_jax.sweeps.population import train_population

            configs = [read_config(folder) for folder in open_folders]
            return [_status(result) for result in train_population(configs, open_folders)]
        return [_status(run_training(read_config(folder), folder, tell=tell)) for folder in open_folders]
    except TrainingError as error:
        return [Status(DIVERGED, error=str(error))] * len(open_folders)
    except Exception as error:  # recorded for the sweep, which goes on with its other points
        return [_failure(error)] * len(open_folders)


def _evaluate(folder: Path, status: Status) -> Status:
    """Return the status with the means of the evaluations that are asked for."""
    means: dict[str, float] = {}
    try:
        for name, request in read_evaluations(folder).items():
            from iassf_jax.sweeps.evaluating import evaluate_run

            means |= evaluate_run(folder, name, request)
    except Exception as error:
        return dataclasses.replace(_failure(error), step=status.step)
    return dataclasses.replace(status, metrics={**status.metrics, **means})


def _failure(error: Exception) -> Status:
    traceback.print_exception(error)
    kind = "" if isinstance(error, IassfError) else f"{type(error).__name__}: "
    return Status(FAILED, error=f"{kind}{error}")


def _status(result: RunResult | TrainingError) -> Status:
    if isinstance(result, TrainingError):
        return Status(DIVERGED, error=str(result))
    state = FINISHED if result.step == result.steps else STOPPED
    return Status(state, result.step, result.evaluation or {})


def main(arguments: Sequence[str]) -> int:
    """Train the folders named, after `ATTACHED` only as long as who started this lives; 1 if one failed."""
    attached, folders = arguments[:1] == [ATTACHED], [Path(word) for word in arguments if word != ATTACHED]
    if attached:
        end_with_parent()
    enable_compilation_cache()
    return int(any(status.state == FAILED for status in train_points(folders)))


if __name__ == "__main__":
    restart_with_huge_pages()
    keep_freed_memory()
    sys.exit(main(sys.argv[1:]))
