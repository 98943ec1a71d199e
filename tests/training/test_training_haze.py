"""Haze made inside the training step, and for validation scenes that have none."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from data_pipelines.augment import augment, to_float
from data_pipelines.haze import synthesize_with_parameters
from iassf_jax import models
from iassf_jax.core.errors import ConfigError
from iassf_jax.core.rng import example_id, stream_key
from iassf_jax.losses import iassf_loss
from iassf_jax.training import settings
from iassf_jax.training.haze import Haze, HazyExamples
from iassf_jax.training.run import run_training
from iassf_jax.training.state import init_state, make_initializer
from iassf_jax.training.step import make_train_step
from iassf_jax.training.task import IassfTask

FLIPS = {"horizontal_flip": True, "vertical_flip": True, "rotate": False}
RECIPE = "uniform:2,iassf_released:1,clear:1"
ALPHA, SEED = jnp.asarray(2.0, jnp.float32), jnp.asarray(4, jnp.int32)


@pytest.fixture
def batch(rng):
    shapes = {"visible_clear": 3, "infrared": 1}
    images = {k: jnp.asarray(rng.integers(0, 256, (4, 16, 16, c), dtype=np.uint8)) for k, c in shapes.items()}
    names = [example_id(name) for name in ("00001N", "00002D", "00003N", "00004D")]
    return images | {"mask": jnp.asarray([1.0, 1.0, 1.0, 0.0]), "example": jnp.asarray(names, jnp.uint32)}


@pytest.fixture
def parts(tiny_network):
    model, optimizer = models.create("tiny"), optax.sgd(0.1)
    state = init_state(make_initializer(model, optimizer, seed=0))
    step = make_train_step(
        IassfTask(model, loss_options={"signed": False}, haze=Haze(RECIPE)), optimizer, augment_options=FLIPS
    )
    return model, state.replace(step=jnp.asarray(3, jnp.int32)), jax.jit(step)


def test_the_step_trains_on_haze_of_its_own(parts, batch):
    model, state, step = parts
    _, records, finite = step(state, batch, ALPHA, SEED)
    images = to_float(augment(stream_key(4, "augment", 3), batch, **FLIPS))
    hazy, drawn = synthesize_with_parameters(
        stream_key(4, "haze", 3), images["visible_clear"], RECIPE, examples=batch["example"]
    )
    images["visible_hazy"] = hazy
    loss = iassf_loss(
        model.apply({"params": state.params}, hazy, images["infrared"]), images, alpha=2.0, signed=False
    )
    assert finite
    np.testing.assert_allclose(records["loss/total"].result(), loss["total"], rtol=1e-4)
    np.testing.assert_allclose(
        records["haze/mean_transmission"].result(), drawn.mean_transmission[:3].mean(), rtol=1e-5
    )
    np.testing.assert_allclose(records["haze/airlight"].result(), drawn.airlight[:3].mean(), rtol=1e-5)
    np.testing.assert_allclose(records["haze/beta"].result(), drawn.beta[:3].mean(), rtol=1e-5)
    assert records["haze/beta"].count == 3.0


def test_an_example_is_flipped_and_hazed_alike_wherever_it_stands(parts, batch):
    _, state, step = parts
    order = jnp.asarray([2, 0, 1, 3])
    totals = [
        float(step(state, one, ALPHA, SEED)[1]["loss/total"].result())
        for one in (
            batch,
            jax.tree.map(lambda x: x[order], batch),
            {**batch, "example": batch["example"][order]},
        )
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    assert totals[0] != pytest.approx(totals[2], rel=1e-5)  # the numbers do count


def test_depth_of_the_data_is_used(batch):
    images = to_float(batch)
    near, far = (jnp.full((4, 16, 16, 1), metres) for metres in (1.0, 60.0))
    transmissions = [
        float(
            Haze("reside_ots")(jax.random.key(0), {**images, "depth": d})[1][
                "haze/mean_transmission"
            ].result()
        )
        for d in (near, far)
    ]
    assert transmissions[0] > 0.8
    assert transmissions[1] < 0.1


def test_validation_scenes_get_the_same_haze_every_time(rng):
    clear = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    scenes = [{"name": name, "visible_clear": clear} for name in ("a", "b")]
    scenes.append({"name": "c", "visible_clear": clear, "visible_hazy": clear})
    make = HazyExamples(Haze("uniform"), seed=1)
    first, again = list(make(scenes)), list(make(reversed(scenes)))[::-1]
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["visible_hazy"], two["visible_hazy"])
    assert first[0]["visible_hazy"].dtype == np.uint8
    assert not np.array_equal(first[0]["visible_hazy"], first[1]["visible_hazy"])
    np.testing.assert_array_equal(first[2]["visible_hazy"], clear)  # a scene with haze keeps it
    other = next(iter(HazyExamples(Haze("uniform"), seed=2)(scenes)))
    assert not np.array_equal(other["visible_hazy"], first[0]["visible_hazy"])


def test_a_run_needs_no_hazy_files_and_writes_down_the_haze(triplets, tmp_path, make_config, silent):
    for part in ("train", "val"):
        for folder in ("GT", "IR"):
            shutil.copytree(triplets / part / folder, tmp_path / "data" / part / folder)
    config = make_config(
        "haze=uniform:1,clear:1",
        "haze_options.frame=40,48",
        f"data.train={tmp_path / 'data' / 'train'}",
        f"data.val={tmp_path / 'data' / 'val'}",
    )
    result = run_training(config, tmp_path / "run", console=silent)
    assert result.step == 6
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["kind"] == "train"]
    assert all(0.2 < line["haze/mean_transmission"] <= 1.0 for line in trained)
    assert len({line["haze/mean_transmission"] for line in trained}) == len(trained)
    validated = [line["input_psnr"] for line in lines if line["kind"] == "eval"]
    assert len(validated) == 2
    assert validated[0] == validated[1]  # the same haze at every validation
    assert 3 < validated[0] < 60


@pytest.mark.parametrize(
    "override, message",
    [
        ("haze=phisical", "config.haze: there is no haze preset 'phisical'; did you mean 'physical'"),
        ("haze_options.pseudo_depth=plain", "pseudo_depth is 'plain'; there are mixed, plane"),
        ("haze_options.frame=480,0", r"frame is \(480, 0\); expected \(height, width\)"),
        ("haze_options.strength=0.0", "strength is 0.0; expected more than 0"),
        ("haze_options.frame=8,640", r"frame is \(8, 640\); expected at least the crop, 16 pixels"),
    ],
)
def test_impossible_haze_is_refused(make_config, override, message):
    config = make_config("haze=physical", override)
    with pytest.raises(ConfigError, match=message):
        settings.make_haze(config.to_dict())
