"""Steps that cut their batches out of scenes kept on the device, see `data_pipelines.resident`."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num

from data_pipelines.resident import crop_scenes
from iassf_jax.training.state import TrainState
from iassf_jax.training.step import Batch, Records, Step, compile_train_step

_PLACES = ("scene", "top", "left")


def compile_resident_step(
    step: Step,
    scenes: Mapping[str, Num[np.ndarray, "n h w c"]],
    *,
    crop: int,
    place: Callable[[Any], Any] = jax.device_put,
    **options: Any,
) -> tuple[Any, tuple[Any, ...]]:
    """Put `scenes` on the devices; return a jitted step that takes places for images, and the scenes.

    The step gets the scenes as a last argument: a constant of the program would be copied into it.

    Args:
      step: from `make_train_step`.
      scenes: from `data_pipelines.resident.stack_scenes`.
      crop: side of the crops, pixels; 0 takes whole scenes.
      place: puts a tree of host arrays on every device.
      options: see `compile_train_step`.
    """
    resident = place(dict(scenes))

    def cut_and_step(
        state: TrainState,
        batch: Batch,
        alpha: Float[Array, ""],
        seed: Int[Array, ""],
        scenes: Mapping[str, Num[Array, "n h w c"]],
    ) -> tuple[TrainState, Records, Bool[Array, ""]]:
        images = crop_scenes(scenes, *(batch[name] for name in _PLACES), crop=crop)
        rest = {name: value for name, value in batch.items() if name not in _PLACES}
        return step(state, {**images, **rest}, alpha, seed)

    return compile_train_step(cut_and_step, **options), (resident,)
