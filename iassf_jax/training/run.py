"""Wires a run together: configuration, data, network, state, checkpoints, loop.

A run is a function of (configuration, seed, data). Its folder holds

    config.json     the resolved configuration
    versions.json   packages and source revision of the last start
    parameters.txt  every parameter with its shape
    metrics.jsonl   losses and validation, see `training.logging`
    timing.jsonl    speed
    images/         picture grids of validation scenes
    checkpoints/    see `checkpoints.manager`

Several processes run the same code in lockstep on one mesh of all their devices; the first one writes.
"""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from data_pipelines.decode import ImageError
from iassf_jax import models
from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.core.config import to_json
from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.measures import metric_names
from iassf_jax.training import data, distributed, logging, loop, records, settings, sharding, start
from iassf_jax.training.micro_batches import micro_batches
from iassf_jax.training.optimizer import make_optimizer
from iassf_jax.training.program import StepProgram
from iassf_jax.training.resident import compile_resident_step
from iassf_jax.training.signals import StopRequest
from iassf_jax.training.state import TrainState, abstract_state, make_initializer
from iassf_jax.training.step import compile_train_step, make_train_step
from iassf_jax.training.task import make_task
from iassf_jax.training.validating import LocalValidator


@dataclasses.dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    step: int  # finished steps
    steps: int  # steps it was to make
    signal: int | None  # which signal stopped it early
    evaluation: dict[str, float] | None  # validation of the last step
    state: TrainState


def run_training(
    config: ConfigDict,
    workdir: str | Path,
    *,
    allow_changes: bool = False,
    console: Console | None = None,
    tell: loop.Tell | None = None,
) -> RunResult:
    """Train as `config` says, or continue the run in `workdir` from its newest checkpoint.

    SIGTERM and Ctrl-C end the run after the present step with a checkpoint.

    Args:
      config: a resolved configuration with every option of `configs/default.py`.
      workdir: the run's folder; created when missing.
      allow_changes: continue a run although its configuration was another one.
      console: where to report; the terminal by default.
      tell: called with every validation but the last, see `loop.train`.

    Raises:
      ConfigError: impossible options, or other ones than the run in `workdir` was started with.
      InputError: the data or the folder cannot be used.
      CheckpointError: a checkpoint cannot be written, or read, or is of another network.
      TrainingError: the loss is not finite.
    """
    try:
        run = _Run(config, Path(workdir), console or Console(), allow_changes=allow_changes)
        return run.train(tell)
    except ImageError as error:
        raise InputError(str(error)) from error


