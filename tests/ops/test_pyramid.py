"""The Laplacian pyramid against OpenCV's, and its inverse."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.core.errors import InputError
from iassf_jax.ops.pyramid import blur, collapse, expand, laplacian_pyramid, reduce

_pyramid = jax.jit(laplacian_pyramid, static_argnums=1)


@pytest.mark.parametrize("size", [(16, 24), (17, 23)])
def test_reduce_and_expand_are_opencvs(rng, size):
    image = rng.uniform(size=(*size, 3)).astype(np.float32)
    smaller = cv2.pyrDown(image)
    np.testing.assert_allclose(reduce(jnp.asarray(image)[None])[0], smaller, atol=1e-6)
    larger = cv2.pyrUp(smaller, dstsize=(size[1], size[0]))
    inside = np.s_[2:-2, 2:-2]  # OpenCV reflects at the border
    np.testing.assert_allclose(expand(jnp.asarray(smaller)[None], size)[0][inside], larger[inside], atol=1e-6)


def test_blur_is_the_binomial_reflected_at_the_border(rng):
    image = rng.uniform(size=(9, 12, 2)).astype(np.float32)
    taps = np.array([1, 4, 6, 4, 1]) / 16
    expected = cv2.sepFilter2D(image, -1, taps, taps, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(blur(jnp.asarray(image)[None])[0], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (20, 13)])
@pytest.mark.parametrize("times", [2, 8])
def test_blurs_at_once_are_blurs_one_after_another(rng, size, times):
    image = jnp.asarray(rng.uniform(size=(1, *size, 1)), jnp.float32)
    expected = image
    for _ in range(times):
        expected = blur(expected)
    np.testing.assert_allclose(blur(image, times), expected, atol=1e-6)


@pytest.mark.parametrize("size", [(3, 3), (4, 5), (16, 24), (17, 40), (31, 8)])
@pytest.mark.parametrize("levels", [0, 1, 4])
def test_a_pyramid_collapses_to_its_image(rng, size, levels):
    image = jnp.asarray(rng.uniform(size=(1, *size, 2)), jnp.float32)
    pyramid = _pyramid(image, levels)
    assert len(pyramid) == levels + 1
    np.testing.assert_allclose(jax.jit(collapse)(pyramid), image, atol=1e-5)


def test_a_flat_image_has_no_detail():
    *details, rest = _pyramid(jnp.full((1, 13, 18, 1), 0.7), 3)
    assert all(float(jnp.abs(detail).max()) < 1e-6 for detail in details)
    np.testing.assert_allclose(rest, 0.7, rtol=1e-6)


def test_gradients_and_errors():
    image = jnp.asarray(np.random.default_rng(0).uniform(size=(1, 12, 10, 1)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda x: collapse(laplacian_pyramid(x, 2)).sum()))(image)
    np.testing.assert_allclose(gradient, 1.0, atol=1e-5)
    with pytest.raises(InputError, match="12x10 pixels does not expand to 26x20"):
        expand(image, (26, 20))
    with pytest.raises(InputError, match="levels is -1"):
        laplacian_pyramid(image, -1)
    with pytest.raises(InputError, match="times is 0"):
        blur(image, 0)
