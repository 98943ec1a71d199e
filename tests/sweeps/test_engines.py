"""The engines of Ray and SLURM: what is asked of them; where they are installed, also the real ones."""

import json
import sys
import types

import pytest

from iassf_jax.cli.main import main
from iassf_jax.core.errors import IassfError
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
from iassf_jax.sweeps.schedulers import Asha, Pbt
from iassf_jax.sweeps.slurm import UnitTask, run_slurm


@pytest.fixture
def units(sweep_file, tmp_path):
    def make(*alphas, overrides=()):
        points = make_points(sweep_file(*({"alpha": alpha} for alpha in alphas)), overrides=overrides)
        return [(folder,) for folder in write_points(tmp_path / "sweep", points)]

    return make


@pytest.fixture
def trained(monkeypatch):
    """Replaces the training; a point of alpha 4 fails, one of alpha 6 is interrupted with the command."""
    folders = []

    def train_points(unit, *, tell=None):
        for folder in unit:
            folders.append(folder.name)
            alpha = json.loads((folder / "point.json").read_text())["overrides"]["alpha"]
            metrics = {"restored_psnr": 20 + alpha}
            line = {"step": 10, "kind": "eval", **metrics}
            (folder / "metrics.jsonl").write_text(json.dumps(line) + '\n{"step": 20, "ki')
            if tell is not None:
                tell(10, metrics)
            if alpha == 6.0:
                sys.exit(0)
            failed = Status(FAILED, error="no data")
            write_status(folder, failed if alpha == 4.0 else Status(FINISHED, 20, metrics))
        return [read_status(folder) for folder in unit]

    monkeypatch.setattr(worker, "train_points", train_points)
    monkeypatch.setattr("iassf_jax.core.compilation.enable_compilation_cache", lambda: None)
    return folders


class Scheduler:
    """Ends trials of alpha 5 after their first validation."""

    def __init__(self, **options):
        self.options = options

    def on_trial_result(self, controller, trial, result):
        return "STOP" if result["restored_psnr"] == 25.0 else "CONTINUE"


class Tuner:
    """Runs the trials in this process, one after the other."""

    made: list["Tuner"] = []

    def __init__(self, trainable, *, param_space, tune_config, run_config):
        self.trainable, self.space = trainable, param_space
        self.tune_config, self.run_config, self.reported = tune_config, run_config, []
        self.made.append(self)

    def fit(self):
        return [self.run({**self.space, "unit": unit}) for unit in self.space["unit"]]

    def run(self, parameters):
        name = self.tune_config["trial_name_creator"](types.SimpleNamespace(config=parameters))

        def report(result):
            self.reported.append(result)
            scheduler = self.tune_config["scheduler"]
            if scheduler and scheduler.on_trial_result(None, name, result) == "STOP":
                sys.exit(0)

        vars(sys.modules["ray.tune"]).update(report=report)
        error = None
        try:
            self.trainable(parameters)
        except RuntimeError as raised:
            error = raised
        except SystemExit:
            pass  # as a thread of Ray's
        return types.SimpleNamespace(path=f"/storage/{name}", error=error)


@pytest.fixture
def tune(monkeypatch):
    monkeypatch.setattr(Tuner, "made", [])
    ray, tune, schedulers = (types.ModuleType(name) for name in ("ray", "ray.tune", "ray.tune.schedulers"))
    vars(ray).update(is_initialized=lambda: True, tune=tune)
    decisions = types.SimpleNamespace(STOP="STOP")
    vars(schedulers).update(
        ASHAScheduler=Scheduler, PopulationBasedTraining=Scheduler, TrialScheduler=decisions
    )
    vars(tune).update(
        Tuner=Tuner,
        with_resources=lambda function, resources: vars(tune).update(resources=resources) or function,
        grid_search=list,
        sample_from=lambda function: function,
        uniform=lambda low, high: ("uniform", low, high),
        loguniform=lambda low, high: ("loguniform", low, high),
        TuneConfig=dict,
        RunConfig=dict,
        FailureConfig=dict,
        CheckpointConfig=dict,
    )
    for module in (ray, tune, schedulers):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    # Its classes are made of these.
    monkeypatch.setitem(sys.modules, "iassf_jax.sweeps.ray_schedulers", None)
    del sys.modules["iassf_jax.sweeps.ray_schedulers"]
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
    # Nothing is reported of the end of a point that failed: Ray starts such a trial again.
    values = [(result["step"], result["restored_psnr"]) for result in tuner.reported]
    assert values == [(10, 22.0), (20, 22.0), (10, 24.0)]
    assert read_status(made[2][0]) == Status(FAILED, error="no data")
    assert run_ray([made[0]], storage=tmp_path) and len(Tuner.made) == 1  # nothing is left to do


def test_a_trial_that_could_not_say_why_it_failed_is_recorded(tune, units, tmp_path, monkeypatch):
    def killed(unit, *, tell=None):
        raise RuntimeError("The actor died.\nIts process was killed.")

    monkeypatch.setattr(worker, "train_points", killed)
    (unit,) = units(1.0)
    write_status(unit[0], Status(FAILED, error="what an earlier command saw"))
    assert run_ray([unit], storage=tmp_path / "ray")
    assert read_status(unit[0]) == Status(FAILED, error="its process failed: Its process was killed.")


