"""Atmospheric scattering: known values, round trips, limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax import ops
from iassf_jax.core.errors import InputError

SHAPE = (2, 5, 6, 3)


def test_scatter_by_hand():
    clear = jnp.asarray([0.2, 0.6, 1.0]).reshape(1, 1, 1, 3)
    light = jnp.asarray([1.0, 0.8, 0.6]).reshape(1, 1, 1, 3)
    hazy = ops.scatter(clear, jnp.full((1, 1, 1, 1), 0.25), light)
    np.testing.assert_allclose(hazy.ravel(), [0.8, 0.75, 0.7], atol=1e-7)


@pytest.mark.parametrize("map_shape", [(2, 5, 6, 1), (2, 1, 1, 1), (2, 5, 6, 3)])
def test_scatter_broadcasts_maps_over_channels_and_pixels(map_shape, rng):
    clear, t, light = rng.uniform(size=SHAPE), rng.uniform(size=map_shape), rng.uniform(size=(2, 1, 1, 3))
    found = ops.scatter(*(jnp.asarray(array, jnp.float32) for array in (clear, t, light)))
    np.testing.assert_allclose(found, light + t * (clear - light), atol=1e-6)


def test_limits_are_the_clear_image_and_the_airlight(rng):
    clear = jnp.asarray(rng.uniform(size=SHAPE), jnp.float32)
    light = jnp.full((2, 1, 1, 3), 0.9)
    np.testing.assert_array_equal(ops.scatter(clear, jnp.ones((2, 1, 1, 1)), light), clear)
    np.testing.assert_array_equal(
        ops.scatter(clear, jnp.zeros((2, 1, 1, 1)), light), jnp.broadcast_to(light, SHAPE)
    )


@settings(max_examples=20, deadline=None)
@given(t=st.floats(0.1, 1), light=st.floats(0, 1), seed=st.integers(0, 99))
def test_unscatter_inverts_scatter(t, light, seed):
    clear = jnp.asarray(np.random.default_rng(seed).uniform(size=SHAPE), jnp.float32)
    transmission = jnp.full((2, 5, 6, 1), t, jnp.float32)
    airlight = jnp.full((2, 1, 1, 3), light, jnp.float32)
    restored = ops.unscatter(ops.scatter(clear, transmission, airlight), transmission, airlight)
    np.testing.assert_allclose(restored, clear, atol=3e-6)


def test_gain_is_limited_in_thick_haze():
    hazy, light = jnp.full((1, 1, 1, 3), 0.7), jnp.full((1, 1, 1, 3), 0.8)
    for t in (0.0, 0.2):
        restored = ops.unscatter(hazy, jnp.full((1, 1, 1, 1), t), light, minimum_transmission=0.2)
        np.testing.assert_allclose(restored, 0.3, atol=1e-6)


@pytest.mark.parametrize("beta", [0.7, 1, jnp.asarray(0.7), jnp.asarray([0.2, 1.3]).reshape(2, 1, 1, 1)])
def test_transmission_from_depth(beta, rng):
    depth = rng.uniform(0, 5, (2, 5, 6, 1))
    found = ops.transmission_from_depth(jnp.asarray(depth, jnp.float32), beta)
    np.testing.assert_allclose(found, np.exp(-np.asarray(beta, np.float64) * depth), rtol=2e-6)


def test_transmission_of_the_camera_and_the_sky():
    depth = jnp.asarray([0.0, jnp.inf]).reshape(1, 1, 2, 1)
    assert ops.transmission_from_depth(depth, 0.5).ravel().tolist() == [1.0, 0.0]


def test_transmissions_of_consecutive_layers_multiply(rng):
    near, far = (jnp.asarray(rng.uniform(size=(1, 4, 4, 1)), jnp.float32) for _ in range(2))
    product = ops.transmission_from_depth(near, 1.2) * ops.transmission_from_depth(far, 1.2)
    np.testing.assert_allclose(ops.transmission_from_depth(near + far, 1.2), product, rtol=1e-6)


def test_gradients_are_the_partial_derivatives(rng):
    clear, t, light = (jnp.asarray(rng.uniform(0.2, 1, SHAPE), jnp.float32) for _ in range(3))
    for_clear, for_t, for_light = jax.grad(lambda *args: ops.scatter(*args).sum(), (0, 1, 2))(clear, t, light)
    np.testing.assert_allclose(for_clear, t, atol=1e-6)
    np.testing.assert_allclose(for_t, clear - light, atol=1e-6)
    np.testing.assert_allclose(for_light, 1 - t, atol=1e-6)


def test_bad_minimum_is_named():
    x = jnp.ones((1, 1, 1, 1))
    for minimum in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="minimum_transmission"):
            ops.unscatter(x, x, x, minimum_transmission=minimum)
