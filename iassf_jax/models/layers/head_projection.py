"""Projections of tokens to the queries, keys and values of each head, as arrays of their own."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def project_heads(
    tokens: Float[Array, "n c"], kernel: Float[Array, "c c3"], bias: Float[Array, " c3"], parts: int
) -> tuple[Float[Array, "n d"], ...]:
    """Return `tokens @ kernel + bias` cut into `parts` arrays of equal width.

    Each is a product of its own: cut out of a common product they are strided operands of the attention,
    which then takes twice as long on CPU. Heads as an axis cost more still. The gradients are common
    products again, which read the tokens once and not once for each part: half the time on CPU.
    """
    kernels, biases = jnp.split(kernel, parts, axis=1), jnp.split(bias, parts)
    return tuple(tokens @ part + offset[None] for part, offset in zip(kernels, biases, strict=True))


def _forward(tokens: Array, kernel: Array, bias: Array, parts: int) -> tuple[tuple, tuple[Array, Array]]:
    return project_heads(tokens, kernel, bias, parts), (tokens, kernel)


def _backward(parts: int, saved: tuple[Array, Array], gradients: tuple[Array, ...]) -> tuple[Array, ...]:
    tokens, kernel = saved
    joined = jnp.concatenate(gradients, axis=1)
    return joined @ kernel.T, tokens.T @ joined, joined.sum(axis=0)


project_heads.defvjp(_forward, _backward)
