"""What is said of a sweep beside the published one, on rows whose answer is known."""

import math
from pathlib import Path

import numpy as np
import pytest

from iassf_jax.report.published import published
from iassf_jax.report.results import Result, Run
from iassf_jax.report.rows import make_blocks
from iassf_jax.reproduce.findings import as_note, find

IMAGES = tuple("abcdef")


def results(values, *, seeds=(0, 1)):
    """Rows of alpha with mean values of Q_MI and Q_CV; the seeds differ by 0.01."""
    for alpha, row in values.items():
        for seed in seeds:
            run = Run(Path(f"{alpha}-{seed}"), {"alpha": alpha, "seed": seed, "model.name": "iassf"}, ())
            spread = np.linspace(-1, 1, len(IMAGES))[:, None] + 0.01 * seed + np.array(row)
            yield Result(
                run.folder, "here", "fusion", "iassf", IMAGES, ("q_mi", "q_cv"), spread, run, of_run=True
            )


def block_of(values, **options):
    (block,) = make_blocks(list(results(values, **options)))
    return block


def test_the_papers_own_values_are_in_the_papers_order():
    rows = {float(name): (row["q_mi"], row["q_cv"]) for name, row in published("VIII").items()}
    found = {one.metric: one for one in find(block_of(rows), "VIII", "alpha=2.0")}
    assert found["q_mi"].order == pytest.approx(1) and found["q_cv"].order == pytest.approx(1)
    # Higher Q_MI and lower Q_CV are better.
    assert found["q_mi"].best == "alpha=4.0" and found["q_mi"].published_best == "alpha=4.0"
    assert found["q_cv"].best == found["q_cv"].published_best == "alpha=2.0"
    assert found["q_cv"].rows == 6 and found["q_cv"].beyond == 5


def test_reversed_equal_and_noisy_rows_are_told():
    known = published("VIII")
    rows = {float(name): (-row["q_mi"], 100.0) for name, row in known.items()}
    found = {one.metric: one for one in find(block_of(rows), "VIII", "alpha=2.0")}
    assert found["q_mi"].order == pytest.approx(-1)
    assert math.isnan(found["q_cv"].order) and found["q_cv"].beyond == 0
    (line, other) = as_note(list(found.values())).lines
    assert line[3] == "-1.00" and other[3:] == ["–", "0 of 5"]
    single = find(block_of(rows, seeds=(0,)), "VIII", "alpha=2.0")
    assert [one.beyond for one in single] == [None, None]
    assert as_note(single).lines[0][4] == "unknown"


def test_two_rows_have_no_order():
    assert find(block_of({1.0: (1, 2), 2.0: (2, 3)}), "VIII", "alpha=2.0") == []
