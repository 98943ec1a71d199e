"""The engine of one machine: finished points are skipped, failures tried again, signals passed on."""

import csv
import json
import os
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from iassf_jax.cli.main import main
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.sweeps import evaluating, worker
from iassf_jax.sweeps.collect import as_csv, as_markdown, collect
from iassf_jax.sweeps.evaluating import evaluate_run
from iassf_jax.sweeps.folders import (
    FAILED,
    FINISHED,
    STOPPED,
    Status,
    read_status,
    write_points,
    write_status,
)
from iassf_jax.sweeps.lifeline import end_with_parent
from iassf_jax.sweeps.local import run_local, slot_environment
from iassf_jax.sweeps.points import Point, make_points

# Does in a moment what a worker does in minutes: how it goes is in the point's alpha.
FAKE = """
    import json, os, signal, sys, time
    from pathlib import Path
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    for folder in map(Path, sys.argv[1:]):
        alpha = json.loads((folder / "point.json").read_text())["overrides"]["alpha"]
        tries = folder / "tries"
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        print("training", folder.name, flush=True)
        if alpha == 3.0 and tries.read_text() == "x":
            os.kill(os.getpid(), signal.SIGKILL)
        if alpha == 4.0:
            sys.exit(9)
        state = {"state": "finished", "step": 20, "metrics": {"restored_psnr": 20 + alpha}, "error": ""}
        while alpha == 5.0 and not stopped:
            time.sleep(0.05)
        if stopped:
            state |= {"state": "stopped"}
        (folder / "status.json").write_text(json.dumps(state))
"""


@pytest.fixture
def command(tmp_path):
    script = tmp_path / "fake.py"
    script.write_text(textwrap.dedent(FAKE))
    return [sys.executable, "-S", str(script)]


@pytest.fixture
def units(sweep_file, tmp_path):
    def make(*alphas):
        points = make_points(sweep_file(*({"alpha": alpha} for alpha in alphas)))
        return [(folder,) for folder in write_points(tmp_path / "sweep", points)]

    return make


def tries(unit):
    return len((unit[0] / "tries").read_text()) if (unit[0] / "tries").exists() else 0


def states(units):
    return [read_status(unit[0]).state for unit in units]


def test_points_are_trained_once(units, command):
    made, ended = units(1.0, 2.0), []
    assert run_local(made, command=command, report=ended.append)
    assert states(made) == [FINISHED] * 2 and ended == made
    assert run_local([*made], command=command)
    assert [tries(unit) for unit in made] == [1, 1]
    assert (made[0][0] / "output.log").read_text() == "training alpha=1.0\n"


def test_a_killed_process_is_started_again_and_others_go_on(units, command):
    made = units(3.0, 1.0, 4.0)
    assert run_local(made, parallel=2, retries=1, command=command)
    assert states(made) == [FINISHED, FINISHED, FAILED]
    assert [tries(unit) for unit in made] == [2, 1, 2]
    assert read_status(made[2][0]).error == "its process ended with code 9"


def test_without_further_tries_a_kill_is_recorded_and_the_next_command_tries_again(units, command):
    made = units(3.0)
    run_local(made, retries=0, command=command)
    assert read_status(made[0][0]) == Status(FAILED, error="its process was killed by SIGKILL")
    run_local(made, retries=0, command=command)
    assert states(made) == [FINISHED]


def test_a_signal_is_passed_on_and_the_rest_waits(units, command):
    made = units(5.0, 1.0)

    def stop():
        while tries(made[0]) == 0:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=stop)
    thread.start()
    assert not run_local(made, command=command)
    thread.join()
    assert states(made) == [STOPPED, "waiting"] and tries(made[1]) == 0
    assert signal.getsignal(signal.SIGTERM) == before


def test_what_other_tries_would_not_change_is_left(units, command):
    made = units(1.0)
    write_status(made[0][0], Status("diverged", error="NaN"))
    assert run_local(made, command=command) and tries(made[0]) == 0


