"""The rounding of 8-bit images, magnified and smoothed."""

import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import ops
from iassf_jax.core.errors import InputError


def _ramp():
    rows, columns = np.mgrid[0:40, 0:60]
    return jnp.asarray((0.2 + rows / 200 + columns / 400)[None, ..., None] * np.ones(3), jnp.float32)


def _through_8_bits(clear, gain):
    """A gain undoes a veil over `clear` that went through a file."""
    stored = jnp.round((clear / gain + 1.0 - 1.0 / gain) * 255.0) / 255.0
    return stored * gain + 1.0 - gain


def _error(image, clear):
    return float(jnp.sqrt(jnp.square(image - clear).mean()))


@pytest.mark.parametrize("gain", [4.0, 10.0])
def test_smooth_places_lose_the_steps(gain):
    restored = _through_8_bits(_ramp(), gain)
    smoothed = ops.smooth_rounding(restored, jnp.full((1, 1, 1, 1), gain), strength=2.0)
    assert _error(smoothed, _ramp()) < 0.8 * _error(restored, _ramp())
    assert _error(restored, _ramp()) == pytest.approx(gain / 255 / np.sqrt(12), rel=0.1)


def test_detail_above_the_rounding_stays(rng):
    rough = jnp.asarray(rng.uniform(size=(1, 40, 60, 3)), jnp.float32)
    smoothed = ops.smooth_rounding(rough, jnp.full((1, 1, 1, 1), 4.0))
    np.testing.assert_allclose(smoothed, rough, atol=2e-3)


@pytest.mark.parametrize("gain, strength", [(1.0, 5.0), (0.5, 5.0), (6.0, 0.0)])
def test_without_magnified_rounding_nothing_changes(gain, strength):
    smoothed = ops.smooth_rounding(_ramp(), jnp.full((1, 1, 1, 1), gain), strength=strength)
    np.testing.assert_allclose(smoothed, _ramp(), atol=1e-6)


def test_gains_of_channels_count_by_their_squares(rng):
    image = jnp.asarray(0.5 + 0.005 * rng.normal(size=(1, 20, 20, 3)), jnp.float32)
    gains = jnp.asarray([1.0, 5.0, 7.0])[None, None, None]
    together = jnp.full((1, 1, 1, 1), 5.0)  # (1 + 25 + 49) / 3 = 25
    np.testing.assert_allclose(
        ops.smooth_rounding(image, gains), ops.smooth_rounding(image, together), atol=1e-6
    )


def test_a_negative_strength_is_named():
    with pytest.raises(InputError, match="strength is -1"):
        ops.smooth_rounding(_ramp(), jnp.ones((1, 1, 1, 1)), strength=-1)
