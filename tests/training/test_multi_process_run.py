"""A run in several processes is the run of one: same losses, same validation, one checkpoint for both."""

import json
import textwrap

import numpy as np
import pytest

from iassf_jax.training import run_training
from tests.training.processes import run_processes

SCRIPT = """
    import sys
    from iassf_jax import models
    from iassf_jax.training import distributed
    from tests.training.network import Tiny

    distributed.initialize()
    models.MODELS["tiny"] = Tiny
    from iassf_jax.cli.main import main
    sys.exit(main(sys.argv[1:]))
"""
OPTIONS = ("data.batch_size=4", "data.drop_remainder=false", "log_every=1", "steps=20", "eval_every=10")


def lines(workdir, kind):
    found = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


@pytest.mark.parametrize(
    "processes, devices, rules",
    [
        (2, 2, "('.*=data',)"),
        pytest.param(2, 1, "('.*=replicated',)", marks=pytest.mark.slow),
        pytest.param(4, 1, "('.*=replicated',)", marks=pytest.mark.slow),
    ],
)
def test_processes_do_not_matter(
    make_config, config_file, silent, script, tmp_path, processes, devices, rules
):
    wide = ("model.width=64", "images_every=10", *OPTIONS)
    run_training(make_config(*wide), tmp_path / "one", console=silent)
    arguments = ["train", "--config", str(config_file), "--workdir", str(tmp_path / "several")]
    arguments += [f"--config.{option}" for option in (*wide, "mesh.data=-1", f"mesh.rules={rules}")]
    printed = run_processes(script, processes, arguments, devices=devices)
    assert "finished 20 steps" in printed[0]
    for out in printed[1:]:  # the lines of the collectives' own library can be torn apart
        assert not any(word in out for word in ("network ", "step ", "validation ", "finished "))
    for kind, name in (("train", "loss/total"), ("eval", "restored_psnr"), ("eval", "loss/total")):
        one, several = ([line[name] for line in lines(tmp_path / run, kind)] for run in ("one", "several"))
        np.testing.assert_allclose(several, one, rtol=1e-5)
    # A checkpoint of several processes goes on in one.
    longer = make_config(*wide, "steps=21")
    result = run_training(longer, tmp_path / "several", allow_changes=True, console=silent)
    assert result.step == 21
