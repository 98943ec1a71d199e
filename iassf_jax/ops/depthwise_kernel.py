"""Gradient of the taps of a depthwise convolution as one Pallas kernel for GPUs.

For each of k x k shifts it is the sum over all pixels of image times gradient. In plain JAX each shift reads
both anew; here a program reads a piece of them once for each row of taps.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton as plt
from jaxtyping import Array, Float

_LENGTH = 1024  # numbers of a row that a program works on
_ROWS = 32  # that it adds up


def tap_sums_in_kernel(
    padded: Float[Array, "b H W c"], g: Float[Array, "b h w c"], *, interpret: bool = False
) -> Float[Array, "k2 c"]:
    """Return sum_pixels padded[y + i, x + j] g[y, x] for each tap (i, j) and channel, float32.

    Args:
        padded: image with its border, of k - 1 more rows and columns than `g`.
        g: gradient of the result.
        interpret: run the kernel, slowly, on any device.
    """
    b, h, w, c = g.shape
    size = padded.shape[1] - h + 1
    chunks, pieces = pl.cdiv(h, _ROWS), pl.cdiv(w * c, _LENGTH)
    sums = pl.pallas_call(
        functools.partial(_add_rows, chunks=chunks, channels=c),
        grid=(b * chunks, pieces, size),
        out_specs=pl.BlockSpec((None, None, size, _LENGTH), lambda chunk, piece, tap: (chunk, tap, 0, piece)),
        out_shape=jax.ShapeDtypeStruct((b * chunks, size, size, w * c), jnp.float32),
        interpret=interpret,
        compiler_params=plt.CompilerParams(num_warps=4, num_stages=2),
    )(padded.reshape(b, padded.shape[1], -1), g.reshape(b, h, w * c))
    return sums.reshape(b * chunks, size**2, w, c).sum(axis=(0, 2))


def _add_rows(padded_ref: Any, g_ref: Any, sums_ref: Any, *, chunks: int, channels: int) -> None:
    """Sums over some rows of an image, for one row of taps, at each position of a piece of these rows."""
    _, h, length = g_ref.shape
    image, first = pl.program_id(0) // chunks, pl.program_id(0) % chunks * _ROWS
    start, tap = pl.program_id(1) * _LENGTH, pl.program_id(2)
    valid = start + jnp.arange(_LENGTH) < length

    def read(ref: Any, row: Array, offset: int = 0) -> Array:
        piece = ref.at[image, row, pl.ds(start + offset, _LENGTH)]
        return plt.load(piece, mask=valid, other=0.0).astype(jnp.float32)

    def add_row(row: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
        g = read(g_ref, row)
        seen = [read(padded_ref, row + tap, j * channels) for j in range(len(totals))]
        return tuple(total + g * x for total, x in zip(totals, seen, strict=True))

    zeros = (jnp.zeros(_LENGTH, jnp.float32),) * sums_ref.shape[0]
    totals = lax.fori_loop(first, jnp.minimum(first + _ROWS, h), add_row, zeros)
    for j, total in enumerate(totals):
        plt.store(sums_ref.at[pl.ds(j, 1)], total[None], mask=valid[None])
