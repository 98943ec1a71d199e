"""The perceptron against its formula."""

import jax
import jax.numpy as jnp
import numpy as np

from iassf_jax.models.layers.mlp import Mlp

RATIO = 16.0


def _textbook(parameters, x):
    first, second = parameters["mlp_0"], parameters["mlp_2"]
    hidden = jnp.maximum(
        jnp.einsum("bhwc,ck->bhwk", x, first["kernel"]) + first["bias"].reshape(1, 1, 1, -1), 0
    )
    return jnp.einsum("bhwk,kc->bhwc", hidden, second["kernel"]) + second["bias"].reshape(1, 1, 1, -1)


def test_values_and_gradients_are_the_formulas(rng):
    x = jnp.asarray(rng.normal(size=(2, 5, 5, 6)), jnp.float32)
    drawn = Mlp(RATIO).init(jax.random.key(0), x)["params"]
    parameters = jax.tree.map(lambda p: p + 0.1 * jnp.asarray(rng.normal(size=p.shape), p.dtype), drawn)

    def ours(parameters, x):
        return Mlp(RATIO).apply({"params": parameters}, x)

    expected, expected_pull = jax.vjp(_textbook, parameters, x)
    found, pull = jax.vjp(jax.jit(ours), parameters, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    pairs = zip(jax.tree.leaves(pull(expected)), jax.tree.leaves(expected_pull(expected)), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
