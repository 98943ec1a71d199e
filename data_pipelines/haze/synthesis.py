"""Hazy images from clear ones: the entry of this package. Pure, batched, for use inside a jitted function."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, UInt32

from data_pipelines.haze.distance import Metres
from data_pipelines.haze.draws import purpose_keys, uniforms
from data_pipelines.haze.frames import Frame, place
from data_pipelines.haze.mixtures import Mixture, as_mixture
from data_pipelines.haze.presets import NEEDS_DEPTH, Preset
from data_pipelines.haze.pseudo_depth import Kind, invent_depth
from data_pipelines.haze.scattering import Scattered, apply_preset
from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_images


class HazeParameters(NamedTuple):
    """What was drawn for each example of a batch."""

    preset: Int[Array, " b"]  # position in the mixture's names
    beta: Float[Array, " b"]  # extinction per unit of the recipe's distance; k of iassf_released; 0 is clear
    modulation: Float[Array, " b"]  # c of iassf_released, 0 otherwise
    airlight: Float[Array, "b 3"]  # RGB in [0,1]
    mean_transmission: Float[Array, " b"]  # 1 is clear


def synthesize(
    key: Key[Array, ""],
    clear: Float[Array, "b h w 3"],
    params: str | Preset | Mixture,
    *,
    depth: Float[Array, "b h w 1"] | None = None,
    examples: Int[Array, " b"] | UInt32[Array, " b"] | None = None,
    pseudo_depth: Kind = "mixed",
    frame: tuple[int, int] | None = None,
) -> Float[Array, "b h w 3"]:
    """Return hazy images in [0,1], rounded to 8 bits; see `synthesize_with_parameters`."""
    return synthesize_with_parameters(
        key, clear, params, depth=depth, examples=examples, pseudo_depth=pseudo_depth, frame=frame
    )[0]


def synthesize_with_parameters(
    key: Key[Array, ""],
    clear: Float[Array, "b h w 3"],
    params: str | Preset | Mixture,
    *,
    depth: Float[Array, "b h w 1"] | None = None,
    examples: Int[Array, " b"] | UInt32[Array, " b"] | None = None,
    pseudo_depth: Kind = "mixed",
    frame: tuple[int, int] | None = None,
) -> tuple[Float[Array, "b h w 3"], HazeParameters]:
    """Return (hazy images in [0,1] rounded to 8 bits, what was drawn for each).

    Args:
      key: one key for the batch. Example i uses `fold_in(key, examples[i])` and nothing of the other
        examples, so its haze does not depend on the batch it comes in, nor on how batches are split over
        devices and hosts.
      clear: clear images in [0,1].
      params: the recipe: a preset's name, a mixture such as "iassf_released:0.45,physical:0.45,clear:0.1",
        or a `Preset` or `Mixture`.
      depth: distances in metres, finite and above 0, for the recipes that use depth; without it they get
        pseudo-depth.
      examples: what tells the examples apart; by default their positions.
      pseudo_depth: kind of pseudo-depth, see the module of that name.
      frame: (height, width) of the pictures that the images are random crops of. The haze then is that of a
        random part of such a picture; by default it runs over the image itself.

    Raises:
      InputError: an unknown recipe or kind, or arrays whose shapes do not fit each other.
    """
    mixture = as_mixture(params)
    _check(clear, depth, examples)
    ids = jnp.arange(clear.shape[0]) if examples is None else examples
    keys = jax.vmap(lambda example: jax.random.fold_in(key, example))(ids)
    window = place(keys, (clear.shape[1], clear.shape[2]), size=frame)
    metres = None
    if any(preset.distance in NEEDS_DEPTH for preset in mixture.presets):
        metres = _metres(purpose_keys(keys, "depth"), clear, window, depth, pseudo_depth)
    # All recipes are computed and one is taken: a branch in a batch would be just that. Keys by name let a
    # recipe draw the same in any mixture.
    made = [
        apply_preset(purpose_keys(keys, name), clear, metres, window, preset)
        for name, preset in zip(mixture.names, mixture.presets, strict=True)
    ]
    chosen = _choose(uniforms(keys, ("preset",))["preset"], mixture.probabilities)
    picked = Scattered(*(_pick(chosen, options) for options in zip(*made, strict=True)))
    return _to_8_bits(picked.hazy), HazeParameters(chosen, *picked[1:])


def _metres(
    keys: Key[Array, " b"],
    clear: Float[Array, "b h w 3"],
    frame: Frame,
    depth: Float[Array, "b h w 1"] | None,
    kind: Kind,
) -> Metres:
    if depth is None:
        return invent_depth(keys, clear, frame, kind=kind).metres
    return lambda limit: jnp.minimum(depth, limit)


def _choose(uniform: Float[Array, " b"], probabilities: tuple[float, ...]) -> Int[Array, " b"]:
    """Turn a number in [0,1) into a position with the given probabilities."""
    limits, total = [], 0.0
    for probability in probabilities[:-1]:
        total += probability
        limits.append(total)
    passed = uniform[:, None] >= jnp.asarray(limits, jnp.float32)[None, :]
    return passed.sum(axis=1, dtype=jnp.int32)


def _pick(chosen: Int[Array, " b"], options: tuple[Array, ...]) -> Array:
    result = options[0]
    for position, option in enumerate(options[1:], start=1):
        wanted = (chosen == position).reshape((-1,) + (1,) * (option.ndim - 1))
        result = jnp.where(wanted, option, result)
    return result


def _to_8_bits(images: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """Hazy images come from 8-bit files wherever they are not made here; these are like them."""
    return jnp.round(jnp.clip(images, 0.0, 1.0) * 255.0) / 255.0


def _check(clear: Array, depth: Array | None, examples: Array | None) -> None:
    check_images(clear=clear)
    if clear.shape[3] != 3:
        raise InputError(f"clear has {clear.shape[3]} channels; haze is made on RGB images with three")
    if depth is not None and depth.shape != (*clear.shape[:3], 1):
        raise InputError(f"depth has shape {depth.shape}; expected {(*clear.shape[:3], 1)} for these images")
    if examples is not None and examples.shape != clear.shape[:1]:
        raise InputError(f"examples has shape {examples.shape}; expected {clear.shape[:1]}, one per image")
