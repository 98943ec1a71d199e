import os
import stat

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from iassf_jax.core.errors import InputError
from iassf_jax.core.images import infrared_to_unit, parse_infrared_range, to_uint8, write_image


def test_auto_takes_8_bit_as_it_is():
    np.testing.assert_allclose(infrared_to_unit(np.array([[0, 51, 255]], np.uint8)), [[0, 0.2, 1]], atol=1e-7)


def test_auto_stretches_16_bit_between_percentiles_and_ignores_a_dead_pixel():
    ramp = np.linspace(7000, 9000, 10_000).astype(np.uint16).reshape(100, 100)
    ramp[0, 0], ramp[99, 99] = 0, 65535
    low, high = np.percentile(ramp, [0.1, 99.9])
    expected = np.clip((ramp - low) / (high - low), 0, 1)
    scaled = infrared_to_unit(ramp)
    np.testing.assert_allclose(scaled, expected, atol=1e-4)
    assert abs(scaled[50, 0] - 0.5) < 0.01


def test_auto_shows_the_little_there_is_in_an_almost_empty_image():
    image = np.zeros((100, 100), np.uint16)
    image[3, 4] = 900
    assert infrared_to_unit(image)[3, 4] == 1


def test_flat_images_give_zeros():
    for flat in (np.full((16, 16), 300.0, np.float32), np.full((16, 16), 9000, np.uint16)):
        np.testing.assert_array_equal(infrared_to_unit(flat), 0)


def test_full_uses_the_range_of_the_type():
    deep = np.array([[0, 65535, 6553]], np.uint16)
    np.testing.assert_allclose(infrared_to_unit(deep, "full"), [[0, 1, 6553 / 65535]], atol=1e-7)
    unit = np.array([[0.25, 1.0]], np.float32)
    np.testing.assert_array_equal(infrared_to_unit(unit, "full"), unit)


def test_a_given_range_clips():
    kelvin = np.array([[250, 280, 300, 400]], np.float32)
    np.testing.assert_allclose(infrared_to_unit(kelvin, (270, 320)), [[0, 0.2, 0.6, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("image", "rule", "message"),
    [
        (np.array([[0.0, 300.0]]), "full", r"spans 0 to 300"),
        (np.array([[0.0, np.nan]]), "auto", "1 values that are not finite"),
        (np.zeros((2, 2, 3), np.uint8), "auto", r"\[2, 2, 3\]"),
        (np.zeros((2, 2), np.uint8), (5, 5), "below the second"),
        (np.zeros((2, 2), np.uint8), "wide", "wide"),
    ],
)
def test_what_infrared_cannot_be(image, rule, message):
    with pytest.raises(InputError, match=message):
        infrared_to_unit(image, rule)


@settings(max_examples=20, deadline=None)
@given(
    image=arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(1, 8), st.integers(1, 8))),
    rule=st.sampled_from(["auto", "full", (10.0, 200.0)]),
)
def test_scaled_infrared_is_in_range_and_keeps_the_order(image, rule):
    scaled = infrared_to_unit(image, rule)
    assert scaled.dtype == np.float32
    assert scaled.min() >= 0 and scaled.max() <= 1
    order = np.argsort(image, axis=None, kind="stable")
    assert (np.diff(scaled.ravel()[order]) >= 0).all()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("auto", "auto"), ("full", "full"), ("7000,9500", (7000.0, 9500.0)), ("-20,40.5", (-20, 40.5))],
)
def test_ranges_on_the_command_line(text, expected):
    assert parse_infrared_range(text) == expected


@pytest.mark.parametrize("text", ["", "automatic", "5", "1,2,3", "9,1", "nan,1", "a,b"])
def test_bad_ranges_on_the_command_line(text):
    with pytest.raises(InputError, match="infrared range"):
        parse_infrared_range(text)


def test_to_uint8_inverts_the_scaling_of_8_bit():
    values = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(values.astype(np.float32) / np.float32(255)), values)
    np.testing.assert_array_equal(to_uint8(np.array([-0.5, 1.5])), [0, 255])
    with pytest.raises(InputError, match="not finite"):
        to_uint8(np.array([np.nan]))


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.tif", "a.tiff"])
@pytest.mark.parametrize("shape", [(17, 31), (17, 31, 3), (1, 1, 3)])
def test_written_images_read_back_the_same(tmp_path, rng, name, shape):
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / "new" / "folder" / name
    write_image(path, image)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), image)
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_written_jpeg_is_close(tmp_path):
    image = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    write_image(tmp_path / "a.jpg", image)
    assert Image.open(tmp_path / "a.jpg").format == "JPEG"
    assert np.abs(np.asarray(Image.open(tmp_path / "a.jpg")).astype(int) - image).max() <= 3


def test_written_files_have_the_usual_permissions(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "plain").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.png", "plain")]
    assert modes[0] == modes[1]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write_image(path, np.zeros((4, 4), np.uint8))

    def refuse(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match="a.png cannot be written: disk full"):
        write_image(path, np.full((4, 4), 255, np.uint8))
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert cv2.imread(str(path)).max() == 0


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [("a.xyz", (4, 4), "xyz"), ("a", (4, 4), "use .jpeg"), ("a.png", (4, 4, 4), "4, 4, 4")],
)
def test_what_cannot_be_written(tmp_path, name, shape, message):
    with pytest.raises(InputError, match=message):
        write_image(tmp_path / name, np.zeros(shape, np.uint8))
    assert not list(tmp_path.iterdir())
