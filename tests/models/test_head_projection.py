"""The projections to heads and their gradients, which are written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.models.layers.head_projection import project_heads

N, C = 37, 12


@pytest.mark.parametrize("parts", [3, 6])
def test_projections_and_gradients_are_those_of_one_product(parts):
    keys = jax.random.split(jax.random.key(parts), 4)
    shapes = ((N, C), (C, 3 * C), (3 * C,), (N, 3 * C))
    tokens, kernel, bias, gradient = (
        jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)
    )

    def common(tokens, kernel, bias):
        return tokens @ kernel + bias[None]

    def apart(tokens, kernel, bias):
        return jnp.concatenate(project_heads(tokens, kernel, bias, parts), axis=1)

    expected, expected_pull = jax.vjp(common, tokens, kernel, bias)
    found, pull = jax.vjp(jax.jit(apart), tokens, kernel, bias)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(pull(gradient), expected_pull(gradient), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
