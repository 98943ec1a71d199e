"""A point that takes over continues its donor with other options, whenever a process is killed."""

import json
import shutil

import jax
import numpy as np
import pytest

from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.core.config import to_json
from iassf_jax.core.errors import ConfigError, DamagedCheckpointError, InputError
from iassf_jax.sweeps import handover, worker
from iassf_jax.sweeps.collect import as_markdown, collect
from iassf_jax.sweeps.folders import FINISHED, read_config, write_points
from iassf_jax.sweeps.handover import finish_takeover, hand_over, take_over
from iassf_jax.sweeps.points import Point
from iassf_jax.sweeps.takeovers import read_takeovers
from iassf_jax.training import run_training

RATE = "optimizer.learning_rate"
SHORT = ("steps=6", "log_every=1", "checkpoint_every=3", "images_every=0", "ema_decay=0.9")


class Killed(BaseException):
    """As SystemExit, by which Ray ends a trial, or a signal that leaves no time for anything."""


@pytest.fixture
def halves(make_config, tmp_path, silent):
    """The points "good", stopped at step 3, and "bad", which seems to be there; what was handed over."""
    given = {"good": ("seed=5", f"{RATE}=1e-2"), "bad": (f"{RATE}=1e-6",)}
    configs = {name: make_config(*SHORT, *words) for name, words in given.items()}
    points = [Point(name, {RATE: config.optimizer.learning_rate}, config) for name, config in configs.items()]
    good, bad = write_points(tmp_path / "sweep", points)
    place = tmp_path / "handed_over"

    def tell(step, metrics):
        assert step == 3 and metrics["restored_psnr"] > 0
        hand_over(good, step, place)
        raise Killed

    with pytest.raises(Killed):
        run_training(configs["good"], good, console=silent, tell=tell)
    pretend(bad, configs["bad"])
    return good, bad, place, points


def pretend(folder, config):
    """Make what a takeover looks at in the folder of a run at step 3, without arrays."""
    checkpoint = folder / "checkpoints" / "3"
    for item in ("params", "optimizer", "iterator", "config", "versions"):
        (checkpoint / item).mkdir(parents=True)
        (checkpoint / item / "metadata").write_text(to_json(config))
    (checkpoint / "_CHECKPOINT_METADATA").write_text(folder.name)
    (folder / "metrics.jsonl").write_text(folder.name)


def checkpoint(folder, step, like):
    with CheckpointManager(folder) as manager:
        state, position = manager.restore(like, step)
        return jax.tree.leaves(state), position, manager.saved_config(step), manager.metrics(step)


def log(folder):
    return (folder / "metrics.jsonl").read_text()


def test_the_state_is_the_donors_and_training_goes_on_with_new_options(halves, make_config, silent):
    good, bad, place, points = halves
    given_up = log(bad)
    take_over(bad, place, {RATE: 5e-3}, token="a")
    config = read_config(bad)
    assert config.optimizer.learning_rate == 5e-3 and config.seed == 5
    assert (log(bad), (bad / "metrics.replaced-1.jsonl").read_text()) == (log(good), given_up)

    # The same, by hand: the good run goes on with the other rate.
    continued = good.parent / "continued"
    shutil.copytree(good, continued)
    again = make_config(*SHORT, "seed=5", f"{RATE}=5e-3")
    expected = run_training(again, continued, console=silent, allow_changes=True)
    ours, donors = (checkpoint(folder, 3, expected.state) for folder in (bad, good))
    for found, wanted in zip(ours[0], donors[0], strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert (ours[1], ours[3]) == (donors[1], donors[3])
    assert ours[2] == json.loads(to_json(again)) != donors[2]

    write_points(bad.parent, points)  # the same command again
    take_over(bad, place, {RATE: 5e-3}, token="a")  # is made once
    (status,) = worker.train_points([bad])
    assert status.state == FINISHED and log(bad) == log(continued)
    found = checkpoint(bad, 6, expected.state)[0]
    for one, wanted in zip(found, jax.tree.leaves(expected.state), strict=True):
        np.testing.assert_array_equal(one, wanted)

    (takeover,) = read_takeovers(bad)
    assert takeover.changes == {RATE: [1e-6, 5e-3], "seed": [0, 5]} and takeover.replaced == 3
    text = f"step 3 from good: {RATE} 1e-06 -> 0.005, seed 0 -> 5"
    rows = collect(bad.parent)
    assert rows[1]["takeovers"] == text and "takeovers" not in rows[0]
    assert as_markdown(rows).splitlines()[0].endswith("| takeovers |")
    assert json.loads((bad / "config.json").read_text())["seed"] == 5

    changed = [Point(point.name, point.overrides, make_config(*SHORT, "alpha=7")) for point in points]
    with pytest.raises(ConfigError, match="config.alpha: 2.0 -> 7.0"):
        write_points(bad.parent, changed)


@pytest.fixture
def folders(make_config, tmp_path):
    """The folders of two points, with what a takeover looks at and no arrays; what one has handed over."""
    points = [Point(name, {}, make_config()) for name in ("good", "bad")]
    for folder in write_points(tmp_path, points):
        pretend(folder, points[0].config)
    hand_over(tmp_path / "good", 3, tmp_path / "handed_over")
    return tmp_path / "good", tmp_path / "bad", tmp_path / "handed_over"


def test_a_takeover_that_is_broken_off_is_made_wholly_or_not_at_all(folders):
    good, bad, place = folders
    dies = pytest.MonkeyPatch()

    def killing(*args, **kwargs):
        dies.undo()
        raise Killed

    def files():
        return {path: path.read_bytes() for path in sorted(bad.rglob("*")) if path.is_file()}

    before = files()
    dies.setattr(handover, "write_takeovers", killing)
    with pytest.raises(Killed):
        take_over(bad, place, {RATE: 5e-3}, token="a")
    assert (bad / "adopted").exists()
    finish_takeover(bad)
    assert before == files()

    dies.setattr(handover.shutil, "rmtree", killing)  # the log is there, the checkpoint is not yet
    with pytest.raises(Killed):
        take_over(bad, place, {RATE: 5e-3}, token="b")
    assert log(bad) == "good" and (bad / "checkpoints/3/_CHECKPOINT_METADATA").read_text() == "bad"
    take_over(bad, place, {RATE: 5e-3}, token="b")
    assert (bad / "checkpoints/3/_CHECKPOINT_METADATA").read_text() == "good" and log(bad) == "good"
    assert not (bad / "adopted").exists() and len(read_takeovers(bad)) == 1


def test_damage_is_named(folders):
    _, bad, place = folders
    shutil.rmtree(place / "checkpoint" / "params")
    with pytest.raises(DamagedCheckpointError, match="is not a whole checkpoint"):
        take_over(bad, place, {}, token="a")
    (place / "checkpoint" / "config" / "metadata").unlink()
    with pytest.raises(DamagedCheckpointError, match="cannot read"):
        take_over(bad, place, {}, token="a")
    (bad / "takeovers.json").write_text("[")
    with pytest.raises(InputError, match="takeovers.json cannot be read"):
        read_config(bad)
