"""Images in the top left corner of a larger canvas, so that one compiled program serves many sizes.

A program is compiled for each shape of its arrays. Folders like RoadScene's hold hardly two images of one
size; there, images lie on a canvas, and their size is an argument. Every metric takes it as `within` and
gives the value of the image alone, whatever fills the rest of the canvas. Without `within`, or where it is
the whole array, nothing is masked.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from jax import numpy as jnp
from jaxtyping import Array, Float, Int

_LARGEST = 1920 * 1088  # pixels of a canvas
Length = int | Int[Array, ""]


class Size(NamedTuple):
    """Height and width of the part of an array that counts; integers, or scalars of a compiled program."""

    height: Length
    width: Length

    def windows(self, side: int) -> "Size":
        """Return how many windows of `side` pixels lie inside, down and across."""
        return Size(self.height - side + 1, self.width - side + 1)

    def halved(self) -> "Size":
        """Return half the size, rounded up: every second row and column from the first."""
        return Size((self.height + 1) // 2, (self.width + 1) // 2)

    def whole(self, side: int) -> "Size":
        """Return the size of what whole blocks of `side` pixels cover."""
        return Size(self.height // side * side, self.width // side * side)


def size_within(x: Float[Array, "b h w *c"], within: Size | None) -> Size:
    """Return `within`, or the size of the array."""
    return Size(x.shape[1], x.shape[2]) if within is None else within


def total(x: Float[Array, "b h w *c"], size: Size) -> Float[Array, "b *c"]:
    """Return the sum over the pixels of each image."""
    return clear(x, size).sum((1, 2))


def mean(x: Float[Array, "b h w *c"], size: Size) -> Float[Array, "b *c"]:
    """Return the mean over the pixels of each image."""
    return x.mean((1, 2)) if fills(x, size) else total(x, size) / pixels(x, size)


def largest(x: Float[Array, "b h w"], size: Size) -> Float[Array, "b 1 1"]:
    """Return the maximum of each image."""
    return _outside(x, size, -jnp.inf).max((1, 2), keepdims=True)


def smallest(x: Float[Array, "b h w"], size: Size) -> Float[Array, "b 1 1"]:
    """Return the minimum of each image."""
    return _outside(x, size, jnp.inf).min((1, 2), keepdims=True)


def centred(x: Float[Array, "b h w"], size: Size) -> Float[Array, "b h w"]:
    """Return the images less their means, 0 beyond them."""
    return clear(x - mean(x, size)[:, None, None], size)


def clear(x: Float[Array, "b h w *c"], size: Size) -> Float[Array, "b h w *c"]:
    """Return the array with zeros in the place of what is not image, NaN included."""
    return _outside(x, size, 0.0)


def pixels(x: Float[Array, "b h w *c"], size: Size) -> float | Float[Array, ""]:
    """Return the number of pixels of an image."""
    count = size.height * size.width
    return float(count) if isinstance(count, int) else count.astype(x.dtype)


def inside(x: Array, size: Size) -> Array:
    """Return True for pixels of the image, with as many axes as `x` and lengths 1 but for the image's."""
    down, across = (jnp.arange(n) < length for n, length in zip(x.shape[1:3], size, strict=True))
    return (down[:, None] & across[None]).reshape(1, *x.shape[1:3], *(1,) * (x.ndim - 3))


def padded(x: Float[Array, "b h w"], reach: int, mode: str, size: Size) -> Float[Array, "b H W"]:
    """Return the images with a border of `reach` pixels on all sides.

    Args:
      x: images.
      reach: width of the border, less than the image's.
      mode: as of `jnp.pad`: "constant" (zeros), "edge", "reflect" or "symmetric".
      size: of the images in `x`.
    """
    if mode == "constant":
        return jnp.pad(clear(x, size), ((0, 0), (reach, reach), (reach, reach)))
    return padded_along(padded_along(x, 1, reach, mode, size), 2, reach, mode, size)


def padded_along(
    x: Float[Array, "b h w"], axis: int, reach: int, mode: str, size: Size
) -> Float[Array, "b H W"]:
    """Return the images with a border at the two ends of one axis, as `padded` but for zeros."""
    length = size[axis - 1]
    widths = [(reach, reach) if i == axis else (0, 0) for i in range(3)]
    if isinstance(length, int) and length == x.shape[axis]:
        return jnp.pad(x, widths, mode=mode)
    position = jnp.arange(-reach, x.shape[axis] + reach)
    turn = {"edge": None, "reflect": 0, "symmetric": 1}[mode]
    if turn is not None:
        position = jnp.where(position < 0, -turn - position, position)
        position = jnp.where(position >= length, 2 * (length - 1) + turn - position, position)
    return jnp.take(x, jnp.clip(position, 0, length - 1), axis=axis)


def central_differences(x: Float[Array, "b h w"], axis: int, size: Size) -> Float[Array, "b h w"]:
    """Return the differences along one axis: central inside, one-sided at the border, as `np.gradient`."""
    border = padded_along(x, axis, 1, "edge", size)
    length = x.shape[axis]
    before, after = (_slice(border, axis, start, length) for start in (0, 2))
    position = jnp.arange(length)
    one_sided = (position == 0) | (position == size[axis - 1] - 1)
    scale = jnp.where(one_sided, 1.0, 0.5).astype(x.dtype)
    return (after - before) * scale.reshape([-1 if i == axis else 1 for i in range(3)])


def _slice(x: Array, axis: int, start: int, length: int) -> Array:
    return x[:, start : start + length] if axis == 1 else x[:, :, start : start + length]


def fills(x: Array, size: Size) -> bool:
    """Return whether the images are known to be the whole array."""
    return all(isinstance(n, int) for n in size) and tuple(size) == x.shape[1:3]


def _outside(x: Array, size: Size, value: float) -> Array:
    return x if fills(x, size) else jnp.where(inside(x, size), x, jnp.asarray(value, x.dtype))


def canvases(sizes: Iterable[tuple[int, int]]) -> dict[tuple[int, int], tuple[int, int]]:
    """Return for each size the canvas to measure its images on: few of them, none over four times too large.

    A size that would share its canvas with no other gets none, and neither does one of more than two million
    pixels: there the dense transforms of Q_CV take longer than compiling another program.
    """
    left = sorted((s for s in set(sizes) if math.prod(s) <= _LARGEST), key=math.prod, reverse=True)
    chosen: dict[tuple[int, int], tuple[int, int]] = {}
    while left:
        canvas = left[0]
        sharing: list[tuple[int, int]] = []
        for size in left:
            both = (max(canvas[0], size[0]), max(canvas[1], size[1]))
            limit = min(_LARGEST, 4 * min(math.prod(s) for s in (*sharing, size)))
            if math.prod(both) <= limit:
                canvas = both
                sharing.append(size)
        if len(sharing) > 1:
            chosen |= dict.fromkeys(sharing, canvas)
        left = [size for size in left if size not in sharing]
    return chosen
