"""Starting from other weights, and from what a damaged checkpoint leaves."""

import io
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

from iassf_jax.checkpoints.manager import CheckpointManager, load_run
from iassf_jax.core.errors import CheckpointError, DamagedCheckpointError
from iassf_jax.training import run_training


@pytest.fixture
def finished(make_config, silent, tmp_path):
    result = run_training(make_config("data.val=", "steps=4"), tmp_path / "first", console=silent)
    return result, tmp_path / "first"


def damage(workdir, step):
    files = [path for path in (workdir / "checkpoints" / str(step) / "params").rglob("*") if path.is_file()]
    for file in files:
        file.write_bytes(b"")


def test_a_damaged_checkpoint_is_moved_aside_for_the_one_before(finished, make_config):
    result, workdir = finished
    damage(workdir, 4)
    shown = io.StringIO()
    again = run_training(make_config("data.val=", "steps=4"), workdir, console=Console(file=shown, width=200))
    assert "going on from step 2" in shown.getvalue()
    assert str(workdir / "damaged-4") in shown.getvalue()
    for a, b in zip(jax.tree.leaves(again.state), jax.tree.leaves(result.state), strict=True):
        np.testing.assert_array_equal(a, b)
    with CheckpointManager(workdir) as manager:
        assert manager.all_steps() == [2, 4]


def test_without_a_whole_checkpoint_the_run_does_not_start_again(finished, make_config, silent):
    workdir = finished[1]
    for step in (2, 4):
        damage(workdir, step)
    with pytest.raises(DamagedCheckpointError, match="2"):
        run_training(make_config("data.val=", "steps=4"), workdir, console=silent)


def test_a_run_starts_from_the_weights_of_another(finished, make_config, tmp_path):
    result, workdir = finished
    shown = io.StringIO()
    config = make_config(
        "data.val=", "steps=1", f"init_from={workdir}", "optimizer.learning_rate=0",
        "optimizer.final_learning_rate=0",
    )  # fmt: skip
    new = run_training(config, tmp_path / "second", console=Console(file=shown, width=200))
    for a, b in zip(jax.tree.leaves(new.state.params), jax.tree.leaves(result.state.params), strict=True):
        np.testing.assert_array_equal(a, b)
    assert "4 parameters from" in shown.getvalue()


def test_weights_of_another_network_are_taken_only_on_request(finished, make_config, tmp_path):
    options = ("data.val=", "steps=1", "model.width=5", f"init_from={finished[1]}")
    with pytest.raises(CheckpointError, match=r"first/kernel \[3, 3, 4, 4\] -> \[3, 3, 4, 5\]"):
        run_training(make_config(*options), tmp_path / "second", console=Console(quiet=True))
    shutil.rmtree(tmp_path / "second")
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    run_training(make_config(*options, "init_partially=true"), tmp_path / "second", console=console)
    assert "1 parameters from" in shown.getvalue()
    assert "3 of another shape, fresh" in shown.getvalue()


def test_inference_gets_the_average(make_config, silent, tmp_path):
    config = make_config("data.val=", "steps=3", "ema_decay=0.5")
    result = run_training(config, tmp_path, console=silent)
    loaded = load_run(tmp_path)[1]["params"]["first"]["kernel"]
    np.testing.assert_array_equal(loaded, result.state.ema["first"]["kernel"])
    assert np.abs(loaded - result.state.params["first"]["kernel"]).max() > 0
    again = run_training(config, tmp_path, console=silent)
    np.testing.assert_array_equal(again.state.ema["first"]["kernel"], loaded)


def test_a_run_without_an_average_does_not_go_on_with_one(finished, make_config, silent):
    with pytest.raises(CheckpointError, match="without a running mean"):
        run_training(
            make_config("data.val=", "steps=5", "ema_decay=0.5"),
            finished[1],
            allow_changes=True,
            console=silent,
        )
