"""Wires a run together: configuration, data, network, state, checkpoints, loop.

A run is a function of (configuration, seed, data). Its folder holds

    config.json     the resolved configuration
    versions.json   packages and source revision of the last start
    parameters.txt  every parameter with its shape
    metrics.jsonl   losses and validation, see `training.logging`
    timing.jsonl    speed
    images/         picture grids of validation scenes
    checkpoints/    see `checkpoints.manager`
"""

import contextlib
import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from clu import parameter_overview
from ml_collections import ConfigDict
from rich.console import Console

from data_pipelines.decode import ImageError
from data_pipelines.folder import evaluation_examples, training_iterator
from data_pipelines.mixtures import open_mixture
from data_pipelines.resident import stack_scenes
from iassf_jax import models
from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.checkpoints.versions import versions
from iassf_jax.core.config import to_json
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.core.images import write_image
from iassf_jax.evaluation import Validator, picture_grid
from iassf_jax.training import logging, loop, settings
from iassf_jax.training.haze import HazyExamples
from iassf_jax.training.optimizer import make_optimizer, make_schedule
from iassf_jax.training.resident import compile_resident_step
from iassf_jax.training.signals import StopRequest
from iassf_jax.training.state import TrainState, abstract_state, init_state
from iassf_jax.training.step import Step, compile_train_step, make_train_step


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
) -> RunResult:
    """Train as `config` says, or continue the run in `workdir` from its newest checkpoint.

    SIGTERM and Ctrl-C end the run after the present step with a checkpoint.

    Args:
      config: a resolved configuration with every option of `configs/default.py`.
      workdir: the run's folder; created when missing.
      allow_changes: continue a run although its configuration was another one.
      console: where to report; the terminal by default.

    Raises:
      ConfigError: impossible options, or other ones than the run in `workdir` was started with.
      InputError: the data or the folder cannot be used.
      CheckpointError: a checkpoint cannot be written, or read, or is of another network.
      TrainingError: the loss is not finite.
    """
    try:
        return _Run(config, Path(workdir), console or Console(), allow_changes=allow_changes).train()
    except ImageError as error:
        raise InputError(str(error)) from error


