"""Ray and submitit themselves, where they are installed: they train as the local engine does.

python -m pytest -m slow tests/sweeps/test_real_engines.py
"""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from data_pipelines.scenes import write_scenes
from iassf_jax.sweeps.folders import FINISHED, read_status, write_points
from iassf_jax.sweeps.local import run_local
from iassf_jax.sweeps.points import make_points
from iassf_jax.sweeps.ray_tune import run_ray
from iassf_jax.sweeps.slurm import run_slurm

pytestmark = pytest.mark.slow
STEPS = 12


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_scenes(root, count=8, seed=0, height=48, width=64, splits={"train": 6, "val": 2})
    return root


@pytest.fixture
def sweep(sweep_file, scenes, tmp_path):
    """A function from a name to the units of a sweep of two short runs in a folder of that name."""
    options = {"data.train": scenes / "train", "data.val": scenes / "val", "steps": STEPS, "log_every": 2}
    options |= {"checkpoint_every": 2, "eval_every": STEPS, "images_every": 0, "mesh.data": 1}
    points = make_points(
        sweep_file({"alpha": 1.0}, {"alpha": 3.0}),
        overrides=[f"config.{key}={value}" for key, value in options.items()],
    )
    return lambda name: [(folder,) for folder in write_points(tmp_path / name, points)]


@pytest.fixture
def local(sweep):
    """What the local engine makes of the sweep."""
    units = sweep("local")
    assert run_local(units)
    return [lines(unit) for unit in units]


@pytest.fixture
def ray():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.tune")
    ray.init(num_cpus=2, include_dashboard=False)
    yield ray
    ray.shutdown()


def lines(unit):
    assert read_status(unit[0]).state == FINISHED, read_status(unit[0])
    return [json.loads(line) for line in (unit[0] / "metrics.jsonl").read_text().splitlines()]


def same(found, expected):
    assert [line["step"] for line in found] == [line["step"] for line in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-6)


def test_ray_trains_as_the_local_engine(ray, sweep, local, tmp_path):
    units = sweep("ray")
    assert run_ray(units, storage=tmp_path / "storage", parallel=2)
    for unit, expected in zip(units, local, strict=True):
        same(lines(unit), expected)


def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(ray, sweep, local, tmp_path):
    units, killed = sweep("killed"), []

    def kill():
        """Kill the process that trains the first point as soon as it has a checkpoint."""
        folder = units[0][0]
        while not any((folder / "checkpoints" / str(step)).is_dir() for step in range(2, STEPS, 2)):
            time.sleep(0.02)
        killed.append(read_status(folder).state)
        os.kill(trainer_of(folder), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    assert run_ray(units, storage=tmp_path / "storage", parallel=2, retries=1)
    thread.join()
    assert killed == ["waiting"]  # it was at work
    for unit, expected in zip(units, local, strict=True):
        same(lines(unit), expected)


def trainer_of(folder):
    """The process that has the log of a run open."""
    log = str(folder / "metrics.jsonl")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(entry) == log for entry in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue  # it has ended, or belongs to somebody else
    raise AssertionError(f"no process has {log} open")


def test_submitit_trains_as_the_local_engine(sweep, local, tmp_path):
    pytest.importorskip("submitit")
    units = sweep("slurm")
    assert run_slurm(units, storage=tmp_path / "storage", cluster="local", poll=0.5)
    for unit, expected in zip(units, local, strict=True):
        same(lines(unit), expected)
