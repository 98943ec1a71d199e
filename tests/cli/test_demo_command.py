"""`iassf demo` end to end, cut down to a few small steps."""

import pytest

from iassf_jax.cli import demo
from iassf_jax.cli.main import main


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(demo, "_SIZE", (48, 64))
    monkeypatch.setattr(demo, "_TRAIN", 4)
    monkeypatch.setattr(demo, "_VAL", 2)
    load = demo.load_config
    monkeypatch.setattr(
        demo, "load_config", lambda name, overrides: load("smoke", [*overrides, "config.data.val_limit=2"])
    )


def test_demo_writes_pictures_and_numbers(small, tmp_path, capsys):
    output = tmp_path / "demo"
    assert main(["demo", "--output", str(output), "--steps", "2"]) == 0
    for name in ("trained_here", "iassf"):
        assert len(list((output / "results" / name / "fused").glob("*.png"))) == 2
    assert len(list((output / "run" / "images").glob("*.png"))) == 1
    assert "PSNR" in capsys.readouterr().out
    assert main(["demo", "--output", str(output), "--steps", "2"]) == 2  # refuses to overwrite


def test_demo_does_not_clear_a_folder_that_is_not_its_own(tmp_path):
    (tmp_path / "precious.txt").write_text("keep")
    assert main(["demo", "--output", str(tmp_path), "--overwrite"]) == 2
    assert (tmp_path / "precious.txt").exists()


def test_only_a_folder_with_the_marker_of_a_demo_is_cleared(monkeypatch, tmp_path, capsys):
    scene = tmp_path / "scenes" / "train" / "GT" / "a.png"  # of `iassf data scenes --output data/scenes`
    scene.parent.mkdir(parents=True)
    scene.write_bytes(b"precious")
    words = ["demo", "--output", str(tmp_path), "--overwrite"]
    assert main(words) == 2
    assert scene.exists() and "choose another folder" in capsys.readouterr().err
    (tmp_path / demo._MARKER).touch()
    for mistake in (["--seed", "-1"], ["--steps", "0"]):
        assert main([*words, *mistake]) == 2
        assert scene.exists()
    monkeypatch.setattr(demo, "_render", lambda scenes, seed: None)
    monkeypatch.setattr(demo, "_train", lambda config, workdir: None)
    assert main(words) == 1
    assert [path.name for path in tmp_path.iterdir()] == [demo._MARKER]


@pytest.mark.parametrize(
    ("output", "words", "message"),
    [
        ("file.txt", [], "is a file, expected a folder"),
        ("file.txt/demo", [], "cannot be written: Not a directory"),
        ("demo", ["--seed", "-1"], "seed is -1; expected 0"),
        ("demo", ["--steps", "0"], "steps is 0"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tmp_path, capsys, output, words, message):
    (tmp_path / "file.txt").write_text("keep")
    assert main(["demo", "--output", str(tmp_path / output), *words]) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
