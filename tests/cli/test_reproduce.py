"""`iassf reproduce`: from a table's number to runs, and from what they leave to the table and the page."""

import json
import sys
import textwrap

import pytest

from iassf_jax.cli.main import main
from iassf_jax.sweeps import evaluating
from iassf_jax.sweeps.folders import FAILED, read_status

# Leaves what training and evaluating leave, in a moment: Q_MI grows with alpha and a little with the seed.
FAKE = """
    import csv, json, sys
    from pathlib import Path
    for folder in map(Path, sys.argv[1:]):
        point = json.loads((folder / "point.json").read_text())
        alpha, seed = point["config"]["alpha"], point["config"]["seed"]
        status = folder / "status.json"
        if status.exists() and json.loads(status.read_text())["state"] == "finished":
            continue
        with open(folder.parent / "tries.txt", "a") as tries:
            tries.write(folder.name + "\\n")
        if alpha == 3.0 and not (folder.parent / "mended").exists():
            sys.exit(9)
        for name, request in point["evaluations"].items():
            place = folder / "evaluations" / name
            place.mkdir(parents=True, exist_ok=True)
            (place / "request.json").write_text(json.dumps(request))
            methods = ["iassf", *request["baselines"]]
            with open(place / "per_image.csv", "w", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["method", "name", "data", "q_mi", "q_cv", "q_pi"])
                for method in methods:
                    for image in range(4):
                        value = image + alpha + 0.1 * seed if method == "iassf" else image
                        writer.writerow([method, f"i{image}", "test", value, 300 - value, ""])
            (place / "summary.json").write_text(json.dumps({"settings": {"model": {"name": "iassf"}}}))
        ended = {"state": "finished", "step": 60, "metrics": {"q_mi": alpha}, "error": ""}
        status.write_text(json.dumps(ended))
"""


@pytest.fixture
def data(tmp_path):
    for part in ("train", "val"):
        (tmp_path / "data" / part).mkdir(parents=True)
    return tmp_path / "data"


@pytest.fixture
def reproduce(tmp_path, data, monkeypatch):
    script = tmp_path / "fake.py"
    script.write_text(textwrap.dedent(FAKE))
    monkeypatch.setattr("iassf_jax.sweeps.local.WORKER", [sys.executable, "-S", str(script)])
    monkeypatch.setattr("iassf_jax.report.complexity.SIZES", ((16, 16),))

    def run(*words, mended=True):
        runs = tmp_path / "out" / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        if mended:
            (runs / "mended").touch()
        options = ["--data", str(data), "--workdir", str(tmp_path / "out"), "--retries", "0"]
        return main(["reproduce", *words, *options, "--no-figures"])

    run.tries = lambda: (tmp_path / "out" / "runs" / "tries.txt").read_text().split()
    run.out = tmp_path / "out"
    return run


def test_a_sweep_stands_beside_the_published_one(reproduce, data, capsys):
    assert reproduce("VIII", "--config.steps=30") == 0
    assert len(reproduce.tries()) == 12  # six alphas, two seeds
    text = (reproduce.out / "VIII" / "table.md").read_text()
    assert "| alpha=5.0 | **6.550** ± 0.071 |" in text and "| alpha=5 | 2.030 |" in text
    assert f"| alpha=2.0 | {100 * (3.55 / 2.72 - 1):+.1f} %" in text  # the deviation
    assert "minus alpha=2.0" in text and "larger than seed noise" in text
    # Ranks here 1 to 6, in the paper 2 5 3 4 6 1: 1 - 6 * 36 / (6 * 35).
    assert r"| Q\_MI | alpha=5.0 | alpha=4.0 | -0.03 | 5 of 5 |" in text
    page = (reproduce.out / "VIII" / "report.html").read_text()
    assert "Table VIII" in page and "smoke" in page and "30 steps of 2 crops of 64 pixels" in page
    point = json.loads(next((reproduce.out / "runs").glob("alpha=0.5*seed=1/point.json")).read_text())
    assert point["config"]["steps"] == 30 and point["config"]["data"]["train"] == str(data / "train")
    request = point["evaluations"]["msrs"]
    assert request["data"] == {"test": str(data / "val")} and request["limit"] == 4 and request["save"] == []
    # The same command again trains nothing, and another table only what it does not share.
    assert reproduce("VIII", "--config.steps=30") == 0 and len(reproduce.tries()) == 12
    assert "12 finished before" in capsys.readouterr().out
    # Finished runs are not passed off as runs of other options.
    assert reproduce("VIII", "--config.steps=31") == 2
    assert "another configuration" in capsys.readouterr().err


