"""`iassf train` from the words of the command line to the run's folder and the exit code."""

import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from iassf_jax.cli.main import build_parser, main

TINY = """
import jax.numpy as jnp
from configs import default
from flax import linen as nn
from iassf_jax import models


class Tiny(nn.Module):
    @nn.compact
    def __call__(self, hazy, infrared):
        out = nn.Conv(6, (1, 1), name="conv")(jnp.concatenate([hazy, infrared], axis=-1))
        return {"restored": out[..., :3], "fused": out[..., 3:], "haze_density": hazy[..., 0]}


def get_config():
    models.MODELS["tiny_cli"] = Tiny
    config = default.get_config()
    config.model = type(config)({"name": "tiny_cli"})
    config.steps = 4
    config.data.batch_size, config.data.crop, config.data.num_threads = 2, 16, 0
    config.log_every = config.eval_every = config.images_every = config.checkpoint_every = 2
    return config
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "programs"))


@pytest.fixture
def words(tmp_path, rng):
    """The command line of a run of four steps on three scenes."""
    (tmp_path / "tiny.py").write_text(TINY)
    for folder, channels in (("GT", 3), ("hazy", 3), ("IR", 1)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for index in range(3):
            image = rng.integers(0, 256, (20, 24, channels), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "data" / folder / f"{index}.png"), image)
    return [
        *("train", "--config", str(tmp_path / "tiny.py"), f"--config.data.train={tmp_path / 'data'}"),
        *("--workdir", str(tmp_path / "run"), "--config.data.val", str(tmp_path / "data")),
    ]


def test_overrides_are_taken_in_both_forms_and_any_place():
    from iassf_jax.cli.main import _overrides_last

    line = ["train", "--config.seed", "3", "--config", "smoke", "--config.alpha=0.5", "--workdir", "w"]
    args = build_parser("train").parse_args(_overrides_last(line))
    assert (args.config, args.workdir) == ("smoke", "w")
    assert args.overrides == ["config.seed=3", "config.alpha=0.5"]
    assert not args.allow_changes


def test_trains_and_resumes(words, tmp_path, capsys):
    assert main([*words, "--config.alpha=0.5"]) == 0
    out = capsys.readouterr().out
    assert "tiny_cli, 30 parameters" in out
    assert "step 4/4" in out
    assert "restored_psnr" in out
    assert json.loads((tmp_path / "run" / "config.json").read_text())["alpha"] == 0.5
    assert (tmp_path / "run" / "images" / "step_00000004.png").is_file()
    assert main([*words, "--config.alpha=0.5"]) == 0
    assert "4 to 4" in capsys.readouterr().out


@pytest.mark.parametrize(
    "extra, message",
    [
        (["--config.alpah=1"], "did you mean config.alpha"),
        (["--config.steps", "many"], "expected int"),
        (["--config.steps"], "--config.NAME=VALUE"),
        (["alpha=1"], "--config.NAME=VALUE"),
        (["--config.data.train="], "no training data"),
    ],
)
def test_mistakes_have_exit_code_2_and_no_traceback(words, tmp_path, capsys, extra, message):
    assert main([*words, *extra]) == 2
    error = capsys.readouterr().err
    assert error.startswith("iassf train: ")
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "run").exists()


def test_another_configuration_is_refused_until_it_is_allowed(words, tmp_path, capsys):
    assert main([*words, "--config.steps=2"]) == 0
    assert main(words) == 2
    assert "config.steps: 2 -> 4" in capsys.readouterr().err
    assert main([*words, "--allow-changes"]) == 0
    assert (tmp_path / "run" / "checkpoints" / "4").is_dir()


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_to_the_process_save_and_end_it(words, tmp_path, number, code):
    command = [sys.executable, "-m", "iassf_jax.cli.main", *words, "--config.steps=1000000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        metrics = tmp_path / "run" / "metrics.jsonl"
        deadline = time.monotonic() + 120
        while not (metrics.exists() and metrics.stat().st_size) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code, output
    assert f"{signal.Signals(number).name}: saved at step " in output
    step = output.split("saved at step ")[1].split()[0]
    assert (tmp_path / "run" / "checkpoints" / step / "params").is_dir()
    assert "Traceback" not in output
