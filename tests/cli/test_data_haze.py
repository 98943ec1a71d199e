"""`iassf data haze`: the folder that it writes, its parameters, repeatability, and what it refuses."""

import json
import shutil

import cv2
import numpy as np
import pytest

from data_pipelines.decode import read_visible
from data_pipelines.haze import fit_released
from data_pipelines.sets.build import build_set
from data_pipelines.triplets import list_triplets, read_triplet
from iassf_jax.cli.haze_sources import list_clear_scenes
from iassf_jax.cli.main import main

NAMES = ("00001D", "été 2", "00003N")


@pytest.fixture(autouse=True)
def compiled_once(shared_programs, programs, monkeypatch):
    """Also in the processes that a test starts."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))


@pytest.fixture
def clear(tmp_path, rng):
    """GT (JPEG and PNG), IR (16 bits) and depth of three scenes of one size."""
    root = tmp_path / "clear"
    for folder in ("GT", "IR", "depth"):
        (root / folder).mkdir(parents=True)
    for index, name in enumerate(NAMES):
        image = np.kron(rng.integers(0, 256, (5, 6, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        suffix = "JPG" if index == 0 else "png"
        cv2.imwrite(str(root / "GT" / f"{name}.{suffix}"), image)
        cv2.imwrite(str(root / "IR" / f"{name}.png"), image[..., 0].astype(np.uint16) * 256)
        np.save(root / "depth" / f"{name}.npy", np.full((40, 48), 10.0 * (index + 1)))
    return root


def run(clear, output, *options):
    return main(["data", "haze", "--input", str(clear), "--output", str(output), *map(str, options)])


def lines(output):
    return {line["name"]: line for line in map(json.loads, (output / "haze.jsonl").read_text().splitlines())}


def images(output):
    return {path.name: path.read_bytes() for path in sorted((output / "hazy").iterdir())}


def test_the_folder_can_be_trained_on_and_says_what_was_done(clear, tmp_path, capsys):
    output = tmp_path / "out"
    assert run(clear, output, "--preset", "iassf_released", "--seed", 5) == 0
    assert "3 hazy images, parameters in haze.jsonl" in capsys.readouterr().out
    triplets = list_triplets(output)
    assert [triplet.name for triplet in triplets] == sorted(NAMES)
    for triplet in triplets:
        for folder, path in (("GT", triplet.clear), ("IR", triplet.infrared)):
            assert path.read_bytes() == (clear / folder / path.name).read_bytes()
        scene, line = read_triplet(triplet), lines(output)[triplet.name]
        fit = fit_released(scene["visible_clear"], scene["visible_hazy"])
        assert fit.residual < 0.3  # grey levels: the file is this haze to rounding
        assert line["preset"] == "iassf_released"
        assert line["depth"] is None
        assert 127 * np.exp(-line["beta"] * 1.6) < 255 * line["mean_transmission"] <= 255
        if line["beta"] > 0.2:
            assert fit.density == pytest.approx(line["beta"], abs=0.02)
            assert fit.airlight == pytest.approx(line["airlight"][0], abs=0.02)
    assert sorted(path.name for path in output.iterdir()) == ["GT", "IR", "haze.jsonl", "hazy"]
    assert not list(output.rglob(".*"))


def test_haze_depends_on_name_and_seed_only(clear, tmp_path):
    recipe = ("--preset", "iassf_released")
    assert run(clear, tmp_path / "a", *recipe, "--seed", 1) == 0
    assert run(clear, tmp_path / "b", *recipe, "--seed", 1) == 0
    assert images(tmp_path / "a") == images(tmp_path / "b")
    assert run(clear, tmp_path / "c", *recipe, "--seed", 2) == 0
    assert images(tmp_path / "a") != images(tmp_path / "c")
    for folder in ("GT", "IR"):
        next((clear / folder).glob("00001D.*")).unlink()
    assert run(clear, tmp_path / "fewer", *recipe, "--seed", 1, "--limit", 1) == 0
    (name,) = images(tmp_path / "fewer")
    assert images(tmp_path / "fewer")[name] == images(tmp_path / "a")[name]


def test_a_built_set_gives_what_its_folder_gives(clear, tmp_path):
    build_set("folder", clear, data_dir=tmp_path / "sets", name="mine")
    assert run(clear, tmp_path / "a", "--preset", "uniform") == 0
    assert run("mine:train", tmp_path / "b", "--preset", "uniform", "--data-dir", tmp_path / "sets") == 0
    for folder in ("GT", "hazy", "IR"):
        files = [{p.name: p.read_bytes() for p in (tmp_path / out / folder).iterdir()} for out in "ab"]
        assert files[0] == files[1]


def test_scenes_of_one_name_in_two_splits_are_refused(clear, tmp_path, capsys):
    source = tmp_path / "source"
    for split in ("train", "val"):
        shutil.copytree(clear, source / split)
    (source / "val" / "GT" / "00003N.png").rename(source / "val" / "GT" / "00003N.jpg")  # of another suffix
    build_set("folder", source, data_dir=tmp_path / "sets", name="mine")
    assert run("mine", tmp_path / "out", "--data-dir", tmp_path / "sets") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "train/00001D and val/00001D would both be written as 00001D" in told
    assert "give one split, as NAME:SPLIT (mine:train, mine:val)" in told
    assert not (tmp_path / "out").exists()
    found = list_clear_scenes("mine:val", data_dir=tmp_path / "sets")
    assert {scene.name for scene in found} == set(NAMES)


def test_depth_of_files(clear, tmp_path):
    output = tmp_path / "out"
    options = ("--depth", clear / "depth", "--depth-kind", "distance", "--depth-scale", 0.5)
    assert run(clear, output, "--preset", "reside_ots", *options) == 0
    for index, name in enumerate(NAMES):
        line = lines(output)[name]
        assert line["depth"] == "file"
        assert line["mean_transmission"] == pytest.approx(np.exp(-line["beta"] * 5 * (index + 1)), rel=1e-4)
        hazy, sharp = (
            read_visible(next((output / folder).glob(f"{name}.*"))).astype(float) for folder in ("hazy", "GT")
        )
        t, a = line["mean_transmission"], 255 * np.array(line["airlight"])
        np.testing.assert_allclose(hazy, np.clip(sharp * t + a * (1 - t), 0, 255), atol=0.51)


def test_what_cannot_be_used_is_named_and_the_rest_is_written(clear, tmp_path, capsys):
    (clear / "GT" / "00003N.png").write_bytes(b"\x89PNG nothing")
    (clear / "depth" / "été 2.npy").unlink()
    options = ("--depth", clear / "depth", "--depth-kind", "distance", "--preset", "uniform")
    assert run(clear, tmp_path / "out", *options) == 1
    said = capsys.readouterr().out
    assert "1 hazy images" in said
    assert "failed 00003N: " in said
    assert "failed été 2: there is no depth map named été 2" in said
    assert set(lines(tmp_path / "out")) == {"00001D"}
    np.save(clear / "depth" / "00001D.npy", np.ones((4, 4)))
    assert run(clear, tmp_path / "out2", *options) == 1
    assert "the depth map is 4x4 and the image 48x40 pixels" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, message",
    [
        (["--preset", "phisical"], "did you mean 'physical'"),
        (["--seed", "-1"], "--seed -1: expected 0 up to"),
        (["--limit", "0"], "--limit 0: expected at least 1"),
        (["--depth", "depth"], "--depth needs --depth-kind"),
        (["--depth", "depth", "--depth-scale", "2"], "--depth-scale without --depth-kind"),
        (["--depth-kind", "distance"], "--depth-kind without --depth"),
        (
            ["--depth-scale", "1", "--depth-limits", "1,500"],
            "--depth-scale and --depth-limits without --depth",
        ),
        (["--depth", "nowhere", "--depth-kind", "distance"], "no such folder"),
        (["--depth", "depth", "--depth-kind", "distance", "--depth-limits", "9,2"], "two increasing numbers"),
        (["--depth", "depth", "--depth-kind", "distance", "--depth-scale", "0"], "a scale above 0"),
    ],
)
def test_impossible_options_are_refused(clear, tmp_path, capsys, options, message):
    options = [str(clear / word) if word == "depth" else word for word in options]
    assert run(clear, tmp_path / "out", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_nothing_is_replaced_unless_asked(clear, tmp_path, capsys):
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    assert run(clear, output) == 2
    assert "is not empty" in capsys.readouterr().err
    assert run(clear, clear, "--overwrite") == 2
    assert "is the input folder" in capsys.readouterr().err
    assert run(clear, output, "--overwrite", "--preset", "clear") == 0
    assert (output / "notes.txt").read_text() == "mine"
    assert run(clear, output / "notes.txt", "--overwrite") == 2
    assert "is a file" in capsys.readouterr().err
    assert run(tmp_path, tmp_path / "other") == 2
    assert "has no folder GT" in capsys.readouterr().err
