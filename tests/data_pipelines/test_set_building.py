"""Sets built, opened and verified, without TensorFlow."""

import json
import shutil
import subprocess
import sys
import zipfile

import cv2
import numpy as np
import pytest

from data_pipelines.decode import ImageError
from data_pipelines.sets.build import build_set, published_lists
from data_pipelines.sets.cards import CARDS
from data_pipelines.sets.manifest import FILE
from data_pipelines.sets.stored import decode_record, open_set
from data_pipelines.sets.verify import verify_set


@pytest.fixture
def source(tmp_path, write_pair):
    root = tmp_path / "source"
    for split, names in (("train", ("a", "ü 2", "c")), ("test", ("d",))):
        for name in names:
            write_pair(root / split, name, folders=("GT", "hazy", "IR"), suffix=".PNG")
    return root


def build(source, tmp_path, **options):
    return build_set("folder", source, data_dir=tmp_path / "sets", name="mine", **options)


def levels(stored):
    return [finding.level for finding in verify_set(stored).findings]


def test_what_is_stored_comes_back_byte_for_byte(source, tmp_path, write_pair):
    (source / "train" / "labels").mkdir()
    (source / "train" / "labels" / "a.txt").write_text("0 1 2")
    built = build(source, tmp_path)
    assert {split: len(entries) for split, entries in built.manifest.splits.items()} == {
        "train": 3,
        "test": 1,
    }
    stored = open_set("mine", data_dir=tmp_path / "sets")
    records = stored.records("train")
    assert [record["name"].decode() for record in records] == ["a", "c", "ü 2"]
    for record, entry in zip(records, stored.entries("train"), strict=True):
        for role, file in entry.files.items():
            assert record[role] == (source / file.path).read_bytes()
    assert records[0]["labels"] == b"0 1 2"
    assert records[1]["labels"] == b""
    example = decode_record(records[2], where="here")
    expected = cv2.imread(str(source / "train" / "GT" / "ü 2.PNG"))[:, :, ::-1]
    np.testing.assert_array_equal(example["visible_clear"], expected)
    assert example["infrared"].shape == (24, 32, 1)
    assert example["name"] == "ü 2"
    assert len(stored.records("train+test")) == 4
    assert verify_set(stored).sound
    assert levels(stored) == []


