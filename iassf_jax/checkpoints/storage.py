"""What lies under a run's `checkpoints/` folder, and how Orbax is asked to read and write it."""

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging
from flax import serialization, traverse_util
from orbax.checkpoint import checkpoint_managers as policies

from iassf_jax.core.errors import CheckpointError, DamagedCheckpointError

FOLDER = "checkpoints"
ARRAYS = ("params", "optimizer")  # items of a step that hold arrays
AVERAGE = "ema"  # a third one, where the run keeps a running mean of the parameters
RECORDS = ("iterator", "config", "versions")  # items that hold JSON
_REPLACED = ".replaced"  # ends the name of a step that is being written again
_SHOWN = 5  # differences listed in an error
_REASON = 400  # characters of a storage error that are shown
_ADVICE = "Other steps are untouched: free space or delete a damaged step's folder, then start again"


class _Expected(logging.Filter):
    """Drops Orbax's warning about steps without metrics: not every checkpoint follows a validation."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "tracked_metric" not in record.getMessage()


absl_logging.get_absl_logger().addFilter(_Expected())


def open_steps(folder: Path, options: ocp.CheckpointManagerOptions) -> ocp.CheckpointManager:
    """Return Orbax's manager of `folder` with a handler for each item."""
    handlers: dict[str, Any] = {name: ocp.StandardCheckpointHandler() for name in (*ARRAYS, AVERAGE)}
    handlers |= {name: ocp.JsonCheckpointHandler() for name in RECORDS}
    return ocp.CheckpointManager(folder, item_handlers=handlers, options=options)


def retention(keep_last: int, best_metric: str | None, best_mode: str) -> ocp.CheckpointManagerOptions:
    """Return the options that keep the last `keep_last` steps and the best one."""
    kept: list[Any] = [policies.LatestN(n=keep_last)]
    if best_metric is None:
        return ocp.CheckpointManagerOptions(preservation_policy=policies.AnyPreservationPolicy(kept))
    best = policies.BestN(
        get_metric_fn=lambda metrics: metrics[best_metric],
        reverse=best_mode == "min",
        n=1,
        keep_checkpoints_without_metrics=False,
    )
    return ocp.CheckpointManagerOptions(
        best_fn=lambda metrics: metrics[best_metric],
        best_mode=best_mode,
        preservation_policy=policies.AnyPreservationPolicy([*kept, best]),
    )


def remove_half_written(folder: Path) -> None:
    """Remove what a killed process left: steps being written, and steps whose removal was interrupted."""
    for path in folder.iterdir():
        if (
            path.is_dir()
            and (path.name.isdigit() or ".orbax-checkpoint-tmp" in path.name)
            and not is_complete(path)
        ):
            shutil.rmtree(path)


def put_aside(folder: Path, step: int) -> None:
    """Rename a step that is to be written again, so that it is there until the new one is."""
    (folder / str(step)).rename(folder / f"{step}{_REPLACED}")


def take_back(folder: Path) -> None:
    """Give steps that were put aside their names again, where a killed process has not replaced them."""
    for path in folder.glob(f"*{_REPLACED}"):
        place = folder / path.name.removesuffix(_REPLACED)
        if is_complete(place):
            shutil.rmtree(path)
        else:
            path.rename(place)


def is_complete(path: Path) -> bool:
    """Whether `path` is the folder of a step with all its items."""
    items = ("_CHECKPOINT_METADATA", *ARRAYS, *RECORDS)
    return path.name.isdigit() and all((path / item).exists() for item in items)


def split_state(state: Any) -> dict[str, dict[str, Any]]:
    """Return a flax struct as items of nested dictionaries: "params", "ema" if it is not empty, the rest."""
    tree = {name: part for name, part in serialization.to_state_dict(state).items() if part is not None}
    items = {"params": tree.pop("params")}
    average = tree.pop(AVERAGE, {})
    items["optimizer"] = tree
    return {**items, AVERAGE: average} if average else items


def join_state(like_state: Any, items: dict[str, Any]) -> Any:
    """Put the items of `split_state` together in the structure of `like_state`."""
    empty = dict.fromkeys(serialization.to_state_dict(like_state))
    found = {**items["optimizer"], "params": items["params"], AVERAGE: items.get(AVERAGE, {})}
    return serialization.from_state_dict(like_state, {name: found.get(name) for name in empty})


def abstract(tree: dict[str, Any]) -> dict[str, Any]:
    """Return shapes, types and shardings of the leaves."""
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=getattr(x, "sharding", None)), tree
    )


def check_tree(folder: Path, metadata: Any, wanted: dict[str, Any]) -> None:
    """Compare a saved item's description with what is wanted.

    Raises:
      CheckpointError: names, shapes or types differ; the first ones are listed.
    """
    if metadata is None:
        raise DamagedCheckpointError(f"{folder} is damaged: its description is missing. {_ADVICE}")
    found, expected = _shapes(metadata.tree), _shapes(wanted)
    absent, unknown = expected.keys() - found.keys(), found.keys() - expected.keys()
    wrong = [f"{name}: expected {expected[name]}, not in the checkpoint" for name in absent]
    wrong += [f"{name}: {found[name]} in the checkpoint, unknown here" for name in unknown]
    wrong += [
        f"{name}: expected {expected[name]}, found {found[name]}"
        for name in expected.keys() & found.keys()
        if expected[name] != found[name]
    ]
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise CheckpointError(
            f"{folder} was saved by another model or optimizer: {'; '.join(sorted(wrong)[:_SHOWN])}{more}. "
            "Use the configuration it was trained with, or another folder"
        )


def _shapes(tree: Any) -> dict[str, str]:
    flat = traverse_util.flatten_dict(tree, sep="/")
    return {name: f"{np.dtype(leaf.dtype).name}{list(leaf.shape)}" for name, leaf in flat.items()}


@contextlib.contextmanager
def storage_errors(folder: Path, action: str) -> Iterator[None]:
    """Turn whatever a storage library raises into one error that names the folder."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        reason = str(error).split("[tensorstore_spec")[0].strip()[:_REASON] or type(error).__name__
        kind = DamagedCheckpointError if action == "read" else CheckpointError
        raise kind(f"cannot {action} {folder}: {reason}. {_ADVICE}") from error
