"""Projections of tokens to the queries, keys and values of each head, as arrays of their own.

Biases of keys are missing everywhere: they move all logits of a query alike, which a softmax does not see.
Biases of values are missing too: the weights of a softmax sum to one, so whoever uses the result adds them.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.models.layers.projection import compose, project

_LANES = 8  # heads are padded with zeros to a multiple of it: products of 12 columns take as long as of 16

Head = tuple[Float[Array, "n d"], Float[Array, "n d"], Float[Array, "n v"]]  # queries, keys, values


class Kernels(NamedTuple):
    """What makes queries, keys and values of tokens with c channels; None: the tokens are the values."""

    queries: Float[Array, "c c"]
    query_bias: Float[Array, " c"]
    keys: Float[Array, "c c"]
    values: Float[Array, "c c"] | None

    def scale_queries(self, factor: float) -> "Kernels":
        """Return kernels whose queries are `factor` times as large."""
        return self._replace(queries=self.queries * factor, query_bias=self.query_bias * factor)


def make_heads(tokens: Float[Array, "n c"], kernels: Kernels, heads: int) -> list[Head]:
    """Return the heads, of c / heads channels; if there are several, with zeros up to a multiple of eight."""
    return _one_head(tokens, kernels) if heads == 1 else _many_heads(tokens, kernels, heads)


def _one_head(tokens: Float[Array, "n c"], kernels: Kernels) -> list[Head]:
    """The keys are the tokens: (x Q + b) (y K)^T = (x Q K^T + b K^T) y^T, a projection less.

    Two heads gain a little by that without gradients, and lose 5 to 20 % with them; more heads only lose.
    """
    kernel, bias = (compose(part, kernels.keys.T) for part in kernels[:2])
    values = tokens if kernels.values is None else tokens @ kernels.values.astype(tokens.dtype)
    return [(project(tokens, kernel, bias), tokens, values)]


def _many_heads(tokens: Float[Array, "n c"], kernels: Kernels, heads: int) -> list[Head]:
    if kernels.values is None:
        raise ValueError("several heads need a kernel for their values")
    padded = [_pad_heads(kernel, heads) for kernel in (kernels.queries, kernels.keys, kernels.values)]
    offsets = jnp.split(_pad_heads(kernels.query_bias[None], heads).astype(tokens.dtype), heads, axis=1)
    parts = project_heads(tokens, jnp.concatenate(padded, axis=1).astype(tokens.dtype), 3 * heads)
    queries = [part + offset for part, offset in zip(parts[:heads], offsets, strict=True)]
    return list(zip(queries, parts[heads : 2 * heads], parts[2 * heads :], strict=True))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def project_heads(
    tokens: Float[Array, "n c"], kernel: Float[Array, "c o"], parts: int
) -> tuple[Float[Array, "n d"], ...]:
    """Return `tokens @ kernel` cut into `parts` arrays of equal width.

    Each is a product of its own: cut out of a common product they are strided operands of the attention,
    which then takes twice as long on CPU. Heads as an axis cost more still. The gradients are common
    products again, which read the tokens once and not once for each part: half the time on CPU.
    """
    return tuple(tokens @ part for part in jnp.split(kernel, parts, axis=1))


def _forward(tokens: Array, kernel: Array, parts: int) -> tuple[tuple, tuple[Array, Array]]:
    return project_heads(tokens, kernel, parts), (tokens, kernel)


def _backward(parts: int, saved: tuple[Array, Array], gradients: tuple[Array, ...]) -> tuple[Array, ...]:
    tokens, kernel = saved
    joined = jnp.concatenate(gradients, axis=1)
    return joined @ kernel.T, tokens.T @ joined


project_heads.defvjp(_forward, _backward)


def _pad_heads(kernel: Float[Array, "r c"], heads: int) -> Float[Array, "r p"]:
    rows, columns = kernel.shape
    width = columns // heads
    padding = ((0, 0), (0, 0), (0, -width % _LANES))
    return jnp.pad(kernel.reshape(rows, heads, width), padding).reshape(rows, -1)
