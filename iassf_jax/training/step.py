"""One training step as a pure function: augmentation, haze, network, loss, gradients, update, records."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.augment import augment, to_float
from iassf_jax.core.rng import stream_key
from iassf_jax.metrics import MeanRecord
from iassf_jax.training import loss_scale as scaling
from iassf_jax.training.gradients import accumulated_gradients
from iassf_jax.training.joining import joint_norm
from iassf_jax.training.state import TrainState
from iassf_jax.training.task import Task

Batch = Mapping[str, Array]
Records = dict[str, MeanRecord]
Step = Callable[
    [TrainState, Batch, Float[Array, ""], Int[Array, ""]], tuple[TrainState, Records, Bool[Array, ""]]
]


def make_train_step(
    task: Task,
    optimizer: optax.GradientTransformation,
    *,
    augment_options: Mapping[str, Any],
    accumulate: int = 1,
    ema_decay: float = 0.0,
) -> Step:
    """Return `step(state, batch, alpha, seed) -> (state, records, finite)`, to be compiled by the caller.

    Nothing but the arguments goes in: the random draws are a function of the seed and of the state's step.
    `alpha` and `seed` are traced, so other values do not compile again. The batch has "visible_clear" and
    "infrared" uint8 [b h w c], "mask" float32 [b], and "visible_hazy" unless the task makes it; with
    "example" uint32 [b], what is drawn for an example depends on that number instead of its position.

    The records are the task's losses as "loss/...", what it drew, and "grad_norm" (before clipping). `finite`
    is False where the loss or a gradient is NaN or infinite; under loss scaling such a step changes nothing
    but the scale, and is False only when the scale cannot become smaller.

    Args:
      task: completes the batch and gives the losses.
      optimizer: see `training.optimizer`.
      augment_options: see `data_pipelines.augment.augment`.
      accumulate: micro-batches, one after the other, whose mean gradient is the batch's.
      ema_decay: of the running mean of the parameters, which the state must hold when it is not 0. Early on
        the mean is over fewer steps: the decay is at most (1 + n) / (10 + n) after n steps.
    """

    def step(
        state: TrainState, batch: Batch, alpha: Float[Array, ""], seed: Int[Array, ""]
    ) -> tuple[TrainState, Records, Bool[Array, ""]]:
        """Train on one batch, as `make_train_step` tells."""
        key = stream_key(seed, "augment", state.step)
        images = to_float(augment(key, batch, **augment_options))
        images, drawn = task.prepare(stream_key(seed, "haze", state.step), images)
        scale = None if state.loss_scale is None else state.loss_scale.scale
        losses, grads = accumulated_gradients(
            lambda params, part: task.loss(task.apply(params, part), part, alpha),
            state.params,
            images,
            parts=accumulate,
            scale=scale,
        )
        grad_norm = joint_norm(grads)
        finite = jnp.isfinite(losses["total"]) & jnp.isfinite(grad_norm)
        new_state, finite = _update(optimizer, state, grads, finite, ema_decay=ema_decay)
        count = batch["mask"].sum()
        records = {f"loss/{name}": MeanRecord(value * count, count) for name, value in losses.items()}
        records["grad_norm"] = MeanRecord(grad_norm, jnp.ones((), jnp.float32))
        return new_state, records | drawn, finite

    return step


def _update(
    optimizer: optax.GradientTransformation,
    state: TrainState,
    grads: Any,
    finite: Bool[Array, ""],
    *,
    ema_decay: float,
) -> tuple[TrainState, Bool[Array, ""]]:
    """Return the next state, and whether the run may go on."""
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    new = dataclasses.replace(
        state,
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        ema=_average(state.ema, params, state.step, decay=ema_decay) if ema_decay else state.ema,
    )
    if state.loss_scale is None:
        return new, finite
    kept = scaling.choose(finite, new, state)
    adjusted = dataclasses.replace(kept, step=new.step, loss_scale=scaling.adjust(state.loss_scale, finite))
    return adjusted, finite | scaling.can_shrink(state.loss_scale)


def _average(ema: Any, params: Any, step: Int[Array, ""], *, decay: float) -> Any:
    done = step.astype(jnp.float32)
    kept = jnp.minimum((1.0 + done) / (10.0 + done), decay)
    return jax.tree.map(lambda mean, value: kept * mean + (1.0 - kept) * value, ema, params)


def compile_train_step(step: Callable[..., Any], *, shardings: Any = None, everywhere: Any = None) -> Any:
    """Compile `step`; the state that goes in is donated, so that the new one takes its memory.

    Args:
      step: the state is its first argument and its first result.
      shardings: of the state; without them it stays where it is.
      everywhere: sharding of the other results, which the host reads.
    """
    places = None if shardings is None else (shardings, everywhere, everywhere)
    return jax.jit(step, donate_argnums=0, out_shardings=places)
