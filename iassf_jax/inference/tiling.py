"""Runs a function over an image in overlapping tiles and blends the results; host side, NumPy.

All tiles have one shape, so that the function compiles once. Along each axis a smooth ramp leads from one
tile to the next in the middle of their overlap, away from the borders of both. The blending weights are
multiples of 1/4096: products of two of them are exact in float32, and those of a pixel sum to exactly one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Shaped

from iassf_jax.core.errors import InputError

Size = tuple[int, int]  # (height, width) in pixels
TileFunction = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]

BYTES_PER_PIXEL = 3500  # temporaries of a forward pass in float32; the compiler reports 2050 and 3170
MEMORY_BUDGET = 4 * 2**30  # bytes of them before an image is tiled
TILE_MULTIPLE = 64
SMALLEST_TILE = 64
OVERLAP_SHARE = 8  # tiles overlap by an eighth of their side
_WEIGHT_STEPS = 4096


def tile_for_memory(budget: float = MEMORY_BUDGET, *, bytes_per_pixel: float | int = BYTES_PER_PIXEL) -> int:
    """Return the side, a multiple of 64, of the largest square tile whose forward pass fits `budget` bytes.

    Networks at full resolution need up to 3.5 kB for each pixel in float32, whatever the size of the image:
    the default budget of 4 GiB gives 1088 pixels.
    """
    side = int((budget / bytes_per_pixel) ** 0.5)
    return max(SMALLEST_TILE, side // TILE_MULTIPLE * TILE_MULTIPLE)


def choose_tile(tile: int | None, model: object) -> int:
    """Return the side of the largest square that `model` computes in one piece: `tile`, or by memory.

    A network that needs other memory than most says how much in `bytes_per_pixel`.

    Raises:
        InputError: a tile below 64.
    """
    if tile is None:
        return tile_for_memory(bytes_per_pixel=getattr(model, "bytes_per_pixel", BYTES_PER_PIXEL))
    if tile < SMALLEST_TILE:
        raise InputError(f"tile {tile}: expected at least {SMALLEST_TILE} pixels")
    return tile


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where the fewest tiles start that cover `length`, evenly, overlapping by at least `overlap`."""
    if length <= tile:
        return [0]
    gaps = -(-(length - tile) // (tile - overlap))
    return [round(index * (length - tile) / gaps) for index in range(gaps + 1)]


def blending_weights(length: int, tile: int, overlap: int) -> Float32[np.ndarray, "n tile"]:
    """Return for each tile of `tile_starts` the weight of its pixels along one axis.

    At each pixel of the image the weights of all tiles sum to exactly one, and at most two are not zero. The
    ramps are raised cosines of `overlap` pixels; `overlap` is at most a third of `tile`, which keeps the two
    ramps of a tile apart.

    Raises:
        ValueError: a larger or negative overlap.
    """
    if not 0 <= overlap <= tile // 3:
        raise ValueError(f"overlap {overlap}: expected between 0 and a third of the tile, {tile // 3}")
    tile = min(tile, length)
    starts = tile_starts(length, tile, overlap)
    weights = np.ones((len(starts), tile), np.float32)
    for index, (first, second) in enumerate(zip(starts, starts[1:], strict=False)):
        middle = (second + first + tile) / 2
        rising = _ramp(np.arange(second, second + tile) + 0.5 - middle, overlap)
        falling = 1 - _ramp(np.arange(first, first + tile) + 0.5 - middle, overlap)
        weights[index + 1] *= rising
        weights[index] *= falling
    return weights


def map_tiles(
    function: TileFunction,
    images: Sequence[Shaped[np.ndarray, "h w _c"]],
    *,
    tile: Size,
    overlap: int,
    batch: int = 1,
    on_tiles: Callable[[int, int], None] = lambda done, total: None,
) -> list[Float32[np.ndarray, "h w _c"]]:
    """Apply `function` to tiles of aligned images and blend each of its outputs into one image.

    Args:
        function: takes one array [batch, th, tw, c] for each image and returns float32 arrays
            [batch, th, tw, c'], any number of them. It is always called with `batch` tiles of one shape; the
            last call repeats a tile where they run out.
        images: arrays of the same height and width.
        tile: height and width of a tile; an axis of the image that is shorter is not cut.
        overlap: pixels over which neighbouring tiles are blended.
        batch: tiles in a call.
        on_tiles: called after each call with the number of tiles done and of all tiles.
    """
    height, width = images[0].shape[:2]
    places = [
        _Place((row, column), row_weight[:, None, None] * column_weight[None, :, None])
        for row, row_weight in _cut(height, tile[0], overlap)
        for column, column_weight in _cut(width, tile[1], overlap)
    ]
    blended: list[np.ndarray] = []
    for first in range(0, len(places), batch):
        chosen = places[first : first + batch]
        full = chosen + [chosen[-1]] * (batch - len(chosen))
        outputs = function([np.stack([image[place.window] for place in full]) for image in images])
        if not blended:
            blended = [np.zeros((height, width, output.shape[-1]), np.float32) for output in outputs]
        for index, place in enumerate(chosen):
            for total, output in zip(blended, outputs, strict=True):
                total[place.window] += place.weight * output[index]
        on_tiles(first + len(chosen), len(places))
    return blended


def count_tiles(size: Size, tile: Size, overlap: int) -> int:
    """Return the number of tiles `map_tiles` cuts an image of `size` into."""
    return len(_cut(size[0], tile[0], overlap)) * len(_cut(size[1], tile[1], overlap))


class _Place(NamedTuple):
    window: tuple[slice, slice]
    weight: Float32[np.ndarray, "th tw 1"]


def _cut(length: int, tile: int, overlap: int) -> list[tuple[slice, Float32[np.ndarray, " tile"]]]:
    """The pixels of each tile along one axis, and their weights."""
    tile = min(tile, length)
    overlap = min(overlap, tile // 3)
    starts = tile_starts(length, tile, overlap)
    weights = blending_weights(length, tile, overlap)
    return [(slice(start, start + tile), weight) for start, weight in zip(starts, weights, strict=True)]


def _ramp(offset: np.ndarray, width: int) -> np.ndarray:
    """Raised cosine from 0 to 1 over `width` pixels centred at offset 0, in steps of 1/4096."""
    position = np.clip(offset / max(width, 1), -0.5, 0.5)
    return (np.rint((0.5 + 0.5 * np.sin(np.pi * position)) * _WEIGHT_STEPS) / _WEIGHT_STEPS).astype(
        np.float32
    )
