"""The engines of Ray and SLURM: what is asked of them; where they are installed, also the real ones."""

import json
import sys
import types

import pytest

from iassf_jax.cli.main import main
from iassf_jax.core.errors import InputError
from iassf_jax.sweeps import worker
from iassf_jax.sweeps.folders import (
    DIVERGED,
    FAILED,
    FINISHED,
    PRUNED,
    Status,
    read_status,
    write_points,
    write_status,
)
from iassf_jax.sweeps.points import make_points
from iassf_jax.sweeps.ray_tune import read_validations, run_ray
from iassf_jax.sweeps.slurm import UnitTask, run_slurm


@pytest.fixture
def units(sweep_file, tmp_path):
    def make(*alphas, overrides=()):
        points = make_points(sweep_file(*({"alpha": alpha} for alpha in alphas)), overrides=overrides)
        return [(folder,) for folder in write_points(tmp_path / "sweep", points)]

    return make


@pytest.fixture
def trained(monkeypatch):
    """Replaces the training; a point of alpha 4 fails, one of alpha 5 is ended after its first validation."""
    folders = []

    def train_points(unit):
        for folder in unit:
            folders.append(folder.name)
            alpha = json.loads((folder / "point.json").read_text())["overrides"]["alpha"]
            line = {"step": 10, "kind": "eval", "restored_psnr": 20 + alpha}
            (folder / "metrics.jsonl").write_text(json.dumps(line) + '\n{"step": 20, "ki')
            if alpha != 5.0:
                write_status(
                    folder, Status(FAILED, error="no data") if alpha == 4.0 else Status(FINISHED, 20)
                )

    monkeypatch.setattr(worker, "train_points", train_points)
    return folders


class Tuner:
    """Runs the trials in this process, one after the other."""

    made: list["Tuner"] = []

    def __init__(self, trainable, *, param_space, tune_config, run_config):
        self.trainable, self.units = trainable, param_space["unit"]
        self.tune_config, self.run_config, self.reported, self.errors = tune_config, run_config, [], []
        self.made.append(self)

    def fit(self):
        sys.modules["ray.tune"].report = self.reported.append
        for unit in self.units:
            try:
                self.trainable({"unit": unit})
            except RuntimeError as error:
                self.errors.append(str(error))
        return self.units


@pytest.fixture
def tune(monkeypatch):
    monkeypatch.setattr(Tuner, "made", [])
    monkeypatch.setattr("iassf_jax.sweeps.ray_tune._POLL", 0.01)
    ray, tune, schedulers = (types.ModuleType(name) for name in ("ray", "ray.tune", "ray.tune.schedulers"))
    vars(ray).update(is_initialized=lambda: True, tune=tune)
    vars(schedulers).update(ASHAScheduler=lambda **options: options)
    vars(tune).update(
        Tuner=Tuner,
        with_resources=lambda function, resources: vars(tune).update(resources=resources) or function,
        grid_search=list,
        TuneConfig=dict,
        RunConfig=dict,
        FailureConfig=dict,
    )
    for module in (ray, tune, schedulers):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return tune


def test_units_are_trials(tune, trained, units, tmp_path):
    made, ended = units(1.0, 2.0, 4.0), []
    write_status(made[0][0], Status(DIVERGED, error="NaN"))
    options = {"resources": {"GPU": 1}, "parallel": 3, "retries": 2, "report": ended.append}
    assert run_ray(made, storage=tmp_path / "ray", **options)
    (tuner,) = Tuner.made
    assert trained == ["alpha=2.0", "alpha=4.0"] and ended == made[1:]
    assert tune.resources == {"GPU": 1} and tuner.tune_config["max_concurrent_trials"] == 3
    assert tuner.run_config["failure_config"] == {"max_failures": 2}
    assert tuner.reported == [{"step": 10, "restored_psnr": 22.0}, {"step": 10, "restored_psnr": 24.0}]
    assert tuner.errors == ["no data"]  # Ray starts such a trial again
    assert run_ray([made[0]], storage=tmp_path) and len(Tuner.made) == 1  # nothing is left to do


def test_a_scheduler_ends_points_early(tune, trained, units, tmp_path):
    made = units(1.0, 5.0, overrides=["config.data.val=somewhere"])
    run_ray(made, storage=tmp_path / "ray", scheduler="asha")
    expected = {
        "time_attr": "step",
        "metric": "restored_psnr",
        "mode": "max",
        "max_t": 20,
        "grace_period": 10,
    }
    assert Tuner.made[0].tune_config["scheduler"] == expected
    assert read_status(made[1][0]) == Status(PRUNED, 10, {"restored_psnr": 25.0})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"scheduler": "pbt"}, "expected one of none, asha"),
        ({"scheduler": "asha"}, "needs validation"),
        ({"scheduler": "asha", "join": True}, "cannot be combined with --population"),
    ],
)
def test_what_a_scheduler_cannot_compare_is_refused(tune, units, tmp_path, change, message):
    made = units(1.0, 2.0)
    if change.pop("join", False):
        made = [(made[0][0], made[1][0])]
    with pytest.raises(InputError, match=message):
        run_ray(made, storage=tmp_path, **change)


