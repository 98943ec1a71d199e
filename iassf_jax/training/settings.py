"""Checks of a whole configuration before anything is built, and against the run that it would continue."""

from collections.abc import Mapping, Sequence
from typing import Any

from iassf_jax.core.config import differences
from iassf_jax.core.errors import ConfigError
from iassf_jax.training.haze import Haze
from iassf_jax.training.writers import writer_names

# What may change between a start and its continuation: nothing of the training depends on it but the order
# in which sums are rounded.
_FREE = (
    "log_every",
    "eval_every",
    "eval_at_start",
    "images_every",
    "checkpoint_every",
    "images_count",
    "keep_last",
    "data.num_threads",
    "data.num_workers",
    "data.resident",
    "data.cache_bytes",
    "data.val_batch",
    "mesh.data",
    "mesh.model",
    "mesh.rules",
    "accumulate",
    "writers",
)
_NOT_NEGATIVE = ("log_every", "eval_every", "images_every", "checkpoint_every", "images_count", "accumulate")


def check(config: Mapping[str, Any]) -> None:
    """Check what the types of the options do not say.

    Raises:
      ConfigError: the first impossible option, with what was expected.
    """
    if not config["data"]["train"]:
        raise ConfigError(
            "no training data: give --config.data.train=FOLDER with GT/, hazy/ and IR/ in it, or a built set "
            "such as msrs:train"
        )
    _at_least(config, 1, "steps", "keep_last")
    if not 0 <= config["ema_decay"] < 1:
        raise ConfigError(f"config.ema_decay is {config['ema_decay']}; expected 0 (off) up to below 1")
    _at_least(config, 0, *_NOT_NEGATIVE)
    writer_names(config["writers"])
    if not 0 <= config["seed"] < 2**31:
        raise ConfigError(f"config.seed is {config['seed']}; expected 0 up to 2^31 - 1")
    if config["best_mode"] not in ("max", "min"):
        raise ConfigError(f"config.best_mode is {config['best_mode']!r}; expected max or min")
    if config["haze_options"]["strength"] != 1 and not config["haze"]:
        raise ConfigError("config.haze_options.strength is of haze made in training: set config.haze")
    images, evaluation = config["images_every"], config["eval_every"]
    if images and evaluation and images % evaluation:
        raise ConfigError(
            f"config.images_every is {images}; it must be a multiple of eval_every = {evaluation}"
        )


def check_best_metric(config: Mapping[str, Any], names: Sequence[str]) -> None:
    """Check that a validation gives the metric by which the best checkpoint is kept.

    Raises:
      ConfigError: it does not.
    """
    if config["best_metric"] not in ("", *names):
        raise ConfigError(f"config.best_metric is {config['best_metric']!r}; there are {', '.join(names)}")


def make_haze(config: Mapping[str, Any]) -> Haze | None:
    """Return the haze that the options ask for; None takes the hazy images of the files.

    Raises:
      ConfigError: an unknown recipe or option, or crops larger than the frame.
    """
    if not config["haze"]:
        return None
    haze = Haze(config["haze"], **config["haze_options"])
    crop = config["data"]["crop"]
    if haze.frame and min(haze.frame) < crop:
        raise ConfigError(
            f"config.haze_options.frame is {haze.frame}; expected at least the crop, {crop} pixels"
        )
    return haze


def check_continuation(saved: Mapping[str, Any], given: Mapping[str, Any], *, workdir: str) -> None:
    """Refuse to continue a run with other options than it was started with.

    Args:
      saved, given: the two configurations as plain trees read from JSON.
      workdir: named in the error.

    Raises:
      ConfigError: options differ on which the result depends; each is shown with both values.
    """
    changed = {key: both for key, both in differences(saved, given).items() if key not in _FREE}
    if changed:
        lines = "".join(f"\n  config.{key}: {was!r} -> {now!r}" for key, (was, now) in changed.items())
        raise ConfigError(
            f"{workdir} holds a run with another configuration (saved -> given):{lines}\n"
            "Give the same options to continue it, or another --workdir for a new run; `iassf train` with "
            "--allow-changes continues this one with these"
        )


def _at_least(config: Mapping[str, Any], least: int, *names: str) -> None:
    for name in names:
        if config[name] < least:
            raise ConfigError(f"config.{name} is {config[name]}; expected at least {least}")
