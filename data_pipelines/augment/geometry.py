"""Flips and quarter turns, the same for all images of an example, so that they stay aligned."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Integer, Key, Num, UInt32

from iassf_jax.ops.arguments import check_images

NOT_IMAGES = ("mask", "name", "example", "pair")  # entries of a batch that stay as they are


def turn_and_flip(
    key: Key[Array, ""],
    batch: Mapping[str, Any],
    *,
    horizontal_flip: bool = True,
    vertical_flip: bool = True,
    rotate: bool = False,
) -> dict[str, Any]:
    """Return the batch with every example turned and flipped at random.

    Example i draws from `fold_in(key, i)`, so what happens to it does not depend on the size of the batch;
    with an entry "example" of numbers [b] from `fold_in(key, example[i])`, so that it does not depend on its
    place in the batch either.

    Args:
      key: one key for the batch.
      batch: images [b h w c] of equal b, h and w and any channels and type; what is in
        NOT_IMAGES stays as it is.
      horizontal_flip: swap left and right with probability 1/2.
      vertical_flip: swap top and bottom with probability 1/2.
      rotate: before the flips, turn by 0, 90, 180 or 270 degrees with probability 1/4 each; the images must
        be square.

    Raises:
      ValueError: an image without four axes, images of different size, or `rotate` with images that are not
        square.
    """
    images = {name: jnp.asarray(value) for name, value in batch.items() if name not in NOT_IMAGES}
    _check(images, rotate=rotate)
    if not images or not (horizontal_flip or vertical_flip or rotate):
        return dict(batch)
    count = next(iter(images.values())).shape[0]
    mirror, flip, quarter_turns = _draw(key, batch.get("example", jnp.arange(count)))
    if not horizontal_flip:
        mirror = jnp.zeros_like(mirror)
    if not vertical_flip:
        flip = jnp.zeros_like(flip)
    if not rotate:
        quarter_turns = jnp.zeros_like(quarter_turns)
    # A counter-clockwise quarter turn is a transposition followed by a flip; turns by 180 and 270 degrees
    # likewise, so a turn and the flips after it cost one transposition and one flip of each kind together.
    transpose = (quarter_turns % 2) == 1
    flip = flip ^ ((quarter_turns == 1) | (quarter_turns == 2))
    mirror = mirror ^ (quarter_turns >= 2)
    moved = {name: _move(image, transpose, flip, mirror, rotate) for name, image in images.items()}
    return {**batch, **moved}


def _draw(
    key: Key[Array, ""], examples: Integer[Array, " b"]
) -> tuple[Bool[Array, " b"], Bool[Array, " b"], UInt32[Array, " b"]]:
    """Draw mirror, flip and quarter turns (0 to 3) of the examples, each from bits of its own.

    All three are drawn whether used or not, so that switching one off leaves the others as they were.
    """
    bits = jax.vmap(lambda i: jax.random.bits(jax.random.fold_in(key, i)))(examples)
    return (bits & 1) == 1, (bits & 2) == 2, (bits >> 2) & 3


def _move(
    image: Num[Array, "b h w c"],
    transpose: Bool[Array, " b"],
    flip: Bool[Array, " b"],
    mirror: Bool[Array, " b"],
    rotate: bool,
) -> Num[Array, "b h w c"]:
    if rotate:
        image = jnp.where(_per_example(transpose), image.swapaxes(1, 2), image)
    image = jnp.where(_per_example(flip), image[:, ::-1], image)
    return jnp.where(_per_example(mirror), image[:, :, ::-1], image)


def _per_example(choice: Bool[Array, " b"]) -> Bool[Array, "b 1 1 1"]:
    return choice[:, None, None, None]


def _check(images: Mapping[str, Any], *, rotate: bool) -> None:
    check_images(**images)
    if len({image.shape[:3] for image in images.values()}) > 1:
        found = ", ".join(f"{name} {image.shape}" for name, image in images.items())
        raise ValueError(f"the images of a batch must agree in batch, height and width: {found}")
    for name, image in images.items():
        if rotate and image.shape[1] != image.shape[2]:
            size = f"{image.shape[2]}x{image.shape[1]}"
            raise ValueError(
                f"{name} is {size}: rotation by quarter turns needs square images (crop them first)"
            )
