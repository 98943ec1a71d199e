"""Resizing against SciPy interpolation in float64 and OpenCV."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from iassf_jax import ops
from iassf_jax.core.errors import InputError

SIZES = [((7, 9), (14, 18)), ((7, 9), (5, 20)), ((16, 12), (4, 3)), ((6, 1), (3, 4)), ((5, 8), (1, 1))]


def _interpolated(x, size, align_corners):
    coordinates = []
    for n, m in zip(x.shape[1:3], size, strict=True):
        if align_corners:
            coordinates.append(np.linspace(0, n - 1, m) if m > 1 else np.zeros(1))
        else:
            coordinates.append((np.arange(m) + 0.5) / m * n - 0.5)
    grid = np.meshgrid(*coordinates, indexing="ij")
    images = [
        [map_coordinates(x[b, :, :, c], grid, order=1, mode="nearest") for c in range(x.shape[3])]
        for b in range(len(x))
    ]
    return np.moveaxis(np.array(images), 1, -1)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("before, after", SIZES)
def test_bilinear_matches_scipy(before, after, align_corners, rng):
    x = rng.uniform(size=(2, *before, 3))
    found = ops.resize_bilinear(jnp.asarray(x, jnp.float32), after, align_corners=align_corners)
    np.testing.assert_allclose(found, _interpolated(x, after, align_corners), atol=1e-6)


@pytest.mark.parametrize("before, after", SIZES)
def test_half_pixel_bilinear_matches_opencv(before, after, rng):
    x = rng.uniform(size=(*before, 3)).astype(np.float32)
    found = ops.resize_bilinear(jnp.asarray(x[None]), after, align_corners=False)[0]
    np.testing.assert_allclose(found, cv2.resize(x, after[::-1], interpolation=cv2.INTER_LINEAR), atol=2e-6)


@pytest.mark.parametrize("after", [(8, 6), (5, 7), (16, 12), (1, 1), (16, 5)])
def test_area_matches_opencv(after, rng):
    x = rng.uniform(size=(16, 12, 3)).astype(np.float32)
    expected = cv2.resize(x, after[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(ops.downscale_area(jnp.asarray(x[None]), after)[0], expected, atol=2e-6)


@settings(max_examples=8, deadline=None)
@given(
    before=st.tuples(st.sampled_from([1, 4, 9]), st.sampled_from([2, 7])),
    after=st.tuples(st.sampled_from([1, 5, 12]), st.sampled_from([3, 7])),
    align_corners=st.booleans(),
)
def test_resizing_keeps_constants_and_range(before, after, align_corners):
    x = np.random.default_rng(sum(before)).uniform(size=(1, *before, 2)).astype(np.float32)
    constant = ops.resize_bilinear(jnp.full((1, *before, 1), 0.7), after, align_corners=align_corners)
    np.testing.assert_allclose(constant, 0.7, atol=1e-6)
    found = np.asarray(ops.resize_bilinear(jnp.asarray(x), after, align_corners=align_corners))
    assert found.shape == (1, *after, 2)
    assert x.min() - 1e-6 <= found.min() and found.max() <= x.max() + 1e-6


def test_own_size_is_the_same_image(rng):
    x = jnp.asarray(rng.uniform(size=(1, 5, 6, 2)), jnp.float32)
    for align_corners in (False, True):
        np.testing.assert_array_equal(ops.resize_bilinear(x, (5, 6), align_corners=align_corners), x)
    np.testing.assert_array_equal(ops.downscale_area(x, (5, 6)), x)


def test_area_keeps_the_mean(rng):
    x = jnp.asarray(rng.uniform(size=(1, 13, 11, 1)), jnp.float32)
    np.testing.assert_allclose(ops.downscale_area(x, (4, 5)).mean(), x.mean(), atol=1e-6)


def test_bad_sizes_are_named():
    x = jnp.zeros((1, 4, 5, 1))
    with pytest.raises(InputError, match="height is 0"):
        ops.resize_bilinear(x, (0, 5), align_corners=False)
    with pytest.raises(InputError, match="4x5 pixels to 8x5"):
        ops.downscale_area(x, (8, 5))
