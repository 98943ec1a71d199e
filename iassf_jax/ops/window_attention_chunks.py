"""Gradients of window attention for CPUs, some windows after the other.

The attention matrices of 1024 windows are 17 MB: too much for the caches, and kept from the forward pass for
every head of every block, most of a training step's memory. Here only queries, keys and values are kept. The
matrices of some windows at a time are worked out again and stay in the cache, which takes 0.8 of the time of
what JAX derives from the forward pass.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

_CHUNK = 2**20  # logits at most: 4 MB; a quarter is as fast
_SMALLEST_CHUNK = 2**18  # below, the loop costs more than the cache gains

Gradients = tuple[Float[Array, "n t d"], Float[Array, "n t d"], Float[Array, "n t v"], Float[Array, "t t"]]


def gradients_by_chunks(
    q: Float[Array, "n t d"],
    k: Float[Array, "n t d"],
    v: Float[Array, "n t v"],
    bias: Float[Array, "t t"],
    g: Float[Array, "n t v"],
) -> Gradients:
    """Gradients of `attend` with respect to q, k, v and bias, for the gradient `g` of its result."""
    length = chunk_length(*q.shape[:2])

    def add_chunk(total: Array, chunk: tuple[Array, ...]) -> tuple[Array, tuple[Array, ...]]:
        q, k, v, g = chunk
        *parts, of_logits = _gradients(q, k, v, g, bias)
        return total + of_logits.sum(axis=0), tuple(parts)

    chunks = tuple(x.reshape(-1, length, *x.shape[1:]) for x in (q, k, v, g))
    total, parts = lax.scan(add_chunk, jnp.zeros(bias.shape, jnp.float32), chunks)
    of_q, of_k, of_v = (part.reshape(x.shape) for part, x in zip(parts, (q, k, v), strict=True))
    return of_q, of_k, of_v, total.astype(bias.dtype)


def chunk_length(windows: int, tokens: int) -> int:
    """The largest divisor of `windows` that is small enough; all of them where that would be too small."""
    most = max(1, min(windows, _CHUNK // tokens**2))
    length = next(size for size in range(most, 0, -1) if windows % size == 0)
    return length if length * tokens**2 >= _SMALLEST_CHUNK else windows


def _gradients(q: Array, k: Array, v: Array, g: Array, bias: Array) -> tuple[Array, ...]:
    """Gradients with respect to q, k, v and the logits."""
    logits = jnp.einsum("nqd,nkd->nqk", q, k).astype(jnp.float32) + bias[None]
    exponentials = jnp.exp(logits - logits.max(axis=-1, keepdims=True))
    total = exponentials.sum(axis=-1, keepdims=True)
    g = (g.astype(jnp.float32) / total).astype(v.dtype)
    of_weights = jnp.einsum("nqd,nkd->nqk", g, v).astype(jnp.float32)
    mean = (exponentials * of_weights).sum(axis=-1, keepdims=True) / total
    of_logits = exponentials * (of_weights - mean)
    small = of_logits.astype(q.dtype)
    of_q = jnp.einsum("nqk,nkd->nqd", small, k)
    of_k = _transposed_product(small, q)
    of_v = _transposed_product(exponentials.astype(v.dtype), g)
    return of_q, of_k, of_v, of_logits


def _transposed_product(matrices: Float[Array, "n q k"], x: Float[Array, "n q d"]) -> Float[Array, "n k d"]:
    """Return matrices^T x as (x^T matrices)^T: transposing the large operand takes up to four times as long.

    The barriers keep XLA from undoing that.
    """
    transposed = lax.optimization_barrier(x.swapaxes(1, 2))
    product = lax.optimization_barrier(jnp.einsum("ndq,nqk->ndk", transposed, matrices))
    return product.swapaxes(1, 2)
