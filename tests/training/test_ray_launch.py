"""Runs on Ray: what is asked of it, and, where it is installed, a real cluster of this machine."""

import argparse
import functools
import os
import signal
import sys
import types
from pathlib import Path

import pytest

from iassf_jax.cli.launching import add_launch_arguments, join, launch_ray
from iassf_jax.core.errors import ConfigError, InputError, MissingDependencyError, TrainingError
from iassf_jax.training.ray_launch import Workers, launch_with_ray


class Failed(Exception):
    pass


class FakeTrainer:
    """Keeps what it was made with; `fit` runs the function in one worker."""

    made: list["FakeTrainer"] = []
    error: Exception | None = None

    def __init__(self, function, *, scaling_config, run_config):
        self.function, self.scaling, self.run = function, scaling_config, run_config
        self.made.append(self)

    def fit(self):
        if self.error:
            raise self.error
        self.function()


@pytest.fixture
def ray(monkeypatch):
    """A Ray with one worker in this process."""
    monkeypatch.setattr(FakeTrainer, "made", [])
    monkeypatch.setattr(FakeTrainer, "error", None)
    options = {name: dict for name in ("ScalingConfig", "RunConfig", "FailureConfig")}
    context = types.SimpleNamespace(get_world_size=lambda: 1, get_world_rank=lambda: 0)
    parts = {
        "ray.train": {**options, "TrainingFailedError": Failed, "get_context": lambda: context},
        "ray.train.collective": {"broadcast_from_rank_zero": lambda data: data},
        "ray.train.v2": {},
        "ray.train.v2.jax": {"JaxTrainer": FakeTrainer},
        "ray.util": {"get_node_ip_address": lambda: "127.0.0.1"},
    }
    fake = types.ModuleType("ray")
    fake.addresses = []
    vars(fake).update(is_initialized=lambda: False, init=lambda address: fake.addresses.append(address))
    monkeypatch.setitem(sys.modules, "ray", fake)
    for name, contents in parts.items():
        module = types.ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    fake.train, fake.util = sys.modules["ray.train"], sys.modules["ray.util"]
    return fake


def options(*words):
    parser = argparse.ArgumentParser()
    add_launch_arguments(parser)
    return parser.parse_args(words)


def test_options_reach_ray(ray, tmp_path):
    ran = []
    words = "--launcher ray --num-processes 4 --ray-worker TPU=4 --tpu-slice TPU-V6E:4x4 --ray-address auto"
    launch_ray(options(*words.split()), functools.partial(ran.append, "ran"), workdir=tmp_path)
    (trainer,) = FakeTrainer.made
    assert ran == ["ran"] and ray.addresses == ["auto"]
    assert trainer.scaling == {
        "num_workers": 4,
        "use_gpu": False,
        "use_tpu": True,
        "resources_per_worker": {"TPU": 4},
        "accelerator_type": "TPU-V6E",
        "topology": "4x4",
    }
    assert trainer.run["storage_path"] == str(tmp_path / "ray")
    assert trainer.run["failure_config"] == {"max_failures": 3}


def test_a_failed_run_is_an_error(ray, tmp_path, monkeypatch):
    monkeypatch.setattr(FakeTrainer, "error", Failed("worker 3"))
    with pytest.raises(TrainingError, match="failed on Ray: worker 3"):
        launch_with_ray(print, workers=Workers(2), storage=tmp_path)


def test_a_cluster_that_is_not_there_is_an_error(ray, tmp_path):
    def refuse(address):
        raise ConnectionError("nobody answers")

    ray.init = refuse
    with pytest.raises(InputError, match="no Ray cluster at auto: nobody answers.*ray start"):
        launch_with_ray(print, workers=Workers(2), storage=tmp_path, address="auto")


def test_without_ray_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"iassf_jax\[ray\]"):
        launch_with_ray(print, workers=Workers(2), storage=tmp_path)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"count": 0}, "0 workers"),
        ({"count": 2, "kind": "NPU"}, "expected one of CPU, GPU, TPU"),
        ({"count": 2, "kind": "TPU"}, "--tpu-slice"),
    ],
)
def test_impossible_workers_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        Workers(**fields)


def test_a_worker_is_written_as_kind_and_number(tmp_path):
    with pytest.raises(InputError, match="--ray-worker GPU: expected KIND=N"):
        launch_ray(options("--ray-worker", "GPU"), print, workdir=tmp_path)


def test_without_a_launcher_nothing_is_joined(monkeypatch):
    join(options("--launcher", "none"))
    with pytest.raises(ConfigError, match="'pbs'; expected one of"):
        join(options("--launcher", "pbs"))


def _die_once(folder: str) -> None:
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    index = jax.process_index()
    tried = Path(folder) / f"tried{index}"
    first = not tried.exists()
    tried.touch()
    together = multihost_utils.process_allgather(np.asarray(index)).tolist()
    if first and index == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    (Path(folder) / f"done{index}").write_text(f"{jax.process_count()} {together}")


@pytest.mark.slow
def test_a_killed_worker_is_started_again(tmp_path):
    pytest.importorskip("ray")
    pytest.importorskip("ray.train")
    import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this file
    function = functools.partial(_die_once, str(tmp_path))
    launch_with_ray(function, workers=Workers(2, "CPU"), storage=tmp_path / "ray")
    assert [(tmp_path / f"done{index}").read_text() for index in (0, 1)] == ["2 [0, 1]"] * 2
