"""The scenes of an evaluation: where they come from, in which haze and in which light they are."""

import dataclasses
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from data_pipelines.depth_files import DepthRule
from data_pipelines.examples import Examples
from data_pipelines.haze import as_mixture, fit_released, synthesize_with_parameters
from data_pipelines.haze.pseudo_depth import Kind
from data_pipelines.mixtures import open_mixture
from iassf_jax.core.errors import InputError
from iassf_jax.core.rng import example_id, stream_key

DENSITIES = {"dense": 0.4, "moderate": 0.7, "light": math.inf}  # name -> mean transmissions below
LIGHTS = ("day", "night")
UNKNOWN = "unknown"

# Of the 261 MSRS scenes at hand, whose names end in D or N, 97 % are on the side of this mean luma.
_NIGHT_LUMA = 57.0
_SQUEEZED = 127  # no value of the released hazy files is below: they hold 1/2 + h/2
_RELEASED_RESIDUAL = 0.5  # grey levels; the released files fit their formula within 0.3
_RELEASED_MODULATION = (0.2, 0.8)  # theirs is 0.4 to 0.6, which a fit does not tell in thin haze:
_THIN = 0.1
_BLOCK = 16  # pixels, side of the blocks in which haze counts as even
_LEAST_VARIANCE = 4.0  # grey levels squared; flatter blocks show no contrast to lose


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a scene is: its data set, and which of its examples it is."""

    data: str
    examples: Examples
    index: int

    @property
    def name(self) -> str:
        """The scene's name."""
        return self.examples.names[self.index]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width), without decoding."""
        return self.examples.size(self.index)


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is known of a scene, by which results are stratified."""

    data: str
    name: str
    light: str  # one of LIGHTS
    haze: str  # the recipe, or "file"
    mean_transmission: float  # 1 is clear; NaN where it cannot be told
    density: str  # one of DENSITIES, or UNKNOWN


def list_places(
    data: Mapping[str, str],
    *,
    with_hazy: bool,
    limit: int | None = None,
    data_dir: str | os.PathLike | None = None,
    infrared_range: Any = "full",
    depth: DepthRule | None = None,
) -> list[Place]:
    """Return the scenes of data sets by label, each set in its own order, the first `limit` of each.

    Args:
      data: label -> folder, built set or mixture, see `data_pipelines.folder.evaluation_examples`.
      with_hazy: read hazy images, which then every scene must have.
      limit, data_dir, infrared_range, depth: see `evaluation_examples`.

    Raises:
      ImageError: data that cannot be opened or lack what is needed.
      InputError: a mixture has several scenes of one name, which results could not tell apart.
    """
    places = []
    for label, spec in data.items():
        mixture = open_mixture(
            spec,
            data_dir=data_dir,
            require_hazy=with_hazy,
            with_hazy=with_hazy,
            infrared_range=infrared_range,
            depth=depth,
        )
        every = [
            Place(label, examples, index) for examples in mixture.components for index in range(len(examples))
        ]
        places += every[:limit]
        _check_names(label, every[:limit])
    return places


def _check_names(label: str, places: Sequence[Place]) -> None:
    twice = [name for name, count in Counter(place.name for place in places).items() if count > 1]
    if twice:
        raise InputError(
            f"{label} has several scenes called {', '.join(twice[:3])}: give the parts of a mixture one by "
            "one, each as --data LABEL=D"
        )


class SceneHaze:
    """Puts clear scenes into haze as the validation of a training run of that seed does.

    A scene's haze is a function of its name, its image and the seed. A mixture's share of clear inputs is
    left out, as it is there. Compiled once for each size.
    """

    def __init__(self, recipe: str, *, seed: int, pseudo_depth: Kind = "mixed"):
        mixture = as_mixture(recipe).without("clear")
        self._names, self._key = mixture.names, stream_key(seed, "haze")

        def make(key, clear, ids, depth):
            images = clear.astype(jnp.float32) / 255.0
            hazy, drawn = synthesize_with_parameters(
                key, images, mixture, examples=ids, depth=depth, pseudo_depth=pseudo_depth
            )
            return jnp.round(hazy * 255.0).astype(jnp.uint8), drawn

        self._make = jax.jit(make)

    def __call__(self, example: Mapping[str, Any]) -> tuple[UInt8[np.ndarray, "h w 3"], str, float]:
        """Return the hazy image, the recipe's name and the mean transmission."""
        ids = np.array([example_id(example["name"])], np.uint32)
        depth = example["depth"][None] if "depth" in example else None
        hazy, drawn = jax.device_get(self._make(self._key, example["visible_clear"][None], ids, depth))
        return hazy[0], self._names[int(drawn.preset[0])], float(drawn.mean_transmission[0])


