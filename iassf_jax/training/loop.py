"""The training loop.

Every turn goes through the same order at a number of finished steps: evaluate, checkpoint, fetch, step, log.
A checkpoint therefore holds the evaluation of its own step and the data position before the next batch, and
whoever resumes from it takes the turn up where it was left.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.core.rng import example_id
from iassf_jax.training.signals import StopRequest
from iassf_jax.training.state import TrainState
from iassf_jax.training.step import Step
from iassf_jax.training.window import LogWindow

Evaluate = Callable[[Any, int], dict[str, float] | None]
"""(params, step) -> metrics, or None when the evaluation was broken off."""

Tell = Callable[[int, Mapping[str, float]], None]
"""(step, validation of the parameters after it) -> None."""

Place = Callable[[Mapping[str, np.ndarray]], dict[str, Array]]
"""Host arrays, this process's rows of a batch -> the batch on the devices."""


@runtime_checkable
class Log(Protocol):
    """Where a run reports to."""

    def training(self, step: int, means: Mapping[str, float]) -> None:
        """Report the mean records of the steps up to `step`."""

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Report the validation of the parameters after `step` steps."""

    def advance(self, step: int) -> None:
        """Note that `step` was handed to the device."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """What happens every so many steps; 0 is never, and everything that happens at all happens at the end."""

    steps: int
    log_every: int
    eval_every: int
    checkpoint_every: int
    eval_at_start: bool  # a validation before the first step too

    @classmethod
    def of(cls, config: ConfigDict) -> "Schedule":
        """Return what the options of these names say."""
        return cls(**{field.name: config[field.name] for field in dataclasses.fields(cls)})

    def due(self, step: int, every: int) -> bool:
        """Whether something that happens `every` so many steps happens after `step` of them."""
        return every > 0 and step > 0 and (step % every == 0 or step == self.steps)

    def evaluates(self, step: int) -> bool:
        """Whether there is a validation after `step` steps."""
        return self.due(step, self.eval_every) or (self.eval_at_start and self.eval_every > 0 and step == 0)


@dataclasses.dataclass
class Progress:
    """The host's side of a run; with the state it says all about where the run stands."""

    batches: Iterator[dict[str, Any]]  # a grain iterator: it has get_state and set_state
    window: LogWindow = dataclasses.field(default_factory=LogWindow)
    evaluation: dict[str, float] | None = None  # of the present step, once it was made

    def get_state(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "batches": self.batches.get_state(),  # type: ignore[attr-defined]
            "window": self.window.get_state(),
            "evaluation": self.evaluation,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take up what `get_state` returned."""
        self.batches.set_state(state["batches"])  # type: ignore[attr-defined]
        self.window = LogWindow(state["window"])
        self.evaluation = state["evaluation"]


def train(
    state: TrainState,
    *,
    start: int,
    schedule: Schedule,
    step_function: Step,
    place: Place,
    alpha: Float[Array, ""],
    seed: Int[Array, ""],
    progress: Progress,
    evaluate: Evaluate | None,
    manager: CheckpointManager,
    config: Mapping[str, Any],
    log: Log,
    stop: StopRequest,
    tell: Tell | None = None,
) -> tuple[TrainState, int]:
    """Train from `start` finished steps to `schedule.steps`, or until `stop`, and return (state, steps done).

    `place` puts a batch of this process on the devices, `alpha` and `seed` are there already: nothing else
    goes to the devices, and nothing comes back but the records at log lines and what is saved.

    `tell` is called with every validation but the last step's, when the checkpoint of that step, where there
    is one, is on disk. What it raises ends the run there.

    Raises:
      TrainingError: a loss or gradient is not finite. It is noticed before the next checkpoint is written.
    """
    step = saved = start
    while True:
        stopping = stop.after(step)
        if evaluate and schedule.evaluates(step) and not progress.evaluation and not stopping:
            progress.window.fetch()  # parameters that are not finite are reported, not evaluated
            progress.evaluation = evaluate(state.best_params, step)
            if progress.evaluation:
                log.evaluation(step, progress.evaluation)
                saved = -1 if step == start else saved  # the checkpoint of `start` was made without it

        done = step == schedule.steps or stopping or bool(stop)
        if step != saved and (done or schedule.due(step, schedule.checkpoint_every)):
            manager.save(
                step,
                state,
                iterator_state=progress.get_state(),
                config=config,
                metrics=progress.evaluation,
            )
            saved = step
        if done:
            manager.wait()
            return state, step
        if tell and step != start and progress.evaluation:
            manager.wait()
            tell(step, progress.evaluation)

        names, rows = split_off_names(next(progress.batches))
        batch = place(rows)

        state, records, finite = step_function(state, batch, alpha, seed)
        step, progress.evaluation = step + 1, None
        progress.window.add(step, names, records, finite)

        log.advance(step)
        if schedule.due(step, schedule.log_every):
            log.training(step, progress.window.means())


def split_off_names(batch: Mapping[str, Any]) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the names, which stay on the host, and the arrays with every example's number and weight."""
    names = list(batch["name"])
    images = {key: value for key, value in batch.items() if key != "name"}
    images.setdefault("example", np.array([example_id(name) for name in names], np.uint32))
    images.setdefault("mask", np.ones(len(names), np.float32))
    return names, images
