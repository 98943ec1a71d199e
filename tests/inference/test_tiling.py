import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.inference.tiling import (
    BYTES_PER_PIXEL,
    blending_weights,
    count_tiles,
    map_tiles,
    tile_for_memory,
    tile_starts,
)

CUTS = st.integers(9, 60).flatmap(
    lambda tile: st.tuples(st.integers(1, 400), st.just(tile), st.integers(0, tile // 3))
)


@settings(max_examples=50, deadline=None)
@given(cut=CUTS)
def test_tiles_cover_the_axis_and_overlap(cut):
    length, tile, overlap = cut
    starts = tile_starts(length, tile, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(0, length - tile)
    gaps = np.diff(starts)
    assert (gaps > 0).all() and (gaps <= tile - overlap).all()


@settings(max_examples=50, deadline=None)
@given(cut=CUTS)
def test_weights_sum_to_exactly_one(cut):
    length, tile, overlap = cut
    total = np.zeros(length, np.float32)
    uses = np.zeros(length, int)
    weights = blending_weights(length, tile, overlap)
    for start, weight in zip(tile_starts(length, tile, overlap), weights, strict=True):
        assert weight.dtype == np.float32 and (weight >= 0).all()
        total[start : start + len(weight)] += weight
        uses[start : start + len(weight)] += weight > 0
    np.testing.assert_array_equal(total, 1)
    assert uses.max() <= 2


def test_weights_are_smooth_and_vanish_at_inner_borders():
    first, second = blending_weights(100, 60, 20)
    assert max(first[-1], second[0]) < 0.002
    assert np.abs(np.diff(first)).max() < 0.09  # a raised cosine over 20 pixels rises by pi/40 at most
    assert (np.diff(first) <= 0).all()


def test_overlaps_beyond_a_third_are_refused():
    with pytest.raises(ValueError, match="third of the tile, 20"):
        blending_weights(100, 60, 21)


@settings(max_examples=20, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    tile=st.tuples(st.integers(9, 40), st.integers(9, 40)),
    overlap=st.integers(0, 13),
    batch=st.integers(1, 4),
)
def test_identity_and_constant_come_back(height, width, tile, overlap, batch):
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shapes = set()

    def function(tiles):
        shapes.add(tiles[0].shape)
        unit = tiles[0].astype(np.float32) / np.float32(255)
        return [unit, np.full_like(unit[..., :1], 0.3)]

    identity, constant = map_tiles(function, [image], tile=tile, overlap=overlap, batch=batch)
    np.testing.assert_array_equal(np.rint(identity * 255).astype(np.uint8), image)
    np.testing.assert_allclose(identity, image / np.float32(255), atol=1e-6)
    np.testing.assert_allclose(constant, np.float32(0.3), rtol=1e-6)
    assert shapes == {(batch, min(tile[0], height), min(tile[1], width), 3)}


def test_a_constant_power_of_two_is_exact():
    image = np.zeros((77, 91, 1), np.float32)
    (constant,) = map_tiles(lambda tiles: [np.full_like(tiles[0], 0.25)], [image], tile=(30, 40), overlap=9)
    np.testing.assert_array_equal(constant, 0.25)


def test_images_are_cut_alike_and_counted():
    first = np.arange(50 * 70, dtype=np.float32).reshape(50, 70, 1)
    calls = []

    def function(tiles):
        np.testing.assert_array_equal(tiles[0], -tiles[1])
        calls.append(len(tiles[0]))
        return [tiles[0]]

    map_tiles(function, [first, -first], tile=(32, 32), overlap=8, batch=4)
    assert count_tiles((50, 70), (32, 32), 8) == 6
    assert calls == [4, 4]


def test_overlaps_hide_the_borders_of_local_functions(rng):
    """A filter of radius 2 sees reflections at a tile's border; blending weighs those pixels least."""
    image = rng.random((96, 96, 1), dtype=np.float32)

    def blur(tiles):
        padded = np.pad(tiles[0], ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
        h, w = tiles[0].shape[1:3]
        return [sum(padded[:, y : y + h, x : x + w] for y in range(5) for x in range(5)) / np.float32(25)]

    def error(overlap: int) -> float:
        (tiled,) = map_tiles(blur, [image], tile=(48, 48), overlap=overlap)
        return np.abs(tiled - blur([image[None]])[0][0]).max()

    assert error(0) > 0.1  # two tiles a side, border on border
    assert error(16) < 1e-6


def test_tiles_fit_the_budget():
    for budget in (1e9, 4e9, 64e9):
        side = tile_for_memory(budget)
        assert side % 64 == 0
        assert side**2 * BYTES_PER_PIXEL <= budget < (side + 64) ** 2 * BYTES_PER_PIXEL
    assert tile_for_memory(1.0) == 64
