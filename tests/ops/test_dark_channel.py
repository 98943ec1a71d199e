"""Dark channel, airlight and transmission by explicit loops, and on a scene whose haze is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax import ops
from iassf_jax.core.errors import InputError


def _jax(array):
    return jnp.asarray(array, jnp.float32)


@pytest.mark.parametrize("window", [1, 4, 5, 40])
def test_dark_channel_by_loops(window, rng):
    image = rng.uniform(size=(2, 9, 7, 3)).astype(np.float32)
    expected = np.empty((2, 9, 7, 1))
    before, after = window // 2, (window + 1) // 2
    for y in range(9):
        for x in range(7):
            rows, columns = (slice(max(k - before, 0), k + after) for k in (y, x))
            expected[:, y, x, 0] = image[:, rows, columns].min(axis=(1, 2, 3))
    np.testing.assert_array_equal(ops.dark_channel(_jax(image), window=window), expected)


@pytest.mark.parametrize("fraction, count", [(1e-3, 1), (0.02, 2), (0.29, 29), (1, 100), (1.0, 100)])
def test_airlight_is_the_mean_of_the_haziest_pixels(fraction, count, rng):
    image = rng.uniform(size=(3, 10, 10, 3))
    dark = rng.permuted(np.tile(np.arange(100.0), (3, 1)), axis=1).reshape(3, 10, 10, 1)
    expected = [image[b][dark[b, :, :, 0] >= 100 - count].mean(axis=0) for b in range(3)]
    found = ops.airlight(_jax(image), _jax(dark), fraction=fraction)
    assert found.shape == (3, 1, 1, 3)
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-6)


def test_airlight_gradient_is_shared_by_the_chosen_pixels(rng):
    image, dark = _jax(rng.uniform(size=(1, 10, 10, 3))), _jax(rng.permutation(100.0 * np.arange(100)))
    dark = dark.reshape(1, 10, 10, 1)
    gradient = jax.grad(lambda x: ops.airlight(x, dark, fraction=0.05).sum())(image)
    chosen = np.argsort(dark.ravel())[-5:]
    np.testing.assert_allclose(gradient.reshape(100, 3)[chosen], 0.2, rtol=1e-6)
    np.testing.assert_allclose(gradient.sum(), 3, rtol=1e-6)


def test_transmission_formula(rng):
    image, light = rng.uniform(size=(2, 8, 9, 3)), rng.uniform(0.5, 1, (2, 1, 1, 3))
    found = ops.transmission(_jax(image), _jax(light), window=1, omega=0.8)
    np.testing.assert_allclose(found, 1 - 0.8 * (image / light).min(axis=3, keepdims=True), atol=1e-6)


def test_transmission_of_pure_haze_and_of_black():
    light = jnp.full((1, 1, 1, 3), 0.8)
    np.testing.assert_allclose(ops.transmission(jnp.full((1, 20, 20, 3), 0.8), light), 0.05, atol=1e-6)
    np.testing.assert_array_equal(ops.transmission(jnp.zeros((1, 20, 20, 3)), light), 1)
    np.testing.assert_array_equal(ops.transmission(jnp.zeros((1, 20, 20, 3)), 0 * light), 1)


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.25, 4, width=32), seed=st.integers(0, 99))
def test_transmission_does_not_depend_on_exposure(scale, seed):
    image = _jax(np.random.default_rng(seed).uniform(size=(1, 8, 9, 3)))
    light = jnp.full((1, 1, 1, 3), 0.7)
    transmission = jax.jit(lambda x, a: ops.transmission(x, a, window=3))
    found = transmission(image * scale, light * scale)
    np.testing.assert_allclose(found, transmission(image, light), atol=1e-5)


def test_prior_recovers_haze_over_a_scene_with_dark_pixels(rng):
    # Each 5x5 window of the scene holds a black pixel, so the prior holds exactly; omega = 1 gives t itself.
    clear = rng.uniform(0.2, 0.9, (1, 40, 40, 3))
    clear[:, ::3, ::3] = 0
    light = np.array([0.8, 0.85, 0.9]).reshape(1, 1, 1, 3)
    hazy = ops.scatter(_jax(clear), jnp.full((1, 1, 1, 1), 0.4), _jax(light))
    found = ops.transmission(hazy, _jax(light), window=5, omega=1.0)
    np.testing.assert_allclose(found, 0.4, atol=1e-6)
    restored = ops.unscatter(hazy, found, _jax(light))
    np.testing.assert_allclose(restored, clear, atol=2e-6)


def test_refinement_is_the_guided_filter(rng):
    raw, guide = _jax(rng.uniform(size=(1, 12, 13, 1))), _jax(rng.uniform(size=(1, 12, 13, 1)))
    expected = jax.jit(lambda g, t: ops.guided_filter(g, t, size=60, epsilon=1e-4))(guide, raw)
    np.testing.assert_array_equal(jax.jit(ops.refine_transmission)(raw, guide), expected)


def test_refinement_moves_a_blocky_step_to_the_edge_of_the_guide():
    columns = jnp.arange(48)[None, None, :, None] * jnp.ones((1, 48, 1, 1), jnp.int32)
    guide = jnp.where(columns < 24, 0.2, 0.8)
    blocky = jnp.where(columns < 31, 0.9, 0.3)  # the dark channel of a 15 pixel window is 7 pixels off
    refined = jax.jit(lambda t, g: ops.refine_transmission(t, g, size=30))(blocky, guide)[0, 24, :, 0]
    assert int(jnp.argmax(jnp.abs(jnp.diff(refined)))) == 23


def test_bad_arguments_are_named():
    image = jnp.zeros((1, 4, 5, 3))
    for fraction in (0.0, 1.5, float("nan")):
        with pytest.raises(InputError, match="fraction"):
            ops.airlight(image, jnp.zeros((1, 4, 5, 1)), fraction=fraction)
    with pytest.raises(InputError, match="size is 0"):
        ops.dark_channel(image, window=0)
    with pytest.raises(InputError, match="minimum_airlight is 0"):
        ops.transmission(image, jnp.ones((1, 1, 1, 3)), minimum_airlight=0)
