"""Where a run's numbers and images go besides its folder: TensorBoard, Weights & Biases, MLflow.

`config.writers` names them, as "tensorboard" or "wandb,mlflow". Their packages are optional and imported when
they are asked for. A run that is resumed goes on in the same place; it writes the steps since its checkpoint
again, with the same values.
"""

import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from iassf_jax.core.errors import ConfigError, IassfError, InputError, MissingDependencyError

PROJECT = "iassf"  # the project of Weights & Biases, the experiment of MLflow


@runtime_checkable
class Writer(Protocol):
    """A place for numbers and images."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Write numbers as they are after `step` steps."""

    def images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        """Write images under their names, such as "hazy/scene"; their sizes may differ."""

    def close(self) -> None:
        """Write what is still waiting and end."""


class TensorboardWriter:
    """Event files in the run's folder, for `tensorboard --logdir`."""

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        try:
            from clu import metric_writers
        except ImportError as error:
            raise _missing("tensorboard", error, 'pip install "iassf_jax[tensorboard]"') from error
        self._writer = metric_writers.SummaryWriter(str(workdir / "tensorboard"))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._writer.write_scalars(step, values)
        self._writer.flush()

    def images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        self._writer.write_images(step, images)

    def close(self) -> None:
        self._writer.close()


class WandbWriter:
    """A run of Weights & Biases; WANDB_MODE, WANDB_API_KEY and its other variables count as usual."""

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        try:
            import wandb
        except ImportError as error:
            raise _missing("wandb", error, "pip install wandb") from error
        self._image = wandb.Image
        self._run = wandb.init(
            project=PROJECT,
            name=workdir.name,
            dir=str(workdir),
            id=_kept(workdir / "wandb_id.txt", lambda: uuid.uuid4().hex[:16]),
            resume="allow",
            config=dict(config),
        )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=step)

    def images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        self._run.log({name: self._image(image) for name, image in images.items()}, step=step)

    def close(self) -> None:
        self._run.finish()


class MlflowWriter:
    """A run of MLflow at MLFLOW_TRACKING_URI."""

    def __init__(self, workdir: Path, config: Mapping[str, Any]):
        try:
            import mlflow
        except ImportError as error:
            raise _missing("mlflow", error, "pip install mlflow") from error
        self._metric = mlflow.entities.Metric
        self._client = mlflow.MlflowClient()
        self._id = _kept(workdir / "mlflow_id.txt", lambda: self._create(workdir.name, config))

    def _create(self, name: str, config: Mapping[str, Any]) -> str:
        experiment = self._client.get_experiment_by_name(PROJECT)
        place = experiment.experiment_id if experiment else self._client.create_experiment(PROJECT)
        run_id = self._client.create_run(place, run_name=name).info.run_id
        for key, value in _flat(config).items():
            self._client.log_param(run_id, key, value)
        return run_id

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        now = int(time.time() * 1000)
        metrics = [self._metric(name, value, now, step) for name, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def images(self, step: int, images: Mapping[str, UInt8[np.ndarray, "h w 3"]]) -> None:
        for name, image in images.items():
            self._client.log_image(self._id, image, key=name, step=step)

    def close(self) -> None:
        self._client.set_terminated(self._id)


WRITERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Writer]] = {
    "tensorboard": TensorboardWriter,
    "wandb": WandbWriter,
    "mlflow": MlflowWriter,
}


def writer_names(text: str) -> tuple[str, ...]:
    """Return the names in `config.writers`, separated by commas.

    Raises:
      ConfigError: a name that is not in `WRITERS`.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if unknown := [name for name in names if name not in WRITERS]:
        raise ConfigError(
            f"config.writers has {', '.join(unknown)}; there are {', '.join(WRITERS)} (metrics.jsonl is "
            "always written)"
        )
    return names


def open_writers(text: str, workdir: Path, config: Mapping[str, Any]) -> dict[str, Writer]:
    """Open the writers that `config.writers` names, each under its name.

    Args:
      text: names separated by commas; "" is none.
      workdir: the run's folder; its name is the run's.
      config: the resolved configuration as a plain tree, recorded with the run.

    Raises:
      ConfigError: an unknown name.
      MissingDependencyError: a package is not installed; the message says how to install it.
      InputError: a service refuses, or cannot be reached.
    """
    return {name: _open(name, workdir, config) for name in writer_names(text)}


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Return the values that are numbers: services refuse NaN and infinities, `metrics.jsonl` has them."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def named_images(pictures: Sequence[Mapping[str, Any]]) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """Return {"COLUMN/SCENE": image with three channels} of a validation's pictures.

    Args:
      pictures: one mapping per scene with "name" and uint8 images [h w], [h w 1] or [h w 3].
    """
    return {
        f"{column}/{picture['name']}": _with_channels(np.asarray(image))
        for picture in pictures
        for column, image in picture.items()
        if column != "name"
    }


def _with_channels(image: np.ndarray) -> np.ndarray:
    image = image if image.ndim == 3 else image[..., None]
    return np.broadcast_to(image, (*image.shape[:2], 3))


def _open(name: str, workdir: Path, config: Mapping[str, Any]) -> Writer:
    try:
        return WRITERS[name](workdir, config)
    except IassfError:
        raise
    except Exception as error:  # each service has its own classes
        raise InputError(f"config.writers: {name} cannot be opened: {error}") from error


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Return the line in `path`; the first time, the one that `make` gives."""
    if not path.exists():
        path.write_text(make() + "\n", encoding="utf-8")
    return path.read_text(encoding="utf-8").strip()


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _missing(name: str, error: ImportError, command: str) -> MissingDependencyError:
    return MissingDependencyError(f"config.writers asks for {name}, but there is {error}: {command}")
