"""What a run writes down and shows: JSON lines in its folder, a progress bar in the terminal.

`metrics.jsonl` is a function of (configuration, seed, data): a resumed run's file equals an uninterrupted
one's byte for byte. Times, which are not, go to `timing.jsonl`.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from iassf_jax.core.atomic import written_aside

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


class RunLog:
    """Reports to the run's files and to the terminal: a progress bar, or plain lines where there is none.

    Args:
      workdir: the run's folder.
      start, steps: finished steps at the start, and steps in all.
      batch_size: images per step, for images/s.
      rate: finished steps -> learning rate.
      console: where to show progress.
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
    ):
        self._metrics, self._timing = JsonLines(workdir / METRICS_FILE), JsonLines(workdir / TIMING_FILE)
        self._steps, self._batch_size, self._rate = steps, batch_size, rate
        self._console = console
        self._since, self._clock, self._compiled = start, time.monotonic(), False
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

    def training(self, step: int, means: Mapping[str, float]) -> None:
        """Write the means of the steps since the last line, with the rate of the last of them."""
        self._metrics.write(step=step, kind="train", **means, learning_rate=self._rate(step - 1))
        status = " ".join(
            f"{k.removeprefix('loss/')} {v:.4f}" for k, v in means.items() if k.startswith("loss/")
        )
        if step > self._since:
            seconds = (time.monotonic() - self._clock) / (step - self._since)
            speed = self._batch_size / seconds
            self._timing.write(step=step, kind="train", seconds_per_step=seconds, images_per_second=speed)
            status = f"{status}, {speed:.1f} images/s"
        self._show(status, step)
        self._since, self._clock = step, time.monotonic()

    def evaluation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write the validation of the parameters after `step` steps."""
        self._metrics.write(step=step, kind="eval", **metrics)
        shown = "\n".join(f"  {name:<24} {value:9.4f}" for name, value in metrics.items())
        self._console.print(f"validation after step {step}\n{shown}", highlight=False, soft_wrap=True)
        self._clock = time.monotonic()  # validation is not training time
        self._since = step

    def advance(self, step: int) -> None:
        """Move the bar; time is taken from the end of the first step on, which compiles."""
        if not self._compiled:
            self._compiled, self._since, self._clock = True, step, time.monotonic()
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

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
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
    )
