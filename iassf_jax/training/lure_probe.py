"""How well a linear probe tells degradations apart in LURE's latents, as a number of a validation."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from iassf_jax.evaluation.degraded import Latents
from iassf_jax.evaluation.degraded_tables import probes
from iassf_jax.models.lure import Lure
from iassf_jax.text import CLEAN


class LatentProbe:
    """Encodes the middle of validation scenes and probes what the latents tell of their degradation.

    Args:
      model: the network.
      side: of the square in the middle that is encoded, pixels; smaller images count whole.
    """

    def __init__(self, model: Lure, *, side: int = 128):
        self._side = side

        def pooled(
            params: Any,
            image: UInt8[Array, "b h w 3"],
            sentence: Float[Array, "b s"],
            modality: Int[Array, " b"],
        ) -> Float[Array, "b d"]:
            unit = image.astype(jnp.float32) / 255.0
            made: Any = model.apply({"params": params}, unit, sentence, modality, method="restore")
            return jnp.concatenate(
                [z.astype(jnp.float32).mean(axis=(1, 2)) for z in made["latents"]], axis=-1
            )

        self._pooled = jax.jit(pooled)

    def __call__(self, params: Any, scenes: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Return "probe/visible" and "probe/infrared", shares of images whose degradation is found.

        Args:
          params: of the network.
          scenes: as `LureRestoration.examples` gives them; fewer than two of them have no probe.
        """
        found: dict[tuple[str, str, bool], np.ndarray] = {}
        for scene in scenes:
            name, _, kind = scene["name"].rpartition(" ")
            infrared = bool(scene["modality"])
            versions = {kind: ("visible_hazy", "text"), CLEAN: ("visible_clear", "text_clean")}
            for version, (image, text) in versions.items():
                if (name, version, infrared) not in found:
                    vector = self._encode(params, scene[image], scene[text], scene["modality"])
                    found[name, version, infrared] = vector
        if not found:
            return {}
        names, kinds, modalities = (list(column) for column in zip(*found, strict=True))
        latents = Latents(np.stack(list(found.values())), kinds, modalities, names)
        return {f"probe/{modality}": values["linear"] for modality, values in probes(latents).items()}

    def _encode(
        self, params: Any, image: np.ndarray, sentence: np.ndarray, modality: np.integer
    ) -> np.ndarray:
        top, left = (max(0, (side - self._side) // 2) for side in image.shape[:2])
        square = image[top : top + self._side, left : left + self._side]
        made = self._pooled(params, square[None], sentence[None], np.asarray(modality)[None])
        return np.asarray(jax.device_get(made))[0]
