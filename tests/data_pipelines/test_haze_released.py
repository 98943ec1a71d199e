"""The released haze: its formula, the fit that inverts it, and its agreement with the authors' files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.decode import read_visible
from data_pipelines.haze import fit_released, released_haze

haze = jax.jit(released_haze)


def _scalars(*values):
    return [jnp.asarray([value], jnp.float32) for value in values]


def _formula(clear, k, c, a):
    """The file's values by the letter: truncated to 8 bits."""
    height, width = clear.shape[:2]
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    t = np.exp(-k * (1 + c * np.sin(2 * np.pi * (x + y) / (width + height))))[..., None]
    h = clear / 255 * t + a * (1 - t)
    return np.floor(255 * (h / 2 + 0.5))


def _clear(seed, height=40, width=56):
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 256, (height // 8, width // 8, 3)), np.ones((8, 8, 1), int)).astype(
        np.uint8
    )


def test_the_formula_to_rounding():
    clear = _clear(0)
    values = haze(jnp.asarray(clear[None] / 255, jnp.float32), *_scalars(0.8, 0.5, 0.4))[0] * 255
    expected = _formula(clear, 0.8, 0.5, 0.4)
    difference = np.rint(values) - expected
    assert np.mean(difference == 0) > 0.995  # float32 against float64, within 1e-5 of a step
    assert np.abs(difference).max() <= 1
    assert expected.min() >= 127


@settings(max_examples=15, deadline=None)
@given(k=st.floats(0.1, 1.26), c=st.floats(0.4, 0.6), a=st.floats(0.3, 0.6), seed=st.integers(0, 100))
def test_the_fit_recovers_what_was_drawn(k, c, a, seed):
    clear = _clear(seed, 120, 160)
    fit = fit_released(clear, _formula(clear, k, c, a).astype(np.uint8))
    assert fit.density == pytest.approx(k, abs=4e-3)
    assert fit.airlight == pytest.approx(a, abs=1e-2)
    assert fit.modulation == pytest.approx(c, abs=3e-2)
    assert fit.residual < 0.3  # grey levels; 1 / sqrt(12) is rounding alone


def test_the_fit_says_when_the_haze_is_another_one():
    clear = _clear(1, 120, 160)
    assert fit_released(clear, 255 - clear).residual > 10


@pytest.mark.usefixtures("without_type_checks")
def test_images_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"\(40, 56, 3\) but the hazy one is \(40, 48, 3\)"):
        fit_released(_clear(0), _clear(0)[:, :48])


def test_agreement_with_the_authors_files(shared):
    """The stated agreement, on every file: at least 98 % of the 8-bit values equal, the rest off by one."""
    root = shared / "data" / "msrs_hazy" / "val"
    equal, names = [], sorted(path.name for path in (root / "GT").iterdir())
    assert len(names) == 30
    for name in names:
        clear, hazy = (read_visible(root / folder / name) for folder in ("GT", "hazy"))
        fit = fit_released(clear, hazy)
        numbers = _scalars(fit.density, fit.modulation, fit.airlight)
        values = np.asarray(haze(jnp.asarray(clear[None], jnp.float32) / 255, *numbers))[0] * 255
        difference = np.rint(values) - hazy
        equal.append(np.mean(difference == 0))
        assert equal[-1] > 0.98, (name, fit)
        assert np.abs(difference).max() <= 1, (name, fit)
        residual = np.sqrt(np.mean((values - hazy) ** 2))
        assert residual < 0.30, (name, fit)
        assert residual == pytest.approx(fit.residual, abs=1e-3)
        assert 0 < fit.density < 1.3
        assert 0.3 < fit.airlight < 0.61
    assert np.mean(equal) > 0.995
