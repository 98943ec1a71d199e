"""Devices do not matter: any mesh and placement of the parameters gives the numbers of one device."""

import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from iassf_jax.checkpoints.manager import CheckpointManager
from iassf_jax.core.errors import ConfigError
from iassf_jax.training import logging, run_training, sharding

FSDP = "mesh.rules=('bias=replicated','.*=data')"


@pytest.fixture
def make_wide(make_config):
    """Runs of batches of eight with a network wide enough that splitting its parameters pays."""
    return lambda *overrides: make_config(
        "model.width=64",
        "data.batch_size=8",
        "data.drop_remainder=false",
        "data.val=",
        "log_every=1",
        "steps=20",
        "checkpoint_every=20",
        *overrides,
    )


def losses(workdir):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return np.array([line["loss/total"] for line in lines])


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    return {"workdir": tmp_path_factory.mktemp("one")}


@pytest.fixture
def reference(one_device, make_wide, silent):
    if "losses" not in one_device:
        run_training(make_wide(), one_device["workdir"], console=silent)
        one_device["losses"] = losses(one_device["workdir"])
    return one_device["losses"]


@pytest.mark.parametrize(
    "mesh",
    [
        ("mesh.data=2",),
        ("mesh.data=8",),
        ("mesh.data=4", FSDP),
        ("mesh.data=2", "mesh.model=4", "mesh.rules=('.*=data+model',)"),
    ],
)
def test_any_mesh_gives_the_losses_of_one_device(reference, make_wide, silent, tmp_path, mesh):
    result = run_training(make_wide(*mesh), tmp_path, console=silent)
    np.testing.assert_allclose(losses(tmp_path), reference, rtol=1e-5)
    assert len(result.state.step.sharding.device_set) == int(mesh[0][-1]) * (4 if len(mesh) == 3 else 1)


def test_a_running_mean_has_its_own_places_from_given_weights_too(make_wide, silent, tmp_path):
    short = ("steps=2", "checkpoint_every=2")
    run_training(make_wide("mesh.data=1", *short), tmp_path / "first", console=silent)
    rules = "mesh.rules=('^ema/=data','.*=replicated')"
    config = make_wide("mesh.data=8", rules, *short, "ema_decay=0.5", f"init_from={tmp_path / 'first'}")
    state = run_training(config, tmp_path / "second", console=silent).state
    kernels = [tree["first"]["kernel"].sharding for tree in (state.params, state.ema)]
    assert [kernel.is_fully_replicated for kernel in kernels] == [True, False]


def test_a_checkpoint_of_eight_devices_goes_on_with_one_and_with_two_by_four(
    reference, make_wide, silent, tmp_path, monkeypatch
):
    two_by_four = ("mesh.data=2", "mesh.model=4", "mesh.rules=('.*=data+model',)")
    advance = logging.RunLog.advance
    for mesh, end in ((("mesh.data=8", FSDP), 2), (two_by_four, 4)):

        def advance_and_stop(self, done, end=end):
            advance(self, done)
            if done == end:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(logging.RunLog, "advance", advance_and_stop)
        assert run_training(make_wide(*mesh), tmp_path, console=silent).step == end
    result = run_training(make_wide("mesh.data=1"), tmp_path, console=silent)
    assert result.step == 20
    assert len(result.state.step.sharding.device_set) == 1
    np.testing.assert_allclose(losses(tmp_path), reference, rtol=1e-5)
    with CheckpointManager(tmp_path) as manager:
        assert manager.latest_step() == 20


def test_kernels_that_xla_does_not_split_are_for_one_device():
    one, several = (sharding.make_mesh(data=n, model=1, examples=n) for n in (1, 4))
    for fields, mesh in (({"pallas": True}, one), ({"pallas": False}, several), ({}, several)):
        sharding.check_kernels(fields, mesh=mesh)
    with pytest.raises(ConfigError, match=r"one device, and there are 4.*mesh\.data=1"):
        sharding.check_kernels({"pallas": True}, mesh=several)


def test_parameters_moments_and_averages_are_split_alike(make_wide, silent, tmp_path):
    config = make_wide("mesh.data=4", FSDP, "steps=1", "ema_decay=0.9", "model.width=2048")
    state = run_training(config, tmp_path, console=silent).state
    moments = [
        *optax.tree.get_all_with_path(state.opt_state, "mu"),
        *optax.tree.get_all_with_path(state.opt_state, "nu"),
    ]
    for tree in (state.params, *(joined.large for _, joined in moments), state.ema):
        kernel = tree["first"]["kernel"]
        assert kernel.sharding.spec == P(None, None, None, "data")
        assert kernel.addressable_shards[0].data.shape == (3, 3, 4, 512)
    biases = [tree["first"]["bias"] for tree in (state.params, state.ema)]
    for array in (*biases, *(joined.small for _, joined in moments)):
        assert array.sharding.is_fully_replicated


@pytest.mark.parametrize("examples, devices", [(8, 8), (12, 6), (7, 7), (1, 1), (None, 8)])
def test_as_many_devices_as_divide_the_batch_are_taken(examples, devices):
    assert sharding.make_mesh(examples=examples).shape == {"data": devices, "model": 1}


def test_the_longest_side_that_divides_is_split():
    mesh = sharding.make_mesh(data=4, model=2)
    shapes = {
        "plain": (64, 128),
        "odd": (3, 3, 64, 129),
        "nothing_divides": (63, 65),
        "small": (8, 8),
    }
    tree = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    rules = sharding.parse_rules(("plain=data+model", ".*=data"))
    specs = {name: s.spec for name, s in sharding.state_shardings(tree, mesh, rules).items()}
    assert specs["plain"] == P("data", "model")
    assert specs["odd"] == P(None, None, "data", None)
    assert specs["nothing_divides"] == P(None, None)
    assert specs["small"] == P()


@pytest.mark.parametrize(
    "overrides, message",
    [
        (("mesh.rules=('first=data',)",), "place neither .*second/"),
        (("mesh.rules=('.*=everywhere',)",), "PATTERN=PLACEMENT"),
        (("mesh.rules=('(=data',)",), "no regular expression"),
        (("mesh.data=16",), "16 x 1 devices; there are 8"),
        (("mesh.data=0",), "numbers from 1 up"),
        (("mesh.data=8", "data.batch_size=12"), "expected a multiple of 8"),
        (("mesh.data=2", "accumulate=8"), "expected a multiple of 16"),
    ],
)
def test_what_cannot_be_split_is_refused(make_wide, silent, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        run_training(make_wide(*overrides), tmp_path / "run", console=silent)
    assert not (tmp_path / "run").exists()
