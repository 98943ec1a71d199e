"""`iassf evaluate` as a user sees it."""

import csv
import io
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from data_pipelines.sets.build import build_set
from iassf_jax.cli import evaluate
from iassf_jax.cli.evaluation_outputs import print_results
from iassf_jax.cli.main import main
from iassf_jax.evaluation.evaluate import Evaluation
from iassf_jax.evaluation.scenes import Scene
from iassf_jax.inference import Fuser, FusionResult
from iassf_jax.metrics import METRICS, STANDARD
from iassf_jax.metrics.folders import Measurements

FOLDERS = ("GT", "hazy", "IR")


class KnownFuser(Fuser):
    """Returns the hazy image as restored and the infrared one as fused, without compiling a network."""

    def __init__(self, model, variables, **options):
        self.tile, self.ir_range = 10_000, options["ir_range"]

    def fuse_prepared(self, pairs, **options):
        return [
            FusionResult(
                np.repeat(np.rint(infrared * 255).astype(np.uint8), 3, axis=2), visible, infrared[..., 0]
            )
            for visible, infrared in pairs
        ]


@pytest.fixture
def data(tmp_path, monkeypatch, rng):
    monkeypatch.setattr(evaluate, "Fuser", KnownFuser)
    monkeypatch.setattr(
        evaluate, "load_pretrained", lambda source: ({"name": "iassf", "tf_heads": (1, 1, 1)}, {})
    )
    monkeypatch.setattr(evaluate, "enable_compilation_cache", lambda: None)
    for name in ("1D", "2N"):
        clear = np.kron(rng.integers(0, 256, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        hazy = np.rint(clear * 0.5 + 100).astype(np.uint8)
        for folder, image in zip(FOLDERS, (clear, hazy, clear[..., 0]), strict=True):
            (tmp_path / "sets" / "val" / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(tmp_path / "sets" / "val" / folder / f"{name}.png"), image)
    return tmp_path / "sets"


def run(data, output, *options):
    return main(
        [
            "evaluate",
            "--weights",
            "w",
            "--data",
            str(data),
            "--output",
            str(output),
            "--metrics",
            "sd",
            *options,
        ]
    )


def test_a_folder_is_evaluated(data, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(data, output, "--split", "val", "--baselines", "maximum", "--save", "fused,baselines") == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "fused", "maximum", "per_image.csv", "restored.csv", "summary.json", "tables.md",
    ]  # fmt: skip
    assert sorted(path.name for path in (output / "fused" / "sets_val").iterdir()) == ["1D.png", "2N.png"]
    rows = list(csv.DictReader((output / "per_image.csv").open()))
    assert [(row["method"], row["name"], row["light"]) for row in rows] == [
        ("iassf", "1D", "day"), ("iassf", "2N", "night"),
        ("maximum", "1D", "day"), ("maximum", "2N", "night"),
    ]  # fmt: skip
    restored = {row["method"]: row for row in csv.DictReader((output / "restored.csv").open())}
    assert restored["iassf"]["restoration_psnr"] == restored["hazy input"]["restoration_psnr"]
    settings = json.loads((output / "summary.json").read_text())["settings"]
    assert settings["data"] == {"sets/val": str(data / "val")}
    assert settings["model"] == {"name": "iassf", "tf_heads": [1, 1, 1]}
    out = capsys.readouterr().out
    assert "fused: means over 2 images" in out
    assert "maximum" in out
    assert run(data, output, "--split", "val") == 2
    assert "give another --output, or --overwrite" in capsys.readouterr().err


def test_wide_tables_are_not_squeezed():
    values = np.ones((1, len(STANDARD)))
    run = Measurements(["a/1"], list(STANDARD), {"a long name of a method": values}, [], {})
    scene = Scene("a", "1", "day", "file", 0.5, "moderate")
    console = Console(width=60, file=io.StringIO())
    print_results(console, Evaluation([scene], run, run), Path("out"))
    lines = console.file.getvalue().splitlines()
    titles = next(line for line in lines if "method" in line)
    assert all(METRICS[name].title in titles for name in STANDARD)
    assert any("a long name of a method" in line for line in lines)


def test_built_sets_haze_and_labels(data, tmp_path, capsys):
    build_set("folder", data, data_dir=tmp_path / "built", name="mine")
    output = tmp_path / "out"
    options = ("--data-dir", str(tmp_path / "built"), "--haze", "uniform", "--seed", "3", "--data", "mine")
    assert run(f"again={data / 'val'}", output, "--split", "val", "--limit", "1", *options) == 0
    rows = list(csv.DictReader((output / "per_image.csv").open()))
    assert [(row["data"], row["name"], row["haze"]) for row in rows] == [
        ("again", "1D", "uniform"), ("mine:val", "1D", "uniform"),
    ]  # fmt: skip
    assert rows[0]["mean_transmission"] == rows[1]["mean_transmission"]
    strata = json.loads((output / "summary.json").read_text())["strata"]
    assert set(strata["data"]) == {"again", "mine:val"}


def test_scenes_of_one_name_are_given_apart(data, tmp_path, capsys):
    shutil.copytree(data / "val", data / "more")
    mixture = f"{data / 'val'} + {data / 'more'}"
    assert run(f"both={mixture}", tmp_path / "out") == 2
    assert "both has several scenes called 1D, 2N: give the parts" in capsys.readouterr().err
    assert run(f"a={data / 'val'}", tmp_path / "out", "--data", f"b={data / 'more'}") == 0


def test_damaged_scenes_give_exit_code_1(data, tmp_path, capsys):
    (data / "val" / "IR" / "2N.png").write_bytes(b"x")
    assert run(data / "val", tmp_path / "out") == 1
    out = capsys.readouterr().out
    assert "1 scenes failed:" in out
    assert "IR/2N.png: not an image" in out


@pytest.mark.parametrize(
    "options, message",
    [
        (["--baselines", "median"], "--baselines: unknown median; there are maximum, mean"),
        (["--metrics", "restoration_psnr"], "is no metric of fused images"),
        (["--save", "all"], "--save: unknown all; there are fused, restored"),
        (["--batch", "0"], "--batch 0: expected at least 1"),
        (["--seed", "-1"], "--seed -1: expected 0"),
        (["--depth-kind", "distance"], "is for haze that is made: give --haze too"),
        (["--haze", "uniform", "--depth-kind", "distance"], "has no folder depth"),
        (["--haze", "fogg"], "no haze preset 'fogg'"),
        (["--ir-range", "auto"], "--ir-range auto: expected full, or two numbers"),
        (["--data", "nowhere"], "nowhere: is neither a folder"),
    ],
)
def test_mistakes_are_explained(data, tmp_path, options, message, capsys):
    assert run(data / "val", tmp_path / "out", "--data-dir", str(tmp_path), *options) == 2
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_clear_data_need_a_haze(data, tmp_path, capsys):
    for path in (data / "val" / "hazy").iterdir():
        path.unlink()
    (data / "val" / "hazy").rmdir()
    assert run(data / "val", tmp_path / "out") == 2
    assert "clear images need --haze" in capsys.readouterr().err
