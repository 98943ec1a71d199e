"""Validation inside a run: every process takes its share of the scenes on its own devices."""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh

from iassf_jax.evaluation import Validator
from iassf_jax.metrics import MeanRecord
from iassf_jax.training.sharding import AXES, batch_placer, place_everywhere, replicated
from iassf_jax.training.task import Task


class LocalValidator:
    """A `Validator` on this process's devices of `mesh`, whose means are over all processes' scenes.

    Args:
      task: the network and its losses.
      mesh: of the run.
      images_per_device: scenes on a device at a time.
    """

    def __init__(self, task: Task, mesh: Mesh, *, images_per_device: int):
        self._mesh = mesh
        local = [device for device in mesh.devices.flat if device.process_index == jax.process_index()]
        self._local = jax.make_mesh(
            (len(local), 1), AXES, axis_types=(AxisType.Auto, AxisType.Auto), devices=local
        )
        self.validate = Validator(
            task,
            batch_size=images_per_device * len(local),
            shard=batch_placer(self._local),
            merge=_over_processes,
        )

    def parameters(self, params: Any) -> Any:
        """Return parameters for `validate`: in a run of several processes a whole copy on these devices."""
        if jax.process_count() == 1:
            return params
        whole = jax.jit(lambda tree: tree, out_shardings=replicated(self._mesh))(params)
        copies = jax.tree.map(lambda leaf: np.asarray(leaf.addressable_data(0)), whole)
        return place_everywhere(copies, self._local)


def _over_processes(records: dict[str, MeanRecord]) -> dict[str, MeanRecord]:
    if jax.process_count() == 1:
        return records
    host = jax.tree.map(np.asarray, records)
    return jax.tree.map(lambda each: each.sum(axis=0), multihost_utils.process_allgather(host))