def test_no_process_at_a_time_is_refused(units):
    with pytest.raises(InputError, match="--parallel 0"):
        run_local(units(1.0), parallel=0)


@pytest.mark.parametrize(
    "visible, parallel, expected",
    [("0,1,2,3", 2, "1,3"), ("0,1,2,3", 1, "0,1,2,3"), ("0", 2, "0")],
)
def test_gpus_are_divided(visible, parallel, expected):
    environ = slot_environment(parallel - 1, parallel, {"CUDA_VISIBLE_DEVICES": visible})
    assert environ["CUDA_VISIBLE_DEVICES"] == expected
    assert environ.get("XLA_PYTHON_CLIENT_PREALLOCATE") == ("false" if visible == "0" else None)


def test_results_are_collected(units, command, tmp_path):
    run_local(units(1.0, 4.0), retries=0, command=command)
    rows = collect(tmp_path / "sweep")
    assert rows == [
        {"alpha": 1.0, "state": "finished", "step": 20, "restored_psnr": 21.0},
        {"alpha": 4.0, "state": "failed", "step": 0, "error": "its process ended with code 9"},
    ]
    assert as_csv(rows).splitlines() == [
        "alpha,state,step,restored_psnr,error",
        "1.0,finished,20,21.0,",
        "4.0,failed,0,,its process ended with code 9",
    ]
    assert as_markdown(rows).splitlines()[2] == "| 1 | finished | 20 | 21 |  |"
    with pytest.raises(InputError, match="holds no sweep"):
        collect(tmp_path)


def test_the_worker_trains_evaluates_and_records(make_config, units, triplets, tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1])
    (unit,) = units(1.0)
    config = make_config("alpha=1.0", "steps=3", "data.val=", "images_every=0")
    request = {"data": {"test": str(triplets / "val")}, "metrics": ["q_sf"], "baselines": ["mean"]}
    request |= {"haze": "", "limit": 1, "batch": 1, "save": ["fused"], "ma_model": ""}
    point = Point(unit[0].name, {"alpha": 1.0}, config)

    def ask(request):
        write_points(tmp_path / "sweep", [point], evaluations={point.name: {"small": request}})

    ask(request)
    (status,) = worker.train_points(unit)
    assert status.state == FINISHED and status.step == 3
    assert (unit[0] / "metrics.jsonl").exists()
    place = unit[0] / "evaluations" / "small"
    rows = list(csv.DictReader((place / "per_image.csv").read_text().splitlines()))
    assert [(row["method"], row["name"]) for row in rows] == [("tiny", "val0"), ("mean", "val0")]
    assert status.metrics == {"q_sf": pytest.approx(float(rows[0]["q_sf"]))}
    assert (place / "fused" / "test" / "val0.png").exists()

    ask(request)
    with monkeypatch.context() as patch:
        patch.setattr(worker, "run_training", None)  # a finished point is left alone
        assert worker.train_points(unit) == [status]
    # Asked for another evaluation it is not finished, and makes that one without training.
    ask({**request, "limit": 2})
    assert read_status(unit[0]).state == STOPPED
    lines = (unit[0] / "metrics.jsonl").read_text()
    (again,) = worker.train_points(unit)
    assert again.state == FINISHED and again.metrics != status.metrics
    assert (unit[0] / "metrics.jsonl").read_text() == lines
    before = (place / "summary.json").stat().st_mtime_ns
    evaluate_run(unit[0], "small", {**request, "limit": 2})
    assert (place / "summary.json").stat().st_mtime_ns == before
    ask({**request, "data": {"test": "nowhere"}})
    (failed,) = worker.train_points(unit)
    assert failed.state == FAILED and "nowhere" in failed.error


