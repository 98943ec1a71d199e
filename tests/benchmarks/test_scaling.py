"""The scaling plan: its arithmetic by hand, and what must hold for any machine."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scaling import (
    ATTAINED,
    COUNTS,
    JITTER,
    MACHINES,
    Machine,
    allreduce_seconds,
    efficiency,
    gradient_bytes,
    measured_step,
    table,
)

BOXES = Machine("two boxes of 4", 4, 100e9, 10e9, 1e-5)


def test_time_of_an_allreduce_by_hand():
    inside = 2 * 3 / 4 * 40e6 / (100e9 * ATTAINED)
    assert allreduce_seconds(BOXES, 40e6, 4) == pytest.approx(inside + 6e-5)
    between = 2 * 1 / 2 * 10e6 / (10e9 * ATTAINED)  # every device's quarter over its own link
    assert allreduce_seconds(BOXES, 40e6, 8) == pytest.approx(inside + between + 2e-5)


def test_only_what_does_not_hide_costs():
    busy = allreduce_seconds(BOXES, 40e6, 8)
    slowest = 1 + JITTER * math.sqrt(2 * math.log(8))
    assert efficiency(BOXES, step_time=10.0, size=40e6, count=8) == pytest.approx(1 / slowest)
    # A step as long as the all-reduce hides a third of it: half of the backward pass, two thirds of the step.
    expected = busy / (busy * slowest + busy * (1 - 1 / 3))
    assert efficiency(BOXES, step_time=busy, size=40e6, count=8) == pytest.approx(expected)
    assert efficiency(BOXES, step_time=busy, size=40e6, count=8, overlap=0.0) == pytest.approx(
        busy / (busy * slowest + busy)
    )


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(MACHINES), st.floats(1e-4, 1.0), st.floats(1e5, 1e9), st.integers(1, 9))
def test_efficiency_is_a_share_that_rises_with_the_step(machine, seconds, size, power):
    def at(step_time, count):
        return efficiency(machine, step_time=step_time, size=size, count=count)

    assert at(seconds, 1) == 1.0
    assert 0 < at(seconds, 2**power) < 1.0
    assert at(2 * seconds, 2**power) >= at(seconds, 2**power) * (1 - 1e-12)


def test_gradients_are_counted():
    assert gradient_bytes("iassf_released") == pytest.approx(4 * 11.2e6, rel=0.01)


def test_the_step_time_of_a_run_is_its_median(tmp_path):
    lines = [{"step": i, "kind": "train", "seconds_per_step": s} for i, s in enumerate((9.0, 1.0, 2.0))]
    (tmp_path / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert measured_step(tmp_path) == 2.0


def test_the_table_has_a_row_for_every_machine_and_count():
    rows = table(1e6, (0.1, 0.2)).splitlines()
    assert len(rows) == 2 + len(COUNTS) * len(MACHINES)
    assert rows[0].endswith("| step of 100 ms | step of 200 ms |")
    assert rows[2].split("|")[2].strip() == "8" and rows[2].split("|")[4].strip() == "98% / 98%"
