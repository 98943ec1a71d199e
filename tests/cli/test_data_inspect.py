"""`iassf data inspect`: report and picture."""

import re

import cv2
import numpy as np
import pytest

from data_pipelines.sets.build import build_set
from iassf_jax.cli.main import main


@pytest.fixture
def pairs(tmp_path):
    """Four scenes with haze in val/."""
    rng = np.random.default_rng(0)
    for index in range(4):
        picture = cv2.resize(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), (64, 48))
        for folder, image in (("GT", picture), ("hazy", picture // 2 + 60), ("IR", picture[:, :, 0])):
            (tmp_path / "val" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "val" / folder / f"s{index}.png"), image)
    return tmp_path / "val"


def inspect(source, output, *options):
    return main(["data", "inspect", "--input", str(source), "--output", str(output), *options])


def test_report(pairs, tmp_path, capsys):
    assert inspect(pairs, tmp_path / "new" / "report.html") == 0
    out = capsys.readouterr().out
    assert "note: one size: 4 64x48" in out
    assert "report.html: 4 pairs" in out
    assert "<figure>" in (tmp_path / "new" / "report.html").read_text()


def test_errors_in_a_report_give_exit_code_1(pairs, tmp_path, capsys):
    (pairs / "IR" / "s2.png").write_bytes(b"")
    (pairs / "hazy" / "s3.png").unlink()
    assert inspect(pairs, tmp_path / "report.html") == 1
    out = capsys.readouterr().out
    assert "error: unreadable images (1): s2/infrared: empty file" in out
    assert "error: scenes without all images (1): no hazy image" in out


@pytest.mark.parametrize("stored", [False, True])
def test_picture(pairs, tmp_path, stored, capsys):
    options = ["--count", "2", "--width", "64"]
    if stored:
        build_set("folder", pairs, data_dir=tmp_path / "sets")
        code = inspect("folder:train", tmp_path / "s.png", "--data-dir", str(tmp_path / "sets"), *options)
    else:
        code = inspect(pairs, tmp_path / "s.png", *options)
    assert code == 0
    assert "2 of 4 examples" in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / "s.png"))
    assert sheet.shape == (2 * (18 + 48 + 4), 3 * (64 + 4), 3)
    clear = cv2.imread(str(pairs / "GT" / "s0.png"))
    np.testing.assert_array_equal(sheet[18 : 18 + 48, 68 : 68 + 64], clear)


@pytest.mark.parametrize("stored", [False, True])
def test_a_picture_of_infrared_in_units_of_its_own(pairs, tmp_path, stored):
    for path in (pairs / "IR").iterdir():
        kelvin = 280.0 + cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 10
        cv2.imwrite(str(path.with_suffix(".tiff")), kelvin)
        path.unlink()
    source, options = pairs, ["--count", "1", "--width", "64"]
    if stored:
        build_set("folder", pairs, data_dir=tmp_path / "sets")
        source, options = "folder:train", [*options, "--data-dir", str(tmp_path / "sets")]
    assert inspect(source, tmp_path / "s.png", *options) == 0
    infrared = cv2.imread(str(tmp_path / "s.png"))[18 : 18 + 48, 2 * 68 : 2 * 68 + 64]
    assert infrared.min() == 0 and infrared.max() == 255


@pytest.mark.parametrize(
    "source, output, message",
    [
        ("val", "x.txt", "ends in .*html"),
        ("nowhere", "x.html", "no such folder"),
        (".", "x.png", "holds val: give one of them, for example val"),
        ("val", "there.html", "exists"),
    ],
)
def test_mistakes_are_explained(pairs, tmp_path, monkeypatch, capsys, source, output, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.html").write_text("")
    assert inspect(source, output) == 2
    assert re.search(message, capsys.readouterr().err.replace("\n", " "))
