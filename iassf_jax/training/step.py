"""One training step as a pure function: augmentation, haze, network, loss, gradients, update, records."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

from data_pipelines.augment import augment, to_float
from iassf_jax.core.rng import stream_key
from iassf_jax.losses import iassf_loss
from iassf_jax.metrics import MeanRecord
from iassf_jax.training.haze import Haze
from iassf_jax.training.state import TrainState

Batch = Mapping[str, Array]
Records = dict[str, MeanRecord]
Step = Callable[
    [TrainState, Batch, Float[Array, ""], Int[Array, ""]], tuple[TrainState, Records, Bool[Array, ""]]
]


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    augment_options: Mapping[str, Any],
    loss_options: Mapping[str, Any],
    haze: Haze | None = None,
) -> Step:
    """Return `step(state, batch, alpha, seed) -> (state, records, finite)`, to be compiled by the caller.

    Nothing but the arguments goes in: the random draws are a function of the seed and of the state's step.
    `alpha` and `seed` are traced, so other values do not compile again. The batch has "visible_hazy",
    "visible_clear", "infrared" uint8 [b h w c] and "mask" float32 [b]; with "example" uint32 [b], what is
    drawn for an example depends on that number instead of its position. The records are "loss/total",
    "loss/intensity", "loss/gradient", "loss/restoration" (without alpha) and "grad_norm" (before clipping);
    `finite` is False where the loss or a gradient is NaN or infinite.

    With `haze`, "visible_hazy" is made from "visible_clear" after the augmentation, and need not be in the
    batch; the records "haze/..." hold what was drawn.
    """

    def loss_function(
        params: Any, batch: Mapping[str, Any], alpha: Array
    ) -> tuple[Array, dict[str, Float[Array, ""]]]:
        outputs: Any = model.apply({"params": params}, batch["visible_hazy"], batch["infrared"])
        losses = iassf_loss(outputs, batch, alpha=alpha, **loss_options)
        return losses["total"], losses

    def step(
        state: TrainState, batch: Batch, alpha: Float[Array, ""], seed: Int[Array, ""]
    ) -> tuple[TrainState, Records, Bool[Array, ""]]:
        key = stream_key(seed, "augment", state.step)
        images = to_float(augment(key, batch, **augment_options))
        drawn: Records = {}
        if haze is not None:
            images, drawn = haze(stream_key(seed, "haze", state.step), images)
        (total, losses), grads = jax.value_and_grad(loss_function, has_aux=True)(state.params, images, alpha)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        grad_norm = optax.tree.norm(grads)
        records = {f"loss/{name}": _record(value, batch["mask"].sum()) for name, value in losses.items()}
        records |= drawn
        records["grad_norm"] = _record(grad_norm, jnp.ones((), jnp.float32))
        new_state = TrainState(
            step=state.step + 1, params=optax.apply_updates(state.params, updates), opt_state=opt_state
        )
        return new_state, records, jnp.isfinite(total) & jnp.isfinite(grad_norm)

    return step


def compile_train_step(step: Step) -> Step:
    """Compile `step`; the state that goes in is donated, so that the new one takes its memory."""
    return jax.jit(step, donate_argnums=0)


def _record(mean: Float[Array, ""], count: Float[Array, ""]) -> MeanRecord:
    return MeanRecord(total=mean * count, count=count)
