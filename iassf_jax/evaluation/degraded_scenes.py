"""Scenes with something wrong with either image: the conditions, and how they are made, always the same."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, UInt8

from data_pipelines.degradations import DEGRADATIONS, degrade
from iassf_jax.core.errors import InputError
from iassf_jax.core.rng import example_id, stream_key
from iassf_jax.text import CLEAN

SINGLE = ("LC", "SR4", "SR8", "HZ", "OE", "LL")
COMBINED = ("OE+LC", "LL+LC")  # those of the paper's Table 4


@dataclasses.dataclass(frozen=True)
class Condition:
    """What is wrong with each image of a pair: names of `DEGRADATIONS`, "PD" for nothing."""

    visible: str = CLEAN
    infrared: str = CLEAN

    @property
    def name(self) -> str:
        """Such as "HZ" or "OE+LC"; "PD" where nothing is wrong."""
        return "+".join(part for part in (self.visible, self.infrared) if part != CLEAN) or CLEAN


def parse_condition(text: str) -> Condition:
    """Return the condition that a text such as "HZ", "LC" or "OE+LC" names.

    Raises:
      InputError: an unknown degradation, or two of one image.
    """
    parts: dict[str, str] = {}
    for word in text.upper().split("+"):
        if word not in SINGLE:
            raise InputError(f"there is no degradation {word!r}; there are {', '.join(SINGLE)}")
        image = "infrared" if DEGRADATIONS[word].modality == 1 else "visible"
        if image in parts:
            raise InputError(f"{text}: {parts[image]} and {word} are both of the {image} image; give one")
        parts[image] = word
    return Condition(**parts)


@dataclasses.dataclass(frozen=True)
class DegradedScene:
    """A pair with what is wrong with it, and the clean pair; uint8, infrared with one channel."""

    name: str
    condition: Condition
    visible: UInt8[np.ndarray, "h w 3"]
    infrared: UInt8[np.ndarray, "h w 1"]
    clean_visible: UInt8[np.ndarray, "h w 3"]
    clean_infrared: UInt8[np.ndarray, "h w 1"]


class Degrader:
    """Degrades scenes at the middle strength of every degradation, as the validation of a run does.

    What is drawn (places, noise) is a function of the seed, the degradation and the scene's name.

    Args:
      seed: as a run's.
      haze: recipe of HZ, see `data_pipelines.degradations.degrade`.
    """

    def __init__(self, *, seed: int = 0, haze: str = "reside_its"):
        self._key = stream_key(seed, "haze")
        self._degrade = jax.jit(functools.partial(_degrade, haze=haze), static_argnames="kind")

    def image(self, name: str, clean: UInt8[np.ndarray, "h w c"], kind: str) -> UInt8[np.ndarray, "h w c"]:
        """Return an image with the degradation `kind`; "PD" is the image itself."""
        if kind == CLEAN:
            return clean
        number = np.array([example_id(name)], np.uint32)
        return np.asarray(self._degrade(self._key, clean[None], number, kind=kind))[0]

    def scene(self, example: Mapping[str, Any], condition: Condition) -> DegradedScene:
        """Return an example of `data_pipelines.folder.evaluation_examples` under a condition."""
        name, visible, infrared = example["name"], example["visible_clear"], example["infrared"]
        return DegradedScene(
            name,
            condition,
            self.image(name, visible, condition.visible),
            self.image(name, infrared, condition.infrared),
            visible,
            infrared,
        )


def parse_conditions(names: Iterable[str]) -> list[Condition]:
    """Return the conditions of `names`, each once.

    Raises:
      InputError: see `parse_condition`.
    """
    return list(dict.fromkeys(parse_condition(name) for name in names))


def _degrade(
    key: Key[Array, ""], clean: UInt8[Array, "b h w c"], number: Array, *, kind: str, haze: str
) -> UInt8[Array, "b h w c"]:
    unit = clean.astype(jnp.float32) / 255.0
    made = degrade(key, unit, kind, examples=number, typical=True, haze=haze)
    return jnp.round(made * 255.0).astype(jnp.uint8)
