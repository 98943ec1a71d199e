"""Summaries, paired comparisons and tables."""

import json
import math

import numpy as np
import pytest

from iassf_jax.metrics.folders import Measurements
from iassf_jax.metrics.report import rank, shown, summaries, to_csv, to_json, to_latex, to_markdown
from iassf_jax.metrics.summary import compare, summarise


def test_a_summary_states_what_numpy_computes_and_covers_the_mean():
    values = np.random.default_rng(0).normal(3.0, 1.0, 200)
    summary = summarise(values)
    assert summary.mean == pytest.approx(values.mean())
    assert summary.sd == pytest.approx(values.std(ddof=1))
    assert summary.median == pytest.approx(np.median(values))
    half = 1.96 * values.std(ddof=1) / math.sqrt(200)  # of the normal approximation
    assert summary.low == pytest.approx(values.mean() - half, abs=0.02)
    assert summary.high == pytest.approx(values.mean() + half, abs=0.02)


def test_missing_values_are_counted_and_nothing_is_invented():
    summary = summarise(np.array([1.0, math.nan, 3.0]))
    assert (summary.mean, summary.count, summary.missing) == (2.0, 2, 1)
    empty = summarise(np.array([math.nan]))
    assert math.isnan(empty.mean) and (empty.count, empty.missing) == (0, 1)
    assert math.isinf(summarise(np.array([1.0, math.inf])).mean)
    one = summarise(np.array([1.0]))
    assert one.mean == 1.0 and math.isnan(one.sd) and math.isnan(one.low) and math.isnan(one.high)
    single = compare(np.array([3.0]), np.array([1.0]))
    assert single.difference == 2.0 and math.isnan(single.low) and math.isnan(single.p_value)


def test_infinite_values_are_counted_and_leave_no_interval():
    first, second = (
        np.array([math.inf, math.inf, 30.0, 31.0, math.nan]),
        np.array([25.0, 24, 31, 32, math.inf]),
    )
    found = compare(first, second)
    assert (found.difference, found.count, found.infinite) == (-1.0, 2, 2)
    assert math.isnan(found.low) and math.isnan(found.high) and math.isnan(found.p_value)
    both = compare(np.full(2, math.inf), np.full(2, math.inf))
    assert math.isnan(both.difference) and (both.count, both.infinite) == (0, 2)
    assert summarise(first).infinite == 2 and summarise(second[:4]).infinite == 0
    run = Measurements(list("abcde"), ["psnr"], {"x": first[:, None], "y": second[:, None]}, [], {})
    content = json.loads(to_json(run, summaries(run), {}))
    psnr = content["methods"]["x"]["psnr"]
    assert (psnr["mean"], psnr["infinite"], psnr["missing"]) == (None, 2, 1)
    assert content["paired_bootstrap"][0]["psnr"]["infinite"] == 2


def test_the_paired_test_finds_a_small_steady_difference_and_not_a_random_one():
    rng = np.random.default_rng(1)
    base = rng.normal(0, 10, 60)
    better = compare(base + 0.5 + rng.normal(0, 0.1, 60), base)
    assert better.difference == pytest.approx(0.5, abs=0.05)
    assert better.low > 0 and better.p_value < 0.001
    same = compare(base + rng.normal(0, 1, 60) - 0.0, base)
    assert same.low < 0 < same.high or same.p_value > 0.01
    assert compare(base, base).p_value == 1.0
    assert compare(np.array([math.nan]), np.array([1.0])).count == 0


@pytest.fixture
def run():
    values = {"a_b": np.array([[1.0, 5.0], [2.0, math.nan]]), "c": np.array([[3.0, 4.0], [4.0, 4.0]])}
    return Measurements(["x", "y"], ["q_mi", "q_cv"], values, ["z: broken"], {})


def test_tables_mark_the_best_by_direction(run):
    table = summaries(run)
    assert (rank(table, "c", "q_mi"), rank(table, "a_b", "q_mi")) == (1, 2)
    assert (rank(table, "c", "q_cv"), rank(table, "a_b", "q_cv")) == (1, 2)
    assert to_markdown(table).splitlines()[2:] == [
        "| a_b | <u>1.500</u> | <u>5.000</u> |",
        "| c | **3.500** | **4.000** |",
    ]
    latex = to_latex(table)
    assert r"a\_b & \underline{1.500} & \underline{5.000} \\" in latex
    assert r"c & \textbf{3.500} & \textbf{4.000} \\" in latex


@pytest.mark.parametrize(
    "value, text",
    [(9.99996, "10.00"), (0.65, "0.6500"), (1234.4, "1234"), (54321.6, "54322"), (0.0, "0.000")]
    + [(math.nan, "–"), (math.inf, "inf")],
)
def test_numbers_have_four_digits(value, text):
    assert shown(value) == text


def test_files_hold_every_image_and_say_what_is_missing(run):
    assert to_csv(run).splitlines() == [
        "method,name,q_mi,q_cv",
        "a_b,x,1.0,5.0",
        "a_b,y,2.0,",
        "c,x,3.0,4.0",
        "c,y,4.0,4.0",
    ]
    content = json.loads(to_json(run, summaries(run), {"niqe": "m.npz"}))
    assert content["methods"]["a_b"]["q_cv"]["missing"] == 1
    assert content["problems"] == ["z: broken"]
    assert content["paired_bootstrap"][0]["q_mi"]["difference"] == -2.0
