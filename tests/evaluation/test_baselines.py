"""Guided-filter fusion and dark-channel dehazing against the papers' formulas, and the baselines' names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.core.errors import InputError
from iassf_jax.evaluation import baselines
from iassf_jax.evaluation.baselines import ALL, fuse_by, guided, remove_haze, uses_dark_channel
from iassf_jax.ops import airlight, dark_channel, guided_filter, transmission, unscatter


@pytest.fixture
def scene(rng):
    """A clear image in which every window has something dark, haze that hides its top, and infrared."""
    clear = np.kron(rng.integers(0, 2, (12, 16, 3)), np.ones((4, 4, 1))) * 200.0
    clear += rng.integers(0, 20, clear.shape)
    t = np.linspace(0.02, 0.9, clear.shape[0])[:, None, None]
    hazy = clear * t + 230 * (1 - t)
    infrared = rng.integers(0, 256, clear.shape[:2])
    return tuple(np.rint(image).astype(np.uint8) for image in (clear, hazy, infrared))


def test_dehazing_is_that_of_the_device_ops(scene):
    """`ops` are tested against the formulas; here the same steps with the window of the filter."""

    @jax.jit
    def by_ops(hazy):
        light = airlight(hazy, dark_channel(hazy))
        grey = (hazy @ jnp.asarray([0.299, 0.587, 0.114]))[..., None]
        refined = guided_filter(grey, transmission(hazy, light), size=61, epsilon=1e-4)
        return jnp.clip(unscatter(hazy, jnp.clip(refined, 0.1, 1.0), light), 0, 1)

    expected = 255 * np.asarray(by_ops(jnp.asarray(scene[1][None] / 255, jnp.float32)))[0]
    np.testing.assert_allclose(remove_haze(scene[1]).astype(float), expected, atol=3)


def test_dehazing_brings_the_clear_image_back_and_leaves_it_alone(scene):
    clear, hazy, _ = (image.astype(float) for image in scene)
    restored = remove_haze(scene[1]).astype(float)
    seen = slice(len(clear) // 3, None)  # rows above, there is less left than the prior gives back
    assert np.abs(restored - clear)[seen].mean() < 0.6 * np.abs(hazy - clear)[seen].mean()
    assert np.abs(remove_haze(scene[0]).astype(float) - clear).mean() < 12


def test_guided_fusion_keeps_a_source_where_the_other_shows_nothing(rng):
    texture = rng.integers(0, 256, (60, 80)).astype(np.uint8)
    flat = np.full((60, 80), 128, np.uint8)
    colour = np.repeat(texture[:, :, None], 3, axis=2)
    # Away from the changes between the sources, the fused image is the textured one.
    assert np.abs(guided(colour, flat).astype(int) - colour).mean() < 3
    assert np.abs(guided(np.repeat(flat[:, :, None], 3, axis=2), texture).astype(int) - colour).mean() < 3
    np.testing.assert_array_equal(guided(colour, texture), colour)


def test_guided_fusion_takes_each_half_from_where_it_shows_something(rng):
    texture = rng.integers(0, 256, (60, 200)).astype(np.uint8)
    left, right = texture.copy(), texture.copy()
    left[:, 100:], right[:, :100] = 128, 128
    fused = guided(np.repeat(left[:, :, None], 3, axis=2), right)[:, :, 0].astype(int)
    assert np.abs(fused - texture)[:, :40].mean() < 10
    assert np.abs(fused - texture)[:, 160:].mean() < 10


def test_filters_of_windows_larger_than_the_image(scene):
    small = scene[1][:20, :18]
    assert remove_haze(small).shape == small.shape
    assert guided(small, scene[2][:20, :18]).shape == small.shape


def test_the_host_filter_is_the_device_filter(rng):
    guide, source = rng.random((2, 30, 40))
    on_device = jax.jit(lambda guide, source: guided_filter(guide, source, size=9, epsilon=1e-3))
    expected = on_device(*(jnp.asarray(x[None, :, :, None], jnp.float32) for x in (guide, source)))
    found = baselines._guided_filter(guide, source, 4, 1e-3)
    np.testing.assert_allclose(found, np.asarray(expected)[0, :, :, 0], atol=2e-5)


def test_names_say_what_is_fused(scene):
    clear, hazy, infrared = scene
    visible = {"": hazy, "restored": clear, "dark_channel": remove_haze(hazy)}
    assert len(ALL) == 12
    for name in ALL:
        assert fuse_by(name, visible, infrared).shape == clear.shape
    np.testing.assert_array_equal(
        fuse_by("restored+maximum", visible, infrared), np.maximum(clear, infrared[:, :, None])
    )
    np.testing.assert_array_equal(
        fuse_by("maximum", visible, infrared), np.maximum(hazy, infrared[:, :, None])
    )
    assert uses_dark_channel(["mean", "dark_channel+mean"])
    assert not uses_dark_channel(["mean", "restored+mean"])
    with pytest.raises(InputError, match="no baseline is called 'median'; there are maximum"):
        baselines.check_names(["mean", "median"])
