"""Sobel responses against SciPy in float64."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate2d

from iassf_jax import ops

# Compiled, because running each step of each size on its own is slow; eager runs are compared elsewhere.
sobel = jax.jit(ops.sobel)
magnitude_of = jax.jit(ops.sobel_magnitude_l1)

SX = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SY = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])


def _correlated(x, kernel):
    images = [[correlate2d(x[b, :, :, c], kernel, "same") for c in range(x.shape[3])] for b in range(len(x))]
    return np.moveaxis(np.array(images), 1, -1)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (2, 3), (9, 8)])
def test_matches_scipy_with_zero_padding(size, rng):
    x = rng.uniform(size=(2, *size, 3))
    gx, gy = sobel(jnp.asarray(x, jnp.float32))
    expected_x, expected_y = _correlated(x, SX), _correlated(x, SY)
    np.testing.assert_allclose(gx, expected_x, atol=2e-6)
    np.testing.assert_allclose(gy, expected_y, atol=2e-6)
    magnitude = magnitude_of(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(magnitude, np.abs(expected_x) + np.abs(expected_y), atol=4e-6)


def test_matches_opencv_inside(rng):
    x = rng.uniform(size=(12, 10)).astype(np.float32)
    gx, gy = (np.asarray(g)[0, 1:-1, 1:-1, 0] for g in sobel(jnp.asarray(x[None, :, :, None])))
    np.testing.assert_allclose(gx, cv2.Sobel(x, cv2.CV_32F, 1, 0)[1:-1, 1:-1], atol=2e-6)
    np.testing.assert_allclose(gy, -cv2.Sobel(x, cv2.CV_32F, 0, 1)[1:-1, 1:-1], atol=2e-6)


def test_ramps_give_eight_times_their_slope():
    rows, columns = np.indices((6, 7)).astype(np.float32)
    gx, gy = sobel(jnp.asarray(0.1 * columns - 0.2 * rows)[None, :, :, None])
    np.testing.assert_allclose(gx[0, 1:-1, 1:-1, 0], 0.8, atol=1e-5)
    np.testing.assert_allclose(gy[0, 1:-1, 1:-1, 0], 1.6, atol=1e-5)


def test_flat_images_have_a_response_at_the_border_only():
    magnitude = magnitude_of(jnp.ones((1, 5, 6, 1)))[0, :, :, 0]
    assert not magnitude[1:-1, 1:-1].any()
    assert magnitude[0, 0] == 6 and magnitude[0, 2] == 4


def test_gradient_of_the_magnitude_is_the_transpose_of_the_signs(rng):
    x = rng.normal(size=(1, 7, 6, 1))
    weights = rng.normal(size=(1, 7, 6, 1))
    gradient = jax.grad(lambda image: jnp.sum(magnitude_of(image) * jnp.asarray(weights, jnp.float32)))(
        jnp.asarray(x, jnp.float32)
    )
    expected = sum(
        _correlated(np.sign(_correlated(x, kernel)) * weights, kernel[::-1, ::-1]) for kernel in (SX, SY)
    )
    np.testing.assert_allclose(gradient, expected, atol=1e-5)
