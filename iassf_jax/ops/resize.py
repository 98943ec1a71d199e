"""Bilinear and area resizing as two small matrix products.

The matrices depend only on the sizes, so they are built with NumPy while tracing and become constants. The
gradient is two products with their transposes; a gather of four neighbours would have a scatter there.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_at_least, check_images


def resize_bilinear(
    x: Float[Array, "b h w c"], size: tuple[int, int], *, align_corners: bool
) -> Float[Array, "b H W c"]:
    """Resize by linear interpolation along each axis, without antialiasing.

    Args:
        x: images.
        size: (height, width) of the result.
        align_corners: True puts the centres of the corner pixels of both images on each other (source
            coordinate k (n-1) / (m-1)); False aligns the outer edges (half-pixel centres, source coordinate
            (k + 1/2) n/m - 1/2, clamped to the image).
    """
    matrices = [_bilinear_matrix(n, m, align_corners) for n, m in _sides(x, size)]
    return _apply(x, *matrices)


def downscale_area(x: Float[Array, "b h w c"], size: tuple[int, int]) -> Float[Array, "b H W c"]:
    """Shrink by averaging the area that each output pixel covers, fractions of pixels included.

    Raises:
        InputError: `size` is larger than the images.
    """
    sides = _sides(x, size)
    if any(m > n for n, m in sides):
        raise InputError(f"cannot shrink images of {x.shape[1]}x{x.shape[2]} pixels to {size[0]}x{size[1]}")
    return _apply(x, *[_area_matrix(n, m) for n, m in sides])


def _sides(x: Array, size: tuple[int, int]) -> list[tuple[int, int]]:
    check_images(x=x)
    check_at_least(1, height=size[0], width=size[1])
    return [(x.shape[1], size[0]), (x.shape[2], size[1])]


def _bilinear_matrix(n: int, m: int, align_corners: bool) -> np.ndarray:
    k = np.arange(m)
    if align_corners:
        source = k * ((n - 1) / max(m - 1, 1))
    else:
        source = np.clip((k + 0.5) * (n / m) - 0.5, 0, n - 1)
    return np.maximum(0, 1 - np.abs(source[:, None] - np.arange(n)[None, :]))


def _area_matrix(n: int, m: int) -> np.ndarray:
    edges = np.arange(m + 1) * (n / m)
    pixels = np.arange(n)[None, :]
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(0, overlap) * (m / n)


def _apply(x: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    # Full float32 products: the reduced ones of GPUs (TF32) would leave three digits of the image.
    exact = lax.Precision.HIGHEST
    if rows.shape[0] != rows.shape[1]:
        x = jnp.einsum("yh,bhwc->bywc", jnp.asarray(rows, x.dtype), x, precision=exact)
    if columns.shape[0] != columns.shape[1]:
        x = jnp.einsum("xw,bhwc->bhxc", jnp.asarray(columns, x.dtype), x, precision=exact)
    return x
