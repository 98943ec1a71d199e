"""Heads of window attention against the textbook's projections, and the gradients written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.models.layers.head_projection import Kernels, make_heads, project_heads
from iassf_jax.ops.window_attention import attend

WINDOWS, TOKENS, C = 5, 16, 12


@pytest.fixture(scope="module")
def arrays():
    keys = jax.random.split(jax.random.key(7), 6)
    shapes = ((WINDOWS * TOKENS, C), (C, C), (C,), (C, C), (C,), (C, C))
    return [jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)]


@pytest.mark.parametrize("parts", [3, 6])
def test_projections_and_gradients_are_those_of_one_product(parts):
    keys = jax.random.split(jax.random.key(parts), 3)
    shapes = ((WINDOWS * TOKENS, C), (C, 3 * C), (WINDOWS * TOKENS, 3 * C))
    tokens, kernel, gradient = (
        jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)
    )

    def apart(tokens, kernel):
        return jnp.concatenate(project_heads(tokens, kernel, parts), axis=1)

    expected, expected_pull = jax.vjp(jnp.matmul, tokens, kernel)
    found, pull = jax.vjp(jax.jit(apart), tokens, kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(pull(gradient), expected_pull(gradient), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def _textbook(tokens, queries, query_bias, keys, key_bias, values, heads):
    """softmax((x Q + b)(x K + b)^T) x V of every head, side by side."""
    columns = [jnp.split(part, heads, axis=-1) for part in (queries, query_bias, keys, key_bias, values)]
    cut = (WINDOWS, TOKENS, -1)
    attended = []
    for q, q_bias, k, k_bias, v in zip(*columns, strict=True):
        query, key = (tokens @ q + q_bias[None]).reshape(cut), (tokens @ k + k_bias[None]).reshape(cut)
        weights = jax.nn.softmax(jnp.einsum("nqd,nkd->nqk", query, key), axis=-1)
        attended.append(weights @ (tokens @ v).reshape(cut))
    return jnp.concatenate(attended, axis=-1).reshape(tokens.shape)


def _heads(tokens, queries, query_bias, keys, values, heads, late_values=False):
    kernels = Kernels(queries, query_bias, keys, None if late_values else values)
    cut = (WINDOWS, TOKENS, -1)
    attended = [
        attend(*(part.reshape(cut) for part in head), jnp.zeros((TOKENS, TOKENS)))[..., : C // heads]
        for head in make_heads(tokens, kernels, heads)
    ]
    mixed = jnp.concatenate(attended, axis=-1).reshape(tokens.shape)
    return mixed @ values if late_values else mixed


@pytest.mark.parametrize(
    ("heads", "late_values"), [(1, False), (1, True), (2, False), (3, False), (4, False)]
)
def test_heads_attend_as_in_the_textbook_without_the_keys_bias(arrays, heads, late_values):
    tokens, queries, query_bias, keys, key_bias, values = arrays

    def ours(*arguments):
        return _heads(*arguments, heads, late_values)

    def theirs(tokens, queries, query_bias, keys, values):
        return _textbook(tokens, queries, query_bias, keys, key_bias, values, heads)

    arguments = tokens, 0.3 * queries, query_bias, 0.3 * keys, values
    expected, expected_pull = jax.vjp(theirs, *arguments)
    found, pull = jax.vjp(jax.jit(ours), *arguments)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(pull(jnp.cos(expected)), expected_pull(jnp.cos(expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