def test_failures_are_named_and_only_they_are_tried_again(reproduce, capsys):
    assert reproduce("VIII", "--seeds", "1", mended=False) == 1
    assert "alpha=3.0,num_fusion_blocks=5,ablation=none,seed=0 failed" in capsys.readouterr().out
    assert "runs without a result" in (reproduce.out / "VIII" / "report.html").read_text()
    failed = next((reproduce.out / "runs").glob("alpha=3.0*"))
    assert read_status(failed).state == FAILED
    before = len(reproduce.tries())
    assert reproduce("VIII", "--seeds", "1") == 0
    again = [name.partition(",")[0] for name in reproduce.tries()[before:]]
    assert again == ["alpha=3.0", "alpha=4.0", "alpha=5.0"]  # they are one program, which ended with 3
    assert "alpha=3.0" in (reproduce.out / "VIII" / "table.md").read_text()


def test_the_network_stands_beside_rivals(reproduce):
    assert reproduce("I", "--seeds", "1") == 0
    text = (reproduce.out / "I" / "table.md").read_text()
    lines = text.splitlines()
    assert any(line.startswith("| iassf | **3.500** |") for line in lines)
    assert any(line.startswith(r"| dark\_channel+guided |") for line in lines)
    assert any(line.startswith("| Text-IF |") for line in lines)
    assert f"| iassf | {100 * (3.5 / 2.72 - 1):+.1f} % |" in text


def test_given_weights_are_measured_and_nothing_is_trained(reproduce, monkeypatch, tmp_path, capsys):
    asked = []

    def evaluate(folder, name, request, *, weights):
        asked.append((name, request["limit"], weights))
        place = evaluating.evaluation_folder(folder, name)
        place.mkdir(parents=True)
        (place / "per_image.csv").write_text("method,name,data,q_mi\niassf,a,test,2.0\nmean,a,test,1.0\n")
        (place / "summary.json").write_text('{"settings": {"model": {"name": "iassf"}}}')

    monkeypatch.setattr("iassf_jax.cli.reproduce.evaluate_run", evaluate)
    assert reproduce("V", "--weights", "W", "--test", "roadscene:test", "--haze", "uniform") == 0
    assert asked == [("roadscene_rivals", 4, "W")]
    text = (reproduce.out / "V" / "table.md").read_text()
    assert "Table V (RoadScene" in text and "uniform" in text
    assert reproduce("VIII", "--weights", "W") == 2
    assert "networks that are trained for it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        (["VIII", "--budget", "large"], "smoke, small, paper"),
        (["VIII", "--seeds", "0"], "at least 1"),
        (["VIII", "--population", "0"], "at least 1"),
        (["VIII", "--config.alhpa=1"], "did you mean config.alpha"),
        (["VIII", "--data", "nowhere/here"], "name of a built set"),
        (["VIII", "--address", "auto"], "--address is for --engine ray"),
    ],
)
def test_mistakes_are_named(reproduce, words, message, capsys):
    assert (_alone(words) if "--data" in words else reproduce(*words)) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def _alone(words):
    return main(["reproduce", *words, "--workdir", "unused", "--no-figures"])


def test_a_folder_without_parts_is_refused(reproduce, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    assert _alone(["IX", "--data", str(tmp_path / "other")]) == 2
    assert "expected train/ and test/" in capsys.readouterr().err
