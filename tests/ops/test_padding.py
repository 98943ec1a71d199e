"""Reflect padding against numpy.pad; padding to multiples and cropping are inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax import ops
from iassf_jax.core.errors import InputError


@pytest.mark.parametrize("height, width", [(1, 1), (1, 7), (2, 3), (5, 4), (8, 9)])
@pytest.mark.parametrize("pads", [((0, 0), (0, 0)), ((1, 2), (3, 0)), ((7, 13), (0, 25))])
def test_reflect_pad_is_numpys_for_any_pad(height, width, pads, rng):
    x = rng.uniform(size=(2, height, width, 3)).astype(np.float32)
    expected = np.pad(x, ((0, 0), *pads, (0, 0)), mode="reflect")
    pad = jax.jit(ops.reflect_pad, static_argnames="pads")
    np.testing.assert_array_equal(pad(jnp.asarray(x), pads), expected)


def test_spatial_size_is_height_and_width():
    assert ops.spatial_size(jnp.zeros((2, 5, 7, 3))) == (5, 7)


def test_reflect_pad_repeats_no_edge_pixel():
    row = jnp.arange(4.0).reshape(1, 1, 4, 1)
    padded = ops.reflect_pad(row, ((0, 0), (2, 5)))
    assert padded.ravel().tolist() == [2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]


@settings(max_examples=10, deadline=None)
@given(
    side=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    multiple=st.sampled_from([1, 4, 8]),
    minimum=st.sampled_from([0, 9, 16]),
)
def test_crop_undoes_padding_to_a_multiple(side, multiple, minimum):
    x = np.arange(2 * side[0] * side[1], dtype=np.float32).reshape(2, *side, 1)
    pad = jax.jit(ops.pad_to_multiple, static_argnames=("multiple", "minimum"))
    padded, size = pad(jnp.asarray(x), multiple, minimum=minimum)
    for before, after in zip(side, padded.shape[1:3], strict=True):
        assert after % multiple == 0
        assert after - max(before, minimum) in range(multiple)
    assert (int(size[0]), int(size[1])) == side
    np.testing.assert_array_equal(ops.crop(padded, side), x)


def test_bad_arguments_are_named():
    x = jnp.zeros((1, 4, 5, 1))
    with pytest.raises(InputError, match="before is -1"):
        ops.reflect_pad(x, ((-1, 0), (0, 0)))
    with pytest.raises(InputError, match="multiple is 0"):
        ops.pad_to_multiple(x, 0)
    with pytest.raises(InputError, match="4x5 pixels to 5x5"):
        ops.crop(x, (5, 5))
    with pytest.raises(InputError, match="empty"):
        ops.reflect_pad(jnp.zeros((1, 0, 5, 1)), ((0, 1), (0, 0)))
