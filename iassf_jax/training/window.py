"""The steps since the last log line: their records, and which batches they were made from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from iassf_jax.core.errors import TrainingError

_IN_FLIGHT = (
    2  # steps that may be queued on the device; more would delay an interruption, not speed anything up
)


class LogWindow:
    """Collects records on the device and fetches them only when they are needed.

    The part of a window before a checkpoint is saved with it (`get_state`), so that the first line after a
    resumption is the mean of the same steps as without the interruption.
    """

    def __init__(self, state: Sequence[Mapping[str, Sequence[float]]] = ()):
        self._fetched = [dict(entry) for entry in state]
        self._pending: list[tuple[int, list[str], Any, Any]] = []

    def add(self, step: int, names: list[str], records: Any, finite: Any) -> None:
        """Take the records of finished step `step`, made from the scenes `names`."""
        self._pending.append((step, names, records, finite))
        if len(self._pending) > _IN_FLIGHT:
            jax.block_until_ready(self._pending[-1 - _IN_FLIGHT][3])

    def fetch(self) -> None:
        """Wait for the steps so far.

        Raises:
          TrainingError: a loss or gradient was not finite; the message has the step and the batch's names.
        """
        for step, names, records, finite in self._pending:
            sums = {name: [record.total, record.count] for name, record in records.items()}
            sums, finite = jax.device_get((sums, finite))
            if not finite:
                raise TrainingError(_diagnosis(step, names, sums))
            self._fetched.append(
                {name: [float(total), float(count)] for name, (total, count) in sums.items()}
            )
        self._pending.clear()

    def means(self) -> dict[str, float]:
        """Return the mean of every record since the last call, and start a new window."""
        self.fetch()
        entries, self._fetched = self._fetched, []
        totals = {key: [math.fsum(e[key][i] for e in entries) for i in (0, 1)] for key in entries[0]}
        return {key: total / count for key, (total, count) in totals.items()}

    def get_state(self) -> list[dict[str, list[float]]]:
        """Return the window so far as JSON; floats survive it exactly."""
        self.fetch()
        return [{key: list(map(float, value)) for key, value in entry.items()} for entry in self._fetched]


def _diagnosis(step: int, names: list[str], sums: Mapping[str, Sequence[Any]]) -> str:
    values = ", ".join(f"{name} {float(total / count):.4g}" for name, (total, count) in sums.items())
    return (
        f"step {step} gave a loss or gradient that is not finite ({values}). Its batch: {', '.join(names)}. "
        "The checkpoint before it is intact: look at these images, lower optimizer.learning_rate or set "
        "optimizer.clip_norm, then start again"
    )
