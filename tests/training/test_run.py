"""Whole runs: resuming is exact, stopping is safe, and what cannot go on says why."""

import io
import json
import shutil
import signal

import cv2
import jax
import numpy as np
import pytest
from rich.console import Console

from iassf_jax.checkpoints.manager import CheckpointManager, load_run
from iassf_jax.core.errors import CheckpointError, ConfigError, InputError, TrainingError
from iassf_jax.sweeps.population import train_population
from iassf_jax.training import logging, run_training


class Killed(Exception):
    pass


def call_at(monkeypatch, step, action):
    """Call `action` while the run is between step `step` and its log line."""
    advance = logging.RunLog.advance

    def advance_and_act(self, done):
        advance(self, done)
        if done == step:
            action()

    monkeypatch.setattr(logging.RunLog, "advance", advance_and_act)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_equal_runs(result, workdir, expected_result, expected_workdir):
    for a, b in zip(jax.tree.leaves(result.state), jax.tree.leaves(expected_result.state), strict=True):
        np.testing.assert_array_equal(a, b)
    assert result.evaluation == expected_result.evaluation
    for name in ("metrics.jsonl", "images/step_00000003.png", "images/step_00000006.png"):
        assert (workdir / name).read_bytes() == (expected_workdir / name).read_bytes(), name


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder for a run that others are compared with, and its result once it was made."""
    return {"workdir": tmp_path_factory.mktemp("uninterrupted")}


@pytest.fixture
def reference(uninterrupted, make_config, silent):
    if "result" not in uninterrupted:
        uninterrupted["result"] = run_training(make_config(), uninterrupted["workdir"], console=silent)
    return uninterrupted["result"], uninterrupted["workdir"]


def test_a_run_leaves_its_records(reference):
    result, workdir = reference
    assert (result.step, result.steps, result.signal) == (6, 6, None)
    found = lines(workdir)
    assert [(line["kind"], line["step"]) for line in found] == [
        ("train", 2),
        ("eval", 3),
        ("train", 4),
        ("train", 6),
        ("eval", 6),
    ]
    assert set(found[0]) == {
        "step", "kind", "grad_norm", "learning_rate",
        "loss/total", "loss/intensity", "loss/gradient", "loss/restoration",
    }  # fmt: skip
    assert found[0]["learning_rate"] == pytest.approx(
        2e-6 + (1e-2 - 2e-6) * (1 + np.cos(np.pi / 5)) / 2, rel=1e-5
    )
    total = found[0]["loss/intensity"] + found[0]["loss/gradient"] + 2 * found[0]["loss/restoration"]
    assert found[0]["loss/total"] == pytest.approx(total, rel=1e-5)
    assert found[3]["loss/total"] < found[0]["loss/total"]
    assert found[-1]["restored_psnr"] == result.evaluation["restored_psnr"]
    assert json.loads((workdir / "config.json").read_text())["model"] == {"name": "tiny", "width": 4}
    assert "first/kernel" in (workdir / "parameters.txt").read_text()
    assert "jax" in json.loads((workdir / "versions.json").read_text())
    assert cv2.imread(str(workdir / "images" / "step_00000006.png")) is not None
    model, variables = load_run(workdir)
    assert model == {"name": "tiny", "width": 4}
    np.testing.assert_array_equal(
        variables["params"]["first"]["kernel"], result.state.params["first"]["kernel"]
    )


def test_a_validation_before_the_first_step_changes_nothing_else(reference, make_config, silent, tmp_path):
    result = run_training(make_config("eval_at_start=true"), tmp_path, console=silent)
    first, *others = lines(tmp_path)
    assert (first["kind"], first["step"]) == ("eval", 0)
    assert others == lines(reference[1])
    assert first["loss/total"] > others[1]["loss/total"]  # of the evaluation after step 3
    assert result.evaluation == reference[0].evaluation
    assert not (tmp_path / "images/step_00000000.png").exists()


@pytest.mark.parametrize("step", [1, 3, 4])
def test_stopping_by_sigterm_and_resuming_changes_nothing(
    reference, make_config, silent, tmp_path, monkeypatch, step
):
    with monkeypatch.context() as patch:
        call_at(patch, step, lambda: signal.raise_signal(signal.SIGTERM))
        stopped = run_training(make_config(), tmp_path / "run", console=silent)
    assert (stopped.step, stopped.signal) == (step, signal.SIGTERM)
    with CheckpointManager(tmp_path / "run") as manager:
        assert manager.latest_step() == step
    resumed = run_training(make_config(), tmp_path / "run", console=silent)
    assert resumed.signal is None
    assert_equal_runs(resumed, tmp_path / "run", *reference)


@pytest.mark.parametrize("step", [1, 3, 5])
def test_a_killed_run_resumes_from_the_last_checkpoint(
    reference, make_config, silent, tmp_path, monkeypatch, step
):
    def die():
        raise Killed

    with monkeypatch.context() as patch:
        call_at(patch, step, die)
        with pytest.raises(Killed):
            run_training(make_config(), tmp_path / "run", console=silent)
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "ki')  # a line cut off in the middle
    resumed = run_training(make_config(), tmp_path / "run", console=silent)
    assert_equal_runs(resumed, tmp_path / "run", *reference)


def test_ctrl_c_saves_and_handlers_are_put_back(make_config, silent, tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    call_at(monkeypatch, 1, lambda: signal.raise_signal(signal.SIGINT))
    result = run_training(make_config(), tmp_path, console=silent)
    assert (result.step, result.signal) == (1, signal.SIGINT)
    assert (tmp_path / "checkpoints" / "1").is_dir()
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_starting_a_finished_run_again_does_nothing(reference, make_config, silent):
    result, workdir = reference
    before = (workdir / "metrics.jsonl").read_bytes()
    again = run_training(make_config(), workdir, console=silent)
    assert_equal_runs(again, workdir, result, workdir)
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_number_of_threads_and_cache_do_not_matter(reference, make_config, silent, tmp_path):
    config = make_config("data.num_threads=0", "data.cache_bytes=0")
    result = run_training(config, tmp_path, console=silent)
    assert_equal_runs(result, tmp_path, *reference)


def test_the_seed_matters(reference, make_config, silent, tmp_path):
    result = run_training(make_config("seed=1", "data.val="), tmp_path, console=silent)
    kernel = result.state.params["first"]["kernel"]
    assert np.abs(kernel - reference[0].state.params["first"]["kernel"]).max() > 1e-3
    assert result.evaluation is None


def test_a_loss_that_is_not_finite_stops_with_the_step_and_the_names(make_config, silent, tmp_path):
    config = make_config(
        "optimizer.learning_rate=1e30",
        "optimizer.name=sgd",
        "optimizer.clip_norm=none",
        "checkpoint_every=1",
    )
    with pytest.raises(TrainingError, match=r"step 2 .*not finite.* batch: train\d, train\d\."):
        run_training(config, tmp_path, console=silent)
    with CheckpointManager(tmp_path) as manager:
        assert manager.latest_step() == 1


def test_other_options_are_refused_with_the_difference(make_config, silent, tmp_path):
    short = make_config("steps=2", "data.val=")
    run_training(short, tmp_path, console=silent)
    longer = make_config("steps=3", "data.val=", "alpha=3", "data.crop=24")
    with pytest.raises(ConfigError, match="alpha: 2.0 -> 3.0\n.*data.crop: 16 -> 24\n.*steps: 2 -> 3\n"):
        run_training(longer, tmp_path, console=silent)
    result = run_training(longer, tmp_path, allow_changes=True, console=silent)
    assert result.step == 3
    harmless = make_config("steps=3", "data.val=", "alpha=3", "data.crop=24", "log_every=1", "keep_last=1")
    assert run_training(harmless, tmp_path, console=silent).step == 3


def test_another_network_is_refused_even_when_changes_are_allowed(make_config, silent, tmp_path):
    run_training(make_config("steps=1", "data.val="), tmp_path, console=silent)
    with pytest.raises(CheckpointError, match=r"first/kernel: expected float32\[3, 3, 4, 5\]"):
        run_training(
            make_config("steps=1", "data.val=", "model.width=5"), tmp_path, allow_changes=True, console=silent
        )


@pytest.mark.parametrize(
    "overrides, error, message",
    [
        (["data.train="], ConfigError, "--config.data.train=FOLDER"),
        (["data.train=/no/such/place"], InputError, "/no/such/place"),
        (["data.val=/no/such/place"], InputError, "/no/such/place"),
        (["data.batch_size=8"], InputError, "smaller batch"),
        (["data.crop=0"], ConfigError, "crop"),
        (["steps=0"], ConfigError, "config.steps is 0"),
        (["seed=-1"], ConfigError, "config.seed"),
        (["best_metric=psnr"], ConfigError, "restored_psnr"),
        (["best_mode=largest"], ConfigError, "max or min"),
        (["images_every=4"], ConfigError, "multiple of eval_every"),
        (["haze_options.strength=2.0"], ConfigError, "set config.haze"),
        (["model.name=iasf"], ConfigError, "iassf"),
    ],
)
def test_impossible_settings_stop_before_anything_is_made(
    make_config, silent, tmp_path, overrides, error, message
):
    with pytest.raises(error, match=message):
        run_training(make_config(*overrides), tmp_path / "run", console=silent)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "word, message",
    [
        ("data.val_limit=0", "limit is 0; expected at least 1"),
        ("data.val=somewhere*0", "must be a positive number"),
        ("data.scale=(0.5,)", "scale is .0.5,.; expected .low, high"),
        ("data.resize=(48,)", "resize is .48,.; expected .height, width"),
        ("optimizer.rates=(('^frist/',0.1),)", "'.frist/' .* begin with first, second"),
    ],
)
@pytest.mark.usefixtures("without_type_checks")
def test_what_only_the_data_and_the_network_tell_to_be_impossible(
    make_config, silent, tmp_path, word, message
):
    with pytest.raises(ConfigError, match=message):
        run_training(make_config(word), tmp_path / "run", console=silent)
    with pytest.raises(ConfigError, match=message):
        train_population([make_config(word)], [tmp_path / "member"], console=silent)
    assert not (tmp_path / "run").exists()


def test_data_that_vanishes_names_the_file_and_keeps_the_checkpoint(
    make_config, triplets, silent, tmp_path, monkeypatch
):
    shutil.copytree(triplets / "train", tmp_path / "data")
    config = make_config(
        f"data.train={tmp_path / 'data'}", "data.val=", "data.cache_bytes=0", "data.num_threads=0",
    )  # fmt: skip
    call_at(monkeypatch, 3, lambda: shutil.rmtree(tmp_path / "data" / "IR"))
    with pytest.raises(InputError, match="data/IR/train"):
        run_training(config, tmp_path / "run", console=silent)
    with CheckpointManager(tmp_path / "run") as manager:
        assert manager.latest_step() == 2


def test_a_workdir_that_cannot_be_written_is_named(make_config, silent, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        run_training(make_config(), tmp_path / "file", console=silent)


def test_terminals_see_the_plan_losses_and_speed(make_config, tmp_path):
    shown = io.StringIO()
    run_training(make_config(), tmp_path, console=Console(file=shown, width=80))
    text = shown.getvalue()
    for expected in ("tiny, 178 parameters", "devices", "step 4/6: ", "images/s", "restored_psnr"):
        assert expected in text
    assert max(map(len, text.splitlines())) > 80  # long lines are not broken for a log file


def test_the_progress_bar_shows_losses(make_config, tmp_path):
    shown = io.StringIO()
    run_training(make_config(), tmp_path, console=Console(file=shown, width=160, force_terminal=True))
    assert "6/6" in shown.getvalue()
    assert "restoration 0." in shown.getvalue()
