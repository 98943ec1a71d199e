"""The run's files: lines are complete, and a resumed run takes back what it will write again."""

import io
import json

import jax
import pytest
from rich.console import Console

from iassf_jax.training.logging import JsonLines, RunLog, rewind
from iassf_jax.training.measurements import PEAK_FLOPS

LINES = [
    {"step": 2, "kind": "train", "loss/total": 0.5},
    {"step": 4, "kind": "train", "loss/total": 0.1 + 0.2},
    {"step": 4, "kind": "eval", "restored_psnr": 20.0},
    {"step": 6, "kind": "train", "loss/total": 1e-30},
    {"step": 8, "kind": "eval", "restored_psnr": 21.0},
]


@pytest.fixture
def path(tmp_path):
    file = JsonLines(tmp_path / "metrics.jsonl")
    for line in LINES:
        file.write(**line)
    file.close()
    return tmp_path / "metrics.jsonl"


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_numbers_survive_exactly(path):
    assert read(path) == LINES


@pytest.mark.parametrize(
    "step, evaluated, kept",
    [(0, False, 0), (2, False, 1), (4, False, 2), (4, True, 3), (5, False, 3), (6, False, 4), (9, True, 5)],
)
def test_lines_after_the_resumed_step_are_dropped(path, step, evaluated, kept):
    rewind(path, step=step, evaluated=evaluated)
    assert read(path) == LINES[:kept]


def test_a_line_cut_off_by_a_kill_is_dropped(path):
    with path.open("a") as file:
        file.write('{"step": 6, "kind": "tr')
    rewind(path, step=100, evaluated=True)
    assert read(path) == LINES
    JsonLines(path).write(step=10, kind="train")
    assert read(path)[-1] == {"step": 10, "kind": "train"}


def test_without_a_file_there_is_nothing_to_rewind(tmp_path):
    rewind(tmp_path / "absent.jsonl", step=3, evaluated=False)
    assert not (tmp_path / "absent.jsonl").exists()


def test_speed_leaves_out_compilation_and_validation(tmp_path, monkeypatch):
    clock = iter([0.0, 60.0, 60.5, 61.0, 61.0, 161.0, 163.0, 163.0])
    monkeypatch.setattr("iassf_jax.training.measurements.time.monotonic", lambda: next(clock))
    console = Console(quiet=True)
    with RunLog(tmp_path, start=0, steps=8, batch_size=4, rate=lambda step: 0.5, console=console) as log:
        log.advance(1)  # 60 s of compilation
        log.training(1, {"loss/total": 1.0})  # nothing measured yet
        log.training(2, {"loss/total": 1.0})
        log.evaluation(2, {"restored_psnr": 20.0})  # 100 s
        log.training(3, {"loss/total": 1.0})
    timing = read(tmp_path / "timing.jsonl")
    assert [(line["step"], line["seconds_per_step"], line["images_per_second"]) for line in timing] == [
        (2, 0.5, 8.0),
        (3, 2.0, 2.0),
    ]
    assert read(tmp_path / "metrics.jsonl")[0] == {
        "step": 1, "kind": "train", "loss/total": 1.0, "learning_rate": 0.5,
    }  # fmt: skip


def test_the_part_of_the_peak_is_written_where_it_is_known(tmp_path, monkeypatch):
    clock = iter([0.0, 1.0, 2.0, 2.0])
    monkeypatch.setattr("iassf_jax.training.measurements.time.monotonic", lambda: next(clock))
    monkeypatch.setitem(PEAK_FLOPS, "cpu", 1e12)
    console = Console(record=True, width=200, file=io.StringIO())
    log = RunLog(
        tmp_path,
        start=0,
        steps=61,
        batch_size=4,
        rate=lambda step: 0.5,
        console=console,
        flops_per_step=lambda: 4e12,
    )
    with log:
        log.advance(1)
        log.training(2, {"loss/total": 1.0})
    (line,) = read(tmp_path / "timing.jsonl")
    assert line["mfu"] == pytest.approx(4 / jax.device_count()) and line["host_bytes"] > 0
    assert "step 2/61: total 1.0000, 4.0 images/s, 50.0% of peak, 0:00:59 left" in console.export_text()
