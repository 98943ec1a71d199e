"""Blocks that are traced once for all their equals, and computed anew in the backward pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from iassf_jax.models.layers.recomputing import repeated


class Widening(nn.Module):
    """A residual block whose inside is eight times as large as its input; also hands a part of it back."""

    factor: int

    @nn.compact
    def __call__(self, x, shift):
        inside = jnp.tanh(nn.Dense(self.factor * x.shape[-1], name="widen")(x + shift[:, None]))
        return x + nn.Dense(x.shape[-1], name="narrow")(inside), inside


class Stack(nn.Module):
    """Six blocks one after the other."""

    block: type[nn.Module]

    @nn.compact
    def __call__(self, x, shift):
        for index in range(6):
            x, _ = self.block(8, name=f"block_{index}")(x, shift)
        return x


def _gradient(model, variables, inputs):
    def loss(variables, inputs):
        return jnp.square(model.apply(variables, *inputs)).mean()

    compiled = jax.jit(jax.value_and_grad(loss, argnums=(0, 1))).lower(variables, inputs).compile()
    return compiled(variables, inputs), compiled.memory_analysis().temp_size_in_bytes


def test_the_same_parameters_results_and_gradients_in_less_memory(rng):
    inputs = (
        jnp.asarray(rng.normal(size=(2, 4096, 8)), jnp.float32),
        jnp.asarray(rng.normal(size=(2, 8)), jnp.float32),
    )
    plain, leaner = Stack(Widening), Stack(repeated(Widening, remat=True))
    variables = plain.init(jax.random.key(0), *inputs)
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, leaner.init(jax.random.key(0), *inputs)))
    (expected, memory), (result, less_memory) = (
        _gradient(model, variables, inputs) for model in (plain, leaner)
    )
    for a, b in zip(jax.tree.leaves(expected), jax.tree.leaves(result), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6 * max(1.0, float(np.abs(a).max())))
    assert less_memory < 0.5 * memory


@pytest.mark.parametrize("remat", [False, True])
def test_under_vmap_the_gradients_stay(remat, rng):
    inputs = jnp.asarray(rng.normal(size=(3, 2, 5, 4)), jnp.float32), jnp.zeros((3, 2, 4))
    plain, leaner = Stack(Widening), Stack(repeated(Widening, remat=remat))
    variables = plain.init(jax.random.key(1), inputs[0][0], inputs[1][0])

    def gradient(model):
        return jax.vmap(jax.grad(lambda x, shift: model.apply(variables, x, shift).sum()))(*inputs)

    np.testing.assert_allclose(gradient(leaner), gradient(plain), atol=1e-5)


def test_equal_blocks_are_traced_once(rng):
    traced = []

    class Counting(Widening):
        @nn.compact
        def __call__(self, x, shift):
            traced.append(self.factor)
            return Widening.__call__(self, x, shift)

    inputs = jnp.asarray(rng.normal(size=(2, 5, 4)), jnp.float32), jnp.zeros((2, 4))
    variables = Stack(Widening).init(jax.random.key(2), *inputs)
    for count, block in ((1, repeated(Counting, remat=False)), (6, Counting)):
        traced.clear()
        jax.jit(jax.grad(lambda v, block=block: Stack(block).apply(v, *inputs).sum())).lower(variables)
        assert len(traced) == count