def test_an_archive_builds_the_same_records(source, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in source.rglob("*"):
            archive.write(path, path.relative_to(source))
    build(source, tmp_path)
    build_set("folder", tmp_path / "set.zip", data_dir=tmp_path / "sets", name="packed")
    plain, packed = (open_set(name, data_dir=tmp_path / "sets") for name in ("mine", "packed"))
    assert plain.manifest == packed.manifest
    assert list(plain.records("train")) == list(packed.records("train"))


def test_unusable_scenes_are_left_out_with_the_reason(source, tmp_path, write_pair):
    write_pair(source / "train", "odd", folders=("GT", "hazy"), suffix=".png")
    odd = cv2.imread(str(source / "train" / "GT" / "odd.png"))[:, :, 0]
    cv2.imwrite(str(source / "train" / "IR" / "odd.png"), odd[:12])
    write_pair(source / "train", "lone", folders=("GT", "hazy"))
    broken = source / "train" / "IR" / "c.PNG"
    broken.write_bytes(broken.read_bytes()[:60])
    built = build(source, tmp_path)
    reasons = {problem.name: problem.reason for problem in built.manifest.skipped}
    assert set(reasons) == {"lone", "c", "odd"}
    assert "no infrared image" in reasons["lone"]
    assert "train/IR/c.PNG: damaged" in reasons["c"]
    assert "odd.png: is 32x12, but train/GT/odd.png is 32x24 (--resize-infrared" in reasons["odd"]
    assert [entry.name for entry in built.manifest.splits["train"]] == ["a", "ü 2"]
    resized = build(source, tmp_path, overwrite=True, resize_infrared=True)
    assert {problem.name for problem in resized.manifest.skipped} == {"lone", "c"}
    stored = open_set(resized.folder)
    assert verify_set(stored).sound
    names = [entry.name for entry in stored.entries("train")]
    record = stored.records("train")[names.index("odd")]
    assert decode_record(record, where="x", resize_infrared=True)["infrared"].shape == (24, 32, 1)
    with pytest.raises(ImageError, match="odd: images of different size: .* 32x24.*infrared 32x12"):
        decode_record(record, where="x")


def test_three_channel_infrared_is_one_channel_when_read(tmp_path, write_pair):
    picture = write_pair(tmp_path / "s", "a")
    cv2.imwrite(str(tmp_path / "s" / "infrared" / "a.png"), np.repeat(picture[:, :, :1], 3, axis=2))
    stored = open_set(build(tmp_path / "s", tmp_path).folder)
    infrared = decode_record(stored.records("train")[0], where="x")["infrared"]
    np.testing.assert_array_equal(infrared, picture[:, :, :1])


def test_nothing_usable_and_bad_options(source, tmp_path):
    for path in source.rglob("*.PNG"):
        path.write_bytes(b"")
    with pytest.raises(ImageError, match="none of 4 scenes can be used .*empty file"):
        build(source, tmp_path)
    assert not (tmp_path / "sets" / "mine").exists()
    for options, message in (
        ({"name": "My Set"}, "lower-case"),
        ({"fractions": {"train": 0.5}}, "add up to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            build_set("folder", source, data_dir=tmp_path, **options)
    with pytest.raises(ValueError, match="there are msrs"):
        build_set("mrss", source)


def test_an_existing_set_is_replaced_only_when_asked_and_never_lost(source, tmp_path, monkeypatch):
    build(source, tmp_path)
    with pytest.raises(ImageError, match="mine: exists"):
        build(source, tmp_path)
    shutil.rmtree(source / "test")
    with monkeypatch.context() as patch:
        patch.setattr("data_pipelines.sets.build.write_manifest", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build(source, tmp_path, overwrite=True)
    assert set(open_set("mine", data_dir=tmp_path / "sets").manifest.splits) == {"train", "test"}
    build(source, tmp_path, overwrite=True)
    assert set(open_set("mine", data_dir=tmp_path / "sets").manifest.splits) == {"train"}
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["mine"]


def test_sets_that_are_not_there(source, tmp_path):
    folder = build(source, tmp_path).folder
    with pytest.raises(ImageError, match="neither a built set in .*iassf data build"):
        open_set("other", data_dir=tmp_path / "sets")
    with pytest.raises(ImageError, match=r"no split 'trian'; there are test \(1\), train \(3\)"):
        open_set(folder).records("trian")
    plain = json.loads((folder / FILE).read_text())
    (folder / FILE).write_text(json.dumps({**plain, "splits": {"train": [{}]}}))
    with pytest.raises(ImageError, match="manifest.json: is damaged"):
        open_set(folder)
    (folder / FILE).unlink()
    with pytest.raises(ImageError, match="manifest.json: is missing: .*build it again"):
        open_set(folder)


def test_verification_names_what_was_changed(source, tmp_path):
    folder = build(source, tmp_path).folder
    plain = json.loads((folder / FILE).read_text())
    entries = plain["splits"]["train"]
    entries[0]["files"]["infrared"]["sha256"] = "0" * 64
    entries[1]["name"] = "elsewhere"
    entries[2]["height"] = 99
    (folder / FILE).write_text(json.dumps(plain))
    result = verify_set(open_set(folder))
    assert not result.sound
    texts = [finding.text for finding in result.findings]
    assert texts[0].startswith("train/a: infrared has another SHA-256")
    assert texts[1] == "train/elsewhere: the record is of 'c'"
    assert texts[2] == "train/ü 2: is 32x24, recorded as 32x99"
    records = next(folder.glob("*train*"))
    data = records.read_bytes()
    records.write_bytes(data[: len(data) // 2])
    cut = [finding.text for finding in verify_set(open_set(folder)).findings if "record 0 " in finding.text]
    assert cut and cut[0].startswith("train/a: record 0 ")


def test_float_infrared_in_units_of_its_own_is_sound(source, tmp_path):
    for path in (source / "train" / "IR").iterdir():
        kelvin = 280.0 + cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 10
        cv2.imwrite(str(path.with_suffix(".tiff")), kelvin)
        path.unlink()
    stored = open_set(build(source, tmp_path).folder)
    assert len(stored.entries("train")) == 3
    assert levels(stored) == []
    path = next((source / "train" / "IR").iterdir())
    kelvin[0, 0] = np.nan
    cv2.imwrite(str(path), kelvin)
    damaged = verify_set(open_set(build(source, tmp_path, overwrite=True).folder))
    assert [finding.text.split(": ")[-1] for finding in damaged.findings] == [
        "infrared values that are not finite"
    ]


def test_leaks_between_splits_are_found(tmp_path, write_pair):
    source = tmp_path / "s"
    for split, name, seed in (("train", "a1", 1), ("train", "b1", 2), ("test", "a2", 1), ("test", "c1", 3)):
        write_pair(source / split, name, seed=seed)
    result = verify_set(open_set(build(source, tmp_path).folder))
    texts = " | ".join(f"{finding.level}: {finding.text}" for finding in result.findings)
    assert not result.sound
    assert "error: 2 equal files lie in several splits: test/a2 = train/a1" in texts
    assert "error: 1 groups of neighbours lie in several splits: test/a2 = train/a1" in texts
    assert "error: 1 look-alike neighbours lie in several splits: test/a2 ~ train/a1" in texts


def test_an_incomplete_public_set_is_sound_but_noted(tmp_path, write_pair):
    for name in ("FLIR_00211", "FLIR_00230", "FLIR_01000", "FLIR_03000"):
        write_pair(tmp_path / "s", name, folders=("crop_LR_visible", "cropinfrared"), suffix=".jpg")
    built = build_set("roadscene", tmp_path / "s", data_dir=tmp_path / "sets")
    splits = {name: [entry.name for entry in entries] for name, entries in built.manifest.splits.items()}
    assert splits["test"] == ["FLIR_00211"]
    assert splits["near_test"] == ["FLIR_00230"]
    result = verify_set(open_set(built.folder))
    assert result.sound
    assert "4 scenes altogether, the complete roadscene has 221" in result.findings[0].text
    assert "49 of 50 names of the published test list are missing" in result.findings[1].text


def test_published_test_scenes_in_the_training_split_are_an_error(tmp_path, write_pair):
    for split, name in (("train", "00001D"), ("train", "00004N"), ("test", "00008N")):
        write_pair(tmp_path / "s" / split, name, folders=("vi", "ir"))
    built = build_set("msrs", tmp_path / "s", data_dir=tmp_path / "sets")
    errors = [f.text for f in verify_set(open_set(built.folder)).findings if f.level == "error"]
    assert errors == ["1 names of the published test list lie in another split: 00004N"]


def test_cards_and_lists_are_consistent():
    for card in CARDS.values():
        for names in published_lists(card).values():
            assert names and len(set(names)) == len(names)
        assert not card.fractions or abs(sum(card.fractions.values()) - 1) < 1e-9
    assert len(published_lists(CARDS["roadscene"])["test"]) == 50


@pytest.mark.parametrize(
    "name, counts", [("roadscene", 171), pytest.param("msrs_hazy", 261, marks=pytest.mark.slow)]
)
def test_real_sets(shared, tmp_path, name, counts):
    built = build_set(name, shared / "data" / name, data_dir=tmp_path)
    assert not built.manifest.skipped
    result = verify_set(open_set(name, data_dir=tmp_path))
    assert result.sound
    assert result.scenes == counts
    splits = {split: len(entries) for split, entries in built.manifest.splits.items()}
    assert (
        splits
        == {
            "roadscene": {"train": 91, "val": 16, "near_test": 64},
            "msrs_hazy": {"train": 231, "val": 30},
        }[name]
    )


def test_neither_building_nor_reading_needs_tensorflow_or_an_accelerator(source, tmp_path):
    code = f"""
import sys
from data_pipelines.sets.build import build_set
from data_pipelines.sets.stored import decode_record, open_set
from data_pipelines.sets.verify import verify_set
stored = open_set(build_set("folder", {str(source)!r}, data_dir={str(tmp_path)!r}).folder)
assert verify_set(stored).sound
decode_record(stored.records("train")[0], where="")
assert not {{"tensorflow", "jax", "iassf_jax", "torch"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
