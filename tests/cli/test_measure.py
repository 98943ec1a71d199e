"""`iassf measure`: folders in, tables out, nothing dropped in silence."""

import csv
import json
import math

import cv2
import numpy as np
import pytest

from iassf_jax.cli.main import main
from iassf_jax.metrics import folders as folder_metrics
from iassf_jax.metrics.baselines import laplacian, maximum, mean
from iassf_jax.metrics.levels import GREY_WEIGHTS
from iassf_jax.metrics.measure import compiled_measure


@pytest.fixture
def folders(tmp_path, rng):
    for kind in ("visible", "infrared", "fused"):
        (tmp_path / kind).mkdir()
    for name in ("a", "b"):
        visible = rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)
        infrared = rng.integers(0, 256, (24, 30), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "visible" / f"{name}.png"), visible[..., ::-1])
        cv2.imwrite(str(tmp_path / "infrared" / f"{name}.png"), infrared)
        cv2.imwrite(str(tmp_path / "fused" / f"{name}.png"), maximum(visible, infrared)[..., ::-1])
    return tmp_path


def _run(folders, *extra):
    sources = ["--visible", str(folders / "visible"), "--infrared", str(folders / "infrared")]
    return main(["measure", *sources, "--output", str(folders / "out"), *extra])


def test_methods_and_baselines_are_compared(folders, capsys):
    options = [
        "--fused",
        f"ours={folders / 'fused'}",
        "--baselines",
        "maximum,mean",
        "--metrics",
        "q_mi,q_sf",
    ]
    assert _run(folders, *options) == 0
    rows = list(csv.DictReader((folders / "out" / "per_image.csv").read_text().splitlines()))
    assert [(row["method"], row["name"]) for row in rows] == [
        (method, name) for method in ("ours", "maximum", "mean") for name in "ab"
    ]
    values = {(row["method"], row["name"]): row["q_mi"] for row in rows}
    assert values["ours", "a"] == values["maximum", "a"] != values["mean", "a"]
    summary = json.loads((folders / "out" / "summary.json").read_text())
    assert summary["methods"]["ours"]["q_sf"]["count"] == 2
    assert "**" in (folders / "out" / "table.md").read_text()
    assert r"\textbf" in (folders / "out" / "table.tex").read_text()
    assert "Q_MI" in capsys.readouterr().out
    assert _run(folders, *options) == 2  # the report exists
    assert _run(folders, *options, "--overwrite") == 0


def test_what_cannot_be_measured_is_listed(folders, capsys):
    (folders / "fused" / "b.png").write_bytes(b"")
    cv2.imwrite(str(folders / "visible" / "extra.png"), np.zeros((24, 30, 3), np.uint8))
    assert _run(folders, "--fused", str(folders / "fused"), "--metrics", "q_sf") == 1
    output = capsys.readouterr().out
    assert "b, fused" in output and "empty file" in output and "extra" in output
    summary = json.loads((folders / "out" / "summary.json").read_text())
    assert (
        summary["methods"]["fused"]["q_sf"] | {"count": 1, "missing": 1}
        == summary["methods"]["fused"]["q_sf"]
    )


def test_a_metric_without_value_is_said_and_fails_only_when_named(folders, capsys):
    assert _run(folders, "--baselines", "mean", "--metrics", "q_sf,q_vif") == 1
    assert "41 pixels" in capsys.readouterr().out
    summary = json.loads((folders / "out" / "summary.json").read_text())
    assert summary["methods"]["mean"]["q_vif"]["mean"] is None


def test_files_of_one_name_are_not_chosen_from(folders, capsys):
    cv2.imwrite(str(folders / "fused" / "a.jpg"), np.zeros((24, 30, 3), np.uint8))
    cv2.imwrite(str(folders / "infrared" / "b.bmp"), np.zeros((24, 30), np.uint8))
    assert _run(folders, "--fused", str(folders / "fused"), "--baselines", "mean", "--metrics", "q_sf") == 1
    output = capsys.readouterr().out
    assert "a, fused: several fused images have this name: a.jpg, a.png" in output
    assert "b: several infrared images have this name: b.bmp, b.png" in output
    methods = json.loads((folders / "out" / "summary.json").read_text())["methods"]
    assert (methods["fused"]["q_sf"]["count"], methods["mean"]["q_sf"]["count"]) == (0, 1)


