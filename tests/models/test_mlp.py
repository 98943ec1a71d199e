"""The perceptron, its hidden layer kept or computed anew, against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.models.layers.mlp import Mlp

RATIO = 16.0


def _textbook(parameters, x):
    first, second = parameters["mlp_0"], parameters["mlp_2"]
    hidden = jnp.maximum(
        jnp.einsum("bhwc,ck->bhwk", x, first["kernel"]) + first["bias"].reshape(1, 1, 1, -1), 0
    )
    return jnp.einsum("bhwk,kc->bhwc", hidden, second["kernel"]) + second["bias"].reshape(1, 1, 1, -1)


def _case(rng, side):
    x = jnp.asarray(rng.normal(size=(2, side, side, 6)), jnp.float32)
    parameters = Mlp(RATIO).init(jax.random.key(0), x)["params"]
    moved = jax.tree.map(lambda p: p + 0.1 * jnp.asarray(rng.normal(size=p.shape), p.dtype), parameters)
    return moved, x


@pytest.mark.parametrize("remat", [False, True])
def test_values_and_gradients_are_the_formulas(remat, rng):
    parameters, x = _case(rng, 5)

    def ours(parameters, x):
        return Mlp(RATIO, remat=remat).apply({"params": parameters}, x)

    expected, expected_pull = jax.vjp(_textbook, parameters, x)
    found, pull = jax.vjp(jax.jit(ours), parameters, x)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    pairs = zip(jax.tree.leaves(pull(expected)), jax.tree.leaves(expected_pull(expected)), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_a_chain_of_them_is_differentiated_in_less_memory(rng):
    parameters, x = _case(rng, 64)

    def temporaries(layer):
        def loss(parameters, x):
            for _ in range(6):
                x = x + layer(parameters, x)
            return jnp.square(x).mean()

        compiled = jax.jit(jax.grad(loss)).lower(parameters, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    ours = temporaries(lambda parameters, x: Mlp(RATIO, remat=True).apply({"params": parameters}, x))
    assert ours < 0.6 * temporaries(_textbook)
