"""What a run trains for: how a batch is completed on the device, and what is minimised.

A network says what it computes; a task says from what and towards what. The step, the validation and the
loop know tasks only by this interface, so another one is a class and a line in `TASKS`.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from flax import linen as nn
from jaxtyping import Array, Float, Key

from iassf_jax.core.errors import ConfigError
from iassf_jax.evaluation.measures import Objective
from iassf_jax.losses import iassf_loss
from iassf_jax.metrics import MeanRecord
from iassf_jax.training import settings
from iassf_jax.training.haze import Haze, HazyExamples
from iassf_jax.training.lure_task import LURE_TASKS

Images = Mapping[str, Any]


@runtime_checkable
class Task(Objective, Protocol):
    """See the module.

    A task may also have `overall(params, examples) -> dict[str, float]`: numbers of a validation that are no
    means over its scenes, such as the accuracy of a probe; `with_haze_strength(strength) -> Task`, where it
    makes haze of `config.haze`; and `pair_tasks`, the degradations that it takes from manifests of pairs.
    """

    makes_hazy: bool  # "visible_hazy" is made on the device and not read from files

    def prepare(self, key: Key[Array, ""], images: Images) -> tuple[dict[str, Any], dict[str, MeanRecord]]:
        """Complete a float batch after the augmentation, inside the step; records tell what was drawn."""

    def examples(self, examples: Iterable[Images]) -> Iterator[Images]:
        """Complete examples for the validation, on the host; the same in every validation of a seed."""


class IassfTask:
    """Restore and fuse, by the loss of the paper's Eq. 9, from hazy images or from haze of its own.

    Args:
      model: the network.
      loss_options: keyword options of `iassf_loss`.
      haze: makes "visible_hazy" of "visible_clear"; None takes it from the batch.
      seed: of the haze of validation scenes.
    """

    loss_names: tuple[str, ...] = ("total", "intensity", "gradient", "restoration")

    def __init__(
        self, model: nn.Module, *, loss_options: Mapping[str, Any], haze: Haze | None = None, seed: int = 0
    ):
        self._model, self._loss_options, self._haze = model, dict(loss_options), haze
        self._hazy_examples = HazyExamples(haze, seed=seed) if haze else None
        self.makes_hazy = haze is not None

    def with_haze_strength(self, strength: Float[Array, ""]) -> "IassfTask":
        """Return the same task in haze of another strength, which may be a traced number."""
        if self._haze is None:
            return self
        other = copy.copy(self)
        other._haze = self._haze.with_strength(strength)
        return other

    def prepare(self, key: Key[Array, ""], images: Images) -> tuple[dict[str, Any], dict[str, MeanRecord]]:
        return self._haze(key, images) if self._haze else (dict(images), {})

    def apply(self, params: Any, images: Images) -> dict[str, Array]:
        outputs: Any = self._model.apply({"params": params}, images["visible_hazy"], images["infrared"])
        return outputs

    def loss(self, outputs: Images, images: Images, alpha: Float[Array, ""]) -> dict[str, Float[Array, ""]]:
        return iassf_loss(outputs, images, alpha=alpha, **self._loss_options)

    def examples(self, examples: Iterable[Images]) -> Iterator[Images]:
        return self._hazy_examples(examples) if self._hazy_examples else iter(examples)


def iassf_task(model: nn.Module, config: Mapping[str, Any]) -> Task:
    """Return the task of a whole configuration: its "loss", "haze", "haze_options" and "seed".

    Raises:
      ConfigError: an impossible haze.
    """
    return IassfTask(model, loss_options=config["loss"], haze=settings.make_haze(config), seed=config["seed"])


TASKS: dict[str, Callable[[nn.Module, Mapping[str, Any]], Task]] = {"iassf": iassf_task, **LURE_TASKS}


def make_task(model: nn.Module, config: Mapping[str, Any]) -> Task:
    """Return the task that `config["task"]["name"]` names.

    Raises:
      ConfigError: there is none of that name, or its options are impossible.
    """
    name = config["task"]["name"]
    if name not in TASKS:
        raise ConfigError(f"config.task.name is {name!r}; there are {', '.join(TASKS)}")
    return TASKS[name](model, config)
