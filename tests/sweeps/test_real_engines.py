"""Ray and submitit themselves, where they are installed: they train as the local engine does.

python -m pytest -m slow tests/sweeps/test_real_engines.py
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from data_pipelines.scenes import write_scenes
from iassf_jax.sweeps import slurm
from iassf_jax.sweeps.collect import collect
from iassf_jax.sweeps.folders import FINISHED, PRUNED, read_config, read_status, write_points
from iassf_jax.sweeps.lifeline import ATTACHED
from iassf_jax.sweeps.local import run_local
from iassf_jax.sweeps.points import make_points
from iassf_jax.sweeps.ray_tune import run_ray
from iassf_jax.sweeps.schedulers import Asha, Pbt
from iassf_jax.sweeps.slurm import run_slurm
from iassf_jax.sweeps.takeovers import read_takeovers
from tests.sweeps.tiny_processes import TinyTask, register

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
STEPS = 400
WORKER = [sys.executable, "-m", "tests.sweeps.tiny_processes", ATTACHED]
RATE = "optimizer.learning_rate"

SWEEP = """
from configs import default

def get_config():
    config = default.get_config()
    config.model = type(config)({{"name": "tiny", "width": 4}})
    config.steps = {steps}
    config.mesh.data = 1
    config.data.train, config.data.val = {train!r}, {val!r}
    config.data.batch_size, config.data.crop, config.data.num_threads = 2, 32, 1
    config.log_every = config.checkpoint_every = config.eval_every = {steps} // 4
    config.images_every = 0
    config.optimizer.learning_rate = 1e-2
    return config

def get_points():
    yield {{"alpha": 1.0}}
    yield {{"alpha": 3.0}}
"""


@pytest.fixture(scope="module")
def make_units(tmp_path_factory):
    """A function from a name to the units of a sweep of two short runs in a folder of that name."""
    root = tmp_path_factory.mktemp("engines")
    write_scenes(root, count=8, seed=0, height=48, width=64, splits={"train": 6, "val": 2})
    file = root / "sweep.py"
    file.write_text(SWEEP.format(steps=STEPS, train=str(root / "train"), val=str(root / "val")))

    def make(name, **options):
        return [(folder,) for folder in write_points(root / name, make_points(file, **options))]

    return make


@pytest.fixture(scope="module")
def local(make_units):
    """What the local engine makes of the sweep."""
    units = make_units("local")
    assert run_local(units, command=WORKER)
    return [lines(unit) for unit in units]


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.tune")
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    known = {"env_vars": {"PYTHONPATH": path}, "worker_process_setup_hook": register}
    ray.init(num_cpus=2, include_dashboard=False, runtime_env=known)
    yield ray
    ray.shutdown()


def lines(unit):
    assert read_status(unit[0]).state == FINISHED, read_status(unit[0])
    return [json.loads(line) for line in (unit[0] / "metrics.jsonl").read_text().splitlines()]


def same(found, expected):
    kinds = [[(line["step"], line["kind"]) for line in log] for log in (found, expected)]
    assert kinds[0] == kinds[1]
    for one, other in zip(found, expected, strict=True):
        numbers = [{name: value for name, value in line.items() if name != "kind"} for line in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-6)


def test_ray_trains_as_the_local_engine(ray, make_units, local, tmp_path):
    units = make_units("ray")
    assert run_ray(units, storage=tmp_path / "storage", parallel=2)
    for unit, expected in zip(units, local, strict=True):
        same(lines(unit), expected)


def test_a_trial_whose_process_is_killed_goes_on_from_its_checkpoint(ray, make_units, local, tmp_path):
    units, killed = make_units("killed"), []

    def kill():
        """Kill the process that trains the first point as soon as it has a checkpoint."""
        folder = units[0][0]
        while not any((folder / "checkpoints" / str(step)).is_dir() for step in range(0, STEPS, STEPS // 4)):
            time.sleep(0.01)
        os.kill(trainer_of(folder), signal.SIGKILL)
        killed.append(read_status(folder).state)

    threading.Thread(target=kill, daemon=True).start()
    assert run_ray(units, storage=tmp_path / "storage", parallel=2, retries=1)
    assert killed == ["waiting"]  # it was at work
    for unit, expected in zip(units, local, strict=True):
        same(lines(unit), expected)


def trainer_of(folder):
    """The process that has the log of a run open, or None."""
    log = str(folder / "metrics.jsonl")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(entry) == log for entry in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue  # it has ended, or belongs to somebody else
    return None


def test_asha_ends_a_bad_point_early(ray, make_units, tmp_path):
    units = make_units("asha", grids=[f"{RATE}=1e-2,1e-7"])[:2]
    scheduler = Asha(reduction_factor=2)
    assert run_ray(units, storage=tmp_path / "storage", parallel=1, scheduler=scheduler)
    good, bad = (read_status(unit[0]) for unit in units)
    assert (good.state, good.step) == (FINISHED, STEPS) and (bad.state, bad.step) == (PRUNED, STEPS // 4)
    assert bad.metrics["restored_psnr"] < good.metrics["restored_psnr"] - 1


def test_a_bad_point_goes_on_from_a_good_one(ray, make_units, tmp_path):
    grid = [f"{RATE}=1e-2,1e-7"]
    good, bad = (unit[0] for unit in make_units("population", grids=grid)[:2])
    killed = []

    def kill():
        """Kill the process that goes on after the takeover: it is started again, and takes over no more."""
        while not killed:
            time.sleep(0.05)
            if (bad / "takeovers.json").exists() and (process := trainer_of(bad)):
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    threading.Thread(target=kill, daemon=True).start()
    scheduler = Pbt(STEPS // 2, {RATE: (1e-3, 3e-2)}, synchronous=True)
    assert run_ray([(good,), (bad,)], storage=tmp_path / "storage", scheduler=scheduler, retries=1)
    assert killed

    assert read_takeovers(good) == []
    (takeover,) = read_takeovers(bad)
    assert (takeover.step, takeover.donor, takeover.replaced) == (STEPS // 2, good.name, STEPS // 2)
    before, after = takeover.changes[RATE]
    assert before == 1e-7 and 1e-3 <= after <= 3e-2 and after != 1e-2
    assert read_config(bad).optimizer.learning_rate == after
    assert json.loads((bad / "config.json").read_text())["optimizer"]["learning_rate"] == after
    # Up to there it is now the good one's run, and then its own.
    ours, donors = lines((bad,)), lines((good,))
    half = [line for line in donors if line["step"] <= STEPS // 2]
    assert ours[: len(half)] == half and ours[-1]["step"] == STEPS
    rates = [log[len(half)]["learning_rate"] for log in (ours, donors)]
    assert rates[0] / rates[1] == pytest.approx(after / 1e-2, rel=0.05)
    replaced = (bad / "metrics.replaced-1.jsonl").read_text().splitlines()
    stalled = json.loads(replaced[-1])["restored_psnr"]
    assert half[-1]["restored_psnr"] > stalled + 1 and ours[-1]["restored_psnr"] > stalled + 1
    (row,) = [row for row in collect(bad.parent) if "takeovers" in row]
    assert f"step {STEPS // 2} from {good.name}" in row["takeovers"]
    assert not list((tmp_path / "storage").glob("*/*/checkpoint_*"))


def test_submitit_trains_as_the_local_engine(make_units, local, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    monkeypatch.setattr(slurm, "UnitTask", TinyTask)
    units = make_units("slurm")
    assert run_slurm(units, storage=tmp_path / "storage", cluster="local", poll=0.5)
    for unit, expected in zip(units, local, strict=True):
        same(lines(unit), expected)
