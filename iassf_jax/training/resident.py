"""Steps that cut their batches out of scenes kept on the device, see `data_pipelines.resident`."""

from collections.abc import Mapping

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from data_pipelines.resident import crop_scenes
from iassf_jax.training.state import TrainState
from iassf_jax.training.step import Batch, Records, Step

_PLACES = ("scene", "top", "left")


def compile_resident_step(
    step: Step, scenes: Mapping[str, UInt8[np.ndarray, "n h w c"]], *, crop: int
) -> Step:
    """Put `scenes` on the device and return a compiled step that takes places in place of images.

    Args:
      step: from `make_train_step`.
      scenes: from `data_pipelines.resident.stack_scenes`.
      crop: side of the crops, pixels.
    """
    resident = jax.device_put(dict(scenes))

    def cut_and_step(
        state: TrainState,
        batch: Batch,
        alpha: Float[Array, ""],
        seed: Int[Array, ""],
        scenes: Mapping[str, UInt8[Array, "n h w c"]],
    ) -> tuple[TrainState, Records, Bool[Array, ""]]:
        images = crop_scenes(scenes, *(batch[name] for name in _PLACES), crop=crop)
        rest = {name: value for name, value in batch.items() if name not in _PLACES}
        return step(state, {**images, **rest}, alpha, seed)

    # The scenes are an argument: a constant of the program would be copied into it.
    compiled = jax.jit(cut_and_step, donate_argnums=0)
    return lambda state, batch, alpha, seed: compiled(state, batch, alpha, seed, resident)
