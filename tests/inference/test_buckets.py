import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.inference.buckets import pad_image, plan_buckets

SIZES = st.lists(st.tuples(st.integers(16, 700), st.integers(16, 700)), min_size=1, max_size=25)


def padded_area(sizes, shapes) -> int:
    return sum(shapes[size][0] * shapes[size][1] for size in sizes)


def test_few_sizes_are_kept_exactly():
    sizes = [(351, 161), (17, 31), (480, 640), (480, 640), (481, 641)]
    assert plan_buckets(sizes, max_shapes=4) == {size: size for size in set(sizes)}


def test_no_images_need_no_shapes():
    assert plan_buckets([]) == {}


@settings(max_examples=20, deadline=None)
@given(sizes=SIZES, max_shapes=st.integers(1, 5))
def test_every_size_fits_its_shape_and_shapes_are_few(sizes, max_shapes):
    shapes = plan_buckets(sizes, max_shapes=max_shapes)
    assert shapes.keys() == set(sizes)
    assert len(set(shapes.values())) <= max_shapes
    assert all(shape[0] >= size[0] and shape[1] >= size[1] for size, shape in shapes.items())
    if len(set(sizes)) > max_shapes:
        assert all(side % 32 == 0 for shape in shapes.values() for side in shape)


@settings(max_examples=20, deadline=None)
@given(sizes=SIZES)
def test_more_shapes_never_need_more_pixels(sizes):
    areas = [padded_area(sizes, plan_buckets(sizes, max_shapes=count)) for count in (1, 2, 3, 4)]
    assert areas == sorted(areas, reverse=True)


def test_similar_sizes_share_a_shape_and_portrait_stays_apart_from_landscape():
    sizes = [(480, 640), (470, 630), (465, 640), (640, 480), (630, 475), (120, 160)]
    shapes = plan_buckets(sizes, max_shapes=3)
    assert shapes[(480, 640)] == shapes[(470, 630)] == shapes[(465, 640)] == (480, 640)
    assert shapes[(640, 480)] == shapes[(630, 475)] == (640, 480)
    assert shapes[(120, 160)] == (128, 160)


def test_frequent_sizes_are_padded_least():
    common, rare = (320, 320), (384, 384)
    shapes = plan_buckets([common] * 100 + [rare] + [(352, 352)], max_shapes=2)
    assert shapes == {common: common, rare: rare, (352, 352): rare}


def test_the_plan_does_not_depend_on_the_order():
    sizes = [(100 + 7 * index, 300 - 5 * index) for index in range(20)]
    assert plan_buckets(sizes) == plan_buckets(sizes[::-1])


def test_mergers_respect_the_largest_area():
    sizes = [(512, 64), (64, 512), (500, 60), (60, 500)]
    shapes = plan_buckets(sizes, max_shapes=1, max_area=64 * 512)
    assert set(shapes.values()) == {(512, 64), (64, 512)}


@pytest.mark.parametrize("target", [(17, 31), (20, 31), (64, 96)])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_padding_reflects_at_bottom_and_right(rng, target, channels):
    image = rng.integers(0, 256, (17, 31, *channels), dtype=np.uint8)
    padded = pad_image(image, target)
    assert padded.shape == (*target, *channels)
    np.testing.assert_array_equal(padded[:17, :31], image)
    if target[0] > 17:
        np.testing.assert_array_equal(padded[17, :31], image[15])
