"""`iassf degradations` on small scenes with a small LURE: files, errors, and a rule that is stage 1's."""

import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import models
from iassf_jax.checkpoints.weights import save_weights
from iassf_jax.cli.main import main

NETWORK = {
    "name": "lure",
    "widths": (8,),
    "latents": (4,),
    "k_bt": (1,),
    "k_tb": (1,),
    "dec_blocks": (1,),
    "fusion_blocks": (1,),
    "text_dim": 8,
    "heads": 2,
}


@pytest.fixture
def scenes(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("GT", "IR"):
        (tmp_path / "scenes" / folder).mkdir(parents=True)
    for name in "ab":
        clear = np.kron(rng.integers(0, 200, (3, 4, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "scenes" / "GT" / f"{name}.png"), clear)
        cv2.imwrite(str(tmp_path / "scenes" / "IR" / f"{name}.png"), 255 - clear[..., 0])
    return tmp_path / "scenes"


@pytest.fixture
def weights(tmp_path):
    """Weights of a start, whose fusion is the rule, and the same with another zero convolution."""
    rng = np.random.default_rng(0)
    model = models.create(NETWORK)
    image = jnp.zeros((1, 16, 16, 3))
    shapes = jax.eval_shape(model.init, jax.random.key(0), image, image)
    params = jax.tree.map(lambda leaf: rng.uniform(-0.4, 0.4, leaf.shape).astype(np.float32), shapes)
    last = params["params"]["fusion"]["level_1_out"]
    files = {}
    for stage, kernel in (("first", np.zeros_like(last["kernel"])), ("second", last["kernel"])):
        last |= {"kernel": kernel, "bias": np.zeros_like(last["bias"])}
        files[stage] = tmp_path / f"{stage}.safetensors"
        save_weights(files[stage], model=NETWORK, variables=params)
    return files


def test_a_report_of_every_condition(tmp_path, scenes, weights):
    output = tmp_path / "report"
    command = ["degradations", "--weights", str(weights["second"]), "--rule-weights", str(weights["first"])]
    command += ["--data", str(scenes), "--output", str(output), "--metrics", "cc,sd"]
    command += ["--restore", "", "--fuse", "OE+LC"]
    assert main([*command, "--published", "MSRS"]) == 0
    summary = json.loads((output / "summary.json").read_text())
    assert set(summary["restoration"]) == {"PD visible", "PD infrared"}
    fusion = summary["fusion"]["PD"]
    assert fusion["learned"]["sd"]["mean"] != fusion["rule alone"]["sd"]["mean"]
    difference = fusion["learned"]["cc"]["mean"] - fusion["rule alone"]["cc"]["mean"]
    np.testing.assert_allclose(summary["fusion_minus_rule"]["cc"]["difference"], difference, atol=1e-6)
    assert set(summary["told_minus_untold"]) == {"OE+LC"}
    assert "| FusionBooster |" in (output / "tables.md").read_text()
    assert len((output / "per_image.csv").read_text().splitlines()) == 1 + 2 * (2 + 2 + 2)
    # One image of each modality says nothing of degradations, but two can be drawn.
    assert sorted(path.name for path in (output / "pictures").iterdir()) == [
        "clean_pair_by_visible.png",
        "learned_by_visible.png",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--fuse": "RAIN"}, "no degradation 'RAIN'"),
        ({"--restore": "OE+LC"}, "no degradation 'OE+LC'"),
        ({"--metrics": "beauty"}, "'beauty' is no metric of fused images"),
        ({"--limit": "0"}, "--limit 0: expected at least 1"),
        ({"--data": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_told_before_any_work(tmp_path, scenes, weights, capsys, change, message):
    options = {"--weights": str(weights["first"]), "--data": str(scenes), "--output": str(tmp_path / "out")}
    words = [word for pair in (options | change).items() for word in pair]
    assert main(["degradations", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
