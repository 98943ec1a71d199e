"""Cutting images into square windows of tokens, and back."""

from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_at_least, check_images


def window_partition(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b n d c"]:
    """Cut images into windows of `size` x `size` pixels: [b, windows, size*size tokens, c], both row-major.

    Raises:
        InputError: a side is not divisible by `size`.
    """
    check_images(x=x)
    b, h, w, c = x.shape
    rows, columns = _grid((h, w), size)
    x = x.reshape(b, rows, size, columns, size, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * columns, size * size, c)


def window_merge(
    windows: Float[Array, "b n d c"], size: int, image_size: tuple[int, int]
) -> Float[Array, "b h w c"]:
    """Put windows back into images of (h, w) pixels: the inverse of `window_partition`.

    Raises:
        InputError: the windows do not tile images of this size.
    """
    check_images(windows=windows)
    b, n, tokens, c = windows.shape
    rows, columns = _grid(image_size, size)
    if (n, tokens) != (rows * columns, size * size):
        raise InputError(
            f"{n} windows of {tokens} tokens do not tile {image_size[0]}x{image_size[1]} pixels; "
            f"expected {rows * columns} windows of {size * size}"
        )
    x = windows.reshape(b, rows, columns, size, size, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * size, columns * size, c)


def _grid(image_size: tuple[int, int], size: int) -> tuple[int, int]:
    check_at_least(1, size=size)
    h, w = image_size
    if h % size or w % size:
        raise InputError(f"images of {h}x{w} pixels do not divide into {size}x{size} windows; pad them first")
    return h // size, w // size
