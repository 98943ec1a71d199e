"""Brightness and colour of the visible images; infrared stays as it was measured."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from iassf_jax.core.errors import InputError
from iassf_jax.ops import rgb_to_gray

_VISIBLE = ("visible_hazy", "visible_clear")
_STREAM = 1  # keeps these draws apart from those of the flips


def jitter_visible(
    key: Key[Array, ""],
    batch: Mapping[str, Any],
    *,
    brightness: float | int = 0.0,
    contrast: float | int = 0.0,
    saturation: float | int = 0.0,
    gamma: float | int = 0.0,
) -> dict[str, Any]:
    """Return the batch with the hazy and the clear image of every example changed by one random function.

    The function is x -> x ** g, times a factor, stretched around 1/2, and its colours stretched around grey;
    each of the four factors is exp(u) with u even in [-s, s] for the strength s of that name, so 0 turns it
    off. Values are clipped to [0,1]; uint8 images are rounded back to uint8. Both images get the same
    function, but a hazy image is not exactly the haze of its new clear image unless the haze is made
    afterwards (`data_pipelines.haze`).

    Args:
      key: one key for the batch; example i folds in its "example" number, or its position.
      batch: "visible_clear" and, if it is there, "visible_hazy", uint8 or float [b h w 3]; others stay.

    Raises:
      InputError: a negative strength.
    """
    strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation, "gamma": gamma}
    if any(not strength >= 0 for strength in strengths.values()):
        raise InputError(f"strengths of the photometric jitter are {strengths}; expected 0 or more")
    images = {name: jnp.asarray(batch[name]) for name in _VISIBLE if name in batch}
    if not images or not any(strengths.values()):
        return dict(batch)
    examples = batch.get("example", jnp.arange(next(iter(images.values())).shape[0]))
    limits = jnp.asarray(list(strengths.values()), jnp.float32)
    factors = jax.vmap(lambda example: _draw(jax.random.fold_in(key, example), limits))(examples)
    return {**batch, **{name: _change(image, factors) for name, image in images.items()}}


def _draw(key: Key[Array, ""], limits: Float[Array, "4"]) -> Float[Array, "4"]:
    uniform = jax.random.uniform(jax.random.fold_in(key, _STREAM), (4,), jnp.float32, -1.0, 1.0)
    return jnp.exp(uniform * limits)


def _change(image: Shaped[Array, "b h w 3"], factors: Float[Array, "b 4"]) -> Shaped[Array, "b h w 3"]:
    brightness, contrast, saturation, gamma = (factors[:, i, None, None, None] for i in range(4))
    whole = image.dtype == jnp.uint8
    x = image.astype(jnp.float32) / 255.0 if whole else image
    # No power of 0: its derivative is not finite where a gradient passes.
    x = jnp.maximum(x, 1e-6) ** gamma * brightness
    x = (x - 0.5) * contrast + 0.5
    gray = rgb_to_gray(x)
    x = jnp.clip(gray + saturation * (x - gray), 0.0, 1.0)
    return jnp.round(x * 255.0).astype(jnp.uint8) if whole else x
