"""One run of a population: its folder, data position, checkpoints, log and validation."""

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.core.config import to_json
from iassf_jax.core.errors import CheckpointError, TrainingError
from iassf_jax.training import data, logging, loop, records, start
from iassf_jax.training.state import TrainState
from iassf_jax.training.task import Task
from iassf_jax.training.validating import LocalValidator

_KEPT = 2  # newest checkpoints: killed between two members' saves, they have only the one before in common


@dataclasses.dataclass
class Member:
    """What a member does by itself; its parameters are computed together with those of the others."""

    config: ConfigDict
    folder: Path
    task: Task
    progress: loop.Progress
    manager: CheckpointManager
    log: logging.RunLog | None = None
    error: TrainingError | None = None  # why it has left the population

    @property
    def plain(self) -> dict[str, Any]:
        """Return the configuration as it is saved."""
        return json.loads(to_json(self.config))

    def restore(self, like_state: Any, step: int, *, console: Console) -> TrainState:
        """Return the state after `step` steps and take up the data's position of then.

        Raises:
          IassfError: see `training.start.resume`.
        """
        found = start.resume(
            self.manager, like_state, self.progress, given=self.plain, workdir=self.folder, console=console
        )
        if found is None or found[1] != step:
            raise CheckpointError(f"the checkpoint of step {step} in {self.folder} cannot be read")
        return found[0]

    def open_log(self, step: int, params: Any) -> logging.RunLog:
        """Write the run's records and open its log at `step`."""
        records.write_records(self.folder, self.config, params)
        self.log = logging.continue_log(
            self.folder,
            self.config,
            start=step,
            evaluated=self.progress.evaluation is not None,
            console=Console(quiet=True),
        )
        return self.log

    def evaluate(self, validator: LocalValidator, params: Any, step: int, *, pictures: int) -> None:
        """Validate `params` and report it."""
        assert self.log is not None
        self.progress.window.fetch()
        validation = validator.validate(
            params,
            self.task.examples(data.validation_examples(self.config, self.task)),
            alpha=self.config.alpha,
            num_pictures=pictures,
        )
        assert validation is not None  # nothing breaks it off
        self.progress.evaluation = validation.metrics
        if validation.pictures:
            self.log.pictures(step, validation.pictures)
        self.log.evaluation(step, validation.metrics)

    def save(self, step: int, state: TrainState) -> None:
        """Start saving the checkpoint of `step`."""
        self.manager.save(
            step,
            state,
            iterator_state=self.progress.get_state(),
            config=self.plain,
            metrics=self.progress.evaluation,
        )


def open_members(
    configs: Sequence[ConfigDict], folders: Sequence[Path], tasks: Sequence[Task], stack: contextlib.ExitStack
) -> list[Member]:
    """Open the runs of a population; members of one seed read the same batches, through one iterator.

    Everything is closed with `stack`.
    """
    if configs[0].data.val:  # which they share; wrong options are noticed now, not at the first validation
        data.validation_examples(configs[0], tasks[0])
    batches: dict[int, Any] = {}
    members = []
    for config, folder, task in zip(configs, folders, tasks, strict=True):
        records.make_folder(folder)
        if config.seed not in batches:
            reading = data.training_batches(_from_host(config), task)
            batches[config.seed] = stack.enter_context(contextlib.closing(reading))
        manager = stack.enter_context(start.open_checkpoints(config, folder, keep_at_least=_KEPT))
        members.append(Member(config, folder, task, loop.Progress(batches[config.seed]), manager))
    return members


def rewind_to_common_step(members: Sequence[Member], *, console: Console) -> int:
    """Return the newest step of which every member has a checkpoint; 0 if there is none.

    Later ones, of members that had come further, are moved aside, and `console` says so: they will be made
    again.
    """
    steps = [member.manager.all_steps() for member in members]
    common = max(set.intersection(*map(set, steps)), default=0)
    for member, saved in zip(members, steps, strict=True):
        later = [step for step in saved if step > common]
        places = [str(member.manager.set_aside(step)) for step in later]
        if later:
            console.print(
                f"{member.folder.name} goes back from step {max(later)} to {common}, the newest that all "
                f"members have; what it had later was moved to {', '.join(places)}",
                highlight=False,
                soft_wrap=True,
            )
    return common


def _from_host(config: ConfigDict) -> ConfigDict:
    """Members take their batches from the host: resident images would be held once for each of them."""
    copy = ConfigDict(config)
    with copy.unlocked():
        copy.data.resident = False
    return copy
