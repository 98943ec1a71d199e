"""Writers get the numbers and images of a run; what is not installed, or does not answer, is said."""

import sys
import types

import numpy as np
import pytest
from rich.console import Console

from iassf_jax.core.errors import ConfigError, InputError, MissingDependencyError
from iassf_jax.evaluation.figures import COLUMNS
from iassf_jax.training.logging import RunLog, SilentLog
from iassf_jax.training.writers import WRITERS, finite, named_images, open_writers, writer_names

CONFIG = {"alpha": 2.0, "model": {"name": "tiny", "width": 4}}
PICTURES = [
    {
        "name": "scene",
        **{name: np.full((4, 6, 3), 7, np.uint8) for name in ("hazy", "restored", "fused", "clear")},
        "infrared": np.arange(24, dtype=np.uint8).reshape(4, 6, 1),
        "haze density": np.full((4, 6), 9, np.uint8),
    }
]


class Recorder:
    """Stands in for a client of a service: notes every call with its arguments."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))

    def of(self, name):
        return [args for called, args, _ in self.calls if called == name]


def module(name, **contents):
    made = types.ModuleType(name)
    vars(made).update(contents)
    return made


def run_log(workdir, writers, console=None):
    return RunLog(
        workdir,
        start=0,
        steps=10,
        batch_size=4,
        rate=lambda step: 0.5,
        console=console or Console(quiet=True),
        writers=writers,
    )


def write_run(log):
    with log:
        log.advance(1)
        log.training(2, {"loss/total": 0.5, "grad_norm": float("nan")})
        log.evaluation(2, {"restored_psnr": 20.0})
        log.pictures(2, PICTURES)


def test_names_are_checked():
    assert writer_names("") == ()
    assert writer_names("tensorboard, mlflow") == ("tensorboard", "mlflow")
    with pytest.raises(ConfigError, match="has comet; there are tensorboard, wandb, mlflow"):
        writer_names("wandb,comet")


@pytest.mark.parametrize(
    "name, package", [("tensorboard", "clu.metric_writers"), ("wandb",) * 2, ("mlflow",) * 2]
)
def test_a_missing_package_is_named_with_its_remedy(name, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=f"asks for {name}.*pip install"):
        open_writers(name, tmp_path, CONFIG)


def test_a_service_that_refuses_is_reported(tmp_path, monkeypatch):
    def refuse(**_):
        raise ConnectionError("no route to host")

    monkeypatch.setitem(sys.modules, "wandb", module("wandb", init=refuse, Image=None))
    with pytest.raises(InputError, match="wandb cannot be opened: no route to host"):
        open_writers("wandb", tmp_path, CONFIG)


def test_tensorboard_gets_numbers_and_images(tmp_path, monkeypatch):
    events = Recorder()
    folders = []
    fake = module("clu.metric_writers", SummaryWriter=lambda folder: folders.append(folder) or events)
    monkeypatch.setitem(sys.modules, "clu.metric_writers", fake)
    monkeypatch.setattr("clu.metric_writers", fake, raising=False)
    write_run(run_log(tmp_path, open_writers("tensorboard", tmp_path, CONFIG)))
    assert folders == [str(tmp_path / "tensorboard")]
    (step, training), (_, evaluation) = events.of("write_scalars")
    assert step == 2 and training["loss/total"] == 0.5 and training["train/learning_rate"] == 0.5
    assert training["speed/images_per_second"] > 0 and "train/grad_norm" not in training
    assert evaluation == {"eval/restored_psnr": 20.0}
    ((_, images),) = events.of("write_images")
    assert set(images) == {f"{name}/scene" for name in COLUMNS}
    assert (tmp_path / "images" / "step_00000002.png").is_file()
    assert events.calls[-1][0] == "close"


def test_wandb_continues_the_same_run(tmp_path, monkeypatch):
    opened, run = [], Recorder()
    fake = module(
        "wandb", init=lambda **options: opened.append(options) or run, Image=lambda array: array.shape
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        write_run(run_log(tmp_path, open_writers("wandb", tmp_path, CONFIG)))
    first, second = opened
    assert first["id"] == second["id"] and first["resume"] == "allow" and first["config"] == CONFIG
    assert {"hazy/scene": (4, 6, 3)}.items() <= run.of("log")[2][0].items()
    assert [kwargs for name, _, kwargs in run.calls if name == "log"] == [{"step": 2}] * 6
    assert len(run.of("finish")) == 2


class Mlflow(Recorder):
    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return f"experiment of {name}"

    def create_run(self, experiment, run_name):
        self.calls.append(("create_run", (experiment, run_name), {}))
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))


def test_mlflow_continues_the_same_run(tmp_path, monkeypatch):
    client = Mlflow()
    entities = types.SimpleNamespace(Metric=lambda key, value, timestamp, step: (key, value, step))
    fake = module("mlflow", MlflowClient=lambda: client, entities=entities)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    for _ in range(2):
        write_run(run_log(tmp_path, open_writers("mlflow", tmp_path, CONFIG)))
    assert client.of("create_run") == [("experiment of iassf", tmp_path.name)]
    assert ("r1", "model.width", 4) in client.of("log_param")
    logged = [
        metric for name, _, kwargs in client.calls if name == "log_batch" for metric in kwargs["metrics"]
    ]
    assert ("loss/total", 0.5, 2) in logged and ("eval/restored_psnr", 20.0, 2) in logged
    assert {args[0] for args in client.of("log_image")} == {"r1"} and len(client.of("log_image")) == 12
    assert len(client.of("set_terminated")) == 2


def test_a_service_that_fails_later_ends_nothing(tmp_path):
    class Failing:
        def scalars(self, step, values):
            raise ConnectionError("gone")

        images = close = scalars

    console = Console(record=True, width=200, quiet=False, file=open("/dev/null", "w"))
    write_run(run_log(tmp_path, {"far": Failing()}, console))
    assert "far was not written: gone" in console.export_text()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2


def test_other_processes_write_nothing(tmp_path, capsys):
    write_run(SilentLog())
    assert not list(tmp_path.iterdir()) and capsys.readouterr() == ("", "")


def test_images_get_three_channels():
    images = named_images(PICTURES)
    assert {image.shape for image in images.values()} == {(4, 6, 3)}
    np.testing.assert_array_equal(images["infrared/scene"][..., 2], PICTURES[0]["infrared"][..., 0])
    np.testing.assert_array_equal(images["hazy/scene"], PICTURES[0]["hazy"])


def test_services_get_numbers_only():
    assert finite({"a": 1.0, "b": float("nan"), "c": float("-inf"), "d": np.float32(0.5)}) == {
        "a": 1.0,
        "d": 0.5,
    }


def test_every_writer_is_documented():
    assert all(writer.__doc__ for writer in WRITERS.values())
