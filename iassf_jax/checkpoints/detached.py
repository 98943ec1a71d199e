"""A step's folder by itself, outside the run that wrote it, on its way into another run."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orbax.checkpoint as ocp
from etils import epath

from iassf_jax.checkpoints.storage import is_complete, storage_errors
from iassf_jax.core.errors import DamagedCheckpointError

_CONFIG = "config"


def detached_config(checkpoint: Path) -> dict[str, Any]:
    """Return the configuration saved in the step's folder `checkpoint`.

    Raises:
      DamagedCheckpointError: it cannot be read.
    """
    with storage_errors(checkpoint, "read"):
        return dict(ocp.JsonCheckpointHandler().restore(epath.Path(checkpoint / _CONFIG)))


def replace_config(checkpoint: Path, config: Mapping[str, Any]) -> None:
    """Make a step's folder one of a run of another configuration; the arrays stay what they are.

    Args:
      checkpoint: the folder, named by its step.
      config: a resolved configuration as JSON.

    Raises:
      DamagedCheckpointError: the folder is not a whole checkpoint.
      CheckpointError: it cannot be written.
    """
    if not is_complete(checkpoint):
        raise DamagedCheckpointError(f"{checkpoint} is not a whole checkpoint")
    with storage_errors(checkpoint, "save to"):
        item = json.loads(json.dumps(config))
        ocp.JsonCheckpointHandler().save(epath.Path(checkpoint / _CONFIG), args=ocp.args.JsonSave(item))
