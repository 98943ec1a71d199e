"""Haze made during training and validation, from clear images."""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from data_pipelines.haze import as_mixture, synthesize, synthesize_with_parameters
from data_pipelines.haze.mixtures import Mixture
from data_pipelines.haze.pseudo_depth import KINDS, Kind
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.core.rng import example_id, stream_key
from iassf_jax.metrics import MeanRecord


class Haze:
    """A recipe, or a mixture of recipes, for the batches of the training step.

    Args:
      recipe: see `data_pipelines.haze.as_mixture`.
      pseudo_depth: kind of depth for images that come without one.
      frame: (height, width) of the pictures that the crops are parts of, None for the crops themselves.
      strength: factor on the extinction of every haze, see `Mixture.stronger`.

    Raises:
      ConfigError: there is no such recipe or kind, or the frame is no size.
    """

    def __init__(
        self,
        recipe: str,
        *,
        pseudo_depth: str = "mixed",
        frame: tuple[int, int] | None = None,
        strength: float = 1.0,
    ):
        if strength <= 0:
            raise ConfigError(f"config.haze_options.strength is {strength}; expected more than 0")
        try:
            self._recipe = as_mixture(recipe)
        except InputError as error:
            raise ConfigError(f"config.haze: {error}") from error
        if pseudo_depth not in KINDS:
            raise ConfigError(
                f"config.haze_options.pseudo_depth is {pseudo_depth!r}; there are {', '.join(KINDS)}"
            )
        if frame is not None and (len(frame) != 2 or not all(isinstance(n, int) and n > 0 for n in frame)):
            raise ConfigError(f"config.haze_options.frame is {frame}; expected (height, width) in pixels")
        self.pseudo_depth: Kind = pseudo_depth
        self.frame = (frame[0], frame[1]) if frame else None
        self.mixture: Mixture = self._recipe.stronger(strength) if strength != 1 else self._recipe

    def with_strength(self, strength: Float[Array, ""]) -> "Haze":
        """Return the same haze with another strength, which may be a traced number."""
        other = copy.copy(self)
        other.mixture = self._recipe.stronger(strength)
        return other

    def __call__(
        self, key: Key[Array, ""], images: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, MeanRecord]]:
        """Return the batch with "visible_hazy" made from "visible_clear", and records of what was drawn.

        The records are means over all valid examples; an example left clear counts with a transmission of 1
        and an airlight and beta of 0.

        Args:
          key: the step's key; each example folds in its "example" number, or its position.
          images: float batch; "depth" [b h w 1] in metres is used where it is there, "mask" too.
        """
        hazy, drawn = synthesize_with_parameters(
            key,
            images["visible_clear"],
            self.mixture,
            depth=images.get("depth"),
            examples=images.get("example"),
            pseudo_depth=self.pseudo_depth,
            frame=self.frame,
        )
        values = {
            "haze/mean_transmission": drawn.mean_transmission,
            "haze/airlight": drawn.airlight.mean(axis=1),
            "haze/beta": drawn.beta,
        }
        mask = images.get("mask")
        records = {name: MeanRecord.from_values(value, mask) for name, value in values.items()}
        return {**images, "visible_hazy": hazy}, records


class HazyExamples:
    """Gives validation scenes without a hazy image one: the same in every validation of every run of a seed.

    A mixture's share of clear inputs is left out: they are for training, and the error of an image against
    itself would make the means over all scenes infinite.
    """

    def __init__(self, haze: Haze, *, seed: int):
        self._key = stream_key(seed, "haze")
        mixture = haze.mixture.without("clear")
        self._make = jax.jit(
            lambda key, clear, depth, ids: _to_uint8(
                synthesize(
                    key,
                    clear.astype(jnp.float32) / 255.0,
                    mixture,
                    depth=depth,
                    examples=ids,
                    pseudo_depth=haze.pseudo_depth,
                )
            )
        )

    def __call__(self, examples: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield the examples, see `data_pipelines.folder.evaluation_examples`, each with "visible_hazy"."""
        for example in examples:
            if "visible_hazy" in example:
                yield example
                continue
            ids = np.array([example_id(example["name"])], np.uint32)
            depth = example["depth"][None] if "depth" in example else None
            hazy = np.asarray(self._make(self._key, example["visible_clear"][None], depth, ids))[0]
            yield {**example, "visible_hazy": hazy}


def _to_uint8(images: Float[Array, "b h w 3"]) -> UInt8[Array, "b h w 3"]:
    return jnp.round(images * 255.0).astype(jnp.uint8)
