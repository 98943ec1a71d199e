"""Degradations: what they do to images, on what they depend, and the pairs made of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data_pipelines.degradations import DEGRADATIONS, degrade, restoration_pairs
from data_pipelines.degradations.resolution import reduce_resolution
from data_pipelines.haze import Preset
from data_pipelines.haze.draws import OneOf
from iassf_jax.core.errors import InputError
from iassf_jax.text import TASKS

KEY = jax.random.key(0)
NAMES = tuple(name for name in DEGRADATIONS if name != "PD")


def pictures(count=2, height=24, width=32, channels=3):
    """Smooth gradients with texture, well inside [0,1]."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0.25, 0.75, width)[None, None, :, None]
    return jnp.asarray(ramp + rng.uniform(-0.2, 0.2, (count, height, width, channels)), jnp.float32)


@functools.cache
def made(name, typical=False):
    """Each degradation is compiled once."""
    # One kind of pseudo-depth compiles in a fraction of the time of all of them.
    options = {"typical": typical, "pseudo_depth": "radial"}
    function = jax.jit(lambda key, clean, ids: degrade(key, clean, name, examples=ids, **options))
    return lambda key, clean, ids=(0, 1): function(key, clean, jnp.asarray(ids))


@pytest.mark.parametrize("name", NAMES)
def test_results_are_eight_bit_images_that_depend_on_key_and_example_alone(name):
    clean = pictures()
    first = made(name)(KEY, clean)
    assert first.shape == clean.shape
    assert first.min() >= 0
    assert first.max() <= 1
    np.testing.assert_allclose(first * 255, np.round(first * 255), atol=1e-4)
    assert np.abs(first - clean).mean() > 0.01
    np.testing.assert_array_equal(first, made(name)(KEY, clean))
    np.testing.assert_allclose(made(name)(KEY, clean[::-1], (1, 0))[::-1], first, atol=1 / 254)
    if not name.startswith("SR"):
        assert np.abs(first - made(name)(jax.random.key(1), clean)).max() > 0.02


def test_nothing_wrong_is_the_identity():
    np.testing.assert_array_equal(degrade(KEY, pictures(), "PD"), pictures())


def test_haze_that_lets_all_light_through_is_the_identity():
    clear = Preset("none", "relative", OneOf((0.0,)), OneOf((0.8,)))
    function = jax.jit(lambda key: degrade(key, pictures(), "HZ", haze=clear, pseudo_depth="plane"))
    np.testing.assert_allclose(function(KEY), pictures(), atol=0.51 / 255)


def test_typical_strengths_are_the_middle_of_their_ranges():
    clean = pictures()
    over = made("OE", typical=True)(KEY, clean)
    expected = np.minimum(clean**2.2 * 2.0**1.5, 1.0) ** (1 / 2.2)
    np.testing.assert_allclose(over, expected, atol=0.51 / 255)
    flat = made("LC", typical=True)(KEY, clean)
    np.testing.assert_allclose(flat.mean((1, 2, 3)), clean.mean((1, 2, 3)), atol=2e-3)
    # 0.425 of the contrast, and noise of deviation 0.005
    variance = (0.425 * np.std(clean, axis=(1, 2, 3))) ** 2 + 0.005**2
    np.testing.assert_allclose(np.std(flat, axis=(1, 2, 3)), np.sqrt(variance), rtol=0.02)


def test_low_light_keeps_between_a_quarter_and_a_thirty_second_of_the_light():
    clean = jnp.full((64, 8, 8, 3), 0.8)
    dark = jax.jit(lambda key: degrade(key, clean, "LL"))(KEY)
    # undo the extra tone exponent of 1 to 1.5: it only darkens
    light = np.asarray(dark, np.float64).mean((1, 2, 3)) ** 2.2 / 0.8**2.2
    assert light.max() < 2.0**-1.9
    assert light.max() > 2.0**-3.5
    assert light.min() > 2.0**-9


