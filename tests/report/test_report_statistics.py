"""Statistics of a report against SciPy."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from iassf_jax.metrics.summary import compare
from iassf_jax.report.statistics import make_cell, noise_limit, over_seeds, seed_means, seed_noise


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), counts=st.tuples(st.integers(2, 5), st.integers(2, 5)))
def test_beyond_the_noise_is_what_students_test_rejects(seed, counts):
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0, 1, counts[0]), rng.normal(2, 1, counts[1])
    limit = noise_limit(seed_noise([first, second]), *counts)
    rejected = stats.ttest_ind(first, second, equal_var=True).pvalue < 0.05
    assert (abs(first.mean() - second.mean()) > limit) == rejected


def test_the_noise_is_pooled_over_rows_and_a_single_seed_adds_nothing():
    rows = [np.array([1.0, 2.0, 3.0]), np.array([10.0, 14.0]), np.array([7.0])]
    sd, freedom = seed_noise(rows)
    assert (sd, freedom) == (pytest.approx(math.sqrt((2 + 8) / 3)), 3)
    assert math.isnan(seed_noise([np.array([1.0]), np.array([2.0])])[0])
    assert math.isnan(noise_limit((math.nan, 0), 1, 1))


def test_what_is_not_trained_has_no_noise_of_its_own():
    noise = (0.5, 4)
    assert noise_limit(noise, 3, math.inf) == pytest.approx(stats.t.ppf(0.975, 4) * 0.5 / math.sqrt(3))
    assert noise_limit(noise, math.inf, math.inf) == 0


def test_the_interval_over_images_is_that_of_scipys_bootstrap():
    values = np.random.default_rng(0).gamma(2.0, 3.0, (3, 40))
    cell = make_cell(values)
    expected = stats.bootstrap(
        (values.mean(0),), np.mean, method="percentile", n_resamples=10_000, rng=np.random.default_rng(1)
    ).confidence_interval
    assert cell.summary.low == pytest.approx(expected.low, rel=0.01)
    assert cell.summary.high == pytest.approx(expected.high, rel=0.01)
    assert cell.mean == pytest.approx(values.mean())
    assert cell.seed_sd == pytest.approx(values.mean(1).std(ddof=1))
    assert cell.seeds == 3


@pytest.mark.parametrize("shift", [0.0, 0.15, 0.35])
def test_the_paired_bootstrap_is_close_to_the_paired_t_test(shift):
    rng = np.random.default_rng(2)
    base = rng.normal(0, 5, 100)
    other = base + shift + rng.normal(0, 1, 100)
    assert compare(other, base).p_value == pytest.approx(stats.ttest_rel(other, base).pvalue, abs=0.02)


def test_missing_values_of_a_seed_do_not_pull_the_others():
    nan = math.nan
    values = np.array([[1.0, 2.0, nan], [3.0, nan, nan]])
    np.testing.assert_array_equal(over_seeds(values), [2.0, 2.0, nan])
    np.testing.assert_array_equal(seed_means(values), [1.5, 3.0])
    cell = make_cell(values)
    assert (cell.summary.count, cell.summary.missing, cell.seeds) == (2, 1, 2)
    assert make_cell(np.array([[nan], [nan]])).seeds == 0