class _Run:
    """The parts of a run, built in the order in which mistakes are best noticed."""

    def __init__(self, config: ConfigDict, workdir: Path, console: Console, *, allow_changes: bool):
        self.config, self.workdir, self.console = config, workdir, console
        self.plain = json.loads(to_json(config))  # as it is saved: tuples are lists
        self.allow_changes = allow_changes
        settings.check(config.to_dict())
        self.model = models.create(config.model.to_dict())
        self.optimizer = make_optimizer(config.optimizer.to_dict(), steps=config.steps)
        self.schedule = loop.Schedule(
            config.steps, config.log_every, config.eval_every, config.checkpoint_every
        )
        self.validator = (
            Validator(self.model, loss_options=config.loss.to_dict()) if config.data.val else None
        )
        self.haze = settings.make_haze(config.to_dict())
        self.hazy_examples = HazyExamples(self.haze, seed=config.seed) if self.haze else None
        self.progress = loop.Progress(_batches(config))
        if config.data.val:
            self._examples()  # a wrong folder is noticed now, not at the first validation

    def train(self) -> RunResult:
        _make_folder(self.workdir)
        reading = contextlib.closing(self.progress.batches)  # type: ignore[type-var]
        with self._open_checkpoints() as manager, StopRequest() as stop, reading:
            state, start = self._restore_or_init(manager)
            self._write_records(state)
            self._announce(state, start)
            with self._open_log(start) as log:
                state, step = loop.train(
                    state,
                    start=start,
                    schedule=self.schedule,
                    step_function=self._step(),
                    alpha=self.config.alpha,
                    seed=self.config.seed,
                    progress=self.progress,
                    evaluate=self._evaluation(stop) if self.validator else None,
                    manager=manager,
                    config=self.plain,
                    log=log,
                    stop=stop,
                )
        finished = step == self.config.steps
        return RunResult(
            step, self.config.steps, None if finished else stop.signal, self.progress.evaluation, state
        )

    def _open_checkpoints(self) -> CheckpointManager:
        validates = self.config.data.val and self.config.eval_every
        return CheckpointManager(
            self.workdir,
            keep_last=self.config.keep_last,
            best_metric=self.config.best_metric or None if validates else None,
            best_mode=self.config.best_mode,
        )

    def _restore_or_init(self, manager: CheckpointManager) -> tuple[TrainState, int]:
        step = manager.latest_step()
        if step is None:
            return init_state(self.model, self.optimizer, seed=self.config.seed), 0
        if not self.allow_changes:
            settings.check_continuation(manager.saved_config(step), self.plain, workdir=str(self.workdir))
        state, position = manager.restore(abstract_state(self.model, self.optimizer), step)
        try:
            self.progress.set_state(position)
        except (ValueError, KeyError) as error:
            raise InputError(f"the data is not the one of the run in {self.workdir}: {error}") from error
        return state, step

    def _step(self) -> Step:
        step = make_train_step(
            self.model,
            self.optimizer,
            augment_options=self.config.augment.to_dict(),
            loss_options=self.config.loss.to_dict(),
            haze=self.haze,
        )
        data = self.config.data
        if not data.resident:
            return compile_train_step(step)
        mixture = open_mixture(data.train, resize=data.resize, **_reading(self.config))
        return compile_resident_step(step, stack_scenes(mixture, crop=data.crop), crop=data.crop)

    def _examples(self) -> Iterable[Mapping[str, Any]]:
        data = self.config.data
        examples = evaluation_examples(data.val, limit=data.val_limit, **_reading(self.config))
        return self.hazy_examples(examples) if self.hazy_examples else examples

    def _open_log(self, start: int) -> logging.RunLog:
        evaluated = self.progress.evaluation is not None
        for name in (logging.METRICS_FILE, logging.TIMING_FILE):
            logging.rewind(self.workdir / name, step=start, evaluated=evaluated)
        rate = make_schedule(self.config.optimizer.to_dict(), steps=self.config.steps)
        return logging.RunLog(
            self.workdir,
            start=start,
            steps=self.config.steps,
            batch_size=self.config.data.batch_size,
            rate=lambda step: float(rate(jnp.asarray(step, jnp.int32))),
            console=self.console,
        )

    def _evaluation(self, stop: StopRequest) -> loop.Evaluate:
        def evaluate(params: Any, step: int) -> dict[str, float] | None:
            assert self.validator is not None
            wanted = self.schedule.due(step, self.config.images_every)
            validation = self.validator(
                params,
                self._examples(),
                alpha=self.config.alpha,
                num_pictures=self.config.images_count if wanted else 0,
                should_stop=lambda: bool(stop),
            )
            if validation is None:
                return None
            if validation.pictures:
                write_image(
                    self.workdir / "images" / f"step_{step:08d}.png", picture_grid(validation.pictures)
                )
            return validation.metrics

        return evaluate

    def _write_records(self, state: TrainState) -> None:
        overview = parameter_overview.get_parameter_overview(state.params, include_stats=False)
        (self.workdir / "parameters.txt").write_text(overview + "\n", encoding="utf-8")
        (self.workdir / "config.json").write_text(to_json(self.config) + "\n", encoding="utf-8")
        (self.workdir / "versions.json").write_text(json.dumps(versions(), indent=2) + "\n", encoding="utf-8")

    def _announce(self, state: TrainState, start: int) -> None:
        config, kinds = self.config, sorted({device.device_kind for device in jax.devices()})
        counts = {k: parameter_overview.count_parameters(part) for k, part in state.params.items()}
        parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        goes_on = f" (continues the run in {self.workdir})" if start else ""
        lines = (
            f"network    {config.model.name}, {sum(counts.values()):,} parameters ({parts})",
            f"devices    {jax.device_count()} x {', '.join(kinds)} ({jax.default_backend()})",
            f"data       {config.data.train}, {config.data.batch_size} crops of {config.data.crop} pixels",
            f"haze       {config.haze or 'of the files'}",
            f"validation {config.data.val or 'none'}, every {config.eval_every} steps",
            f"steps      {start} to {config.steps}, a checkpoint every {config.checkpoint_every}{goes_on}",
        )
        self.console.print("\n".join(lines), highlight=False, soft_wrap=True)


def _batches(config: ConfigDict) -> Any:
    data = config.data
    try:
        return training_iterator(
            data.train,
            batch_size=data.batch_size,
            crop=data.crop,
            seed=config.seed,
            resize=data.resize,
            scale=data.scale,
            num_threads=data.num_threads,
            num_workers=data.num_workers,
            drop_remainder=data.drop_remainder,
            cache_bytes=data.cache_bytes,
            places_only=data.resident,
            **_reading(config),
        )
    except ImageError:
        raise
    except ValueError as error:
        raise ConfigError(f"config.data: {error}") from error


def _reading(config: ConfigDict) -> dict[str, Any]:
    """Return the options of reading that training and validation share."""
    return {
        "data_dir": config.data.data_dir or None,
        "require_hazy": not config.haze,
        "infrared_range": config.data.infrared_range,
    }


def _make_folder(workdir: Path) -> None:
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        (workdir / ".writable").touch()
        (workdir / ".writable").unlink()
    except OSError as error:
        raise InputError(f"cannot write to the run's folder {workdir}: {error.strerror}") from error
