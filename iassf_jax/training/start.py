"""Where a run begins: from its newest whole checkpoint, from given weights, or from fresh parameters."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict
from rich.console import Console

from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.checkpoints.warm_start import warm_start
from iassf_jax.core.errors import DamagedCheckpointError, InputError
from iassf_jax.training import settings
from iassf_jax.training.loop import Progress
from iassf_jax.training.state import Initializer, TrainState, init_state


def open_checkpoints(config: ConfigDict, workdir: Path, *, keep_at_least: int = 1) -> CheckpointManager:
    """Open the checkpoints of the run in `workdir`; the best is kept where validations tell which it is.

    Of the newest ones `keep_at_least` are kept whatever `config.keep_last` says.
    """
    validates = config.data.val and config.eval_every
    return CheckpointManager(
        workdir,
        keep_last=max(config.keep_last, keep_at_least),
        best_metric=config.best_metric or None if validates else None,
        best_mode=config.best_mode,
    )


def resume(
    manager: CheckpointManager,
    like_state: Any,
    progress: Progress,
    *,
    given: Mapping[str, Any] | None,
    workdir: Path,
    console: Console,
) -> tuple[TrainState, int] | None:
    """Take up the newest checkpoint that can be read: return (state, step), and set `progress` to it.

    None if there is no checkpoint. Arguments as for `restore_newest`.

    Raises:
      IassfError: see `restore_newest`.
      InputError: `progress` reads other data than the run did.
    """
    found = restore_newest(manager, like_state, given=given, workdir=workdir, console=console)
    if found is None:
        return None
    state, position, step = found
    try:
        progress.set_state(position)
    except (ValueError, KeyError) as error:
        raise InputError(f"the data is not the one of the run in {workdir}: {error}") from error
    return state, step


def restore_newest(
    manager: CheckpointManager,
    like_state: Any,
    *,
    given: Mapping[str, Any] | None,
    workdir: Path,
    console: Console,
) -> tuple[TrainState, dict[str, Any], int] | None:
    """Return (state, position of the data, step) of the newest checkpoint that can be read.

    A damaged one is moved aside, said so, and the one before it is taken. None if there is no checkpoint.

    Args:
      manager: the run's checkpoints.
      like_state: shapes, types and places that are wanted; the devices may be others than before.
      given: the configuration as a plain tree, to be compared with the saved one; None accepts any.
      workdir: of the run.
      console: where damage is reported.

    Raises:
      ConfigError: the configuration is another one, see `settings.check_continuation`.
      CheckpointError: the network or optimizer is another one.
      DamagedCheckpointError: none of the checkpoints can be read.
    """
    steps = manager.all_steps()
    while steps:
        step = steps.pop()
        try:
            if given is not None:
                settings.check_continuation(manager.saved_config(step), given, workdir=str(workdir))
            return *manager.restore(like_state, step), step
        except DamagedCheckpointError as error:
            # Several processes might not agree on which one is damaged.
            if not steps or jax.process_count() > 1:
                raise
            place = manager.set_aside(step)
            console.print(
                f"{error}\nIt was moved to {place}; going on from step {steps[-1]}",
                highlight=False,
                soft_wrap=True,
            )
    return None


def fresh_state(
    initializer: Initializer, shardings: Any, config: ConfigDict, *, console: Console
) -> TrainState:
    """Return the state of step 0, with the parameters of `config.init_from` where that is given.

    Raises:
      CheckpointError: see `warm_start`.
    """
    state = init_state(initializer, shardings)
    if not config.init_from:
        return state
    params, account = warm_start(state.params, config.init_from, partially=config.init_partially)
    console.print(account.report(), highlight=False, soft_wrap=True)
    ema: Any = {}
    if state.ema:  # a copy of its own, at its own places: a step is compiled for those
        places = None if shardings is None else shardings.ema
        ema = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree), out_shardings=places)(params)
    return dataclasses.replace(state, params=params, ema=ema)
