"""The guided filter against a ridge regression in every window, in float64."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax import ops
from iassf_jax.core.errors import InputError

# Compiled, because running each step of each size on its own is slow; eager runs are compared elsewhere.
guided_filter = jax.jit(ops.guided_filter, static_argnames=("size", "epsilon"))


def _by_regression(guide, source, size, epsilon):
    """He's definition: in each window minimise sum (a g + b - s)^2 + epsilon a^2, then average a and b."""
    before, after = size // 2, (size - 1) // 2
    pads = ((before, after), (before, after))
    wide_guide, wide_source = (np.pad(image, pads, mode="reflect") for image in (guide, source))
    coefficients = np.zeros((2, *guide.shape))
    for y in range(guide.shape[0]):
        for x in range(guide.shape[1]):
            g = wide_guide[y : y + size, x : x + size].ravel()
            s = wide_source[y : y + size, x : x + size].ravel()
            design = np.vstack([np.stack([g, np.ones_like(g)], 1), [[np.sqrt(epsilon * g.size), 0]]])
            coefficients[:, y, x] = np.linalg.lstsq(design, np.append(s, 0), rcond=None)[0]
    wide = [np.pad(image, pads, mode="reflect") for image in coefficients]
    slope, intercept = (
        np.lib.stride_tricks.sliding_window_view(image, (size, size)).mean(axis=(-2, -1)) for image in wide
    )
    return slope * guide + intercept


@pytest.mark.parametrize("size, epsilon", [(3, 1e-2), (4, 1e-3), (7, 1e-4), (20, 1e-2)])
def test_is_the_average_of_local_regressions(size, epsilon, rng):
    guide, source = rng.uniform(size=(2, 9, 11))
    found = guided_filter(
        jnp.asarray(guide[None, :, :, None], jnp.float32),
        jnp.asarray(source[None, :, :, None], jnp.float32),
        size=size,
        epsilon=epsilon,
    )
    np.testing.assert_allclose(found[0, :, :, 0], _by_regression(guide, source, size, epsilon), atol=2e-5)


def _float64(guide, source, size, epsilon):
    def box(image):
        return cv2.blur(image, (size, size), borderType=cv2.BORDER_REFLECT_101)

    variance = box(guide * guide) - box(guide) ** 2
    slope = (box(guide * source) - box(guide) * box(source)) / (variance + epsilon)
    return box(slope) * guide + box(box(source) - slope * box(guide))


def _steps(shape):
    return (0.2 + 0.6 * (np.indices(shape).sum(0) // 40 % 2)).astype(np.float32)


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_is_accurate_in_float32_on_a_nearly_flat_bright_image(level, rng):
    # The variance (1e-4) is a ten-thousandth of the mean square: the shift by the mean keeps its digits.
    smooth = cv2.GaussianBlur(rng.normal(size=(480, 640)), (0, 0), 6)
    guide = np.clip(level + 0.01 * smooth / smooth.std(), 0, 1).astype(np.float32)
    source = _steps(guide.shape)
    found = guided_filter(
        jnp.asarray(guide[None, :, :, None]), jnp.asarray(source[None, :, :, None]), size=60, epsilon=1e-4
    )
    expected = _float64(guide.astype(np.float64), source.astype(np.float64), 60, 1e-4)
    assert np.abs(np.asarray(found)[0, :, :, 0] - expected).max() < 1e-5


@settings(max_examples=12, deadline=None)
@given(level=st.floats(0, 1, width=32), size=st.sampled_from([1, 4, 5, 14]), seed=st.integers(0, 99))
def test_constant_sources_stay_constant(level, size, seed):
    guide = jnp.asarray(np.random.default_rng(seed).uniform(size=(1, 6, 9, 2)), jnp.float32)
    source = jnp.full((1, 6, 9, 2), level, jnp.float32)
    np.testing.assert_allclose(guided_filter(guide, source, size=size, epsilon=1e-4), source, atol=1e-6)


def test_is_linear_in_the_source(rng):
    guide, first, second = (jnp.asarray(rng.uniform(size=(1, 8, 9, 1)), jnp.float32) for _ in range(3))

    def smooth(source):
        return guided_filter(guide, source, size=5, epsilon=1e-3)

    np.testing.assert_allclose(smooth(2 * first - second), 2 * smooth(first) - smooth(second), atol=1e-5)


def test_flat_guide_gives_the_twice_averaged_source(rng):
    source = jnp.asarray(rng.uniform(size=(2, 8, 9, 1)), jnp.float32)
    for level in (0.0, 1.0):
        found = guided_filter(jnp.full(source.shape, level), source, size=4, epsilon=1e-4)
        np.testing.assert_allclose(found, ops.box_mean(ops.box_mean(source, 4), 4), atol=1e-6)


def test_small_epsilon_keeps_edges_and_large_epsilon_blurs_them():
    step = jnp.where(jnp.arange(16) < 8, 0.0, 1.0)[None, None, :, None] * jnp.ones((1, 16, 1, 1))
    sharp = guided_filter(step, step, size=7, epsilon=1e-6)
    blurred = guided_filter(step, step, size=7, epsilon=10.0)
    np.testing.assert_allclose(sharp, step, atol=1e-4)
    assert float(jnp.abs(blurred[0, 0, 8, 0] - blurred[0, 0, 7, 0])) < 0.3


def test_gradient_matches_finite_differences(rng):
    guide, source, direction = (rng.uniform(size=(1, 6, 7, 1)) for _ in range(3))
    weights = rng.normal(size=(6, 7))

    def total(g):
        return np.sum(weights * _float64(g[0, :, :, 0], source[0, :, :, 0], 5, 1e-2))

    expected = (total(guide + 1e-5 * direction) - total(guide - 1e-5 * direction)) / 2e-5
    single = [jnp.asarray(array, jnp.float32) for array in (guide, source, weights[None, :, :, None])]
    gradient = jax.grad(lambda g: jnp.sum(single[2] * guided_filter(g, single[1], size=5, epsilon=1e-2)))(
        single[0]
    )
    np.testing.assert_allclose(np.sum(gradient * direction.astype(np.float32)), expected, rtol=2e-3)


def test_bad_arguments_are_named():
    x = jnp.zeros((1, 4, 5, 1))
    for epsilon in (0.0, float("nan")):
        with pytest.raises(InputError, match="epsilon"):
            guided_filter(x, x, size=3, epsilon=epsilon)
    with pytest.raises(InputError, match="size is 0"):
        guided_filter(x, x, size=0, epsilon=1e-3)