def test_a_scheduler_ends_points_early(tune, trained, units, tmp_path):
    made = units(1.0, 5.0, 6.0, overrides=["config.data.val=somewhere"])
    assert not run_ray(made, storage=tmp_path / "ray", scheduler=Asha(reduction_factor=3))
    assert Tuner.made[0].tune_config["scheduler"].options == {
        "time_attr": "step",
        "metric": "restored_psnr",
        "mode": "max",
        "max_t": 20,
        "grace_period": 10,
        "reduction_factor": 3,
        "brackets": 1,
    }
    assert read_status(made[1][0]) == Status(PRUNED, 10, {"restored_psnr": 25.0})
    # One that ended with the command goes on with the next one.
    assert read_status(made[0][0]).state == FINISHED and read_status(made[2][0]) == Status()


def test_population_based_training_is_that_of_ray(tune, trained, units, tmp_path, monkeypatch):
    monkeypatch.setattr(Tuner, "fit", lambda self: [])
    words = ["data.val=somewhere", "checkpoint_every=5", "optimizer.learning_rate=3e-3"]
    made = units(1.0, 2.0, overrides=[f"config.{word}" for word in words])
    mutations = {"optimizer.learning_rate": (1e-4, 1e-2), "optimizer.weight_decay": (0, 1), "alpha": [1, 2]}
    assert not run_ray(made, storage=tmp_path / "ray", parallel=2, scheduler=Pbt(10, mutations))
    (tuner,) = Tuner.made
    assert tuner.tune_config["max_concurrent_trials"] is None  # all points take turns
    options = tuner.tune_config["scheduler"].options
    assert options["hyperparam_mutations"] == {
        "optimizer.learning_rate": ("loguniform", 1e-4, 1e-2),
        "optimizer.weight_decay": ("uniform", 0.0, 1.0),
        "alpha": [1.0, 2.0],
    }
    assert options["perturbation_interval"] == 10 and options["time_attr"] == "step"
    starts = [{"unit": unit, "alpha": tuner.space["alpha"]({"unit": unit})} for unit in tuner.space["unit"]]
    assert starts == [{"unit": [str(made[i][0])], "alpha": i + 1.0} for i in (0, 1)]
    assert tuner.space["optimizer.learning_rate"](starts[0]) == 3e-3


@pytest.mark.parametrize("third, goes_on", [("TERMINATED", True), ("RUNNING", False)])
def test_points_do_not_wait_for_one_that_has_left(tune, monkeypatch, third, goes_on):
    """Two points wait at step 10, where the third has diverged, or has still to come."""
    states = ["PAUSED", "PAUSED", third]
    trials = [types.SimpleNamespace(status=s, is_finished=lambda s=s: s == "TERMINATED") for s in states]

    class Waiting(Scheduler):
        _next_perturbation_sync = _perturbation_interval = 10

        def choose_trial_to_run(self, controller):
            return trials[0] if self._next_perturbation_sync > 10 else None

    monkeypatch.setattr(sys.modules["ray.tune.schedulers"], "PopulationBasedTraining", Waiting)
    from iassf_jax.sweeps.ray_schedulers import PopulationGoingOn

    scheduler = PopulationGoingOn()
    controller = types.SimpleNamespace(get_trials=lambda: trials)
    assert scheduler.choose_trial_to_run(controller) is (trials[0] if goes_on else None)


@pytest.mark.parametrize(
    "scheduler, change, message",
    [
        (Asha(), {}, "needs validation"),
        (Asha(), {"join": True}, "cannot be combined with --population"),
        (Pbt(10, {"alpha": (1, 2)}), {"parallel": 1}, "all points of pbt take turns"),
    ],
)
def test_what_a_scheduler_cannot_compare_is_refused(tune, units, tmp_path, scheduler, change, message):
    made = units(1.0, 2.0)
    if change.pop("join", False):
        made = [(made[0][0], made[1][0])]
    with pytest.raises(IassfError, match=message):
        run_ray(made, storage=tmp_path, scheduler=scheduler, **change)


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
    validated = ["--config", str(file), "--workdir", f"{out}_asha", "--config.data.val=somewhere"]
    assert main(["sweep", *validated, "--engine", "ray", "--scheduler", "asha"]) == 0
    assert Tuner.made[1].tune_config["scheduler"].options["max_t"] == 20
    words += ["--grid", "seed=0", "--engine", "slurm"]
    assert main([*words, "--slurm", "mem_gb=4", "--slurm", "qos=low"]) == 0
    assert Executor.made[0].parameters["mem_gb"] == 4
    assert Executor.made[0].parameters["slurm_additional_parameters"] == {"qos": "low"}
    assert main([*words, "--slurm", "qos"]) == 2
    assert "'qos': expected KEY=VALUE" in capsys.readouterr().err
    assert main([*words, "--address", "auto"]) == 2
    assert "--address is for --engine ray; the engine is slurm" in capsys.readouterr().err
    assert main([*words, "--scheduler", "asha"]) == 2
    assert "schedulers are for --engine ray; the engine is slurm" in capsys.readouterr().err
