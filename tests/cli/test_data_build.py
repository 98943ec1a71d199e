"""`iassf data build` and `iassf data verify` as a user sees them."""

import json
import zipfile

import cv2
import numpy as np
import pytest

from data_pipelines.sets.manifest import FILE
from iassf_jax.cli.main import main


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        picture = rng.integers(0, 256, (20, 30, 3)).astype(np.uint8)
        for folder, image in (("visible", picture), ("infrared", picture[:, :, 0])):
            (tmp_path / "source" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "source" / folder / f"{name}.png"), image)
    return tmp_path / "source"


def build(tmp_path, source, *options):
    return main(["data", "build", "folder", "--source", str(source), "--data-dir", str(tmp_path), *options])


def test_build_and_verify(tmp_path, source, capsys):
    assert build(tmp_path, source, "--name", "mine", "--splits", "train=0.5,val=0.5") == 0
    assert "mine/1.0.0: 1 train, 1 val" in capsys.readouterr().out
    assert main(["data", "verify", "mine", "--data-dir", str(tmp_path)]) == 0
    assert "sound; 2 scenes (1 train, 1 val)" in capsys.readouterr().out


def test_scenes_left_out_give_exit_code_1(tmp_path, source, capsys):
    (source / "infrared" / "b.png").write_bytes(b"")
    assert build(tmp_path, source) == 1
    out = capsys.readouterr().out
    assert "1 train" in out
    assert "left out b: infrared/b.png: empty file (0 bytes)" in out
    assert main(["data", "verify", "folder", "--data-dir", str(tmp_path)]) == 0
    assert "note: 1 scenes of the source were left out" in capsys.readouterr().out


def test_a_damaged_set_gives_exit_code_1(tmp_path, source, capsys):
    build(tmp_path, source)
    path = tmp_path / "folder" / "1.0.0" / FILE
    plain = json.loads(path.read_text())
    plain["splits"]["train"][0]["files"]["visible"]["sha256"] = "x"
    path.write_text(json.dumps(plain))
    assert main(["data", "verify", str(tmp_path / "folder")]) == 1
    assert "error: train/a: visible has another SHA-256" in capsys.readouterr().out


def test_archives(tmp_path, source):
    with zipfile.ZipFile(tmp_path / "M3FD_Fusion.zip", "w") as archive:
        for path in (source / "visible").iterdir():
            archive.write(path, f"M3FD_Fusion/Vis/{path.name}")
            archive.write(source / "infrared" / path.name, f"M3FD_Fusion/Ir/{path.name}")
    arguments = ["--source", str(tmp_path / "M3FD_Fusion.zip"), "--data-dir", str(tmp_path)]
    assert main(["data", "build", "m3fd", *arguments]) == 0
    manifest = json.loads((tmp_path / "m3fd" / "1.0.0" / FILE).read_text())
    assert "differs from the published archive" in manifest["note"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["build", "folder", "--source", "nowhere"], "nowhere: no such folder or zip archive"),
        (["build", "msrs", "--source", "."], "in the layout of 'msrs'"),
        (["build", "folder", "--source", ".", "--splits", "train"], "--splits train: expected for example"),
        (["build", "folder", "--source", ".", "--splits", "a=2"], "add up to 1"),
        (["build", "roadscene"], "no checksum of it is known"),
        (["build", "m3fd"], "give --archive M3FD_Fusion.zip or"),
        (["build", "m3fd", "--source", ".", "--archive", "a.zip"], "leave it out or --source"),
        (["verify", "nowhere"], "neither a built set in"),
    ],
)
def test_mistakes_are_explained(tmp_path, arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", *arguments, "--data-dir", str(tmp_path / "sets")]) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")
