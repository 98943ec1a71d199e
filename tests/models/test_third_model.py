"""A third network costs a class, a line in MODELS and a configuration: all commands then know it."""

import json

import cv2
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from iassf_jax import models
from iassf_jax.checkpoints.sources import load_pretrained
from iassf_jax.cli.main import main


class Third(nn.Module):
    """What docs/lure.md shows, with an input of its own: how much brighter the images should be."""

    width: int = 4  # channels
    uses_haze_density = False
    extra_inputs = ("text_visible",)

    @nn.compact
    def __call__(self, hazy, infrared, *, text_visible=None, haze_density=None):
        x = jnp.concatenate([hazy, infrared[..., :1]], axis=-1)
        out = nn.Conv(6, (1, 1), name="out")(nn.relu(nn.Conv(self.width, (3, 3), name="first")(x)))
        gain = jnp.ones(hazy.shape[0]) if text_visible is None else text_visible[:, 0]
        restored = hazy + 0.1 * out[..., :3]
        fused = jnp.maximum(restored, infrared) * gain[:, None, None, None] + 0.1 * out[..., 3:]
        return {"restored": restored, "fused": fused, "haze_density": jnp.zeros(hazy.shape[:3])}

    @nn.nowrap
    def conditions(self, *, text=None, task_visible=None, task_infrared=None):
        return {"text_visible": np.array([0.5 if text == "too bright" else 1.0], np.float32)}


CONFIG = """
from configs import default

def get_config():
    config = default.get_config()
    config.model = type(config)({"name": "third", "width": 4})
    config.steps = 3
    config.data.batch_size, config.data.crop, config.data.num_threads = 2, 16, 1
    config.mesh.data = 1
    config.eval_every = config.images_every = 3
    return config
"""


@pytest.fixture
def scenes(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("GT", "hazy", "IR"):
        (tmp_path / "scenes" / folder).mkdir(parents=True)
    for name in "abc":
        clear = np.kron(rng.integers(0, 200, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        for folder, image in (("GT", clear), ("hazy", clear // 2 + 100), ("IR", clear[..., 0])):
            cv2.imwrite(str(tmp_path / "scenes" / folder / f"{name}.png"), image)
    return tmp_path / "scenes"


def test_a_third_network_trains_resumes_evaluates_and_fuses(monkeypatch, tmp_path, scenes):
    monkeypatch.setitem(models.MODELS, "third", Third)
    config, run = tmp_path / "third.py", tmp_path / "run"
    config.write_text(CONFIG)
    training = ["train", "--config", str(config), "--workdir", str(run), f"--config.data.train={scenes}"]
    training += [f"--config.data.val={scenes}"]
    assert main(training) == 0
    assert main(training) == 0  # nothing left to do, and no error

    description, variables = load_pretrained(run)
    assert description == {"name": "third", "width": 4}
    assert variables["params"]["first"]["kernel"].shape == (3, 3, 4, 4)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("restored_psnr" in line for line in lines)

    report = tmp_path / "report"
    evaluation = ["evaluate", "--weights", str(run), "--data", str(scenes), "--output", str(report)]
    assert main([*evaluation, "--metrics", "sd"]) == 0
    assert "third" in (report / "tables.md").read_text()

    def fused(name, *more):
        pair = ["--visible", str(scenes / "hazy" / "a.png"), "--infrared", str(scenes / "IR" / "a.png")]
        output = tmp_path / f"{name}.png"
        assert main(["fuse", *pair, "--weights", str(run), "--output", str(output), *more]) == 0
        return cv2.imread(str(output)).astype(np.float64)

    assert fused("told", "--prompt", "too bright").mean() < 0.75 * fused("untold").mean()