def test_images_without_a_value_are_counted_by_method(folders, monkeypatch, capsys):
    measured = folder_metrics.evaluate

    def evaluate(visible, infrared, fused, **options):
        values = measured(visible, infrared, fused, **options)
        return values | {"q_sf": math.nan} if fused.max() == fused.min() else values

    monkeypatch.setattr(folder_metrics, "evaluate", evaluate)
    cv2.imwrite(str(folders / "fused" / "a.png"), np.full((24, 30, 3), 100, np.uint8))
    flat = np.full((50, 50, 3), 9, np.uint8)
    for kind in ("visible", "infrared", "fused"):
        cv2.imwrite(str(folders / kind / "c.png"), flat[..., : 3 if kind != "infrared" else 1])
    options = ("--fused", f"f={folders / 'fused'}", "--metrics")
    assert _run(folders, *options, "q_sf,sd") == 1
    assert "Q_SF: 2 of 3 images of f have no value" in capsys.readouterr().out
    assert json.loads((folders / "out" / "summary.json").read_text())["no_value"] == {"q_sf": {"f": 2}}
    assert _run(folders, *options, "sd", "--overwrite") == 0
    assert _run(folders, *options, "q_vif", "--overwrite") == 1
    assert "got 24x30 (2 of 3 images)" in capsys.readouterr().out


def test_names_of_methods_are_only_text(folders, capsys):
    assert _run(folders, "--fused", f"[/]a|b={folders / 'fused'}", "--metrics", "sd") == 0
    assert "[/]a|b" in capsys.readouterr().out
    lines = (folders / "out" / "table.md").read_text().splitlines()
    assert lines[2].startswith(r"| [/]a\|b | ") and lines[2].count("|") == lines[1].count("|") + 1


@pytest.mark.parametrize(
    "options, message",
    [
        ([], "nothing to measure"),
        (["--baselines", "best"], "maximum, mean, laplacian"),
        (["--baselines", "mean", "--metrics", "q_mii"], "q_mii"),
        (["--fused", "nowhere"], "no such folder"),
        (["--baselines", "mean", "--fused", "mean=x"], "two methods"),
        (["--baselines", "mean", "--niqe-model", "none.npz"], "mean and covariance"),
        (["--baselines", "mean", "--ma-model", "none.mat"], "model.mat"),
    ],
)
def test_wrong_options_end_with_a_message(folders, options, message, capsys):
    assert _run(folders, *options) == 2
    assert message in capsys.readouterr().err


def test_a_fused_image_of_another_size_is_a_problem(folders, capsys):
    cv2.imwrite(str(folders / "fused" / "a.png"), np.zeros((24, 31, 3), np.uint8))
    assert _run(folders, "--fused", str(folders / "fused"), "--metrics", "q_sf") == 1
    assert "24x31" in capsys.readouterr().out


def test_images_of_many_sizes_share_programs_and_keep_their_values(folders):
    visible, infrared = np.full((20, 31, 3), 90, np.uint8), np.zeros((20, 31), np.uint8)
    visible[3:9, 4:20], infrared[5:, 8:14] = (200, 10, 30), 180
    cv2.imwrite(str(folders / "visible" / "c.png"), visible[..., ::-1])
    cv2.imwrite(str(folders / "infrared" / "c.png"), infrared)
    compiled = compiled_measure(("cc", "q_sf"))
    before = compiled._cache_size()
    assert _run(folders, "--baselines", "maximum", "--metrics", "q_sf,cc") == 0
    assert compiled._cache_size() == before + 1
    rows = csv.DictReader((folders / "out" / "per_image.csv").read_text().splitlines())
    found = {row["name"]: float(row["q_sf"]) for row in rows}
    fused = np.floor(maximum(visible, infrared) @ GREY_WEIGHTS + 0.5)
    across, down = np.diff(fused, axis=1), np.diff(fused, axis=0)
    assert found["c"] == pytest.approx(np.sqrt((across**2).mean() + (down**2).mean()), rel=1e-6)


def test_baselines_state_their_arithmetic():
    visible = np.full((40, 52, 3), (10, 200, 255), np.uint8)
    infrared = np.full((40, 52), 101, np.uint8)
    assert maximum(visible, infrared)[3, 4].tolist() == [101, 200, 255]
    assert mean(visible, infrared)[3, 4].tolist() == [56, 151, 178]
    np.testing.assert_array_equal(laplacian(visible, infrared)[3, 4], [56, 150, 178])
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (37, 45), dtype=np.uint8)
    np.testing.assert_array_equal(laplacian(np.repeat(image[..., None], 3, 2), image)[..., 1], image)
