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
