"""Checkpoints: what is saved comes back bit for bit, and whatever is damaged or foreign is named."""

import multiprocessing
import os
import resource
import shutil

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iassf_jax.checkpoints.manager import CheckpointManager, load_run
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.core.errors import CheckpointError

CONFIG = {
    "model": {"name": "iassf", "channels": 4},
    "seed": 0,
    "best_metric": "psnr",
    "best_mode": "max",
}


@flax.struct.dataclass
class State:
    step: jax.Array
    params: dict
    opt_state: tuple


def make_state(value=1.0, width=3):
    params = {
        "dense": {"kernel": jnp.full((2, width), value), "bias": jnp.arange(width, dtype=jnp.float32) * value}
    }
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    return State(step=jnp.asarray(int(value), jnp.int32), params=params, opt_state=optimizer.init(params))


def save(manager, step, metrics=None, state=None, config=CONFIG):
    state = make_state(float(step)) if state is None else state
    manager.save(step, state, iterator_state={"data": {"next": step}}, config=config, metrics=metrics)
    manager.wait()


def assert_same(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_state_and_records_come_back(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        assert manager.latest_step() is None
        save(manager, 5)
    with CheckpointManager(tmp_path) as manager:
        state, iterator = manager.restore(jax.eval_shape(make_state), manager.latest_step())
        assert manager.saved_config(5) == CONFIG
    assert_same(state, make_state(5.0))
    assert iterator == {"data": {"next": 5}}
    assert {"params", "optimizer", "iterator", "config", "versions"} <= {
        path.name for path in (tmp_path / "checkpoints" / "5").iterdir()
    }


def test_last_and_best_are_kept(tmp_path):
    scores = {1: 10.0, 2: 30.0, 3: 20.0, 4: None, 5: 25.0}
    with CheckpointManager(tmp_path, keep_last=2, best_metric="psnr") as manager:
        for step, score in scores.items():
            save(manager, step, None if score is None else {"psnr": score})
        assert manager.all_steps() == [2, 4, 5]
        assert manager.best_step() == 2
        assert manager.metrics(2) == {"psnr": 30.0}
    for chosen, expected in ((None, 5.0), ("best", 2.0), (4, 4.0)):
        model, variables = load_run(tmp_path, step=chosen)
        assert model == CONFIG["model"]
        np.testing.assert_array_equal(variables["params"]["dense"]["kernel"], np.full((2, 3), expected))
        assert isinstance(variables["params"]["dense"]["kernel"], np.ndarray)


@pytest.mark.parametrize(
    ("scores", "config", "expected"),
    [
        ({1: 30.0, 2: 20.0, 3: None}, {}, 1.0),
        ({1: 30.0, 2: 20.0, 3: None}, {"best_mode": "min"}, 2.0),
        ({1: float("nan"), 2: 20.0, 3: 10.0}, {}, 2.0),
        ({1: None, 2: None}, {}, 2.0),  # a run without validation
        ({1: 30.0, 2: 20.0}, {"best_metric": ""}, 2.0),
    ],
)
def test_weights_of_a_run_are_its_best_or_without_validation_its_newest(tmp_path, scores, config, expected):
    with CheckpointManager(tmp_path, best_metric="psnr") as manager:
        for step, score in scores.items():
            metrics = None if score is None else {"psnr": score}
            save(manager, step, metrics, config={**CONFIG, **config})
    _, variables = load_pretrained(tmp_path)
    np.testing.assert_array_equal(variables["params"]["dense"]["kernel"], np.full((2, 3), expected))


def test_saving_a_step_again_replaces_it(tmp_path):
    with CheckpointManager(tmp_path, best_metric="psnr") as manager:
        save(manager, 1)
        assert manager.best_step() is None
        save(manager, 1, {"psnr": 3.0}, state=make_state(7.0))
        assert manager.best_step() == 1
        state, _ = manager.restore(jax.eval_shape(make_state))
    assert_same(state, make_state(7.0))


def _save_again(workdir):
    """Save a step a second time, and die before the new one is complete."""
    manager = CheckpointManager(workdir, keep_last=1, best_metric="psnr")
    manager._manager.save = lambda *args, **kwargs: os._exit(9)
    save(manager, 1, {"psnr": 3.0}, state=make_state(7.0))


def test_a_process_killed_while_it_replaces_a_step_leaves_the_old_one(tmp_path):
    with CheckpointManager(tmp_path, keep_last=1, best_metric="psnr") as manager:
        save(manager, 1, {"psnr": 2.0})
    process = multiprocessing.get_context("spawn").Process(target=_save_again, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 9
    with CheckpointManager(tmp_path, keep_last=1, best_metric="psnr") as manager:
        assert manager.all_steps() == [1] and manager.metrics(1) == {"psnr": 2.0}
        assert_same(manager.restore(jax.eval_shape(make_state))[0], make_state(1.0))
        save(manager, 1, {"psnr": 3.0}, state=make_state(7.0))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]


def test_smallest_is_best_in_mode_min(tmp_path):
    with CheckpointManager(tmp_path, keep_last=1, best_metric="loss", best_mode="min") as manager:
        for step, loss in ((1, 0.3), (2, 0.1), (3, 0.2)):
            save(manager, step, {"loss": loss})
        assert manager.all_steps() == [2, 3]
        assert manager.best_step() == 2


def test_donating_the_state_while_it_is_written_does_not_change_the_checkpoint(tmp_path):
    advance = jax.jit(
        lambda state: jax.tree.map(lambda x: x + jnp.ones((), x.dtype), state), donate_argnums=0
    )
    state = advance(make_state(1.0, width=200_000))
    expected = jax.tree.map(np.array, state)
    with CheckpointManager(tmp_path) as manager:
        manager.save(1, state, iterator_state={}, config=CONFIG)
        for _ in range(5):
            state = advance(state)
        manager.wait()
        restored, _ = manager.restore(jax.eval_shape(lambda: make_state(1.0, width=200_000)))
    assert_same(restored, expected)


def test_half_written_steps_are_ignored_and_removed(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        save(manager, 3)
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "3", folder / "9")
    shutil.rmtree(folder / "9" / "optimizer")
    shutil.copytree(folder / "3", folder / "8.orbax-checkpoint-tmp-17")
    _, variables = load_run(tmp_path)
    np.testing.assert_array_equal(variables["params"]["dense"]["kernel"], 3.0 * np.ones((2, 3)))
    with CheckpointManager(tmp_path) as manager:
        assert manager.all_steps() == [3]
    assert [path.name for path in folder.iterdir()] == ["3"]


@pytest.mark.parametrize("item", ["params", "optimizer"])
@pytest.mark.parametrize("action", ["truncate", "delete"])
def test_damaged_arrays_name_the_folder_and_spare_the_others(tmp_path, item, action):
    with CheckpointManager(tmp_path) as manager:
        save(manager, 1)
        save(manager, 2)
        for file in (tmp_path / "checkpoints" / "2" / item / "d").iterdir():
            if action == "delete":
                file.unlink()
            else:
                file.write_bytes(file.read_bytes()[:20])
        with pytest.raises(CheckpointError, match=r"cannot read .*/checkpoints/2: "):
            manager.restore(jax.eval_shape(make_state), 2)
        state, _ = manager.restore(jax.eval_shape(make_state), 1)
    assert_same(state, make_state(1.0))


@pytest.mark.parametrize("item", ["iterator/metadata", "params/_METADATA"])
def test_damaged_records_name_the_folder(tmp_path, item):
    with CheckpointManager(tmp_path) as manager:
        save(manager, 2)
        (tmp_path / "checkpoints" / "2" / item).unlink()
        with pytest.raises(CheckpointError, match=r"checkpoints/2"):
            manager.restore(jax.eval_shape(make_state), 2)


def test_another_model_is_refused_with_what_differs(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        save(manager, 1)
        with pytest.raises(
            CheckpointError, match=r"dense/kernel: expected float32\[2, 4\], found float32\[2, 3\]"
        ):
            manager.restore(jax.eval_shape(lambda: make_state(width=4)))
        other = make_state()
        other = other.replace(params={"conv": other.params["dense"]})
        with pytest.raises(
            CheckpointError, match=r"conv/bias: expected .*, not in .*dense/bias: .* unknown here"
        ):
            manager.restore(other)


def test_another_optimizer_is_refused(tmp_path):
    with CheckpointManager(tmp_path) as manager:
        save(manager, 1)
        other = make_state()
        other = other.replace(opt_state=optax.sgd(0.1, momentum=0.9).init(other.params))
        with pytest.raises(CheckpointError, match="another model or optimizer"):
            manager.restore(other)


def test_full_disk_is_an_error_and_the_last_good_one_stays(tmp_path):
    big = make_state(1.0, width=300_000)
    with CheckpointManager(tmp_path, keep_last=1) as manager:
        save(manager, 1)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))  # writes fail as on a full disk
        try:
            with pytest.raises(CheckpointError, match=str(tmp_path)):
                save(manager, 2, state=big)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with CheckpointManager(tmp_path, keep_last=1) as manager:
        assert manager.all_steps() == [1]
        state, _ = manager.restore(jax.eval_shape(make_state))
        assert_same(state, make_state(1.0))
        save(manager, 3)
        assert manager.all_steps() == [3]


def test_missing_things_are_named(tmp_path):
    with pytest.raises(CheckpointError, match="is not the folder of a run"):
        load_run(tmp_path / "absent")
    with CheckpointManager(tmp_path) as manager:
        with pytest.raises(CheckpointError, match="no complete checkpoint"):
            manager.restore(jax.eval_shape(make_state))
        with pytest.raises(CheckpointError, match="no complete checkpoint"):
            load_run(tmp_path)
        save(manager, 1)
    with pytest.raises(CheckpointError, match="has no step 7; it has 1"):
        load_run(tmp_path, step=7)
    with pytest.raises(CheckpointError, match="no best one"):
        load_run(tmp_path, step="best")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="file"):
        CheckpointManager(tmp_path / "file")


def test_evaluations_without_the_best_metric_are_refused(tmp_path):
    with CheckpointManager(tmp_path, best_metric="psnr") as manager:
        with pytest.raises(CheckpointError, match="chosen by 'psnr', but the evaluation has ssim"):
            save(manager, 1, {"ssim": 0.5})
