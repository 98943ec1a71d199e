"""The pair doctor finds what was done to pairs, and says nothing about sound ones."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.decode import ImageError
from data_pipelines.doctor.findings import RELIABLE, examine
from data_pipelines.doctor.measures import displacement, to_eight_bits
from data_pipelines.doctor.page import report_page
from data_pipelines.doctor.pairs import list_pairs
from data_pipelines.sets.build import build_set


def scene(seed, height=120, width=160):
    """A coloured picture of overlapping rectangles, and infrared with the same edges and other levels."""
    rng = np.random.default_rng(seed)
    visible = np.full((height, width, 3), rng.integers(60, 120, 3), np.uint8)
    infrared = np.full((height, width), 100, np.uint8)
    for _ in range(25):
        top, left = rng.integers(0, height - 10), rng.integers(0, width - 10)
        area = np.s_[top : top + rng.integers(8, 60), left : left + rng.integers(8, 60)]
        visible[area] = rng.integers(0, 256, 3)
        infrared[area] = rng.integers(0, 256)
    return visible, infrared


def write(root, name, visible, infrared, hazy=None):
    images = {"visible": visible, "infrared": infrared} | ({} if hazy is None else {"hazy": hazy})
    for folder, image in images.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        stored = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(root / folder / f"{name}.png"), stored)


def findings_of(root, **options):
    report = examine(*list_pairs(root, **options))
    return {finding.title: finding for finding in report.findings}


@given(st.integers(0, 1000), st.integers(-9, 9), st.integers(-12, 12))
@settings(max_examples=20, deadline=None)
def test_displacements_are_found_across_modalities(seed, down, right):
    visible, infrared = scene(seed)
    (found_down, found_right), confidence = displacement(visible, np.roll(infrared, (down, right), (0, 1)))
    assert confidence > RELIABLE
    assert abs(found_down - down) <= 1
    assert abs(found_right - right) <= 1


def test_unrelated_images_give_no_confidence():
    confidences = [displacement(scene(seed)[0], scene(seed + 500)[1])[1] for seed in range(20)]
    assert np.median(confidences) < RELIABLE


def test_flat_images_give_no_confidence():
    flat = np.zeros((40, 50), np.uint8)
    assert displacement(np.repeat(flat[:, :, None], 3, axis=2), flat) == (pytest.approx((0, 0), abs=10), 0.0)


def test_sound_pairs_have_only_notes(tmp_path):
    for seed in range(4):
        write(tmp_path, f"s{seed}", *scene(seed))
    found = findings_of(tmp_path)
    assert {finding.level for finding in found.values()} == {"note"}
    assert found["registration"].detail.startswith(
        "median displacement of infrared: 0.0 down, 0.0 right (4 pairs)"
    )
    assert found["one size"].detail == "4 160x120"
    assert found["files"].detail == "4 visible PNG RGB, infrared PNG L"


def test_what_was_done_to_pairs_is_found(tmp_path):
    for seed in range(3):
        write(tmp_path, f"sound{seed}", *scene(seed))
    visible, infrared = scene(10)
    write(tmp_path, "moved", visible, np.roll(infrared, (6, -9), (0, 1)))
    visible, infrared = scene(11)
    write(tmp_path, "swapped", infrared, visible)
    visible, infrared = scene(12)
    write(tmp_path, "mapped", visible, cv2.applyColorMap(infrared, cv2.COLORMAP_JET))
    write(tmp_path, "flat", scene(13)[0], np.full((120, 160), 9, np.uint8))
    write(tmp_path, "deep", scene(14)[0], scene(14)[1].astype(np.uint16) * 257)
    write(tmp_path, "threefold", scene(15)[0], np.repeat(scene(15)[1][:, :, None], 3, axis=2))
    write(tmp_path, "small", scene(16)[0], scene(16)[1][:60])
    write(tmp_path, "copy", *scene(0))
    write(tmp_path, "grey", *(scene(17)[1],) * 2)
    write(tmp_path, "broken", *scene(18))
    path = tmp_path / "infrared" / "broken.png"
    path.write_bytes(path.read_bytes()[:50])
    write(tmp_path, "lone", *scene(19))
    (tmp_path / "infrared" / "lone.png").unlink()
    found = {title: (finding.level, list(finding.names)) for title, finding in findings_of(tmp_path).items()}
    assert found["misregistered"] == ("warning", ["moved"])
    assert found["swapped modalities"] == ("error", ["swapped"])
    assert found["coloured infrared"] == ("warning", ["mapped"])
    assert found["constant images"] == ("warning", ["flat"])
    assert found["infrared of more than 8 bits"] == ("note", ["deep"])
    assert found["infrared with several channels"] == ("note", ["threefold"])
    assert found["different sizes"] == ("error", ["small"])
    assert found["near-duplicates"] == ("warning", ["copy = sound0"])
    assert found["grey visible images"] == ("note", ["grey"])
    assert found["unreadable images"] == ("error", ["broken"])
    assert found["scenes without all images"] == ("error", ["lone"])


def test_squeezed_haze_is_found(tmp_path):
    for name, hazy in (("a", scene(1)[0] // 2 + 127), ("b", scene(2)[0])):
        write(tmp_path, name, *scene(ord(name)), hazy=hazy)
    finding = findings_of(tmp_path)["squeezed hazy images"]
    assert list(finding.names) == ["a"]


def test_hazy_images_and_depth_maps_of_another_size_are_found(tmp_path):
    for seed, name in enumerate(("sound", "hazy", "depth", "array")):
        visible, infrared = scene(seed)
        write(tmp_path, name, visible, infrared, hazy=visible[:60] if name == "hazy" else visible)
        (tmp_path / "depth").mkdir(exist_ok=True)
        depth = np.full(infrared.shape, 7, np.uint16)
        if name == "array":
            np.save(tmp_path / "depth" / "array.npy", depth[:, :80])
        else:
            cv2.imwrite(str(tmp_path / "depth" / f"{name}.png"), depth[:100] if name == "depth" else depth)
    finding = findings_of(tmp_path)["different sizes"]
    assert (finding.level, sorted(finding.names)) == ("error", ["array", "depth", "hazy"])


def test_duplicates_in_other_splits_are_errors_and_sets_read_like_folders(tmp_path):
    source = tmp_path / "source"
    for split, name, seed in (("train", "a", 1), ("test", "b", 1), ("test", "c", 2)):
        write(source / split, name, *scene(seed))
    build_set("folder", source, data_dir=tmp_path, name="mine")
    folder, stored = findings_of(source), findings_of("mine", data_dir=tmp_path)
    assert folder["near-duplicates"].level == "error"
    assert {t: dataclasses.astuple(f) for t, f in folder.items() if t != "near-duplicates"} == {
        t: dataclasses.astuple(f) for t, f in stored.items() if t != "near-duplicates"
    }
    assert len(list_pairs("mine:test", data_dir=tmp_path)[0]) == 2


def test_places_without_pairs(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ImageError, match="no visible images in the layout of 'folder'"):
        list_pairs(tmp_path)
    with pytest.raises(ImageError, match="no such folder"):
        list_pairs(tmp_path / "nowhere")


def test_the_page_shows_names_as_text_and_faults_first(tmp_path):
    for seed in range(6):
        write(tmp_path, f"s{seed}", *scene(seed))
    write(tmp_path, "<b>&", np.repeat(scene(9)[1][:, :, None], 3, axis=2), np.zeros((120, 160), np.uint8))
    page = report_page(examine(*list_pairs(tmp_path)), title="A <title>", count=4)
    assert "<h1>A &lt;title&gt;</h1>" in page
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page
    assert page.count("<figure>") == 4
    captions = page.split("<figcaption>")
    assert captions[1].startswith("&lt;b&gt;")


def test_infrared_of_other_types_can_be_looked_at():
    values = np.linspace(7000, 9000, 1000, dtype=np.float32).reshape(10, 100)
    assert to_eight_bits(values.astype(np.uint16)).max() == 255
    assert to_eight_bits(values).min() == 0
    assert to_eight_bits(np.full((4, 4), np.nan, np.float32)).max() == 0
