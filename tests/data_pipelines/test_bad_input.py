"""What a folder of pairs may be like, and what each way in answers: training folder, built set, pair report.

A folder is refused as a whole for what nobody should train on unawares; `iassf data build` keeps the sound
scenes and names the others; `iassf data inspect` reports.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_pipelines.decode import ImageError
from data_pipelines.doctor.findings import examine
from data_pipelines.doctor.pairs import list_pairs
from data_pipelines.folder import evaluation_examples
from data_pipelines.sets.build import build_set

SIZE = (40, 48)


def picture(seed, *shape):
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, *shape)).astype(np.uint8)
    return np.kron(coarse, np.ones((8, 8, *(1 for _ in shape)), np.uint8))


def save(path: Path, pixels):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pairs"
    root.mkdir()
    for seed, name in enumerate(("a", "b")):
        save(root / "GT" / f"{name}.png", picture(seed, 3))
        save(root / "IR" / f"{name}.png", picture(seed + 9))
    return root


def missing(root):
    (root / "IR" / "b.png").unlink()


def cut_off(root):
    data = (root / "GT" / "b.png").read_bytes()
    (root / "GT" / "b.png").write_bytes(data[: len(data) // 2])


def empty(root):
    (root / "IR" / "b.png").write_bytes(b"")


def other_size(root):
    save(root / "IR" / "b.png", picture(3)[:16, :24])


def two_of_one_name(root):
    save(root / "GT" / "b.bmp", picture(3, 3))


def odd_names(root):
    for sub in ("GT", "IR"):
        (root / sub / "b.png").rename(root / sub / "straße am Ufer 2.png")


def upper_case(root):
    for sub in ("GT", "IR"):
        (root / sub / "b.png").rename(root / sub / "b.PNG")


def three_channels(root):
    save(root / "IR" / "b.png", np.repeat(picture(10)[:, :, None], 3, axis=2))


def sixteen_bits(root):
    Image.fromarray(picture(10).astype(np.uint16) * np.uint16(257)).save(root / "IR" / "b.png")


def transparent_grey(root):
    Image.fromarray(picture(1, 3)[..., 0]).convert("LA").save(root / "GT" / "b.png")


def stray_files(root):
    (root / "GT" / "Thumbs.db").write_bytes(b"x")
    (root / "IR" / "._b.png").write_bytes(b"x")
    (root / "notes.txt").write_text("x")


@dataclasses.dataclass(frozen=True)
class Case:
    """One way a folder may be, and the answers: part of a message, or "" where it is simply used."""

    spoil: Callable[[Path], None]
    training: str = ""
    build: str = ""
    report: str = ""


CASES = [
    Case(
        missing,
        "1 names match, these are not in every folder: GT/ b",
        "no infrared image",
        "error: scenes without all images",
    ),
    Case(cut_off, "GT/b.png: damaged or cut off", "GT/b.png: damaged or cut off", "error: unreadable images"),
    Case(empty, "IR/b.png: empty file", "IR/b.png: empty file", "error: unreadable images"),
    Case(
        other_size,
        "IR/b.png: is 24x16 but 48x40 in",
        "IR/b.png: is 24x16, but GT/b.png is 48x40 (--resize-infrared",
        "error: different sizes",
    ),
    Case(
        two_of_one_name,
        "two images of one name: b.bmp and b.png",
        "two visible images",
        "error: scenes without all images",
    ),
    Case(odd_names),
    Case(upper_case),
    Case(three_channels, report="note: infrared with several channels"),
    Case(sixteen_bits, report="note: infrared of more than 8 bits"),
    Case(transparent_grey, report="note: grey visible images"),
    Case(stray_files),
]


@pytest.mark.parametrize("case", CASES, ids=[case.spoil.__name__ for case in CASES])
def test_every_way_in_answers(folder, tmp_path, case):
    case.spoil(folder)
    name = "straße am Ufer 2" if case.spoil is odd_names else "b"
    if case.training:
        with pytest.raises(ImageError) as refused:
            list(evaluation_examples(folder, require_hazy=False))
        assert case.training in str(refused.value)
    else:
        scenes = {scene["name"]: scene for scene in evaluation_examples(folder, require_hazy=False)}
        assert set(scenes) == {"a", name}
        np.testing.assert_array_equal(scenes[name]["infrared"][..., 0], picture(10))
        assert scenes[name]["visible_clear"].shape == (*SIZE, 3)
    built = build_set("folder", folder, data_dir=tmp_path / "sets")
    kept = {entry.name for entry in built.manifest.splits["train"]}
    reasons = [problem.reason for problem in built.manifest.skipped]
    if case.build:
        assert kept == {"a"}
        assert len(reasons) == 1
        assert case.build in reasons[0]
    else:
        assert kept == {"a", name}
        assert not reasons
    report = examine(*list_pairs(str(folder), card="folder"))
    findings = {f"{finding.level}: {finding.title}" for finding in report.findings}
    usual = {"note: scenes", "note: one size", "note: files", "note: registration"}
    assert findings - usual == ({case.report} if case.report else set())
