"""Attention among the tokens of each window, for one head."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.window_attention_chunks import gradients_by_chunks

_KERNEL_TOKENS = (16, 64)  # powers of two of which the kernel can hold all logits of a window

Queries = Float[Array, "n t d"]
Values = Float[Array, "n t v"]
Bias = Float[Array, "t t"]


def attend(q: Queries, k: Queries, v: Values, bias: Bias, *, pallas: bool = False) -> Values:
    """Return softmax(q k + bias) v among the tokens of each window; the softmax is in float32.

    Args:
        q: queries of n windows of t tokens, already divided by the root of their width.
        k: keys.
        v: values, whose dtype the result has.
        bias: added to the logits of every window.
        pallas: on NVIDIA GPUs, compute it in one kernel, and the gradients in another. Other devices compute
            as without.

    Raises:
        InputError: `pallas` with windows other than of 4x4 or 8x8 tokens.
    """
    if pallas and q.shape[1] not in _KERNEL_TOKENS:
        raise InputError(
            f"the Pallas kernel takes windows of 4x4 or 8x8 tokens, but these have {q.shape[1]}; "
            f"change the window, or compute without the kernel (pallas=False)"
        )
    return _attend(q, k, v, bias, pallas)


@functools.partial(jax.custom_vjp, nondiff_argnums=(4,))
def _attend(q: Queries, k: Queries, v: Values, bias: Bias, pallas: bool) -> Values:
    if not pallas:
        return _plain(q, k, v, bias)
    # Imported for those who ask for it, because not every jaxlib has Triton.
    from iassf_jax.ops.window_attention_kernel import attend_in_kernel as kernel

    return lax.platform_dependent(q, k, v, bias, cuda=kernel, default=_plain)


def _plain(q: Queries, k: Queries, v: Values, bias: Bias) -> Values:
    """The sum divides the result and not the attention matrix: saves a pass over the larger of the two."""
    logits = jnp.einsum("nqd,nkd->nqk", q, k).astype(jnp.float32) + bias[None]
    exponentials = jnp.exp(logits - lax.stop_gradient(logits.max(axis=-1, keepdims=True)))
    total = exponentials.sum(axis=-1, keepdims=True)
    weighted = jnp.einsum("nqk,nkd->nqd", exponentials.astype(v.dtype), v).astype(jnp.float32)
    return (weighted / total).astype(v.dtype)


def _plain_gradients(q: Queries, k: Queries, v: Values, bias: Bias, g: Values) -> tuple[Array, ...]:
    return jax.vjp(_plain, q, k, v, bias)[1](g)


def _forward(q: Queries, k: Queries, v: Values, bias: Bias, pallas: bool) -> tuple[Values, tuple[Array, ...]]:
    # Nothing else is kept. Where the backward pass works the matrices out as a whole again, XLA finds them
    # equal to those of the forward pass.
    return _attend(q, k, v, bias, pallas), (q, k, v, bias)


def _backward(pallas: bool, saved: tuple[Array, ...], g: Values) -> tuple[Array, ...]:
    on_gpu = _plain_gradients
    if pallas:
        from iassf_jax.ops.window_attention_kernel import gradients_in_kernel as on_gpu
    return lax.platform_dependent(*saved, g, cpu=gradients_by_chunks, cuda=on_gpu, default=_plain_gradients)


_attend.defvjp(_forward, _backward)
