"""Pairing of files by name, reading of scenes, and the messages for folders that do not fit."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.decode import ImageError
from data_pipelines.triplets import FolderError, list_triplets, read_triplet, scale_infrared


def _write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def _scene(root, rng, name, *, folders=("GT", "hazy", "IR"), extension=".png", size=(6, 8)):
    """Write one scene; the infrared folder is the last."""
    for folder in folders[:-1]:
        _write(root / folder / f"{name}{extension}", rng.integers(0, 256, (*size, 3), np.uint8))
    _write(root / folders[-1] / f"{name}{extension}", rng.integers(0, 256, size, np.uint8))


def test_scenes_are_paired_by_stem_in_order(tmp_path, rng):
    for name in ("b", "a", "c.d"):
        _scene(tmp_path, rng, name)
    triplets = list_triplets(tmp_path)
    assert [t.name for t in triplets] == ["a", "b", "c.d"]
    assert triplets[2].clear == tmp_path / "GT" / "c.d.png"
    assert triplets[2].hazy == tmp_path / "hazy" / "c.d.png"
    assert triplets[2].infrared == tmp_path / "IR" / "c.d.png"


def test_case_of_folders_and_extensions_and_mixed_formats_do_not_matter(tmp_path, rng):
    _scene(tmp_path, rng, "a", folders=("gt", "Hazy", "ir"), extension=".PNG")
    _write(tmp_path / "gt" / "b.JPG", rng.integers(0, 256, (6, 8, 3), np.uint8))
    _write(tmp_path / "Hazy" / "b.bmp", rng.integers(0, 256, (6, 8, 3), np.uint8))
    _write(tmp_path / "ir" / "b.tif", rng.integers(0, 256, (6, 8), np.uint8))
    assert [t.name for t in list_triplets(tmp_path)] == ["a", "b"]


def test_files_that_are_no_images_are_ignored(tmp_path, rng):
    _scene(tmp_path, rng, "a")
    (tmp_path / "GT" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "IR" / "._a.png").write_bytes(b"x")
    (tmp_path / "README.txt").write_text("about")
    assert [t.name for t in list_triplets(tmp_path)] == ["a"]


def test_a_folder_without_haze_only_when_asked_for(tmp_path, rng):
    _scene(tmp_path, rng, "a", folders=("GT", "IR"))
    with pytest.raises(FolderError, match=r"has no folder hazy \(it holds GT, IR\); expected GT/"):
        list_triplets(tmp_path)
    (triplet,) = list_triplets(tmp_path, require_hazy=False)
    assert triplet.hazy is None
    assert set(read_triplet(triplet)) == {"visible_clear", "infrared", "name"}


def test_haze_that_exists_is_used_even_if_not_required(tmp_path, rng):
    _scene(tmp_path, rng, "a")
    assert list_triplets(tmp_path, require_hazy=False) == list_triplets(tmp_path)


def test_unmatched_names_are_listed_for_each_folder(tmp_path, rng):
    _scene(tmp_path, rng, "both")
    for number in range(7):
        _write(tmp_path / "GT" / f"clear{number}.png", np.zeros((6, 8, 3), np.uint8))
    _write(tmp_path / "IR" / "thermal.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(FolderError) as caught:
        list_triplets(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}: 1 names match")
    assert "GT/ clear0, clear1, clear2, clear3, clear4 and 2 more" in message
    assert "IR/ thermal" in message
    assert "hazy/ " not in message.split(". expected")[0]
    assert "expected GT/ (clear visible)" in message


@pytest.mark.parametrize(
    "spoil, message",
    [
        (
            lambda root: _write(root / "GT" / "a.bmp", np.zeros((6, 8, 3), np.uint8)),
            "two images of one name: a.bmp and a.png",
        ),
        (
            lambda root: _write(root / "ir" / "a.png", np.zeros((6, 8), np.uint8)),
            "two folders for IR: IR and ir",
        ),
        (lambda root: [path.unlink() for path in (root / "hazy").iterdir()], "hazy: holds no images"),
    ],
)
def test_ambiguous_and_empty_folders_are_refused(spoil, message, tmp_path, rng):
    _scene(tmp_path, rng, "a")
    spoil(tmp_path)
    with pytest.raises(FolderError, match=message):
        list_triplets(tmp_path)


def test_a_missing_folder_and_a_file_are_named(tmp_path):
    with pytest.raises(FolderError, match="no such folder; expected GT/"):
        list_triplets(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolderError, match="not a folder"):
        list_triplets(tmp_path / "file")


def test_a_scene_is_read_as_bytes_with_one_infrared_channel(tmp_path, rng):
    _scene(tmp_path, rng, "a")
    (triplet,) = list_triplets(tmp_path)
    scene = read_triplet(triplet)
    assert scene["name"] == "a"
    clear = cv2.imread(str(triplet.clear))[:, :, ::-1]
    np.testing.assert_array_equal(scene["visible_clear"], clear)
    np.testing.assert_array_equal(scene["visible_hazy"], cv2.imread(str(triplet.hazy))[:, :, ::-1])
    np.testing.assert_array_equal(scene["infrared"], cv2.imread(str(triplet.infrared), 0)[:, :, None])
    assert {scene[name].dtype for name in ("visible_clear", "visible_hazy", "infrared")} == {
        np.dtype(np.uint8)
    }


@pytest.mark.parametrize("folder", ["hazy", "IR"])
def test_images_of_different_size_are_refused_with_both_files(folder, tmp_path, rng):
    _scene(tmp_path, rng, "a")
    channels = () if folder == "IR" else (3,)
    _write(tmp_path / folder / "a.png", np.zeros((5, 9, *channels), np.uint8))
    (triplet,) = list_triplets(tmp_path)
    with pytest.raises(ImageError, match=rf"{folder}/a.png: is 9x5 but 8x6 in .*GT/a.png"):
        read_triplet(triplet)


def test_a_damaged_image_is_named(tmp_path, rng):
    _scene(tmp_path, rng, "a")
    path = tmp_path / "hazy" / "a.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match="hazy/a.png"):
        read_triplet(list_triplets(tmp_path)[0])


def test_16_bit_infrared_is_scaled_by_its_full_range_or_by_given_limits(tmp_path, rng):
    _scene(tmp_path, rng, "a")
    stored = np.array([[0, 128, 129, 32768], [7000, 8250, 9500, 65535]], np.uint16)
    stored = np.kron(stored, np.ones((3, 2), np.uint16))
    _write(tmp_path / "IR" / "a.png", stored)
    (triplet,) = list_triplets(tmp_path)
    full = read_triplet(triplet)["infrared"][::3, ::2, 0]
    np.testing.assert_array_equal(full, [[0, 0, 1, 128], [27, 32, 37, 255]])
    limited = read_triplet(triplet, infrared_range=(7000.0, 9500.0))["infrared"][::3, ::2, 0]
    np.testing.assert_array_equal(limited, [[0, 0, 0, 255], [0, 128, 255, 255]])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8))
def test_float_infrared_in_the_unit_range_is_rounded(values):
    pixels = np.asarray([values], np.float32)
    np.testing.assert_array_equal(scale_infrared(pixels), np.rint(255 * np.float64(pixels)))


@pytest.mark.parametrize(
    "pixels, infrared_range, message",
    [
        (np.float32([[0, 300]]), "full", r"\[0, 300\] instead of \[0,1\]; give infrared_range"),
        (np.float32([[0, np.nan]]), (0.0, 1.0), "not finite"),
        (np.uint16([[0, 1]]), "auto", "is 'auto'; expected"),
        (np.uint16([[0, 1]]), (5.0, 5.0), "low < high"),
    ],
)
def test_infrared_without_a_known_range_is_refused(pixels, infrared_range, message):
    with pytest.raises(ValueError, match=message):
        scale_infrared(pixels, infrared_range)


def test_8_bit_infrared_stays_as_it_is(rng):
    pixels = rng.integers(0, 256, (4, 5), np.uint8)
    np.testing.assert_array_equal(scale_infrared(pixels), pixels)


def test_the_shipped_layout_of_msrs(shared):
    root = shared / "data" / "msrs_hazy"
    assert [len(list_triplets(root / split)) for split in ("train", "val")] == [231, 30]
    scene = read_triplet(list_triplets(root / "train")[0])
    assert scene["visible_hazy"].shape == (480, 640, 3)
    assert scene["infrared"].shape == (480, 640, 1)
