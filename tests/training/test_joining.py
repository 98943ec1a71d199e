"""Small arrays joined in one vector: the same numbers, and the same optimizers."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.training.joining import join, joint_norm, on_joined, separate

SHAPES = st.lists(
    st.sampled_from([(), (1,), (3, 5), (65535,), (65536,), (256, 256), (3, 3, 7, 2)]), max_size=5
)


def _tree(shapes, seed):
    rng = np.random.default_rng(seed)
    return {"first": {str(i): jnp.asarray(rng.normal(size=s), jnp.float32) for i, s in enumerate(shapes)}}


def _assert_equal(found, expected, rtol=0.0):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@given(SHAPES, st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_separate_undoes_join(shapes, seed):
    tree = _tree(shapes, seed)
    joined = join(tree)
    sizes = [int(np.prod(shape)) for shape in shapes]
    small = sum(size for size in sizes if size < 65536)
    assert sum(leaf.size for leaf in jax.tree.leaves(joined.small)) == small
    assert len(jax.tree.leaves(joined.large)) == sum(size >= 65536 for size in sizes)
    back = separate(joined, tree)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    _assert_equal(back, tree)


@given(SHAPES.filter(len), st.integers(0, 9))
@settings(max_examples=20, deadline=None)
def test_the_norm_is_that_of_all_numbers(shapes, seed):
    tree = _tree(shapes, seed)
    every = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
    np.testing.assert_allclose(joint_norm(tree), np.linalg.norm(every), rtol=1e-6)


@pytest.mark.parametrize(
    "inner",
    [
        optax.scale_by_adam(0.9, 0.99),
        optax.scale_by_lion(),
        optax.trace(0.9),
        optax.clip_by_global_norm(0.5),
        optax.add_decayed_weights(0.1),
    ],
)
def test_updates_are_those_of_separate_arrays(inner):
    shapes = [(3, 5), (256, 256), (7,), ()]
    params, joined = _tree(shapes, 0), on_joined(inner)
    state, joined_state = inner.init(params), joined.init(params)
    for step in range(3):
        grads = _tree(shapes, 1 + step)
        with jax.numpy_dtype_promotion("standard"):
            expected, state = inner.update(grads, state, params)
            found, joined_state = joined.update(grads, joined_state, params)
        _assert_equal(found, expected, rtol=1e-6)


def test_parameters_that_are_masked_out_have_no_moments():
    params = _tree([(3, 5), (256, 256)], 0)
    masked = optax.masked(on_joined(optax.scale_by_adam()), {"first": {"0": False, "1": True}})
    moments = optax.tree.get_all_with_path(masked.init(params), "mu")[0][1]
    assert not jax.tree.leaves(moments.small)
    assert [leaf.shape for leaf in jax.tree.leaves(moments.large)] == [(256, 256)]
