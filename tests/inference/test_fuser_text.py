"""What a user says of the images reaches the network, and only a network that listens."""

from typing import ClassVar

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from iassf_jax import models
from iassf_jax.cli.main import main
from iassf_jax.core.errors import InputError
from iassf_jax.inference import Fuser, fuser

VISIBLE = np.full((80, 72, 3), 100, np.uint8)
INFRARED = np.full((80, 72), 50, np.uint8)
BRIGHTER = {"text": 0.2, "HZ": 0.4}


class Told(nn.Module):
    """Adds a number to the visible image, by what it is told."""

    extra_inputs: ClassVar[tuple[str, ...]] = ("text_visible",)
    uses_haze_density: ClassVar[bool] = False

    @nn.compact
    def __call__(self, hazy, infrared, *, text_visible=None, haze_density=None):
        more = 0.0 if text_visible is None else text_visible[:, None, None, :1]
        return {"fused": hazy + more, "restored": hazy, "haze_density": jnp.zeros(hazy.shape[:3])}

    @nn.nowrap
    def conditions(self, *, text=None, task_visible=None, task_infrared=None):
        value = BRIGHTER["text" if task_visible is None else task_visible]
        return {"text_visible": np.array([value, 9.0], np.float32)}


class Deaf(nn.Module):
    @nn.compact
    def __call__(self, hazy, infrared, *, haze_density=None):
        return {"fused": hazy, "restored": hazy, "haze_density": hazy.mean(-1)}


def level(value):
    return round(100 + 255 * value)


@pytest.mark.parametrize("tile", [None, 64])
def test_descriptions_hold_for_the_images_that_follow(tile):
    fuse = Fuser(Told(), {}, tile=tile)
    assert (fuse(VISIBLE, INFRARED).fused == 100).all()
    fuse.describe(text="it is hazy")
    np.testing.assert_allclose(fuse(VISIBLE, INFRARED).fused, level(0.2), atol=1)
    fuse.describe(task_visible="HZ")
    result = fuse(VISIBLE, INFRARED)
    np.testing.assert_allclose(result.fused, level(0.4), atol=1)
    assert (result.tiles > 1) == (tile is not None)


def test_a_batch_is_described_image_by_image():
    fuse = Fuser(Told(), {})
    fuse.describe(text="it is hazy")
    for result in fuse.fuse_batch([VISIBLE] * 3, [INFRARED] * 3):
        np.testing.assert_allclose(result.fused, level(0.2), atol=1)


def test_a_network_without_ears_is_an_error():
    with pytest.raises(InputError, match="network Deaf takes no description"):
        Fuser(Deaf(), {}).describe(text="it is hazy")


def test_the_command_line_tells_the_network(monkeypatch, tmp_path):
    monkeypatch.setitem(models.MODELS, "told", Told)
    monkeypatch.setattr(fuser, "load_pretrained", lambda source: ({"name": "told"}, {}))
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    paths = {"--visible": VISIBLE, "--infrared": INFRARED}
    words = []
    for option, image in paths.items():
        words += [option, str(tmp_path / f"{option[2:]}.png")]
        cv2.imwrite(words[-1], image)
    for more, value in ((["--prompt", "hazy"], 0.2), (["--task-visible", "HZ"], 0.4), ([], 0.0)):
        output = tmp_path / f"{value}.png"
        assert main(["fuse", *words, "--output", str(output), "--weights", "w", *more]) == 0
        np.testing.assert_allclose(cv2.imread(str(output)), level(value), atol=1)
