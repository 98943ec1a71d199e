"""Checkpoints of a run: state, data position, configuration and versions in one unit that appears at once.

A run's folder holds `checkpoints/STEP/`. Orbax writes a step aside, in the background, and renames it when it
is complete: a process killed at any moment leaves whole checkpoints and at most one temporary folder, which
the next start removes. The parameters are an item of their own, so that inference reads them without the
optimizer's moments.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from iassf_jax.checkpoints.storage import (
    AVERAGE,
    FOLDER,
    abstract,
    check_tree,
    is_complete,
    join_state,
    open_steps,
    put_aside,
    remove_half_written,
    retention,
    split_state,
    storage_errors,
    take_back,
)
from iassf_jax.checkpoints.versions import versions
from iassf_jax.core.errors import CheckpointError


class CheckpointManager:
    """Saves and restores the checkpoints of one run; the best by a metric and the last ones are kept.

    Use it as a context manager, or call `close`: saving goes on in the background.

    Args:
      workdir: the run's folder; it is created when missing.
      keep_last: how many of the newest checkpoints to keep.
      best_metric: name of the metric whose best checkpoint is kept too; None keeps only the newest.
      best_mode: whether the "max" or the "min" of that metric is the best.

    Raises:
      CheckpointError: the folder cannot be created or read.
    """

    def __init__(
        self,
        workdir: str | Path,
        *,
        keep_last: int = 3,
        best_metric: str | None = None,
        best_mode: Literal["max", "min"] = "max",
    ):
        self._best_metric = best_metric
        self._folder = (Path(workdir) / FOLDER).resolve()
        with storage_errors(self._folder, "open"):
            self._on_main(self._prepare_folder)
            self._manager = open_steps(self._folder, retention(keep_last, best_metric, best_mode))

    def _prepare_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        remove_half_written(self._folder)
        take_back(self._folder)

    def __enter__(self) -> "CheckpointManager":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def save(
        self,
        step: int,
        state: Any,
        *,
        iterator_state: Mapping[str, Any],
        config: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Start saving `step`; the arrays are copied before this returns, so the state may be donated.

        A checkpoint of the same step is replaced: this waits until the new one is on the disk, and a process
        that is killed before finds the old one at its next start.

        Args:
          step: number of finished training steps.
          state: a flax struct with a `params` field; all its leaves are arrays.
          iterator_state: where the data stands, as JSON.
          config: the resolved configuration, as JSON.
          metrics: values of the evaluation at this step; without them the step cannot become the best.

        Raises:
          CheckpointError: the best metric is not among `metrics`, or this or the previous save failed (for
            instance because the disk is full); the checkpoints before it are intact.
        """
        if metrics is not None and self._best_metric is not None and self._best_metric not in metrics:
            known = ", ".join(sorted(metrics)) or "none"
            raise CheckpointError(
                f"the best checkpoint is chosen by {self._best_metric!r}, but the evaluation has {known}"
            )
        arrays = {name: ocp.args.StandardSave(tree) for name, tree in split_state(state).items()}
        with storage_errors(self._folder / str(step), "save"), self._replacing(step):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    **arrays,
                    iterator=ocp.args.JsonSave(dict(iterator_state)),
                    config=ocp.args.JsonSave(dict(config)),
                    versions=ocp.args.JsonSave(versions()),
                ),
                metrics=None if metrics is None else dict(metrics),
            )

    @contextlib.contextmanager
    def _replacing(self, step: int) -> Iterator[None]:
        """Keep what there is of `step` until the new one is complete."""
        if step not in self._manager.all_steps():
            yield
            return
        self._manager.wait_until_finished()
        self._on_main(lambda: put_aside(self._folder, step))
        self._manager.reload()
        yield
        self._manager.wait_until_finished()
        self._on_main(lambda: take_back(self._folder))

    def _on_main(self, action: Callable[[], object]) -> None:
        """Let the first process change the folder while the others wait."""
        if jax.process_index() == 0:
            action()
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoint folder")

    def latest_step(self) -> int | None:
        """Return the newest complete step, or None."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Return the step with the best metric, or None where no step has one."""
        return self._manager.best_step() if self._best_metric else None

    def all_steps(self) -> list[int]:
        """Return the complete steps in increasing order."""
        return sorted(self._manager.all_steps())

    def metrics(self, step: int) -> dict[str, float] | None:
        """Return the metrics saved with `step`, or None."""
        return self._manager.metrics(step)

    def restore(self, like_state: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Return (state, iterator state) of `step`, the newest by default.

        Args:
          like_state: arrays or shapes in the structure, types and shardings that are wanted.
          step: which step.

        Raises:
          DamagedCheckpointError: files that cannot be read.
          CheckpointError: no such step, or a state of other structure, shapes or types, which are named.
        """
        step = self.latest_step() if step is None else step
        if step is None:
            raise CheckpointError(f"{self._folder} holds no complete checkpoint")
        folder = self._folder / str(step)
        like = split_state(like_state)
        with storage_errors(folder, "read"):
            found = self._manager.item_metadata(step)
        if AVERAGE in like and found.get(AVERAGE) is None:
            raise CheckpointError(
                f"{folder} was saved without a running mean of the parameters: continue it with ema_decay 0, "
                "or start a new run from it by init_from"
            )
        for name, tree in like.items():
            check_tree(folder / name, found.get(name), tree)
        with storage_errors(folder, "read"):
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    **{name: ocp.args.StandardRestore(abstract(tree)) for name, tree in like.items()},
                    iterator=ocp.args.JsonRestore(),
                ),
            )
        return join_state(like_state, {name: restored[name] for name in like}), restored["iterator"]

    def saved_config(self, step: int) -> dict[str, Any]:
        """Return the configuration saved with `step`."""
        with storage_errors(self._folder / str(step), "read"):
            restored = self._manager.restore(step, args=ocp.args.Composite(config=ocp.args.JsonRestore()))
        return restored["config"]

    def set_aside(self, step: int) -> Path:
        """Move a damaged step out of the way, to `damaged-STEP` in the run's folder; return that place."""
        place = self._folder.parent / f"damaged-{step}"
        with storage_errors(self._folder / str(step), "move"):
            shutil.rmtree(place, ignore_errors=True)
            (self._folder / str(step)).rename(place)
            self._manager.reload()
        return place

    def wait(self) -> None:
        """Block until everything is on disk.

        Raises:
          CheckpointError: the save in progress failed; the checkpoints before it are intact.
        """
        with storage_errors(self._folder, "save to"):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait for the save in progress and release the background threads."""
        with storage_errors(self._folder, "save to"):
            self._manager.close()


def load_run(
    workdir: str | Path, *, step: int | Literal["best", "best or newest"] | None = None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (model mapping, variables) of a run's checkpoint, for inference or a warm start.

    Args:
      workdir: the run's folder.
      step: a step, "best" (by the metric that the run's configuration names), "best or newest" (the newest
        where no checkpoint has that metric, as in a run without validation), or None for the newest.

    Returns:
      the configuration's `model` ({"name": ..., **fields}) and {"params": ...} as host arrays: the running
      mean of the parameters where the run has one.

    Raises:
      CheckpointError: no run, no such step, or damaged files.
    """
    folder = (Path(workdir) / FOLDER).resolve()
    if not folder.is_dir():
        raise CheckpointError(f"{workdir} is not the folder of a run: it has no {FOLDER}/")
    steps = sorted(int(path.name) for path in folder.iterdir() if is_complete(path))
    if not steps:
        raise CheckpointError(f"{folder} holds no complete checkpoint")
    with (
        storage_errors(folder, "read"),
        contextlib.closing(open_steps(folder, ocp.CheckpointManagerOptions(create=False))) as reader,
    ):
        chosen = _choose(reader, folder, steps, step)
        with storage_errors(folder / str(chosen), "read"):
            found = reader.item_metadata(chosen)
            item = "params" if found.get(AVERAGE) is None else AVERAGE
            tree = found[item].tree
            # Host arrays, whatever devices the run had: shapes only, no memory behind them.
            like = jax.tree.map(lambda leaf: np.broadcast_to(np.zeros((), leaf.dtype), leaf.shape), tree)
            wanted = {item: ocp.args.StandardRestore(like), "config": ocp.args.JsonRestore()}
            restored = reader.restore(chosen, args=ocp.args.Composite(**wanted))
        return dict(restored["config"]["model"]), {"params": restored[item]}


def _choose(reader: ocp.CheckpointManager, folder: Path, steps: list[int], step: int | str | None) -> int:
    if step is None:
        return steps[-1]
    if isinstance(step, int):
        if step not in steps:
            raise CheckpointError(f"{folder} has no step {step}; it has {', '.join(map(str, steps))}")
        return step
    best = _best(reader, steps)
    if best is None and step == "best":
        raise CheckpointError(
            f"no checkpoint in {folder} was evaluated, so there is no best one: give a step"
        )
    return steps[-1] if best is None else best


def _best(reader: ocp.CheckpointManager, steps: list[int]) -> int | None:
    """Return the step with the best metric of the run's configuration, None where no step has it."""
    record = ocp.args.Composite(config=ocp.args.JsonRestore())
    config = reader.restore(steps[-1], args=record)["config"]
    name, sign = config.get("best_metric"), -1.0 if config.get("best_mode") == "min" else 1.0
    values = {step: (reader.metrics(step) or {}).get(name) for step in steps}
    # Comparisons with NaN would let the first value win.
    scored = {step: sign * value for step, value in values.items() if value is not None and value == value}
    return max(scored, key=lambda step: scored[step]) if scored else None
