"""Random enlargements: a part of each example takes the place of the whole, the same for all its images."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from data_pipelines.augment.geometry import NOT_IMAGES
from iassf_jax.core.errors import InputError

_STREAM = 2  # keeps these draws apart from those of flips and colours


def zoom_in(key: Key[Array, ""], batch: Mapping[str, Any], *, most: float | int = 1.0) -> dict[str, Any]:
    """Return the batch with a random part of every example enlarged to the size of the whole.

    The part has the proportions of the whole and sides of 1/z, with z = exp(u) and u even in [0, log(most)];
    every place is equally likely. Values are interpolated linearly, and rounded where they were integers.

    Args:
      key: one key for the batch; example i folds in its "example" number, or its position.
      batch: images [b h w c] of equal b, h and w; what is in `NOT_IMAGES` stays as it is.
      most: largest enlargement; 1 turns it off.

    Raises:
      InputError: `most` is less than 1.
    """
    if not most >= 1:
        raise InputError(f"zoom is {most}; expected 1 (off) or more")
    images = {name: jnp.asarray(value) for name, value in batch.items() if name not in NOT_IMAGES}
    if not images or most == 1:
        return dict(batch)
    count, height, width = next(iter(images.values())).shape[:3]
    examples = batch.get("example", jnp.arange(count))
    drawn = jax.vmap(
        lambda example: jax.random.uniform(
            jax.random.fold_in(jax.random.fold_in(key, example), _STREAM), (3,)
        )
    )(examples)
    factor = jnp.exp(drawn[:, 0] * jnp.log(most))
    rows = _matrices(height, factor, drawn[:, 1])
    columns = _matrices(width, factor, drawn[:, 2])
    return {**batch, **{name: _resample(image, rows, columns) for name, image in images.items()}}


def _matrices(n: int, factor: Float[Array, " b"], place: Float[Array, " b"]) -> Float[Array, "b n n"]:
    """Interpolation of n pixels in n/factor pixels; place 0 is their first and 1 their last position."""
    pixels = jnp.arange(n, dtype=jnp.float32)
    start = place * n * (1.0 - 1.0 / factor)
    source = start[:, None] + (pixels[None, :] + 0.5) / factor[:, None] - 0.5
    source = jnp.clip(source, 0.0, n - 1.0)
    return jnp.maximum(0.0, 1.0 - jnp.abs(source[:, :, None] - pixels[None, None, :]))


def _resample(
    image: Shaped[Array, "b h w c"], rows: Float[Array, "b h h"], columns: Float[Array, "b w w"]
) -> Shaped[Array, "b h w c"]:
    exact = jax.lax.Precision.HIGHEST
    x = jnp.einsum("byh,bhwc->bywc", rows, image.astype(jnp.float32), precision=exact)
    x = jnp.einsum("bxw,bhwc->bhxc", columns, x, precision=exact)
    return jnp.round(x).astype(image.dtype) if jnp.issubdtype(image.dtype, jnp.integer) else x
