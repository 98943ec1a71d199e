"""Pixel shuffle by its definition, and its inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax import ops
from iassf_jax.core.errors import InputError


def test_channel_order_is_channel_row_column():
    factor, channels = 3, 2
    x = np.random.default_rng(0).uniform(size=(2, 2, 4, channels * factor**2)).astype(np.float32)
    shuffled = np.asarray(ops.pixel_shuffle(jnp.asarray(x), factor))
    assert shuffled.shape == (2, 6, 12, channels)
    for c in range(channels):
        for i in range(factor):
            for j in range(factor):
                plane = x[..., c * factor**2 + i * factor + j]
                np.testing.assert_array_equal(shuffled[:, i::factor, j::factor, c], plane)


@settings(max_examples=8, deadline=None)
@given(
    factor=st.integers(1, 4), rows=st.integers(1, 3), columns=st.integers(1, 3), channels=st.integers(1, 3)
)
def test_unshuffle_and_shuffle_are_inverse(factor, rows, columns, channels):
    shape = (2, rows * factor, columns * factor, channels)
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    deep = x.reshape(2, rows, columns, channels * factor**2)
    back = jax.jit(lambda x: ops.pixel_shuffle(ops.pixel_unshuffle(x, factor), factor))
    forth = jax.jit(lambda x: ops.pixel_unshuffle(ops.pixel_shuffle(x, factor), factor))
    np.testing.assert_array_equal(back(jnp.asarray(x)), x)
    np.testing.assert_array_equal(forth(jnp.asarray(deep)), deep)


def test_indivisible_shapes_are_named():
    with pytest.raises(InputError, match="6 channels"):
        ops.pixel_shuffle(jnp.zeros((1, 2, 2, 6)), 2)
    with pytest.raises(InputError, match="3x4 pixels"):
        ops.pixel_unshuffle(jnp.zeros((1, 3, 4, 1)), 2)
    with pytest.raises(InputError, match="factor is 0"):
        ops.pixel_unshuffle(jnp.zeros((1, 3, 4, 1)), 0)
