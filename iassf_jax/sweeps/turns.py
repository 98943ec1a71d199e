"""The program of a population on a single CPU: the members' step, compiled once and called for each."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from iassf_jax.sweeps.stacked import Values, member_step
from iassf_jax.training.program import StepProgram
from iassf_jax.training.state import TrainState
from iassf_jax.training.step import compile_train_step
from iassf_jax.training.task import Task

_AT_ONCE = 2  # members under way: one fills the cores where the other cannot, more would only take memory


class TurnsProgram:
    """In place of `StackedProgram`: states are a list, and a member is computed as in a run of its own.

    Args:
      task, config: what the members have in common.
    """

    def __init__(self, task: Task, config: ConfigDict):
        self._program = StepProgram(compile_train_step(member_step(task, config)))

    def __call__(
        self, states: list[TrainState], batches: Sequence[Mapping[str, np.ndarray]], values: list[Values]
    ) -> tuple[list[TrainState], Any, Any]:
        """Return (states, records, finite) of all members; a record is (total, count), lists [member].

        Args:
          states: of the members; donated.
          batches: the rows of each member, or one that all of them read.
          values: from `traced_values`, placed.
        """
        placed = [jax.device_put(dict(rows)) for rows in batches]
        new: list[TrainState] = []
        records: dict[str, tuple[list[Any], list[Any]]] = {}
        finite: list[Any] = []
        for index, state in enumerate(states):
            if index >= _AT_ONCE:
                finite[index - _AT_ONCE].block_until_ready()
            result = self._program(state, placed[index % len(placed)], values[index])
            new.append(result[0])
            for name, record in result[1].items():
                for numbers, number in zip(records.setdefault(name, ([], [])), record, strict=True):
                    numbers.append(number)
            finite.append(result[2])
        return new, records, finite

    def place(self, tree: Mapping[str, np.ndarray]) -> list[Values]:
        """Return the values of each member, from arrays [member]."""
        count = len(next(iter(tree.values())))
        return [{name: jax.device_put(array[i]) for name, array in tree.items()} for i in range(count)]

    def stack(self, states: Sequence[TrainState]) -> list[TrainState]:
        """Return states that belong to nobody else: members of one seed start from the same arrays."""
        return [jax.tree.map(lambda leaf: leaf.copy(), state) for state in states]

    def take(self, states: list[TrainState], index: int, places: Any) -> TrainState:
        """Return the state of one member at `places`."""
        return jax.device_put(states[index], places)
