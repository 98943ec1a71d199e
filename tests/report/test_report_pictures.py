"""Which parts of which images are shown."""

import math

import numpy as np
import pytest
from PIL import Image

from iassf_jax.core.errors import InputError
from iassf_jax.report.pictures import Gallery, find_images, panel, spread_out, telling_box


def test_the_box_is_where_details_differ_not_brightness(rng):
    smooth = np.full((100, 160, 3), 100, np.uint8)
    smooth[:50] += 80  # a difference of brightness between the images, without detail
    textured = np.full((100, 160, 3), 100, np.uint8)
    textured[70:90, 110:150] = rng.integers(0, 256, (20, 40, 1), dtype=np.uint8)
    box = telling_box([smooth, textured])
    assert (box.height, box.width) == (20, 40)
    assert abs(box.top - 70) <= 2 and abs(box.left - 110) <= 2


@pytest.mark.parametrize("size", [(9, 12), (8, 8), (30, 9)])
def test_small_images_have_a_box_inside_them(size, rng):
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in "ab"]
    box = telling_box(images)
    assert 0 <= box.top <= size[0] - box.height and 0 <= box.left <= size[1] - box.width
    assert panel([("scene", {"a": images[0], "b": images[1]})], width=40).shape[1] == 2 * 44 + 4


def test_scenes_are_spread_over_the_values():
    values = {name: float(i) for i, name in enumerate("abcdefg")}
    assert spread_out("gfedcba", values, 3) == ["a", "d", "g"]
    assert spread_out("cab", values, 5) == ["a", "b", "c"]
    assert spread_out("dcab", {"c": 1.0, "d": 2.0, "b": math.nan}, 3) == ["c", "a", "b"]


def test_images_of_a_gallery_belong_together(tmp_path, rng):
    for column, height in (("hazy", 20), ("fused", 20), ("other", 21)):
        (tmp_path / column / "set").mkdir(parents=True)
        image = rng.integers(0, 256, (height, 30, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / column / "set" / "x.png")
    found = {column: find_images(tmp_path / column) for column in ("hazy", "fused", "other")}
    gallery = Gallery({name: found[name] for name in ("hazy", "fused")})
    assert gallery.scenes == ["set/x"] and list(gallery.read("set/x")) == ["hazy", "fused"]
    with pytest.raises(InputError, match="21x30.*20x30"):
        Gallery(found).read("set/x")
    with pytest.raises(InputError, match="no images"):
        find_images(tmp_path / "hazy" / "set" / "none")