def test_numbers_of_other_parameters_are_not_taken_for_those_asked_for(tmp_path, monkeypatch):
    made, networks = [], {"first": 1.0, "second": 2.0}

    def load(source):
        return {"name": "tiny", "field": 3}, {"params": {"kernel": np.full(2, networks[Path(source).name])}}

    def write(output, evaluation, settings, models):
        made.append(settings["weights"])
        output.mkdir(parents=True, exist_ok=True)
        methods = {"tiny": {"q_sf": {"mean": evaluation}}}
        summary = {"settings": settings, "fusion": {"methods": methods}}
        (output / "summary.json").write_text(json.dumps(summary))

    monkeypatch.setattr(evaluating, "load_pretrained", load)
    monkeypatch.setattr(evaluating, "write_results", write)
    monkeypatch.setattr(evaluating.models, "create", lambda description: None)
    monkeypatch.setattr(
        evaluating, "_evaluate", lambda model, variables, *rest: float(variables["params"]["kernel"][0])
    )
    request = {"data": {"test": "d"}, "ma_model": ""}
    for weights in ("first", "second", "second"):
        found = evaluate_run(tmp_path, "small", request, weights=weights)
        assert found == {"q_sf": networks[weights]}
    assert made == ["first", "second"]
    networks["second"] = 4.0  # a run that was trained further
    assert evaluate_run(tmp_path, "small", request, weights="second") == {"q_sf": 4.0}
    networks["first"] = 4.0  # other weights by their name, though their numbers are the same
    assert evaluate_run(tmp_path, "small", request, weights="first") == {"q_sf": 4.0}
    assert made == ["first", "second", "second", "first"]


def test_a_finished_point_is_not_passed_off_as_one_of_other_options(units, sweep_file, tmp_path):
    (unit,) = units(1.0)
    write_status(unit[0], Status(FINISHED, 20))
    file = sweep_file({"alpha": 1.0})
    with pytest.raises(ConfigError, match="config.steps: 20 -> 30"):
        write_points(tmp_path / "sweep", make_points(file, overrides=["config.steps=30"]))
    write_points(tmp_path / "sweep", make_points(file, overrides=["config.log_every=7"]))
    assert read_status(unit[0]).state == FINISHED


def test_a_process_ends_with_the_one_that_started_it():
    reading, writing = os.pipe()
    ended = threading.Event()
    thread = end_with_parent(source=reading, end=ended.set)
    os.write(writing, b"anything")
    assert not ended.wait(0.1)
    os.close(writing)  # as the system does when a process is killed
    thread.join(5)
    assert ended.is_set()
    os.close(reading)


@pytest.mark.parametrize(
    "overrides, state, message",
    [
        (["optimizer.learning_rate=1e38"], "diverged", "not finite"),
        (["data.train=nowhere"], "failed", "nowhere"),
    ],
)
def test_the_worker_records_failures(make_config, units, overrides, state, message, capfd):
    (unit,) = units(1.0)
    config = make_config("data.val=", "images_every=0", *overrides)
    point = {"overrides": {"alpha": 1.0}, "config": config.to_dict()}
    (unit[0] / "point.json").write_text(json.dumps(point))
    (status,) = worker.train_points(unit)
    assert status.state == state and message in status.error


def test_the_command_trains_collects_and_says_what_failed(monkeypatch, sweep_file, tmp_path, command, capsys):
    monkeypatch.setattr("iassf_jax.sweeps.local.WORKER", command)
    file, workdir = sweep_file({"alpha": 1.0}, {"alpha": 2.0}), tmp_path / "out"
    words = ["sweep", "--config", str(file), "--workdir", str(workdir), "--config.steps=7"]
    assert main(words) == 0
    assert json.loads((workdir / "alpha=1.0" / "point.json").read_text())["config"]["steps"] == 7
    assert "| 2 | finished | 20 | 22 |" in (workdir / "points.md").read_text()
    assert "2 points in 2 programs, 0 finished before" in capsys.readouterr().out
    assert main([*words, "--grid", "seed=0,1", "--population", "0"]) == 2
    failing = sweep_file({"alpha": 4.0}, name="failing")
    assert (
        main(["sweep", "--config", str(failing), "--workdir", str(tmp_path / "bad"), "--retries", "0"]) == 1
    )
    assert "alpha=4.0 failed: its process ended with code 9" in capsys.readouterr().out
