"""Depth maps from files: both conventions, all formats, and what cannot be a depth map."""

import cv2
import numpy as np
import pytest

from data_pipelines.decode import ImageError
from data_pipelines.depth_files import list_depth_files, read_depth


def _png(path, values):
    assert cv2.imwrite(str(path), values)
    return path


def _npy(path, values):
    np.save(path, values)
    return path


def test_centimetres_in_16_bits(tmp_path):
    stored = np.array([[0, 150, 1000], [65535, 40, 5000]], np.uint16)
    metres = read_depth(
        _png(tmp_path / "d.png", stored), convention="distance", scale=0.01, limits=(1.0, 300.0)
    )
    np.testing.assert_allclose(metres, [[300, 1.5, 10], [300, 1, 50]], rtol=1e-6)
    assert metres.dtype == np.float32


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1)])
def test_metres_in_an_array_with_holes(tmp_path, shape):
    stored = np.array([[2.5, np.nan, np.inf], [0.0, 20.0, 900.0]]).reshape(shape)
    metres = read_depth(_npy(tmp_path / "d.npy", stored), convention="distance")
    np.testing.assert_allclose(metres, [[2.5, 500, 500], [500, 20, 500]])


def test_disparity_of_an_image_uses_the_range_of_its_type(tmp_path):
    stored = np.array([[0, 32768, 65535]], np.uint16)
    metres = read_depth(_png(tmp_path / "d.png", stored), convention="disparity", limits=(2.0, 200.0))
    middle = 1 / (0.5 / 2 + 0.5 / 200)
    np.testing.assert_allclose(metres, [[200.0, middle, 2.0]], rtol=1e-4)


def test_disparity_of_an_array_uses_its_own_range(tmp_path):
    stored = np.array([[-3.0, 1.0, 5.0, np.nan]], np.float32)
    metres = read_depth(_npy(tmp_path / "d.npy", stored), convention="disparity", limits=(2.0, 200.0))
    np.testing.assert_allclose(metres, [[200.0, 1 / (0.5 / 2 + 0.5 / 200), 2.0, 200.0]], rtol=1e-5)


def test_the_two_conventions_are_each_others_inverse(tmp_path, rng):
    distance = rng.uniform(3.0, 90.0, (5, 7))
    distance[0, 0], distance[0, 1] = 3.0, 90.0
    near = _npy(tmp_path / "near.npy", 1 / distance)
    far = _npy(tmp_path / "far.npy", distance)
    limits = (3.0, 90.0)
    np.testing.assert_allclose(
        read_depth(near, convention="disparity", limits=limits),
        read_depth(far, convention="distance", limits=limits),
        rtol=1e-4,
    )


def test_three_equal_channels_are_one_and_colours_are_refused(tmp_path):
    grey = np.full((4, 4), 100, np.uint8)
    same = _png(tmp_path / "same.png", np.dstack([grey] * 3))
    np.testing.assert_array_equal(read_depth(same, convention="distance"), np.full((4, 4), 100.0))
    drawn = _png(tmp_path / "drawn.png", cv2.applyColorMap(np.arange(16, dtype=np.uint8).reshape(4, 4), 2))
    with pytest.raises(ImageError, match="drawn in colours"):
        read_depth(drawn, convention="distance")


@pytest.mark.parametrize(
    "values, message",
    [
        (np.array([[-1.0, 2.0]]), "negative distances, down to -1 m; is it a disparity"),
        (np.zeros((2, 2, 3)), r"holds float64 \[2, 2, 3\]; expected numbers of shape \[h, w\]"),
        (np.zeros((0, 3)), "empty array"),
        (np.array([["a"]]), "expected numbers"),
        (np.array([[{}]]), "no readable .npy file"),
    ],
)
def test_arrays_that_are_no_depth_are_refused(tmp_path, values, message):
    with pytest.raises(ImageError, match=message):
        read_depth(_npy(tmp_path / "d.npy", values), convention="distance")


@pytest.mark.parametrize("options", [{"scale": 0.0}, {"limits": (5.0, 2.0)}, {"limits": (0.0, 2.0)}])
def test_impossible_scales_are_refused(tmp_path, options):
    file = _npy(tmp_path / "d.npy", np.ones((2, 2)))
    with pytest.raises(ValueError, match="expected numbers above 0, nearest first"):
        read_depth(file, convention="distance", **options)


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "d.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ImageError, match=r"d\.npy"):
        read_depth(tmp_path / "d.npy", convention="distance")


def test_a_folder_is_listed_by_stem(tmp_path):
    _png(tmp_path / "a.png", np.ones((2, 2), np.uint16))
    _npy(tmp_path / "b.npy", np.ones((2, 2)))
    assert {stem: path.name for stem, path in list_depth_files(tmp_path).items()} == {
        "a": "a.png",
        "b": "b.npy",
    }
    _npy(tmp_path / "a.npy", np.ones((2, 2)))
    with pytest.raises(ImageError, match="two depth maps of one name: a.png, a.npy"):
        list_depth_files(tmp_path)
    with pytest.raises(ImageError, match="no such folder"):
        list_depth_files(tmp_path / "none")
