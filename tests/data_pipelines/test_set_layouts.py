"""Sources in their true layouts, and with what goes wrong in real downloads."""

import zipfile

import pytest

from data_pipelines.decode import ImageError
from data_pipelines.sets.cards import CARDS
from data_pipelines.sets.layouts import LayoutError, find_scenes
from data_pipelines.sets.source import open_source


def found(card, *paths):
    scenes, problems = find_scenes(CARDS[card], sorted(paths))
    return {(scene.split, scene.name): dict(scene.files) for scene in scenes}, problems


def test_msrs():
    names = {"train": "00001D", "test": "00004N"}
    paths = [
        f"MSRS-main/{split}/{folder}/{name}.png"
        for split, name in names.items()
        for folder in ("vi", "ir", "Segmentation_labels")
    ]
    extra = ["MSRS-main/detection/vi/1.png", "MSRS-main/detection/ir/1.png", "MSRS-main/README.md"]
    scenes, problems = found("msrs", *paths, *extra)
    assert set(scenes) == {("train", "00001D"), ("test", "00004N")}
    assert scenes["train", "00001D"] == {
        "visible": "MSRS-main/train/vi/00001D.png",
        "infrared": "MSRS-main/train/ir/00001D.png",
        "labels": "MSRS-main/train/Segmentation_labels/00001D.png",
    }
    assert not problems


def test_m3fd_keeps_its_two_collections_apart():
    paths = [f"M3FD_Fusion/{folder}/00000.png" for folder in ("Ir", "Vis")]
    paths += [f"M3FD_Detection/{folder}/00000.png" for folder in ("ir", "vi")]
    scenes, problems = found("m3fd", *paths, "M3FD_Detection/Annotation/00000.xml")
    assert set(scenes) == {(None, "fusion/00000"), (None, "detection/00000")}
    assert "labels" in scenes[None, "detection/00000"]
    assert not problems


@pytest.mark.parametrize("name, prefix", [("M3FD_Fusion", "fusion"), ("M3FD_Detection", "detection")])
def test_m3fd_archives_hold_their_folders_themselves(name, prefix):
    scenes, _ = find_scenes(CARDS["m3fd"], ["Ir/00000.png", "Vis/00000.png"], source=name)
    assert [scene.name for scene in scenes] == [f"{prefix}/00000"]


def test_roadscene_takes_the_low_resolution_images():
    paths = [f"{folder}/FLIR_00006.jpg" for folder in ("crop_LR_visible", "crop_HR_visible", "cropinfrared")]
    scenes, _ = found("roadscene", *paths, "infrared/FLIR_00006.png")
    assert scenes == {
        (None, "FLIR_00006"): {
            "visible": "crop_LR_visible/FLIR_00006.jpg",
            "infrared": "cropinfrared/FLIR_00006.jpg",
        }
    }


def test_llvip_has_its_splits_below_the_modalities():
    paths = [
        f"LLVIP/{kind}/{split}/{name}.jpg"
        for kind in ("infrared", "visible")
        for split, name in (("train", "010001"), ("test", "190001"))
    ]
    scenes, _ = found("llvip", *paths, "LLVIP/Annotations/010001.xml")
    assert set(scenes) == {("train", "010001"), ("test", "190001")}


def test_tno():
    scenes, _ = found("tno", "TNO/ir/01.png", "TNO/vi/01.bmp")
    assert set(scenes) == {(None, "01")}


def test_triplets_unicode_spaces_and_upper_case():
    paths = [f"val/{folder}/straße am see 1.PNG" for folder in ("gt", "HAZY", "IR")]
    scenes, problems = found("folder", *paths)
    assert set(scenes["val", "straße am see 1"]) == {"visible", "hazy", "infrared"}
    assert not problems


def test_recordings_in_folders_keep_their_name():
    scenes, _ = found("folder", "visible/walk/001.png", "infrared/walk/001.jpg")
    assert set(scenes) == {(None, "walk/001")}


def test_partners_that_are_missing_are_reported():
    scenes, problems = found(
        "folder",
        *(f"{folder}/a.png" for folder in ("visible", "infrared", "hazy")),
        *(f"{folder}/b.png" for folder in ("visible", "hazy")),
        *(f"{folder}/c.png" for folder in ("visible", "infrared")),
        "labels/d.txt",
    )
    assert set(scenes) == {(None, "a")}
    assert {problem.name: problem.reason for problem in problems} == {
        "b": "no infrared image (only hazy/b.png, visible/b.png)",
        "c": "no hazy image (only infrared/c.png, visible/c.png)",
    }


def test_two_files_of_one_name_are_reported():
    scenes, problems = found("folder", "visible/a.png", "visible/a.jpg", "infrared/a.png")
    assert not scenes
    assert problems[0].reason == "two visible images of one name: visible/a.jpg and visible/a.png"


@pytest.mark.parametrize(
    "paths, message",
    [
        (["visible/a.png"], "no infrared images in the layout of 'folder'.* folders found: visible"),
        (["visible/a.png", "infrared/b.png"], "First names: visible: a; infrared: b"),
        ([], "folders found: none"),
    ],
)
def test_a_source_of_another_layout_is_refused(paths, message):
    with pytest.raises(LayoutError, match=message):
        find_scenes(CARDS["folder"], paths)


def test_folder_and_archive_read_alike(tmp_path, write_pair):
    folder = tmp_path / "set"
    write_pair(folder, "ä 1")
    (folder / ".DS_Store").write_text("x")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "visible.png").write_text("x")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    plain, packed = open_source(folder), open_source(tmp_path / "set.zip")
    assert plain.paths() == packed.paths() == ["infrared/ä 1.png", "visible/ä 1.png"]
    assert plain.read("visible/ä 1.png") == packed.read("visible/ä 1.png")


def test_links_are_followed_but_not_in_circles(tmp_path, write_pair):
    write_pair(tmp_path / "store", "a")
    (tmp_path / "set" / "train").mkdir(parents=True)
    for folder in ("visible", "infrared"):
        (tmp_path / "set" / "train" / folder).symlink_to(tmp_path / "store" / folder)
    (tmp_path / "set" / "train" / "back").symlink_to(tmp_path / "set")
    assert open_source(tmp_path / "set").paths() == ["train/infrared/a.png", "train/visible/a.png"]


def test_sources_that_cannot_be_read(tmp_path, write_pair):
    with pytest.raises(ImageError, match="no such folder or zip"):
        open_source(tmp_path / "nothing")
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(ImageError, match="neither a folder nor a zip"):
        open_source(tmp_path / "a.rar")
    write_pair(tmp_path, "a")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "visible" / "a.png", "visible/a.png")
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60:80] = bytes(20)  # inside the file's content: its checksum no longer holds
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(ImageError, match="visible/a.png: cannot be read from the archive"):
        open_source(tmp_path / "a.zip").read("visible/a.png")
