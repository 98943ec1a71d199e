"""What a run writes down and shows: JSON lines in its folder, a progress bar in the terminal.

`metrics.jsonl` is a function of (configuration, seed, data): a resumed run's file equals an uninterrupted
one's byte for byte. Times, which are not, go to `timing.jsonl`. In a run of several processes the first one
has the `RunLog`, the others a `SilentLog`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.config import to_json
from iassf_jax.core.images import write_image
from iassf_jax.evaluation import picture_grid
from iassf_jax.training import measurements
from iassf_jax.training.optimizer import make_schedule
from iassf_jax.training.writers import Writer, finite, named_images, open_writers

METRICS_FILE = "metrics.jsonl"
TIMING_FILE = "timing.jsonl"


class JsonLines:
    """Appends one JSON object per line; every line reaches the operating system at once."""

    def __init__(self, path: Path):
        self._file = path.open("a", encoding="utf-8")

    def write(self, **entry: object) -> None:
        """Append a line. NaN and infinities are written as JSON's readers in Python expect them."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def rewind(path: Path, *, step: int, evaluated: bool) -> None:
    """Drop the lines that a run resumed from `step` will write again, and a last line cut off by a kill.

    Args:
      path: a file of `JsonLines` with "step" and "kind"; nothing happens if there is none.
      step: the checkpoint's step; its training lines were written before the checkpoint and stay.
      evaluated: whether the checkpoint holds its step's evaluation; if not, that line is dropped too.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            break
        last = step if entry["kind"] == "train" or evaluated else step - 1
        if entry["step"] <= last:
            kept.append(line + "\n")
    with written_aside(path) as aside:
        aside.write_text("".join(kept), encoding="utf-8")


def continue_log(
    workdir: Path,
    config: ConfigDict,
    *,
    start: int,
    evaluated: bool,
    console: Console,
    flops_per_step: Callable[[], float | None] = lambda: None,
) -> "RunLog":
    """Open the log of the run in `workdir` at step `start`, without the lines that will be written again.

    Args:
      workdir, config: the run's folder and configuration.
      start: finished steps.
      evaluated: whether the checkpoint of `start` holds its validation, see `rewind`.
      console, flops_per_step: as for `RunLog`.

    Raises:
      IassfError: see `writers.open_writers`.
    """
    for name in (METRICS_FILE, TIMING_FILE):
        rewind(workdir / name, step=start, evaluated=evaluated)
    rate = jax.jit(make_schedule(config.optimizer.to_dict(), steps=config.steps))
    return RunLog(
        workdir,
        start=start,
        steps=config.steps,
        batch_size=config.data.batch_size,
        # Transfers are named, because a run forbids all others.
        rate=lambda count: float(jax.device_get(rate(jax.device_put(np.int32(count))))),
        console=console,
        writers=open_writers(config.writers, workdir, json.loads(to_json(config))),
        flops_per_step=flops_per_step,
    )


class SilentLog:
    """The log of the processes that neither write nor report."""

    def __enter__(self) -> "SilentLog":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def training(self, step: int, means: Mapping[str, float]) -> None:
        """Leave it to the first process."""

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Leave it to the first process."""

    def pictures(self, step: int, pictures: Sequence[Mapping[str, Any]]) -> None:
        """Leave it to the first process."""

    def advance(self, step: int) -> None:
        """Leave it to the first process."""


