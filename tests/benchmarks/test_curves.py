"""The comparison of two runs' losses."""

import json

import pytest

from benchmarks import curves


def write(folder, losses):
    folder.mkdir()
    lines = [{"step": 5 * i, "kind": "train", "loss/total": loss} for i, loss in enumerate(losses, start=1)]
    lines.insert(1, {"step": 5, "kind": "eval", "loss/total": 9.0})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_relative_differences_of_the_common_lines(tmp_path):
    write(tmp_path / "a", [1.0, 0.5, 0.4])
    write(tmp_path / "b", [1.01, 0.49])
    found = curves.compare(tmp_path / "a", tmp_path / "b")
    assert (found["steps"], found["lines"]) == (10, 2)
    assert found["largest"] == pytest.approx(0.02)
    assert found["mean"] == pytest.approx(0.015)


def test_runs_without_common_steps_are_refused(tmp_path):
    write(tmp_path / "a", [])
    write(tmp_path / "b", [1.0])
    with pytest.raises(SystemExit, match="no log lines"):
        curves.compare(tmp_path / "a", tmp_path / "b")
