"""All degradations by name."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt32

from data_pipelines.degradations.resolution import reduce_resolution
from data_pipelines.degradations.tones import (
    CONTRAST_NUMBERS,
    DARKNESS_NUMBERS,
    EXPOSURE_NUMBERS,
    Numbers,
    low_contrast,
    low_light,
    over_exposure,
)
from data_pipelines.haze import Mixture, Preset, synthesize
from data_pipelines.haze.draws import OneOf, purpose_keys, uniforms
from data_pipelines.haze.pseudo_depth import Kind
from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_images

VISIBLE, INFRARED = 0, 1
HAZE = "reside_its"  # the recipe of RESIDE's indoor set: beta 0.6 to 1.8, airlight 0.7 to 1

# The middle of that recipe's ranges.
_TYPICAL_HAZE = Preset("reside_its at its middle", "relative", OneOf((1.2,)), OneOf((0.85,)), farthest=80.0)

Examples = Int[Array, " b"] | UInt32[Array, " b"]
Image = Float[Array, "b h w c"]
Recipe = str | Preset | Mixture


@dataclasses.dataclass(frozen=True)
class Degradation:
    """What is wrong with an image, and of which camera."""

    meaning: str
    modality: int | None  # VISIBLE or INFRARED; None is either
    numbers: tuple[str, ...] = ()  # what it draws
    apply: Callable[[Key[Array, " b"], Image, Numbers], Image] | None = None  # None: see `degrade`


def _reduced(factor: int) -> Callable[[Key[Array, " b"], Image, Numbers], Image]:
    return lambda keys, clean, numbers: reduce_resolution(clean, factor)


DEGRADATIONS: dict[str, Degradation] = {
    "LC": Degradation("low contrast", INFRARED, CONTRAST_NUMBERS, low_contrast),
    "SR4": Degradation("a quarter of the resolution", INFRARED, (), _reduced(4)),
    "SR8": Degradation("an eighth of the resolution", INFRARED, (), _reduced(8)),
    "HZ": Degradation("haze", VISIBLE),
    "OE": Degradation("over-exposure", VISIBLE, EXPOSURE_NUMBERS, over_exposure),
    "LL": Degradation("low light", VISIBLE, DARKNESS_NUMBERS, low_light),
    "PD": Degradation("nothing", None),
}


def degrade(
    key: Key[Array, ""],
    clean: Image,
    name: str,
    *,
    examples: Examples | None = None,
    typical: bool = False,
    haze: Recipe = HAZE,
    depth: Float[Array, "b h w 1"] | None = None,
    pseudo_depth: Kind = "mixed",
) -> Image:
    """Return degraded images in [0,1], rounded to 8 bits; "PD" returns the images as they are.

    Args:
      key: one key for the batch. Example i uses `fold_in(key, examples[i])` and nothing of the others.
      clean: clean images in [0,1]; haze is for three channels.
      name: one of `DEGRADATIONS`.
      examples: what tells the examples apart; by default their positions.
      typical: every strength in the middle of its range, for tests that can be compared; places and noise
        are still drawn.
      haze: recipe of the haze, see `data_pipelines.haze.synthesize`; a `typical` haze takes no other.
      depth: distances in metres for the haze; without it, pseudo-depth of the kind `pseudo_depth`.

    Raises:
      InputError: an unknown name or recipe, or shapes that do not fit.
    """
    check_images(clean=clean)
    if name not in DEGRADATIONS:
        raise InputError(f"there is no degradation {name!r}; there are {', '.join(DEGRADATIONS)}")
    if name == "PD":
        return clean
    if name == "HZ":
        recipe = _TYPICAL_HAZE if typical and haze == HAZE else haze
        return synthesize(key, clean, recipe, examples=examples, depth=depth, pseudo_depth=pseudo_depth)
    degradation = DEGRADATIONS[name]
    ids = jnp.arange(clean.shape[0]) if examples is None else examples
    keys = purpose_keys(jax.vmap(lambda example: jax.random.fold_in(key, example))(ids), name)
    if typical:
        numbers = {purpose: jnp.full(ids.shape, 0.5, jnp.float32) for purpose in degradation.numbers}
    else:
        numbers = uniforms(keys, degradation.numbers) if degradation.numbers else {}
    assert degradation.apply is not None
    return _to_8_bits(degradation.apply(keys, clean, numbers))


def _to_8_bits(images: Image) -> Image:
    return jnp.round(jnp.clip(images, 0.0, 1.0) * 255.0) / 255.0
