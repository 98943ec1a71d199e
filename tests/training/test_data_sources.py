"""Runs on built sets, mixtures and resident data."""

import functools

import jax
import numpy as np
import pytest

from data_pipelines.sets.build import build_set
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.training import run_training
from tests.compiling import NEWER_GENERATOR


@pytest.fixture(scope="module")
def sets(triplets, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("sets")
    build_set("folder", triplets, data_dir=data_dir, name="mine")
    return data_dir


def parameters(config, workdir, silent, **options):
    return jax.tree.leaves(run_training(config, workdir, console=silent, **options).state.params)


def assert_same(found, expected):
    for array, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.fixture
def newer_generator(monkeypatch):
    """With resident data the step is another program, which the older generator rounds in another way."""
    monkeypatch.setattr(jax, "jit", functools.partial(jax.jit, compiler_options=NEWER_GENERATOR))


@pytest.mark.usefixtures("newer_generator")
def test_folder_set_and_resident_set_train_the_same_network(make_config, sets, silent, tmp_path):
    expected = parameters(make_config("data.val="), tmp_path / "folder", silent)
    stored = ("data.train=mine:train", "data.val=", f"data.data_dir={sets}")
    assert_same(parameters(make_config(*stored), tmp_path / "set", silent), expected)
    resident = make_config(*stored, "data.resident=true")
    assert_same(parameters(resident, tmp_path / "resident", silent), expected)


@pytest.mark.usefixtures("newer_generator")
def test_a_run_may_go_on_with_resident_data(make_config, sets, silent, tmp_path):
    options = ("data.train=mine:train", "data.val=", f"data.data_dir={sets}", "optimizer.hold_steps=100")
    expected = parameters(make_config(*options), tmp_path / "whole", silent)
    first = make_config(*options, "steps=2")
    parameters(first, tmp_path / "run", silent)
    rest = make_config(*options, "data.resident=true")
    assert_same(parameters(rest, tmp_path / "run", silent, allow_changes=True), expected)


def test_validation_and_mixtures_of_sets(make_config, sets, silent, tmp_path):
    config = make_config(
        "data.train=mine:train*2 + mine:val", "data.val=mine:val", f"data.data_dir={sets}", "steps=3"
    )
    result = run_training(config, tmp_path, console=silent)
    assert np.isfinite(result.evaluation["restored_psnr"])


@pytest.mark.parametrize(
    "overrides, error, message",
    [
        (["data.train=mime:train"], InputError, "mime: is neither a built set"),
        (["data.train=mine:test"], InputError, "no split 'test'"),
        (["data.train=mine:train*0"], ConfigError, "positive number"),
        (["data.resident=true", "data.scale=(0.5,1.0)"], ConfigError, "resident sets do not"),
    ],
)
def test_mistakes_stop_before_anything_is_made(
    make_config, sets, silent, tmp_path, overrides, error, message
):
    config = make_config(f"data.data_dir={sets}", *overrides)
    with pytest.raises(error, match=message):
        run_training(config, tmp_path / "run", console=silent)
    assert not (tmp_path / "run").exists()
