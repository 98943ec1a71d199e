"""Hazes of three numbers: recognised, inverted, and left alone where they are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.haze import synthesize
from data_pipelines.haze.released import released_haze
from iassf_jax import models
from iassf_jax.core.errors import ConfigError
from iassf_jax.models.haze_laws import HAZE_LAWS, explain, fit_law, invert
from iassf_jax.ops import downscale_area, scatter

SIZE, REDUCED = (120, 160), (48, 64)
LAWS = ("flat", "wave")
fit_wave = jax.jit(lambda hazy, restored: fit_law(HAZE_LAWS["wave"], hazy, restored, frame=SIZE))
explained = jax.jit(lambda hazy, restored: explain(hazy, restored, laws=LAWS, size=SIZE))


def _scene(seed=0):
    """Smooth and rough places, dark and bright ones."""
    rng = np.random.default_rng(seed)
    coarse = jax.image.resize(
        jnp.asarray(rng.uniform(size=(1, 5, 6, 3)), jnp.float32), (1, *SIZE, 3), "cubic"
    )
    return jnp.clip(0.7 * coarse + 0.2 * jnp.asarray(rng.uniform(size=(1, *SIZE, 3)), jnp.float32), 0.0, 1.0)


def _released(clear, k, c, airlight):
    return released_haze(clear, *(jnp.asarray([value], jnp.float32) for value in (k, c, airlight)))


def _reduce(*images):
    return tuple(downscale_area(image, REDUCED) for image in images)


@settings(max_examples=15, deadline=None)
@given(k=st.floats(0.3, 1.25), c=st.floats(0.41, 0.59), airlight=st.floats(0.27, 0.6))
def test_the_numbers_of_the_released_haze_are_found(k, c, airlight):
    clear = _scene()
    (hazy, restored) = _reduce(_released(clear, k, c, airlight), clear)
    found = fit_wave(hazy[0], restored[0])
    np.testing.assert_allclose(found, (k, c, airlight), atol=0.02)


def test_errors_of_the_network_that_no_law_explains_cancel():
    """What is 8 % too bright in one half and too dark in the other comes out right."""
    clear = _scene()
    hazy = _released(clear, 0.8, 0.5, 0.4)
    small_hazy, small = _reduce(hazy, clear)
    wrong = small + 0.08 * jnp.sign(jnp.linspace(-1.0, 1.0, REDUCED[1]))[None, None, :, None]
    law = explained(small_hazy, wrong)
    error = np.abs(law.gain * hazy + law.offset - clear).mean()
    assert error < 0.03 < 0.08
    assert float(law.trust.squeeze()) < 1.0  # all the same, so large an error is half refused
    assert float(explained(small_hazy, small).trust.squeeze()) == 1.0


def test_a_clear_image_stays_exactly_what_it_is():
    clear = _scene()
    noise = 0.01 * jax.random.normal(jax.random.key(0), (1, *REDUCED, 3))
    (small,) = _reduce(clear)
    law = explained(small, 0.99 * small + 0.005 + noise)  # of less contrast, as no haze leaves it
    np.testing.assert_array_equal(law.gain, jnp.ones((1, *SIZE, 1)))
    np.testing.assert_array_equal(law.offset, jnp.zeros((1, *SIZE, 1)))
    assert float(law.trust.squeeze()) == 1.0


@pytest.mark.parametrize("t, airlight", [(0.8, 0.7), (0.5, 0.9), (0.3, 1.0)])
def test_an_even_veil_is_taken_away(t, airlight):
    clear = _scene()
    hazy = scatter(clear, jnp.full((1, 1, 1, 1), t), jnp.full((1, 1, 1, 1), airlight))
    law = explained(*_reduce(hazy, clear))
    np.testing.assert_allclose(law.gain * hazy + law.offset, clear, atol=0.01)


def test_haze_that_follows_the_depth_is_left_to_the_network():
    clear = _scene()
    for preset in ("reside_ots", "physical", "mioir"):
        hazy = synthesize(jax.random.key(3), clear, preset)
        law = explained(*_reduce(hazy, clear))
        assert float(law.trust.squeeze()) == 0.0, preset


@pytest.mark.parametrize("name", sorted(HAZE_LAWS))
def test_the_inverse_undoes_the_law(name):
    law = HAZE_LAWS[name]
    sine, clear = jnp.linspace(-1.0, 1.0, 33), jnp.linspace(0.0, 1.0, 33)[::-1]
    for k, c, airlight in (law.lowest, law.highest):
        t = jnp.exp(-k * (1 + c * sine))
        hazy = law.squeeze * (clear * t + airlight * (1 - t)) + law.base
        gain, offset = invert(law, jnp.asarray([k, c, airlight]), sine)
        np.testing.assert_allclose(gain * hazy + offset, clear, atol=2e-5)


def test_each_image_of_a_batch_is_explained_on_its_own():
    clear = jnp.concatenate([_scene(0), _scene(1)])
    hazy = jnp.concatenate([_released(clear[:1], 0.6, 0.45, 0.3), 0.6 * clear[1:] + 0.4 * 0.8])
    small_hazy, small = _reduce(hazy, clear)
    both = explained(small_hazy, small)
    for i in range(2):
        alone = explained(small_hazy[i : i + 1], small[i : i + 1])
        np.testing.assert_allclose(both.gain[i], alone.gain[0], rtol=1e-5)
        np.testing.assert_allclose(both.offset[i], alone.offset[0], atol=1e-5)


def test_gradients_are_those_of_the_fit():
    """A brighter restored image is explained by a lower airlight: by differences and by differentiation."""
    small_hazy, small = _reduce(_released(_scene(), 0.8, 0.5, 0.45), _scene())
    texture = jnp.asarray(np.random.default_rng(5).normal(size=small.shape), jnp.float32)

    def numbers(share):
        return fit_wave(small_hazy[0], (small + share * texture)[0])

    _, slope = jax.jvp(numbers, (jnp.float32(0.0),), (jnp.float32(1.0),))
    differences = (numbers(jnp.float32(0.2)) - numbers(jnp.float32(-0.2))) / 0.4
    np.testing.assert_allclose(slope, differences, rtol=0.1, atol=2e-3)
    assert np.abs(slope).max() > 1e-3


def test_an_unknown_law_is_named():
    with pytest.raises(ConfigError, match="haze_laws has 'waves'; there are flat, wave"):
        models.create("iassf_lite", haze_laws=("waves",))
