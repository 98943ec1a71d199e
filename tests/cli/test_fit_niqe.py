"""`iassf fit-niqe`: a folder of clean images to a model that `iassf measure` takes."""

import json

import cv2
import jax
import numpy as np
import pytest

from iassf_jax.cli.main import main
from iassf_jax.metrics import grey_levels
from iassf_jax.metrics.niqe import block_features, block_sharpness
from iassf_jax.metrics.niqe_model import load_model

SIZE = (192, 288)  # six blocks


@jax.jit
def block_statistics(image):
    levels = grey_levels(image)
    return block_features(levels), block_sharpness(levels)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Twelve pictures of differing textures, the left half of each out of focus."""
    folder = tmp_path_factory.mktemp("clean")
    rng = np.random.default_rng(0)
    for i in range(12):
        noise = rng.standard_normal((*SIZE, 3))
        texture = cv2.GaussianBlur(noise, (0, 0), 0.5 + 0.1 * i) * (30 + 4 * i)
        texture[:, : SIZE[1] // 3] = cv2.GaussianBlur(texture[:, : SIZE[1] // 3], (0, 0), 6)
        cv2.imwrite(str(folder / f"{i}.png"), np.clip(texture + 128, 0, 255).astype(np.uint8))
    return folder


@pytest.fixture(scope="module")
def model(clean, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.npz"
    assert main(["fit-niqe", "--input", str(clean), "--output", str(path)]) == 0
    return path


def test_the_model_is_that_of_the_sharp_blocks(clean, model):
    kept = []
    for path in sorted(clean.iterdir()):
        features, sharpness = (
            np.asarray(x[0]) for x in block_statistics(cv2.imread(str(path))[None, :, :, ::-1])
        )
        sharp = sharpness > 0.75 * sharpness.max()
        assert not sharp[[0, 3]].any() and sharp.any()  # the blurred third is left out
        kept.append(features[sharp])
    kept = np.concatenate(kept).astype(np.float64)
    fitted = load_model(model)
    np.testing.assert_allclose(fitted.mean, kept.mean(axis=0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(fitted.covariance, np.cov(kept, rowvar=False), rtol=1e-2, atol=1e-4)


def test_measure_takes_the_model(clean, model, tmp_path):
    for kind in ("visible", "infrared", "fused"):
        (tmp_path / kind).mkdir()
        image = cv2.imread(str(clean / "0.png"))
        cv2.imwrite(str(tmp_path / kind / "a.png"), image if kind != "infrared" else image[..., 0])
    options = [f"--{kind}={tmp_path / kind}" for kind in ("visible", "infrared", "fused")]
    out = tmp_path / "out"
    given = ["--metrics", "q_niqe", "--niqe-model", str(model), "--output", str(out)]
    assert main(["measure", *options, *given]) == 0
    summary = json.loads((out / "summary.json").read_text())
    assert summary["models"] == {"niqe": str(model)}
    features, _ = block_statistics(cv2.imread(str(clean / "0.png"))[None, :, :, ::-1])
    features, pristine = np.asarray(features[0], np.float64), load_model(model)
    offset = pristine.mean - features.mean(axis=0)
    middle = (pristine.covariance + np.cov(features, rowvar=False)) / 2
    expected = np.sqrt(offset @ np.linalg.pinv(middle) @ offset)
    assert summary["methods"]["fused"]["q_niqe"]["mean"] == pytest.approx(expected, rel=1e-3)


def test_unusable_images_are_listed(clean, tmp_path, capsys):
    for path in clean.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "damaged.png").write_bytes(b"\x89PNG")
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((95, 200), np.uint8))
    output = tmp_path / "out" / "model.npz"
    assert main(["fit-niqe", "--input", str(tmp_path), "--output", str(output)]) == 1
    printed = capsys.readouterr().out
    assert "of 12 images" in printed and "damaged.png" in printed and "95x200" in printed
    assert load_model(output).mean.shape == (36,)


def test_what_cannot_be_fitted_is_refused(tmp_path, model, capsys):
    cv2.imwrite(str(tmp_path / "one.png"), np.random.default_rng(0).integers(0, 256, SIZE, dtype=np.uint8))
    given = ["fit-niqe", "--input", str(tmp_path), "--output"]
    assert main([*given, str(tmp_path / "model.npz")]) == 2
    assert "6 usable blocks" in capsys.readouterr().err
    assert not (tmp_path / "model.npz").exists()
    assert main([*given, str(tmp_path / "model")]) == 2
    assert ".npz" in capsys.readouterr().err
    assert main([*given, str(model)]) == 2
    assert "--overwrite" in capsys.readouterr().err
