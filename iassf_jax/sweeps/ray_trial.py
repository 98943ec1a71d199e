"""What a trial of Ray Tune does in its process.

Tune ends or pauses a trial by an exception out of `tune.report`. Nothing is under way then: the checkpoint of
the reported step is on disk, and training waits.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from iassf_jax.core import compilation
from iassf_jax.sweeps import worker
from iassf_jax.sweeps.folders import FINAL, FINISHED, clear_status, read_status
from iassf_jax.sweeps.handover import hand_over, take_over
from iassf_jax.sweeps.schedulers import MUTABLE, TOKEN

_PLACE = ".handover-"


def train_trial(parameters: Mapping[str, Any]) -> None:
    """Train the unit of a trial, and report the validations of a single point to Tune.

    Args:
      parameters: "unit", the folders; "cwd", the folder of the command; under population based training also
        "interval", `TOKEN`, and the options that may change.

    Raises:
      RuntimeError: a point failed; Tune tries it again.
    """
    from ray import tune

    if Path(parameters["cwd"]).is_dir():
        os.chdir(parameters["cwd"])  # Ray has gone into a folder of its own, and data may be told relative
    compilation.enable_compilation_cache()
    unit, populated = [Path(folder) for folder in parameters["unit"]], "interval" in parameters
    if populated:
        unit = [unit[0].with_name(tune.get_context().get_trial_name())]
        _take_over(tune, unit[0], parameters)
    for folder in unit:
        if read_status(folder).state not in FINAL:
            clear_status(folder)
    tell = _handing_over(tune, unit[0], parameters["interval"]) if populated else _telling(tune)
    statuses = worker.train_points(unit, tell=tell)
    if failed := [status for status in statuses if status.error and status.state not in FINAL]:
        raise RuntimeError(failed[0].error)
    if statuses[0].state == FINISHED and not populated:
        tune.report({"step": statuses[0].step, **statuses[0].metrics})


def _telling(tune: Any) -> Callable[[int, Mapping[str, float]], None]:
    return lambda step, metrics: tune.report({"step": step, **metrics})


def _handing_over(tune: Any, folder: Path, interval: int) -> Callable[[int, Mapping[str, float]], None]:
    """Return what reports a validation at every `interval` steps, with what others need to take over."""
    for left in folder.glob(f"{_PLACE}*"):  # by a process that was killed
        shutil.rmtree(left)

    def tell(step: int, metrics: Mapping[str, float]) -> None:
        if step % interval:
            return
        with tempfile.TemporaryDirectory(dir=folder, prefix=_PLACE) as place:
            hand_over(folder, step, Path(place))
            tune.report({"step": step, **metrics}, checkpoint=tune.Checkpoint.from_directory(place))

    return tell


def _take_over(tune: Any, folder: Path, parameters: Mapping[str, Any]) -> None:
    """Make the takeover that Tune has decided, if there is one and it was not made before a restart."""
    if not parameters[TOKEN]:
        return
    values = {option: parameters[option] for option in MUTABLE if option in parameters}
    with tune.get_checkpoint().as_directory() as handover:
        take_over(folder, Path(handover), values, token=parameters[TOKEN])
