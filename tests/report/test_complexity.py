"""What networks cost, on one whose numbers are known by hand."""

import json

import jax.numpy as jnp
import pytest
from flax import linen as nn

from iassf_jax import models
from iassf_jax.cli.main import main
from iassf_jax.report import complexity

SIZE = (16, 24)


class Known(nn.Module):
    """M layers of 1x1, six channels each, and a pool of prompts."""

    num_fusion_blocks: int = 1

    @nn.compact
    def __call__(self, hazy, infrared):
        pool = self.param("prompt_param", nn.initializers.zeros, (5, 4, 4, 6))
        x = jnp.concatenate([hazy, infrared, infrared, infrared], axis=-1)
        for _ in range(self.num_fusion_blocks):
            x = nn.Conv(6, (1, 1), use_bias=False)(x)
        x = x + pool.mean((0, 1, 2))[None, None, None, :]
        return {"fused": x[..., :3], "restored": x[..., 3:], "haze_density": x[..., 0]}


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(models, "MODELS", {"known": Known})


def test_pools_are_counted_apart_and_a_multiply_add_is_two():
    first, second = (
        complexity.cost_of({"name": "known", "num_fusion_blocks": blocks}, sizes=(SIZE,)) for blocks in (1, 2)
    )
    assert (first.parameters, first.pools) == (36, 480) and second.parameters == 72
    pixels = SIZE[0] * SIZE[1]
    assert second.flops[SIZE] - first.flops[SIZE] == 2 * 36 * pixels
    assert first.speed == {}


def test_memory_and_time_are_measured_on_the_device():
    cost = complexity.cost_of({"name": "known"}, sizes=(SIZE,), measured=True, calls=2)
    assert cost.speed[SIZE].seconds > 0 and cost.speed[SIZE].activation_bytes >= 0
    heading, (line,) = complexity.table({"a": cost})
    assert heading[:4] == ["", "parameters", "and in prompt pools", "GFLOPs at 16x24"]
    assert heading[4:] == ["activations at 16x24, MB", "ms at 16x24"] and line[:3] == ["a", "36", "480"]


def test_a_network_without_fusion_blocks_has_one_variant(monkeypatch):
    assert [v["num_fusion_blocks"] for v in complexity.variants({"name": "known"})] == [1, 3, 5, 7]
    monkeypatch.setitem(models.MODELS, "plain", nn.Dense)
    assert complexity.variants({"name": "plain"}) == [{"name": "plain"}]


def test_info_shows_every_m(capsys, monkeypatch):
    assert main(["info", "--flops"]) == 0
    printed = capsys.readouterr().out
    assert all(f"known, M = {blocks}" in printed for blocks in (1, 3, 5, 7))
    assert "GFLOPs at 480x640" in printed and "ms at" not in printed
    monkeypatch.setattr(complexity, "FUSION_BLOCKS", (1,))
    assert main(["info", "--latency"]) == 0
    printed = capsys.readouterr().out
    assert "ms at 480x640" in printed and "known, M = 3" not in printed


def test_a_report_has_the_cost_of_its_networks(tmp_path):
    for blocks in (1, 3):
        folder = tmp_path / "sweep" / f"m{blocks}"
        (folder / "evaluation").mkdir(parents=True)
        model = {"name": "known", "num_fusion_blocks": blocks}
        (folder / "config.json").write_text(json.dumps({"seed": 0, "model": model}))
        (folder / "evaluation" / "per_image.csv").write_text(f"method,name,q_mi\nknown,a,{blocks}\n")
    words = ["report", "--workdir", str(tmp_path / "sweep"), "--output", str(tmp_path / "out")]
    assert main([*words, "--no-figures", "--bubbles"]) == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "| num\\_fusion\\_blocks=3 | 108 | 480 | 0.01 | 0.07 |" in text
    assert "<td>108</td>" in (tmp_path / "out" / "report.html").read_text()
