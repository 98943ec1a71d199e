"""Losses and gradients of a batch, whole or as the mean over micro-batches."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.training.loss_scale import unscale

Losses = dict[str, Float[Array, ""]]
Evaluate = Callable[[Any, Mapping[str, Any]], Losses]


def accumulated_gradients(
    evaluate: Evaluate,
    params: Any,
    images: Mapping[str, Array],
    *,
    parts: int = 1,
    scale: Float[Array, ""] | None = None,
) -> tuple[Losses, Any]:
    """Return the losses and the gradient of "total", both means over the valid examples of the batch.

    Args:
      evaluate: (params, images) -> losses, which are means under the images' "mask".
      params: what is differentiated for.
      images: arrays with the batch as first axis, which `parts` divides.
      parts: micro-batches, evaluated one after the other: memory for one at a time.
      scale: the loss is multiplied by it for the backward pass, and the gradient divided by it again.
    """

    def scaled_total(params: Any, images: Mapping[str, Any]) -> tuple[Array, Losses]:
        losses = evaluate(params, images)
        return losses["total"] * (1.0 if scale is None else scale), losses

    differentiate = jax.grad(scaled_total, has_aux=True)
    if parts == 1:
        grads, losses = differentiate(params, images)
        return losses, grads if scale is None else unscale(grads, scale)

    def add_part(sums: tuple[Any, Losses], part: Mapping[str, Any]) -> tuple[tuple[Any, Losses], None]:
        grads, losses = differentiate(params, part)
        count = part["mask"].sum()
        return jax.tree.map(lambda total, value: total + count * value, sums, (grads, losses)), None

    micro = {name: _split(value, parts) for name, value in images.items()}
    shapes = jax.eval_shape(differentiate, params, {name: value[0] for name, value in micro.items()})
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    sums, _ = jax.lax.scan(add_part, zeros, micro)
    count = jnp.maximum(images["mask"].sum(), 1.0)
    grads, losses = jax.tree.map(lambda total: total / count, sums)
    return losses, grads if scale is None else unscale(grads, scale)


def _split(x: Array, parts: int) -> Array:
    """Deal the examples out: every device then finds its share of each micro-batch among its own rows."""
    return x.reshape(x.shape[0] // parts, parts, *x.shape[1:]).swapaxes(0, 1)
