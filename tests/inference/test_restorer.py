"""Restoring single images: what reaches the network and what comes back, alone and by the command line."""

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from data_pipelines.decode import read_infrared, read_visible
from iassf_jax import models
from iassf_jax.cli import restore
from iassf_jax.cli.main import main
from iassf_jax.core.errors import CheckpointError, InputError
from iassf_jax.inference import Restorer, restorer

RNG = np.random.default_rng(0)
VISIBLE = RNG.integers(0, 100, (80, 72, 3), np.uint8)
INFRARED = RNG.integers(0, 100, (80, 72), np.uint8)


class Told(nn.Module):
    """Adds what it is told in the first number, and a tenth to infrared images."""

    def restore(self, image, sentence, modality):
        three = jnp.broadcast_to(image, (*image.shape[:3], 3))
        more = sentence[:, :1] + 0.1 * modality[:, None].astype(jnp.float32)
        return {"restored": three + more[:, None, None, :]}

    @nn.nowrap
    def conditions(self, *, text=None, task_visible=None, task_infrared=None):
        tasks = {"text_visible": task_visible, "text_infrared": task_infrared}
        value = 0.0 if text is None else 0.2
        return {k: np.array([value if v is None else 0.4, 7.0], np.float32) for k, v in tasks.items()}


class Broken(Told):
    def restore(self, image, sentence, modality):
        return {"restored": jnp.full((*image.shape[:3], 3), jnp.nan)}


@pytest.mark.parametrize("tile", [None, 64])
def test_images_of_both_modalities(tile):
    restore = Restorer(Told(), {}, tile=tile)
    np.testing.assert_array_equal(restore(VISIBLE, modality="visible"), VISIBLE)
    dehazed = restore(VISIBLE, modality="visible", text="haze")
    np.testing.assert_allclose(dehazed, VISIBLE.astype(int) + 51, atol=1)
    by_name = restore(INFRARED, modality="infrared", task="LC")
    assert by_name.shape == INFRARED.shape
    np.testing.assert_allclose(by_name, INFRARED.astype(int) + round(255 * 0.5), atol=1)


def test_what_does_not_fit_is_an_error():
    restore = Restorer(Told(), {})
    with pytest.raises(InputError, match="both sides must be 16 or more"):
        restore(VISIBLE[:10], modality="visible")
    with pytest.raises(InputError, match="visible must be uint8"):
        restore(VISIBLE.astype(np.float32), modality="visible")
    with pytest.raises(InputError, match="network Dense restores no single images"):
        Restorer(nn.Dense(3), {})
    with pytest.raises(InputError, match="tile 16"):
        Restorer(Told(), {}, tile=16)
    with pytest.raises(CheckpointError, match="not finite"):
        Restorer(Broken(), {})(VISIBLE, modality="visible")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setitem(models.MODELS, "told", Told)
    monkeypatch.setattr(restorer, "load_pretrained", lambda source: ({"name": "told"}, {}))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), VISIBLE[..., ::-1])
    cv2.imwrite(str(images / "b.png"), INFRARED)
    (images / "c.png").write_bytes(b"no image")
    return images


def run(*words):
    return main(["restore", *(str(word) for word in words), "--weights", "w"])


def test_a_folder_by_the_command_line(folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert run("--image", folder, "--modality", "visible", "--output", output, "--prompt", "haze") == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "2 of 3 restored" in told
    assert "c.png: " in told
    np.testing.assert_allclose(read_visible(output / "a.png"), VISIBLE.astype(int) + 51, atol=1)
    assert not (output / "c.png").exists()


def test_one_unusable_image_does_not_stop_the_others(folder, tmp_path, capsys, monkeypatch):
    cv2.imwrite(str(folder / "0_small.png"), VISIBLE[:10])
    write = restore.write_image

    def write_all_but_a(path, image):
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied", str(path))
        write(path, image)

    monkeypatch.setattr(restore, "write_image", write_all_but_a)
    assert run("--image", folder, "--modality", "visible", "--output", tmp_path / "out") == 1
    told = " ".join(capsys.readouterr().out.split())
    assert "1 of 4 restored" in told
    assert "0_small.png: " in told and "16 or more" in told and "a.png: [Errno 13] Permission denied" in told
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


def test_a_task_that_is_none_is_said_once(folder, tmp_path, capsys, monkeypatch):
    def conditions(self, **told):
        raise InputError(f"no task {told['task_visible']}")

    monkeypatch.setattr(Told, "conditions", conditions)
    words = ("--image", folder, "--modality", "visible", "--output", tmp_path / "out", "--task", "XY")
    assert run(*words) == 2
    assert capsys.readouterr().err.strip().endswith("iassf restore: no task XY")


def test_one_infrared_image_to_a_file(folder, tmp_path):
    output = tmp_path / "b.tif"
    words = ("--image", folder / "b.png", "--modality", "infrared", "--output", output, "--task", "LC")
    assert run(*words) == 0
    np.testing.assert_allclose(read_infrared(output), INFRARED.astype(int) + round(255 * 0.5), atol=1)
    assert run(*words) == 2  # it exists
    assert run(*words, "--overwrite") == 0


def test_outputs_that_cannot_be_are_errors(folder, tmp_path):
    for image, output, message in (
        (tmp_path / "none", tmp_path / "out", "no such file"),
        (folder, tmp_path / "out.png", "needs a folder"),
        (folder, folder, "is an input"),
        (tmp_path, tmp_path / "out", "no images"),
        (
            folder / "a.png",
            tmp_path / "out.bmp",
            r".bmp cannot be written; give a name with .jpeg, .jpg, .png",
        ),
    ):
        with pytest.raises(InputError, match=message):
            restore._jobs(image, output, overwrite=False)
    cv2.imwrite(str(folder / "a.jpg"), VISIBLE)
    with pytest.raises(InputError, match=r"several images would be written to .*a.png"):
        restore._jobs(folder, tmp_path / "out", overwrite=False)
