"""BT.601 conversions against the published matrix, Pillow and OpenCV."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iassf_jax import ops

# ITU-T T.871 (JFIF), section 7, six decimals.
JFIF = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def test_matches_the_published_matrix(rng):
    rgb = rng.uniform(size=(2, 6, 7, 3))
    expected = np.einsum("bhwc,dc->bhwd", rgb, JFIF) + [0, 0.5, 0.5]
    np.testing.assert_allclose(ops.rgb_to_ycbcr(jnp.asarray(rgb, jnp.float32)), expected, atol=2e-6)


def test_matches_pillow_to_one_level(rng):
    rgb = rng.integers(0, 256, (32, 32, 3), np.uint8)
    found = 255 * np.asarray(ops.rgb_to_ycbcr(jnp.asarray(rgb[None] / np.float32(255))))[0]
    # Pillow truncates in places, and its centre is level 128, ours 127.5.
    expected = np.asarray(Image.fromarray(rgb).convert("YCbCr"), np.float64) - [0, 0.5, 0.5]
    assert np.abs(found - expected).max() <= 1.01


def test_gray_matches_opencv(rng):
    rgb = rng.uniform(size=(9, 8, 3)).astype(np.float32)
    found = ops.rgb_to_gray(jnp.asarray(rgb[None]))[0, :, :, 0]
    np.testing.assert_allclose(found, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_mean_of_channels(rng, channels):
    image = rng.uniform(size=(2, 5, 4, channels))
    found = ops.channel_mean(jnp.asarray(image, jnp.float32))
    np.testing.assert_allclose(found, image.mean(axis=3, keepdims=True), rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(pixel=st.tuples(*[st.floats(0, 1, width=32)] * 3))
def test_round_trip_and_range(pixel):
    rgb = jnp.asarray(pixel, jnp.float32).reshape(1, 1, 1, 3)
    ycbcr = ops.rgb_to_ycbcr(rgb)
    assert -1e-6 <= float(ycbcr.min()) and float(ycbcr.max()) <= 1 + 1e-6
    np.testing.assert_allclose(ops.ycbcr_to_rgb(ycbcr), rgb, atol=1e-6)


@pytest.mark.parametrize(
    "rgb, ycbcr",
    [
        ((0, 0, 0), (0, 0.5, 0.5)),
        ((1, 1, 1), (1, 0.5, 0.5)),
        ((0, 0, 1), (0.114, 1, 0.418688)),
        ((1, 0, 0), (0.299, 0.331264, 1)),
    ],
)
def test_corners_of_the_cube(rgb, ycbcr):
    found = ops.rgb_to_ycbcr(jnp.asarray(rgb, jnp.float32).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(found.ravel(), ycbcr, atol=1e-6)