def test_half_written_lines_are_left(tmp_path):
    assert read_validations(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "kind": "train"}\n{"step": 2, "kind": "eval"}\n{"st')
    assert read_validations(tmp_path) == [{"step": 2, "kind": "eval"}]


class Job:
    def __init__(self, number, function, unit):
        self.job_id, self.error = f"7_{number}", None
        try:
            function(unit)
        except OSError as error:
            self.error = error

    def done(self, force_check=False):
        return True

    def exception(self):
        return self.error


class Executor:
    made: list["Executor"] = []

    def __init__(self, folder, cluster):
        self.folder, self.cluster, self.arrays = folder, cluster, []
        self.made.append(self)

    def update_parameters(self, **parameters):
        self.parameters = parameters

    def map_array(self, function, units):
        self.arrays.append(units)
        return [Job(number, function, unit) for number, unit in enumerate(units)]


@pytest.fixture
def submitit(monkeypatch):
    monkeypatch.setattr(Executor, "made", [])
    monkeypatch.setattr("iassf_jax.core.compilation.enable_compilation_cache", lambda: None)
    module = types.ModuleType("submitit")
    errors = types.SimpleNamespace(FailedJobError=type("FailedJobError", (Exception,), {}))
    module.core = types.SimpleNamespace(utils=errors)
    module.helpers = types.SimpleNamespace(DelayedSubmission=lambda *call: call)
    module.AutoExecutor = Executor
    module.SlurmJob = lambda folder, job_id: types.SimpleNamespace(
        done=lambda force_check=False: job_id != "9_0"
    )
    monkeypatch.setitem(sys.modules, "submitit", module)
    return module


def test_units_are_tasks_of_an_array(submitit, trained, units, tmp_path):
    made, ended = units(1.0, 2.0, 4.0), []
    options = {"gpus_per_node": 1, "partition": "gpu"}
    assert run_slurm(made, storage=tmp_path / "slurm", options=options, parallel=2, report=ended.append)
    (executor,) = Executor.made
    assert executor.parameters == {
        "name": "iassf_sweep",
        "gpus_per_node": 1,
        "slurm_additional_parameters": {"partition": "gpu"},
        "slurm_array_parallelism": 2,
    }
    assert trained == ["alpha=1.0", "alpha=2.0", "alpha=4.0"] and ended == made
    run_slurm(made, storage=tmp_path / "slurm")
    assert Executor.made[1].arrays == [[[str(made[2][0])]]]  # only what failed


def test_what_is_queued_is_not_submitted_again(submitit, trained, units, tmp_path, monkeypatch):
    made = units(1.0, 2.0)
    (made[0][0] / "slurm_job.txt").write_text('{"job": "9_0"}')
    waited = []
    monkeypatch.setattr("iassf_jax.sweeps.slurm._wait", lambda jobs, report, poll: waited.extend(jobs))
    run_slurm(made, storage=tmp_path / "slurm")
    assert trained == ["alpha=2.0"] and waited == made


def test_a_task_that_breaks_is_recorded(submitit, units, tmp_path, monkeypatch):
    def broken(unit):
        raise OSError("no space left")

    monkeypatch.setattr(worker, "train_points", broken)
    made = units(1.0)
    run_slurm(made, storage=tmp_path)
    assert read_status(made[0][0]) == Status(FAILED, error="its job failed: no space left")


def test_a_preempted_task_is_queued_again(submitit):
    task = UnitTask()
    assert task.checkpoint(["a"]) == (task, ["a"])


@pytest.mark.parametrize("engine, package", [("ray", "ray"), ("slurm", "submitit")])
def test_a_missing_package_is_named(engine, package, sweep_file, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    file = sweep_file({"alpha": 1.0})
    words = ["sweep", "--config", str(file), "--workdir", str(tmp_path / "out"), "--engine", engine]
    assert main(words) == 2
    assert "pip install" in capsys.readouterr().err


def test_options_reach_the_engines(tune, submitit, trained, sweep_file, tmp_path, capsys):
    file, out = sweep_file({"alpha": 1.0}), str(tmp_path / "out")
    words = ["sweep", "--config", str(file), "--workdir", out]
    assert main([*words, "--engine", "ray", "--resources", "GPU=1,CPU=8", "--parallel", "2"]) == 0
    assert tune.resources == {"GPU": 1, "CPU": 8}
    words += ["--grid", "seed=0", "--engine", "slurm"]
    assert main([*words, "--slurm", "mem_gb=4", "--slurm", "qos=low"]) == 0
    assert Executor.made[0].parameters["mem_gb"] == 4
    assert Executor.made[0].parameters["slurm_additional_parameters"] == {"qos": "low"}
    assert main([*words, "--slurm", "qos"]) == 2
    assert "'qos': expected KEY=VALUE" in capsys.readouterr().err
    assert main([*words, "--address", "auto"]) == 2
    assert "--address is for --engine ray; the engine is slurm" in capsys.readouterr().err