@pytest.mark.parametrize("factor", [4, 8])
def test_low_resolution_has_no_fine_detail(factor):
    rng = np.random.default_rng(0)
    noise = jnp.asarray(rng.normal(size=(1, 64, 64, 1)), jnp.float32)
    energy = np.abs(np.fft.fft2(np.asarray(reduce_resolution(noise, factor))[0, ..., 0])) ** 2
    frequency = np.abs(np.fft.fftfreq(64))
    fine = (frequency[:, None] > 0.5 / factor * 1.3) | (frequency[None, :] > 0.5 / factor * 1.3)
    coarse = (frequency[:, None] < 0.15 / factor) & (frequency[None, :] < 0.15 / factor)
    assert energy[fine].mean() < 0.01 * energy[coarse].mean()
    even = jnp.full((1, 21, 30, 1), 0.3)
    np.testing.assert_allclose(reduce_resolution(even, factor), even, atol=1e-6)
    # A slow wave survives where it is.
    wave = jnp.sin(2 * jnp.pi * jnp.arange(64.0) / 64)[None, :, None, None]
    kept = reduce_resolution(jnp.tile(wave, (1, 1, 64, 1)), factor)
    np.testing.assert_allclose(kept[0, 8:-8, 0, 0], wave[0, 8:-8, 0, 0], atol=0.12)


def test_pairs_have_one_degradation_of_the_right_image_each():
    visible, infrared = pictures(6), pictures(6, channels=1)
    names = ("LC", "SR4", "OE")
    chosen = jnp.asarray([0, 1, 2, 2, 1, 0])
    function = jax.jit(lambda key: restoration_pairs(key, visible, infrared, names=names, chosen=chosen))
    pairs = function(KEY)
    np.testing.assert_array_equal(pairs.degradation, chosen)
    np.testing.assert_array_equal(pairs.modality, [1, 1, 0, 0, 1, 1])
    thermal = jnp.tile(infrared, (1, 1, 1, 3))
    for i, (name, modality) in enumerate(zip(chosen, pairs.modality, strict=True)):
        source = thermal if modality else visible
        np.testing.assert_array_equal(pairs.clean[i], source[i])
        alone = made(names[name])(KEY, source[i : i + 1, ..., :1] if modality else source[i : i + 1], (i,))
        np.testing.assert_allclose(pairs.degraded[i], jnp.broadcast_to(alone[0], (24, 32, 3)), atol=1 / 254)


def test_pairs_are_drawn_by_their_shares_and_some_are_left_alone():
    visible, infrared = jnp.full((600, 8, 8, 3), 0.7), jnp.full((600, 8, 8, 1), 0.2)
    function = jax.jit(
        lambda key, shares: restoration_pairs(
            key, visible, infrared, names=("PD", "OE", "SR4"), shares=shares, untouched=0.1
        ),
        static_argnums=1,
    )
    for shares, expected in ((None, (0.3, 0.3, 0.3)), ((0.5, 0.25, 0.25), (0.45, 0.225, 0.225))):
        pairs = function(KEY, shares)
        counted = np.bincount(pairs.degradation, minlength=4) / 600
        np.testing.assert_allclose(counted, [*expected, 0.1], atol=0.07)
    alone = pairs.degradation == 3
    np.testing.assert_allclose(pairs.degraded[alone], 0.2, atol=1e-6)
    np.testing.assert_array_equal(pairs.degraded[alone], pairs.clean[alone])
    assert (np.asarray(pairs.modality)[alone] == 1).all()


def test_impossible_names_are_errors():
    with pytest.raises(InputError, match="no degradation 'NOISE'; there are LC"):
        degrade(KEY, pictures(), "NOISE")
    with pytest.raises(InputError, match="no degradations are named"):
        restoration_pairs(KEY, pictures(), pictures(), names=())


def test_the_text_side_knows_the_same_tasks():
    by_task = {name[:2]: degradation for name, degradation in DEGRADATIONS.items()}
    assert set(by_task) == set(TASKS)
    assert {name: d.modality for name, d in by_task.items()} == {n: t.modality for n, t in TASKS.items()}