def describe_scene(data: str, example: Mapping[str, Any], *, haze: str, mean_transmission: float) -> Scene:
    """Return what is known of an example."""
    name = example["name"]
    return Scene(
        data,
        name,
        light_of(name, example["visible_clear"]),
        haze,
        mean_transmission,
        density_of(mean_transmission),
    )


def density_of(mean_transmission: float) -> str:
    """Return the first of `DENSITIES` whose limit the transmission is below."""
    return next((name for name, limit in DENSITIES.items() if mean_transmission < limit), UNKNOWN)


def light_of(name: str, clear: UInt8[np.ndarray, "h w 3"]) -> str:
    """Return "day" or "night": by the letter that ends MSRS's names, else by the clear image's mean luma."""
    if letter := re.search(r"\d([DN])$", name):
        return "night" if letter[1] == "N" else "day"
    luma = clear.mean(axis=(0, 1)) @ np.array([0.299, 0.587, 0.114])
    return "night" if luma < _NIGHT_LUMA else "day"


def transmission_of_pair(clear: UInt8[np.ndarray, "h w 3"], hazy: UInt8[np.ndarray, "h w 3"]) -> float:
    """Estimate the mean transmission of a pair: how much of the clear image's contrast is left.

    In a block in which haze is even, hazy = clear * t + constant, so t is the slope of the hazy values over
    the clear ones. The mean is over the blocks that have any contrast; NaN where none has. For hazy files
    that IASSF's authors released, which hold 1/2 + h/2, it is that of their formula. Against it, the slopes
    err by 0.01 on 29 of 30 such files and by 0.06 on one.
    """
    if hazy.min() >= _SQUEEZED and (released := _released_transmission(clear, hazy)):
        return released
    height, width = (side // _BLOCK * _BLOCK for side in clear.shape[:2])
    if not (height and width):
        return math.nan
    first, second = (_blocks(image[:height, :width]) for image in (clear, hazy))
    variance, covariance = (first * first).mean(axis=1), (first * second).mean(axis=1)
    textured = variance > _LEAST_VARIANCE
    if not textured.any():
        return math.nan
    return float(np.clip(covariance[textured] / variance[textured], 0.0, 1.0).mean())


def _released_transmission(
    clear: UInt8[np.ndarray, "h w 3"], hazy: UInt8[np.ndarray, "h w 3"]
) -> float | None:
    """Return the mean transmission if the pair is of the released kind: even haze is not, though it fits."""
    fit = fit_released(clear, hazy)
    low, high = _RELEASED_MODULATION
    if fit.residual > _RELEASED_RESIDUAL or not (low < fit.modulation < high or fit.density < _THIN):
        return None
    height, width = clear.shape[:2]
    diagonal = np.arange(height)[:, None] + np.arange(width)
    wave = 1 + fit.modulation * np.sin(2 * np.pi * diagonal / (height + width))
    return float(np.exp(-fit.density * wave).mean())


def _blocks(image: UInt8[np.ndarray, "h w 3"]) -> np.ndarray:
    """Values of each block less the mean of their channel, [blocks values]."""
    height, width, channels = image.shape
    blocks = image.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK, channels)
    blocks = blocks.swapaxes(1, 2).reshape(-1, _BLOCK * _BLOCK, channels).astype(np.float32)
    return (blocks - blocks.mean(axis=1, keepdims=True)).reshape(len(blocks), -1)
