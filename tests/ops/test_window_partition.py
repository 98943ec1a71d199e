"""Windows and tokens are row-major; merging undoes the partition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax import ops
from iassf_jax.core.errors import InputError


def test_order_of_windows_and_tokens(rng):
    x = rng.uniform(size=(2, 6, 9, 4)).astype(np.float32)
    windows = np.asarray(ops.window_partition(jnp.asarray(x), 3))
    assert windows.shape == (2, 6, 9, 4)
    for row in range(2):
        for column in range(3):
            square = x[:, 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            np.testing.assert_array_equal(windows[:, 3 * row + column], square.reshape(2, 9, 4))


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 4), columns=st.integers(1, 4), size=st.integers(1, 4), channels=st.integers(1, 3))
def test_merge_undoes_partition(rows, columns, size, channels):
    shape = (2, rows * size, columns * size, channels)
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    round_trip = jax.jit(lambda x: ops.window_merge(ops.window_partition(x, size), size, shape[1:3]))
    np.testing.assert_array_equal(round_trip(jnp.asarray(x)), x)


def test_shapes_that_do_not_tile_are_named():
    with pytest.raises(InputError, match="8x9 pixels do not divide into 4x4"):
        ops.window_partition(jnp.zeros((1, 8, 9, 1)), 4)
    with pytest.raises(InputError, match="size is 0"):
        ops.window_partition(jnp.zeros((1, 8, 8, 1)), 0)
    with pytest.raises(InputError, match="3 windows of 16 tokens"):
        ops.window_merge(jnp.zeros((1, 3, 16, 1)), 4, (8, 8))
    with pytest.raises(InputError, match="4 windows of 9 tokens"):
        ops.window_merge(jnp.zeros((1, 4, 9, 1)), 4, (8, 8))
