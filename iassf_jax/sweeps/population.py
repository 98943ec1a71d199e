"""Several runs in one compiled program, step by step together: a member is the run that it would be alone.

Members share everything but alpha, the seed, the learning rates, the weight decay and the strength of haze,
which the program takes as arguments (`sweeps.groups`). Every member has the folder of an ordinary run, with
its own checkpoints and metrics, and can be continued alone. A member whose loss is not finite leaves; the
others do not notice.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from iassf_jax import models
from iassf_jax.core.errors import TrainingError
from iassf_jax.evaluation.measures import metric_names
from iassf_jax.sweeps.folders import DIVERGED, Status, write_status
from iassf_jax.sweeps.members import Member, open_members, rewind_to_common_step
from iassf_jax.sweeps.stacked import StackedProgram, check_members, traced_values
from iassf_jax.sweeps.turns import TurnsProgram
from iassf_jax.training import RunResult, loop, settings, sharding, start
from iassf_jax.training.optimizer import make_optimizer
from iassf_jax.training.signals import StopRequest
from iassf_jax.training.state import Initializer, TrainState, abstract_state, make_initializer
from iassf_jax.training.task import Task, make_task
from iassf_jax.training.validating import LocalValidator

_IN_FLIGHT = 2  # steps that may be queued on the devices


class _Sums(NamedTuple):
    """A record of one member, on the host."""

    total: Any
    count: Any


def train_population(
    configs: Sequence[ConfigDict], folders: Sequence[Path], *, console: Console | None = None
) -> list[RunResult | TrainingError]:
    """Train the runs of `configs` together, or continue them from the newest step that all of them have.

    SIGTERM and Ctrl-C end them after the present step with a checkpoint of each.

    Args:
      configs: configurations that differ only in what `traced_values` takes.
      folders: of the runs.
      console: where progress is shown.

    Returns:
      how each run ended, or why it left: its loss was not finite.

    Raises:
      ConfigError: impossible options, or configurations that are not one program.
      InputError, CheckpointError: as in `training.run_training`, for the first member that has the trouble.
    """
    return _Population(configs, folders, console or Console()).train()


def _make_program(task: Task, config: ConfigDict, *, members: int) -> StackedProgram | TurnsProgram:
    if jax.device_count() == 1 and jax.default_backend() == "cpu":
        return TurnsProgram(task, config)
    return StackedProgram(task, config, members=members)


class _Population:
    def __init__(self, configs: Sequence[ConfigDict], folders: Sequence[Path], console: Console):
        check_members(configs)
        self.configs, self.folders, self.console = configs, folders, console
        self.shared = configs[0]  # for all that they have in common
        for config in configs:
            settings.check(config.to_dict())
        model = models.create(self.shared.model.to_dict())
        self.tasks = [make_task(model, config.to_dict()) for config in configs]
        settings.check_best_metric(self.shared.to_dict(), metric_names(self.tasks[0]))
        optimizer = make_optimizer(self.shared.optimizer.to_dict(), steps=self.shared.steps)
        self.initializers: list[Initializer] = [
            make_initializer(
                model,
                optimizer,
                seed=config.seed,
                ema=config.ema_decay > 0,
                loss_scaling=config.loss_scale,
            )
            for config in configs
        ]
        self.fresh: dict[int, TrainState] = {}  # by seed, until they are stacked
        # A member by itself, for checkpoints and validation, is on one device.
        self.alone = sharding.make_mesh(data=1, model=1)
        self.like_state, self.places = abstract_state(
            self.initializers[0], mesh=self.alone, rules=sharding.parse_rules((".*=replicated",))
        )
        # The states of the one are stacked, those of the other a list; only the program looks inside.
        self.program: Any = _make_program(self.tasks[0], self.shared, members=len(configs))
        self.schedule = loop.Schedule.of(self.shared)
        self.validator = LocalValidator(
            self.tasks[0], self.alone, images_per_device=self.shared.data.val_batch
        )

    def train(self) -> list[RunResult | TrainingError]:
        """Open the members' runs, train from their common step and return how each ended."""
        with contextlib.ExitStack() as stack:
            self.members = open_members(self.configs, self.folders, self.tasks, stack)
            stop = stack.enter_context(StopRequest())
            step = rewind_to_common_step(self.members, console=self.console)
            states = [self._begin(index, step) for index in range(len(self.members))]
            for member, state in zip(self.members, states, strict=True):
                stack.enter_context(member.open_log(step, state.params))
            self.console.print(
                f"{len(states)} members, steps {step} to {self.schedule.steps}", highlight=False
            )
            self.states = self.program.stack(states)
            self.fresh.clear()
            step = self._loop(step, stop)
            return [self._result(index, step, stop) for index in range(len(self.members))]

    def _begin(self, index: int, step: int) -> TrainState:
        member = self.members[index]
        if step:
            return member.restore(self.like_state, step, console=self.console)
        seed = member.config.seed
        if seed not in self.fresh:  # making one compiles, and those of a seed are equal
            quiet = Console(quiet=True)  # every member would report the same parameters
            self.fresh[seed] = start.fresh_state(
                self.initializers[index], self.places, member.config, console=quiet
            )
        return self.fresh[seed]

    def _loop(self, step: int, stop: StopRequest) -> int:
        """Take the steps in the order of `training.loop.train`, for all members; return the last step."""
        saved, values = step, self.program.place(traced_values(self.configs))
        waiting: deque[tuple[int, list[list[str]], Any]] = deque()  # records that are not delivered yet
        while True:
            if self.schedule.evaluates(step) and self.shared.data.val and not stop:
                self._deliver(waiting, leave=0)
                saved = -1 if self._evaluate(step) and step == saved else saved
            done = step == self.schedule.steps or bool(stop) or not self._present()
            if step != saved and (done or self.schedule.due(step, self.schedule.checkpoint_every)):
                self._deliver(waiting, leave=0)
                self._save(step)
                saved = step
            if done:
                for member in self.members:
                    member.manager.wait()
                return step

            names, batches = self._batches()
            self.states, records, finite = self.program(self.states, batches, values)
            step += 1
            waiting.append((step, names, (records, finite)))
            self._deliver(waiting, leave=_IN_FLIGHT)
            for member in self._present():
                member.progress.evaluation = None
                member.log.advance(step)  # type: ignore[union-attr]
            if self.schedule.due(step, self.schedule.log_every):
                self._deliver(waiting, leave=0)
                self._report(step)

    def _batches(self) -> tuple[list[list[str]], list[dict[str, np.ndarray]]]:
        """Return each member's names, and its rows; one set of rows where all read the same."""
        read: dict[int, tuple[list[str], dict[str, np.ndarray]]] = {}
        for config, member in zip(self.configs, self.members, strict=True):
            if config.seed not in read:
                read[config.seed] = loop.split_off_names(next(member.progress.batches))
        names = [read[config.seed][0] for config in self.configs]
        rows = [read[config.seed][1] for config in self.configs]
        return names, rows[:1] if len(read) == 1 else rows

    def _deliver(self, waiting: deque[tuple[int, list[list[str]], Any]], *, leave: int) -> None:
        """Give each member the records of its steps, but of the newest `leave`, which may still run."""
        while len(waiting) > leave:
            step, names, results = waiting.popleft()
            records, finite = jax.device_get(results)
            for index, member in enumerate(self.members):
                own = {k: _Sums(total[index], count[index]) for k, (total, count) in records.items()}
                member.progress.window.add(step, names[index], own, finite[index])

    def _evaluate(self, step: int) -> bool:
        wanted = self.schedule.due(step, self.shared.images_every)
        pictures = self.shared.images_count if wanted else 0
        missing = [member for member in self._present() if not member.progress.evaluation]

        def evaluate(index: int) -> None:
            if self.members[index] in missing:
                params = self._state(index).best_params
                self.members[index].evaluate(self.validator, params, step, pictures=pictures)

        self._each(evaluate, step)
        return bool(missing)

    def _save(self, step: int) -> None:
        # No member may drop its older checkpoint while another's newer one is still being written.
        for member in self.members:
            member.manager.wait()
        self._each(lambda index: self.members[index].save(step, self._state(index)), step)

    def _report(self, step: int) -> None:
        totals: dict[str, float] = {}

        def report(index: int) -> None:
            member = self.members[index]
            means = member.progress.window.means()
            member.log.training(step, means)  # type: ignore[union-attr]
            totals[member.folder.name] = means["loss/total"]

        self._each(report, step)
        shown = ", ".join(f"{name} {total:.4f}" for name, total in totals.items())
        self.console.print(f"step {step}/{self.schedule.steps}: {shown}", highlight=False, soft_wrap=True)

    def _each(self, action: Callable[[int], None], step: int) -> None:
        """Do something for every member that is still there; one whose loss is not finite leaves."""
        for index, member in enumerate(self.members):
            if member.error is not None:
                continue
            try:
                action(index)
            except TrainingError as error:
                member.error = error
                write_status(member.folder, Status(DIVERGED, step, error=str(error)))
                self.console.print(f"{member.folder.name} leaves: {error}", highlight=False, soft_wrap=True)

    def _present(self) -> list[Member]:
        return [member for member in self.members if member.error is None]

    def _state(self, index: int) -> TrainState:
        return self.program.take(self.states, index, self.places)

    def _result(self, index: int, step: int, stop: StopRequest) -> RunResult | TrainingError:
        member = self.members[index]
        if member.error is not None:
            return member.error
        signal = None if step == self.schedule.steps else stop.signal
        return RunResult(step, self.schedule.steps, signal, member.progress.evaluation, self._state(index))
