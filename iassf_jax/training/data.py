"""The data of a run as its configuration describes it: batches, validation examples, resident scenes."""

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
from ml_collections import ConfigDict

from data_pipelines.decode import ImageError
from data_pipelines.depth_files import DepthRule
from data_pipelines.folder import evaluation_examples, training_iterator
from data_pipelines.mixtures import open_mixture
from data_pipelines.resident import stack_scenes
from iassf_jax.core.errors import ConfigError
from iassf_jax.training.task import Task


def training_batches(config: ConfigDict, task: Task) -> Any:
    """Return the endless iterator over this process's rows of the batches, see `training_iterator`.

    Raises:
      ConfigError: an impossible option of `config.data`.
      ImageError: the data cannot be read.
    """
    data = config.data
    with _config_errors():
        return training_iterator(
            data.train,
            batch_size=data.batch_size,
            crop=data.crop,
            seed=config.seed,
            host=jax.process_index(),
            num_hosts=jax.process_count(),
            resize=data.resize,
            scale=data.scale,
            num_threads=data.num_threads,
            num_workers=data.num_workers,
            drop_remainder=data.drop_remainder,
            cache_bytes=data.cache_bytes,
            places_only=data.resident,
            with_hazy=not task.makes_hazy,
            **_reading(config, task),
        )


def validation_examples(config: ConfigDict, task: Task) -> Iterable[Mapping[str, Any]]:
    """Return this process's share of the scenes of `config.data.val`, at full size, hazy where they are.

    Raises:
      ConfigError: an impossible option of `config.data`.
      ImageError: the data cannot be read.
    """
    data = config.data
    with _config_errors(" (val, val_limit)"):
        examples = evaluation_examples(data.val, limit=data.val_limit, **_reading(config, task))
    return itertools.islice(examples, jax.process_index(), None, jax.process_count())


def resident_scenes(config: ConfigDict, task: Task) -> Mapping[str, Any]:
    """Return all training scenes as arrays, see `data_pipelines.resident.stack_scenes`.

    Raises:
      ConfigError: the data are pairs of a manifest.
      ImageError: the data cannot be read.
    """
    mixture = open_mixture(
        config.data.train,
        resize=config.data.resize,
        with_hazy=not task.makes_hazy,
        **_reading(config, task),
    )
    if mixture.has_pairs:
        raise ConfigError("config.data.resident keeps scenes, not pairs of a manifest: set it to False")
    return stack_scenes(mixture, crop=config.data.crop)


@contextlib.contextmanager
def _config_errors(what: str = "") -> Iterator[None]:
    """Name the group of options that the package of the data, which knows none, complains of."""
    try:
        yield
    except (ImageError, ConfigError):
        raise
    except ValueError as error:
        raise ConfigError(f"config.data{what}: {error}") from error


def _reading(config: ConfigDict, task: Task) -> dict[str, Any]:
    """Return the options of reading that training and validation share."""
    return {
        "data_dir": config.data.data_dir or None,
        "require_hazy": not task.makes_hazy,
        "infrared_range": config.data.infrared_range,
        "depth": _depth_rule(config.data),
        "pair_tasks": getattr(task, "pair_tasks", ()),
    }


def _depth_rule(data: ConfigDict) -> DepthRule | None:
    if not data.depth:
        return None
    try:
        return DepthRule(data.depth, data.depth_scale, data.depth_limits)
    except ValueError as error:
        raise ConfigError(f"config.data.depth: {error}") from error
