"""A process that is killed, not asked: what is on the disk must be enough."""

import json

import pytest

from benchmarks import interruptions


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_the_one_that_is_left_alone(tmp_path):
    record = tmp_path / "record.json"
    words = ["--kills", "1", "--steps", "8", "--longest", "0.3", "--output", str(record)]
    assert interruptions.main(words) == 0
    assert json.loads(record.read_text()) == {"kills": 1, "signal": "KILL", "steps": 8, "differences": []}


def test_a_difference_is_found(tmp_path):
    for name, text in (("one", "1\n"), ("other", "2\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.jsonl").write_text(text)
    assert interruptions.differing_files(tmp_path / "one", tmp_path / "other") == ["metrics.jsonl"]
