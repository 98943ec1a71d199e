"""A trained network as a function from one degraded image, visible or infrared, to the restored one."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int, Shaped, UInt8

from iassf_jax import models
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import InfraredRange, to_uint8
from iassf_jax.inference.inputs import prepare_infrared, prepare_visible
from iassf_jax.inference.programs import check_finite
from iassf_jax.inference.tiling import OVERLAP_SHARE, choose_tile, map_tiles

Modality = Literal["visible", "infrared"]
MODALITIES: tuple[Modality, ...] = ("visible", "infrared")


class Restorer:
    """A network that restores single images, told what is wrong with them.

        restorer = Restorer.from_pretrained("runs/lure")
        clear = restorer(hazy, modality="visible", text="remove the haze")

    Each new image size compiles the network once. Images of more than `tile` x `tile` pixels are computed in
    overlapping tiles, whose statistics are then those of each tile; the overlaps blend what differs.
    """

    def __init__(
        self,
        model: nn.Module,
        variables: Mapping[str, Any],
        *,
        ir_range: InfraredRange = "auto",
        tile: int | None = None,
    ):
        """Take a network and its variables; options as those of `Fuser`.

        Raises:
            InputError: the network restores no single images, or a tile that is too small.
        """
        if not hasattr(model, "restore") or not hasattr(model, "conditions"):
            raise InputError(f"the network {type(model).__name__} restores no single images; lure does")
        self._model: Any = model
        self._variables = jax.device_put(variables)
        self._restore = jax.jit(partial(_restore, model))
        self.ir_range = ir_range
        self.tile = choose_tile(tile, model)

    @classmethod
    def from_pretrained(cls, source: str | os.PathLike, **options: Any) -> "Restorer":
        """Load a packaged name, a run's folder or a weights file; options as `Restorer`.

        Raises:
            CheckpointError: the source is missing, damaged or made for another network.
            InputError: the network restores no single images.
        """
        description, variables = load_pretrained(source if isinstance(source, str) else Path(source))
        return cls(models.create(description), variables, **options)

    def __call__(
        self,
        image: np.ndarray | Array,
        *,
        modality: Modality,
        text: str | None = None,
        task: str | None = None,
    ) -> UInt8[np.ndarray, "h w *c"]:
        """Restore one image.

        Args:
            image: visible: uint8 [H,W,3] RGB or [H,W] grey; infrared: uint8, uint16 or float [H,W] or
                [H,W,3]. Sides of at least 16 pixels.
            modality: which of the two it is.
            text: what is wrong with it, in words.
            task: the same by name, such as "HZ"; without either, nothing is wrong.

        Returns:
            uint8, [H,W,3] for a visible and [H,W] for an infrared image.

        Raises:
            InputError: an image that does not fit, or a task that is unknown or not of this modality.
            CheckpointError: the network's result is not finite.
        """
        told = self.conditions(modality=modality, text=text, task=task)
        array = np.asarray(image)
        infrared = modality == "infrared"
        prepared = prepare_infrared(array, self.ir_range) if infrared else prepare_visible(array)
        restored = self._run(prepared, told, np.array([int(infrared)], np.int32))
        check_finite(np.isfinite(restored).all())
        return to_uint8(restored.mean(axis=2) if infrared else restored)

    def conditions(
        self, *, modality: Modality, text: str | None = None, task: str | None = None
    ) -> Float[np.ndarray, " s"]:
        """Return the sentence that the network is told with these arguments of a call.

        Raises:
            InputError: a modality or task that is unknown, or a task that is not of this modality.
        """
        if modality not in MODALITIES:
            raise InputError(f"modality is {modality!r}; expected one of {', '.join(MODALITIES)}")
        return self._model.conditions(text=text, **{f"task_{modality}": task})[f"text_{modality}"]

    def _run(
        self, image: Shaped[np.ndarray, "h w _k"], told: np.ndarray, modality: Int[np.ndarray, " 1"]
    ) -> Float[np.ndarray, "h w 3"]:
        def run(tiles: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
            return [jax.device_get(self._restore(self._variables, tiles[0], told[None], modality))]

        height, width = image.shape[:2]
        if height * width <= self.tile**2:
            return run([image[None]])[0][0]
        return map_tiles(run, [image], tile=(self.tile, self.tile), overlap=self.tile // OVERLAP_SHARE)[0]


def _restore(
    model: nn.Module,
    variables: Any,
    image: Shaped[Array, "b h w k"],
    sentence: Float[Array, "b s"],
    modality: Int[Array, " b"],
) -> Float[Array, "b h w 3"]:
    unit = image.astype(jnp.float32) / 255.0 if image.dtype == jnp.uint8 else image
    restored: Any = model.apply(variables, unit, sentence, modality, method="restore")
    return jnp.clip(restored["restored"], 0.0, 1.0)
