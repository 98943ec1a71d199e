"""The comparison of a whole folder with the network alone."""

import json

import jax
import jax.numpy as jnp
import pytest

from benchmarks import folder
from tests.training.network import Tiny


@pytest.fixture
def fuser():
    model = Tiny(width=2)
    images = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 16, 16, 1))
    return folder.Fuser(model, model.init(jax.random.key(0), *images))


@pytest.mark.parametrize("batch", [1, 2])
def test_pairs_are_repeated_and_every_round_is_timed(batch, fuser, triplets, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(folder.Fuser, "from_pretrained", lambda name: {"tiny": fuser}[name])
    record = tmp_path / "folder.json"
    words = f"--weights tiny --pairs 5 --rounds 2 --save restored --batch {batch}".split()
    folder.main(["--data", str(triplets / "val"), "--output", str(record), *words])
    measured = json.loads(record.read_text())
    assert measured == json.loads(capsys.readouterr().out)
    assert (measured["pairs"], measured["save"], measured["batch"]) == (5, "restored", batch)
    whole, *rivals = measured["seconds"].values()
    for seconds, found in zip(rivals, measured["ratios"].values(), strict=True):
        ratios = [a / b for a, b in zip(whole, seconds, strict=True)]
        assert len(ratios) == 2 and min(ratios) <= found <= max(ratios)


def test_a_pair_that_fails_ends_the_measurement(fuser, triplets, tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_batches", lambda *given: [])
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    pair = folder.Pair("0", broken, triplets / "val" / "IR" / "val0.png")
    with pytest.raises(SystemExit, match="broken"):
        folder.measure(fuser, [pair], folder.OutputLayout(tmp_path / "out"), rounds=1)
