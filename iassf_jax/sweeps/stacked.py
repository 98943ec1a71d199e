"""The program of a population: one training step, mapped over stacked states and over the devices."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict

from iassf_jax.core.config import locate, to_json
from iassf_jax.core.errors import ConfigError
from iassf_jax.training.micro_batches import micro_batches
from iassf_jax.training.optimizer import make_optimizer
from iassf_jax.training.state import TrainState
from iassf_jax.training.step import make_train_step
from iassf_jax.training.task import Task

# Options that the program takes as arguments, with their types.
TRACED: Mapping[str, type] = {
    "alpha": np.float32,
    "seed": np.int32,
    "haze_options.strength": np.float32,
    "optimizer.learning_rate": np.float32,
    "optimizer.final_learning_rate": np.float32,
    "optimizer.weight_decay": np.float32,
}
_AXIS = "members"

Values = dict[str, Any]


def program_key(config: ConfigDict) -> str:
    """Return a text that is equal for configurations that are one program."""
    tree: dict[str, Any] = json.loads(to_json(config))
    for option in TRACED:
        node, key = locate(tree, option)
        del node[key]
    return json.dumps(tree, sort_keys=True)


def check_members(configs: Sequence[ConfigDict]) -> None:
    """Check that configurations can be a population.

    Raises:
      ConfigError: they differ in more than the program takes as arguments.
    """
    if len({program_key(config) for config in configs}) > 1:
        raise ConfigError(
            f"members of a population may differ in {', '.join(TRACED)}; these {len(configs)} differ in more"
        )


def traced_values(configs: Sequence[ConfigDict]) -> Values:
    """Return {option: its value for each member}, arrays [member]."""
    numbers = [traced_options(config) for config in configs]
    return {option: np.array([own[option] for own in numbers], kind) for option, kind in TRACED.items()}


def traced_options(tree: Any) -> dict[str, Any]:
    """Return {option: value} of what the program takes as arguments, of a configuration or plain tree."""
    located = {option: locate(tree, option) for option in TRACED}
    return {option: node[key] for option, (node, key) in located.items()}


def member_step(task: Task, config: ConfigDict) -> Callable[[TrainState, Any, Values], Any]:
    """Return `step(state, rows, values) -> (state, records, finite)`, the step of `training.run` with numbers
    in place of the options of `TRACED`; a record is (total, count).
    """

    def step(state: TrainState, rows: Any, values: Values) -> Any:
        """Take one step; the optimizer is made anew while tracing, around the traced numbers."""
        options = config.optimizer.to_dict()
        for option, value in values.items():
            group, _, key = option.rpartition(".")
            if group == "optimizer":
                options[key] = value
        stronger = getattr(task, "with_haze_strength", None)  # tasks without haze of their own have none
        train_step = make_train_step(
            stronger(values["haze_options.strength"]) if stronger else task,
            make_optimizer(options, steps=config.steps),
            augment_options=config.augment.to_dict(),
            accumulate=micro_batches(config.accumulate, config.data.to_dict(), devices=1),
            ema_decay=config.ema_decay,
        )
        state, records, finite = train_step(state, rows, values["alpha"], values["seed"])
        return state, {name: (record.total, record.count) for name, record in records.items()}, finite

    return step


class StackedProgram:
    """Calls the step for all members at once, compiled once.

    On accelerators the members of a device are computed side by side. On CPUs they take turns inside the
    program: convolutions with kernels of their own for each member are slow there.

    Args:
      task, config: what the members have in common.
      members: how many there are; they are spread over the most devices that divide them.
      devices: to spread them over; all by default.
    """

    def __init__(
        self, task: Task, config: ConfigDict, *, members: int, devices: Sequence[jax.Device] | None = None
    ):
        devices = list(devices or jax.devices())
        used = max(n for n in range(1, len(devices) + 1) if members % n == 0)
        self._mesh = Mesh(np.array(devices[:used]), (_AXIS,), axis_types=(AxisType.Auto,))
        self._step = member_step(task, config)
        self._side_by_side = devices[0].platform != "cpu"
        self._compiled: dict[bool, Any] = {}
        self._take = jax.jit(
            lambda tree, index: jax.tree.map(
                lambda leaf: jax.lax.dynamic_index_in_dim(leaf, index, keepdims=False), tree
            )
        )

    def __call__(
        self, states: TrainState, batches: Sequence[Mapping[str, np.ndarray]], values: Values
    ) -> tuple[TrainState, Any, Any]:
        """Return (states, records, finite) of all members; a record is (total, count), arrays [member].

        Args:
          states: stacked, see `stack`; donated.
          batches: the rows of each member, or one that all of them read.
          values: from `traced_values`, placed.
        """
        shared = len(batches) == 1
        if shared:
            rows = jax.device_put(dict(batches[0]), NamedSharding(self._mesh, PartitionSpec()))
        else:
            rows = self.place({key: np.stack([own[key] for own in batches]) for key in batches[0]})
        if shared not in self._compiled:
            self._compiled[shared] = self._compile(shared)
        return self._compiled[shared](states, rows, values)

    def place(self, tree: Any) -> Any:
        """Put arrays [member ...] on the devices of their members."""
        return jax.device_put(tree, NamedSharding(self._mesh, PartitionSpec(_AXIS)))

    def stack(self, states: Sequence[TrainState]) -> TrainState:
        """Return the states of all members as one, on their devices."""
        return self.place(jax.tree.map(lambda *leaves: np.stack([*map(np.asarray, leaves)]), *states))

    def take(self, states: TrainState, index: int, places: Any) -> TrainState:
        """Return the state of one member at `places`."""
        return jax.device_put(self._take(states, np.int32(index)), places)

    def _compile(self, shared: bool) -> Any:
        def side_by_side(states: TrainState, rows: Any, values: Values) -> Any:
            return jax.vmap(self._step, in_axes=(0, None if shared else 0, 0))(states, rows, values)

        def in_turn(states: TrainState, rows: Any, values: Values) -> Any:
            if shared:
                return jax.lax.map(lambda own: self._step(own[0], rows, own[1]), (states, values))
            return jax.lax.map(lambda own: self._step(*own), (states, rows, values))

        many: Any = side_by_side if self._side_by_side else in_turn
        if self._mesh.size > 1:
            own, all_of_it = PartitionSpec(_AXIS), PartitionSpec()
            rows = all_of_it if shared else own
            many = jax.shard_map(
                many, mesh=self._mesh, in_specs=(own, rows, own), out_specs=own, check_vma=False
            )
        return jax.jit(many, donate_argnums=0)
