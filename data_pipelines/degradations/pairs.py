"""Pairs of a degraded and a clean image for a restoration that knows several degradations."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from data_pipelines.degradations.table import (
    DEGRADATIONS,
    INFRARED,
    Examples,
    degrade,
)
from data_pipelines.haze.draws import uniforms
from iassf_jax.core.errors import InputError


class RestorationPairs(NamedTuple):
    """One pair for each example."""

    degraded: Float[Array, "b h w 3"]
    clean: Float[Array, "b h w 3"]
    degradation: Int[Array, " b"]  # position in the names; their number is an image left as it is
    modality: Int[Array, " b"]  # 0 visible, 1 infrared


def restoration_pairs(
    key: Key[Array, ""],
    visible: Float[Array, "b h w 3"],
    infrared: Float[Array, "b h w k"],
    *,
    names: Sequence[str],
    examples: Examples | None = None,
    shares: Sequence[float] | None = None,
    chosen: Int[Array, " b"] | None = None,
    untouched: float = 0.0,
    **options: Any,
) -> RestorationPairs:
    """Degrade of every example the visible or the infrared image, by one of the degradations.

    Args:
      key: one key for the batch; example i uses `fold_in(key, examples[i])` alone.
      visible, infrared: clean images in [0,1]; infrared with one channel or three equal ones.
      names: of `DEGRADATIONS`. "PD" is the visible image.
      shares: how likely each is, adding up to 1; by default all are equally likely.
      examples: what tells the examples apart; by default their positions.
      chosen: position in `names` for each example, instead of a draw; their number is the infrared image
        left as it is, -1 is drawn.
      untouched: share of the drawn examples whose pair is the infrared image and itself.
      options: see `degrade`.

    Raises:
      InputError: no or unknown names, or shapes that do not fit.
    """
    if not names:
        raise InputError("no degradations are named")
    count = visible.shape[0]
    ids = jnp.arange(count) if examples is None else examples
    keys = jax.vmap(lambda example: jax.random.fold_in(key, example))(ids)
    drawn = uniforms(keys, ("degradation", "untouched"))
    limits = np.cumsum(shares if shares is not None else np.full(len(names), 1 / len(names)))[:-1]
    passed = drawn["degradation"][:, None] >= jnp.asarray(limits, jnp.float32)[None]
    position = jnp.where(drawn["untouched"] < untouched, len(names), passed.sum(axis=1, dtype=jnp.int32))
    if chosen is not None:
        position = jnp.where(chosen < 0, position, chosen)
    thermal = infrared[..., :1]
    made = [
        _option(
            degrade(
                key,
                thermal if _is_infrared(name) else visible,
                name,
                examples=ids,
                **options,
            )
        )
        for name in names
    ]
    degraded = _option(thermal)
    for number, option in enumerate(made):
        degraded = jnp.where(_is(position, number), option, degraded)
    modalities = jnp.asarray([*(int(_is_infrared(name)) for name in names), INFRARED], jnp.int32)
    modality = modalities[position]
    clean = jnp.where(_is(modality, INFRARED), _option(thermal), visible)
    return RestorationPairs(degraded, clean, position, modality)


def _is_infrared(name: str) -> bool:
    return name in DEGRADATIONS and DEGRADATIONS[name].modality == INFRARED


def _option(image: Float[Array, "b h w k"]) -> Float[Array, "b h w 3"]:
    return jnp.broadcast_to(image, (*image.shape[:3], 3))


def _is(chosen: Int[Array, " b"], position: int) -> Array:
    return (chosen == position)[:, None, None, None]
