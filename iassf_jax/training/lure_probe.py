"""How well a linear probe tells degradations apart in LURE's latents, as numbers of a validation."""

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from iassf_jax.evaluation.degraded import Latents
from iassf_jax.evaluation.degraded_programs import latents_at_places, mean_latents
from iassf_jax.evaluation.degraded_tables import linear_probes
from iassf_jax.models.lure import Lure
from iassf_jax.text import CLEAN

Version = tuple[str, str, bool]  # scene, degradation, whether it is infrared


class LatentProbe:
    """Encodes the middle of validation scenes and probes what the latents tell of their degradation.

    Args:
      model: the network.
      side: of the square in the middle that is encoded, pixels; smaller images count whole.
    """

    def __init__(self, model: Lure, *, side: int = 128):
        self._side = side

        def vectors(
            params: Any,
            image: UInt8[Array, "b h w 3"],
            sentence: Float[Array, "b s"],
            modality: Int[Array, " b"],
        ) -> tuple[Float[Array, "b 1 d"], Float[Array, "b p d"]]:
            unit = image.astype(jnp.float32) / 255.0
            made: Any = model.apply({"params": params}, unit, sentence, modality, method="restore")
            return mean_latents(made["latents"])[:, None], latents_at_places(made["latents"])

        self._vectors = jax.jit(vectors)

    def __call__(self, params: Any, scenes: Iterable[Mapping[str, Any]]) -> dict[str, float]:
        """Return shares of right guesses of a linear probe, over held-out scenes.

        "probe/visible" and "probe/infrared" are of the means of an image's latents, with "_places" of the
        latents at single places.

        Args:
          params: of the network.
          scenes: as `LureRestoration.examples` gives them; fewer than two of them have no probe.
        """
        found: dict[Version, tuple[np.ndarray, np.ndarray]] = {}
        for scene in scenes:
            name, _, kind = scene["name"].rpartition(" ")
            infrared = bool(scene["modality"])
            versions = {kind: ("visible_hazy", "text"), CLEAN: ("visible_clear", "text_clean")}
            for version, (image, text) in versions.items():
                if (name, version, infrared) not in found:
                    encoded = self._encode(params, scene[image], scene[text], scene["modality"])
                    found[name, version, infrared] = encoded
        if not found:
            return {}
        means, places = zip(*found.values(), strict=True)
        return {
            f"probe/{modality}{suffix}": accuracy
            for vectors, suffix in ((means, ""), (places, "_places"))
            for modality, accuracy in linear_probes(_latents(list(found), vectors)).items()
        }

    def _encode(
        self, params: Any, image: np.ndarray, sentence: np.ndarray, modality: np.integer
    ) -> tuple[np.ndarray, np.ndarray]:
        top, left = (max(0, (side - self._side) // 2) for side in image.shape[:2])
        square = image[top : top + self._side, left : left + self._side]
        made = self._vectors(params, square[None], sentence[None], np.asarray(modality)[None])
        means, places = jax.device_get(made)
        return means[0], places[0]


def _latents(versions: list[Version], vectors: tuple[np.ndarray, ...]) -> Latents:
    """Put together the vectors [p, d] of each version of a scene."""
    repeated = [version for version, of in zip(versions, vectors, strict=True) for _ in of]
    names, kinds, modalities = (list(column) for column in zip(*repeated, strict=True))
    return Latents(np.concatenate(vectors), kinds, modalities, names)
