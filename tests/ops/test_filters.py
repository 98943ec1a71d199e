"""Box, minimum and maximum filters against SciPy in float64 and OpenCV."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from iassf_jax import ops
from iassf_jax.core.errors import InputError

WINDOWS = [1, 2, 3, 4, 5, 7, 8, 15, 60]

# Compiled, because running each step of each size on its own is slow; eager runs are compared elsewhere.
box_mean = jax.jit(ops.box_mean, static_argnames=("size", "padding"))
min_filter = jax.jit(ops.min_filter, static_argnames="size")
max_filter = jax.jit(ops.max_filter, static_argnames="size")


def _windowed(x, size, reduce, **border):
    """`reduce` over explicitly gathered windows; slow and obvious."""
    before, after = size // 2, (size - 1) // 2
    padded = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)), **border)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return reduce(windows, axis=(-2, -1))


@pytest.mark.parametrize("size", WINDOWS)
def test_box_mean_is_the_mean_of_each_window(size, rng):
    x = rng.uniform(size=(2, 13, 10, 2))
    found = box_mean(jnp.asarray(x, jnp.float32), size)
    np.testing.assert_allclose(found, _windowed(x, size, np.mean, mode="reflect"), atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 3)])
def test_box_mean_on_images_smaller_than_the_window(shape, rng):
    x = rng.uniform(size=(1, *shape, 1))
    for size in (2, 5, 60):
        found = box_mean(jnp.asarray(x, jnp.float32), size)
        np.testing.assert_allclose(found, _windowed(x, size, np.mean, mode="reflect"), atol=1e-6)


@pytest.mark.parametrize("size", [4, 7, 60])
def test_box_mean_places_even_windows_as_opencv_and_scipy_do(size, rng):
    x = rng.uniform(size=(70, 65))
    found = box_mean(jnp.asarray(x[None, :, :, None], jnp.float32), size)[0, :, :, 0]
    opencv = cv2.blur(x, (size, size), borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(found, opencv, atol=1e-6)
    np.testing.assert_allclose(found, ndimage.uniform_filter(x, size, mode="mirror"), atol=1e-6)


@pytest.mark.parametrize("brightness", ["uniform", "nearly saturated"])
def test_box_mean_is_accurate_in_float32_on_whole_images(brightness, rng):
    x = rng.uniform(size=(480, 640)) if brightness == "uniform" else 1 - 0.01 * rng.uniform(size=(480, 640))
    x = x.astype(np.float32)
    expected = cv2.blur(x.astype(np.float64), (60, 60), borderType=cv2.BORDER_REFLECT_101)
    found = np.asarray(box_mean(jnp.asarray(x[None, :, :, None]), 60))
    assert np.abs(found[0, :, :, 0] - expected).max() <= 5e-7


def test_valid_box_mean_keeps_inner_windows_only(rng):
    x = rng.uniform(size=(1, 9, 12, 2))
    found = box_mean(jnp.asarray(x, jnp.float32), 4, padding="valid")
    windows = np.lib.stride_tricks.sliding_window_view(x, (4, 4), axis=(1, 2))
    np.testing.assert_allclose(found, windows.mean(axis=(-2, -1)), atol=1e-6)


@pytest.mark.parametrize("size", WINDOWS)
def test_min_and_max_filter_ignore_what_is_outside(size, rng):
    x = rng.normal(size=(2, 13, 10, 2)).astype(np.float32)
    least = _windowed(x, size, np.min, constant_values=np.inf)
    greatest = _windowed(x, size, np.max, constant_values=-np.inf)
    np.testing.assert_array_equal(min_filter(jnp.asarray(x), size), least)
    np.testing.assert_array_equal(max_filter(jnp.asarray(x), size), greatest)


def test_min_filter_is_opencvs_erosion(rng):
    x = rng.uniform(size=(40, 33)).astype(np.float32)
    found = min_filter(jnp.asarray(x[None, :, :, None]), 15)[0, :, :, 0]
    np.testing.assert_array_equal(found, cv2.erode(x, np.ones((15, 15))))


# Levels below 1e-38 are zero to XLA's CPU programs.
@settings(max_examples=12, deadline=None)
@given(
    size=st.integers(1, 20), level=st.floats(0, 1, width=32, allow_subnormal=False), side=st.integers(1, 7)
)
def test_constants_stay_what_they_are(size, level, side):
    x = jnp.full((1, side, 2 * side, 1), level, jnp.float32)
    np.testing.assert_allclose(box_mean(x, size), x, rtol=1e-6)
    np.testing.assert_array_equal(min_filter(x, size), x)
    np.testing.assert_array_equal(max_filter(x, size), x)


@settings(max_examples=12, deadline=None)
@given(first=st.sampled_from([1, 3, 5, 7]), second=st.sampled_from([1, 3, 9]), seed=st.integers(0, 99))
def test_odd_minimum_filters_compose(first, second, seed):
    x = jnp.asarray(np.random.default_rng(seed).normal(size=(1, 11, 8, 1)), jnp.float32)
    twice = min_filter(min_filter(x, first), second)
    np.testing.assert_array_equal(twice, min_filter(x, first + second - 1))


@settings(max_examples=12, deadline=None)
@given(size=st.integers(1, 12), seed=st.integers(0, 99))
def test_minimum_mean_and_maximum_are_ordered(size, seed):
    x = jnp.asarray(np.random.default_rng(seed).normal(size=(1, 11, 8, 1)), jnp.float32)
    least, mean, greatest = min_filter(x, size), box_mean(x, size), max_filter(x, size)
    if size <= 8:  # a mirrored larger window holds pixels which a cut one does not
        assert (least <= x).all() and (x <= greatest).all()
    assert (least.min() - 1e-5 <= mean).all() and (mean <= greatest.max() + 1e-5).all()
    np.testing.assert_array_equal(max_filter(-x, size), -least)


def test_min_filter_gradient_goes_to_the_smallest_pixel():
    values = np.random.default_rng(0).permutation(35)
    x = jnp.asarray(values.reshape(1, 5, 7, 1), jnp.float32)
    gradient = jax.grad(lambda image: min_filter(image, 3)[0, 2, 3, 0])(x)
    window = np.asarray(x)[0, 1:4, 2:5, 0]
    row, column = np.unravel_index(window.argmin(), (3, 3))
    expected = np.zeros((1, 5, 7, 1))
    expected[0, 1 + row, 2 + column, 0] = 1
    np.testing.assert_array_equal(gradient, expected)


def test_box_mean_is_self_adjoint_up_to_the_border(rng):
    x, y = (jnp.asarray(rng.normal(size=(1, 9, 10, 1)), jnp.float32) for _ in range(2))
    filtered, transpose = jax.vjp(lambda image: box_mean(image, 6), x)
    np.testing.assert_allclose(jnp.vdot(y, filtered), jnp.vdot(transpose(y)[0], x), rtol=1e-4, atol=1e-5)


def test_programs_stay_small():
    # A window of 60 pixels by one slice per offset would be 120 slices.
    program = jax.make_jaxpr(lambda x: ops.box_mean(x, 60))(jnp.zeros((1, 64, 64, 1)))
    assert str(program).count(" add ") <= 18


def test_bad_arguments_are_named():
    x = jnp.zeros((1, 4, 5, 1))
    for function in (ops.box_mean, ops.min_filter, ops.max_filter):
        with pytest.raises(InputError, match="size is 0"):
            function(x, 0)
    with pytest.raises(InputError, match="height is 4; expected at least 5"):
        box_mean(x, 5, padding="valid")