class RunLog:
    """Reports to the run's files, to its writers, and to the terminal: a progress bar, or else plain lines.

    Args:
      workdir: the run's folder.
      start, steps: finished steps at the start, and steps in all.
      batch_size: images per step in all processes, for images/s.
      rate: finished steps -> learning rate.
      console: where to show progress.
      writers: where numbers and images go besides the files, see `training.writers`; closed with the log.
      flops_per_step: operations of one step on all devices (`measurements.program_flops`), for the part of
        the devices' peak that is used; None leaves it out.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        start: int,
        steps: int,
        batch_size: int,
        rate: Callable[[int], float],
        console: Console,
        writers: Mapping[str, Writer] | None = None,
        flops_per_step: Callable[[], float | None] = lambda: None,
    ):
        self._workdir = workdir
        self._metrics, self._timing = JsonLines(workdir / METRICS_FILE), JsonLines(workdir / TIMING_FILE)
        self._steps, self._batch_size, self._rate = steps, batch_size, rate
        self._console, self._writers, self._flops = console, dict(writers or {}), flops_per_step
        self._clock = measurements.StepClock(start)
        self._bar = _bar(console) if console.is_terminal else None
        if self._bar is not None:
            self._task = self._bar.add_task("training", total=steps, completed=start, status="compiling")

    def __enter__(self) -> "RunLog":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._metrics.close()
        self._timing.close()
        for name, writer in self._writers.items():
            self._attempt(name, writer.close)

    def training(self, step: int, means: Mapping[str, float]) -> None:
        """Write the means of the steps since the last line, with the rate of the last of them."""
        values = {**means, "learning_rate": self._rate(step - 1)}
        self._metrics.write(step=step, kind="train", **values)
        status = " ".join(
            f"{k.removeprefix('loss/')} {v:.4f}" for k, v in means.items() if k.startswith("loss/")
        )
        seconds = self._clock.seconds(step)
        if seconds is not None:
            speed = self._speed(seconds)
            self._timing.write(step=step, kind="train", **speed)
            values |= {f"speed/{name}": value for name, value in speed.items()}
            status += f", {speed['images_per_second']:.1f} images/s"
            status += f", {speed['mfu']:.1%} of peak" if "mfu" in speed else ""
            status += f", {measurements.clock_text(seconds * (self._steps - step))} left"
        self._write("train", step, values)
        self._show(status, step)
        self._clock.restart(step)

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the validation of the parameters after `step` steps."""
        self._metrics.write(step=step, kind="eval", **metrics)
        self._write("eval", step, metrics)
        shown = "\n".join(f"  {name:<24} {value:9.4f}" for name, value in metrics.items())
        self._console.print(f"validation after step {step}\n{shown}", highlight=False, soft_wrap=True)
        self._clock.restart(step)  # validation is not training time

    def pictures(self, step: int, pictures: Sequence[Mapping[str, Any]]) -> None:
        """Write the images of validation scenes, as `evaluation.picture_grid` takes them, side by side."""
        write_image(self._workdir / "images" / f"step_{step:08d}.png", picture_grid(pictures))
        for name, writer in self._writers.items():
            self._attempt(name, writer.images, step, named_images(pictures))

    def advance(self, step: int) -> None:
        """Move the bar; time is taken from the end of the first step on, which compiles."""
        self._clock.advance(step)
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def _speed(self, seconds: float) -> dict[str, float]:
        mfu = measurements.utilisation(
            self._flops(),
            seconds,
            device_kind=jax.devices()[0].device_kind,
            num_devices=jax.device_count(),
        )
        return {
            "seconds_per_step": seconds,
            "images_per_second": self._batch_size / seconds,
            **({} if mfu is None else {"mfu": mfu}),
            **measurements.memory(),
        }

    def _write(self, group: str, step: int, values: Mapping[str, float]) -> None:
        named = finite({name if "/" in name else f"{group}/{name}": value for name, value in values.items()})
        for name, writer in self._writers.items():
            self._attempt(name, writer.scalars, step, named)

    def _attempt(self, name: str, write: Callable[..., None], *arguments: object) -> None:
        """A service that cannot be reached does not end a run: everything is in the run's files too."""
        try:
            write(*arguments)
        except Exception as error:
            self._console.print(f"{name} was not written: {error}", highlight=False, soft_wrap=True)

    def _show(self, status: str, step: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, status=status)
            return
        self._console.print(f"step {step}/{self._steps}: {status}", highlight=False, soft_wrap=True)


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
    )