class _Run:
    """The parts of a run, built in the order in which mistakes are best noticed."""

    def __init__(self, config: ConfigDict, workdir: Path, console: Console, *, allow_changes: bool):
        self.config, self.workdir = config, workdir
        self.console = console if distributed.is_main() else Console(quiet=True)
        self.plain = json.loads(to_json(config))  # as it is saved: tuples are lists
        self.allow_changes = allow_changes
        settings.check(config.to_dict())
        self.mesh = sharding.make_mesh(
            data=config.mesh.data,
            model=config.mesh.model,
            examples=config.data.batch_size // max(config.accumulate, 1),
        )
        self.parts = micro_batches(config.accumulate, config.data.to_dict(), devices=self.mesh.shape["data"])
        sharding.check_kernels(config.model.to_dict(), mesh=self.mesh)
        model = models.create(config.model.to_dict())
        self.task = make_task(model, config.to_dict())
        settings.check_best_metric(config.to_dict(), metric_names(self.task))
        self.optimizer = make_optimizer(config.optimizer.to_dict(), steps=config.steps)
        self.initializer = make_initializer(
            model,
            self.optimizer,
            seed=config.seed,
            ema=config.ema_decay > 0,
            loss_scaling=config.loss_scale,
        )
        rules = sharding.parse_rules(config.mesh.rules)
        self.like_state, self.shardings = abstract_state(self.initializer, mesh=self.mesh, rules=rules)
        self.schedule = loop.Schedule.of(config)
        self.progress = loop.Progress(data.training_batches(config, self.task))
        if config.data.val:
            self._examples()  # a wrong folder is noticed now, not at the first validation

    def train(self, tell: loop.Tell | None = None) -> RunResult:
        """Open checkpoints, data and log, go on where they stand, and close them whatever happens."""
        if distributed.is_main():
            records.make_folder(self.workdir)
        distributed.barrier("run folder")
        reading = contextlib.closing(self.progress.batches)  # type: ignore[type-var]
        with start.open_checkpoints(self.config, self.workdir) as manager, StopRequest() as stop, reading:
            state, step = self._begin(manager)
            if distributed.is_main():
                records.write_records(self.workdir, self.config, state.params)
            records.announce(
                self.console, self.config, state.params, mesh=self.mesh, start=step, workdir=self.workdir
            )
            program = self._program()
            with self._open_log(step, program) as log:
                state, step = loop.train(
                    state,
                    start=step,
                    schedule=self.schedule,
                    step_function=program,
                    place=sharding.batch_placer(self.mesh),
                    alpha=self._everywhere(np.float32(self.config.alpha)),
                    seed=self._everywhere(np.int32(self.config.seed)),
                    progress=self.progress,
                    evaluate=self._evaluation(stop, log) if self.config.data.val else None,
                    manager=manager,
                    config=self.plain,
                    log=log,
                    stop=stop,
                    tell=tell,
                )
        finished = step == self.config.steps
        return RunResult(
            step, self.config.steps, None if finished else stop.signal, self.progress.evaluation, state
        )

    def _begin(self, manager: CheckpointManager) -> tuple[TrainState, int]:
        found = start.resume(
            manager,
            self.like_state,
            self.progress,
            given=None if self.allow_changes else self.plain,
            workdir=self.workdir,
            console=self.console,
        )
        if found is not None:
            return found
        return start.fresh_state(self.initializer, self.shardings, self.config, console=self.console), 0

    def _program(self) -> StepProgram:
        step = make_train_step(
            self.task,
            self.optimizer,
            augment_options=self.config.augment.to_dict(),
            accumulate=self.parts,
            ema_decay=self.config.ema_decay,
        )
        places = {"shardings": self.shardings, "everywhere": sharding.replicated(self.mesh)}
        if not self.config.data.resident:
            return StepProgram(compile_train_step(step, **places))
        scenes = data.resident_scenes(self.config, self.task)
        crop = self.config.data.crop
        return StepProgram(*compile_resident_step(step, scenes, crop=crop, place=self._everywhere, **places))

    def _everywhere(self, tree: Any) -> Any:
        return sharding.place_everywhere(tree, self.mesh)

    def _examples(self) -> Any:
        return self.task.examples(data.validation_examples(self.config, self.task))

    def _open_log(self, step: int, program: StepProgram) -> logging.RunLog | logging.SilentLog:
        if not distributed.is_main():
            return logging.SilentLog()
        return logging.continue_log(
            self.workdir,
            self.config,
            start=step,
            evaluated=self.progress.evaluation is not None,
            console=self.console,
            flops_per_step=lambda: program.flops,
        )

    def _evaluation(self, stop: StopRequest, log: logging.RunLog | logging.SilentLog) -> loop.Evaluate:
        validator = LocalValidator(self.task, self.mesh, images_per_device=self.config.data.val_batch)
        alone = not self.mesh.is_multi_process

        def evaluate(params: Any, step: int) -> dict[str, float] | None:
            """Validate, and write the pictures that are due; None when it was broken off."""
            wanted = self.schedule.due(step, self.config.images_every)
            validation = validator.validate(
                validator.parameters(params),
                self._examples(),
                alpha=self.config.alpha,
                num_pictures=self.config.images_count if wanted else 0,
                should_stop=lambda: alone and bool(stop),
            )
            if validation is None:
                return None
            if validation.pictures:
                log.pictures(step, validation.pictures)
            return {**validation.metrics, **self._overall(validator, params)}

        return evaluate

    def _overall(self, validator: LocalValidator, params: Any) -> dict[str, float]:
        """Return what a task has to say of all validation scenes together; each process has but a share."""
        if not hasattr(self.task, "overall") or self.mesh.is_multi_process:
            return {}
        return self.task.overall(validator.parameters(params), self._examples())
