"""LURE's two stages on small images: what a batch becomes, what learns and what does not."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import models
from iassf_jax.core.config import load_config
from iassf_jax.core.errors import ConfigError
from iassf_jax.losses import lure_fusion_loss, lure_restoration_loss
from iassf_jax.text import hash_sentence, load_prompts
from iassf_jax.training.lure_options import LureOptions, degradations
from iassf_jax.training.optimizer import make_optimizer
from iassf_jax.training.state import init_state, make_initializer
from iassf_jax.training.step import make_train_step
from iassf_jax.training.task import make_task

KEY = jax.random.key(0)
SCALARS = (jnp.asarray(2.0, jnp.float32), jnp.asarray(0, jnp.int32))
NETWORK = {
    "widths": (8,),
    "latents": (4,),
    "k_bt": (1,),
    "k_tb": (1,),
    "dec_blocks": (1,),
    "fusion_blocks": (1,),
    "text_dim": 16,
    "heads": 2,
}


def config_of(name, /, **task):
    config = load_config(name, ["config.data.train=somewhere"])
    with config.unlocked():
        config.model.update(NETWORK)
        # Haze takes long to compile; another test has it.
        config.task.update({"tasks": ("LC", "SR", "OE", "LL"), "shares": (), "clean_infrared": 0.1, **task})
        config.optimizer.warmup_steps = 0
        config.ema_decay = 0.0
    return config


def task_of(name, **task):
    config = config_of(name, **{"val_scale": 1.0} | task).to_dict()  # the scenes are small
    return make_task(models.create(config["model"]), config)


def batch(count=4, side=16):
    """Smooth pictures, uint8, with the infrared another one than the visible."""
    y, x = np.mgrid[:side, :side] / side
    pictures = [
        np.stack([0.5 + 0.4 * np.sin(3 * x + k + c + 2 * y * (k % 2)) for c in range(3)], axis=-1)
        for k in range(count)
    ]
    visible = np.round(255 * np.stack(pictures)).astype(np.uint8)
    return {
        "visible_clear": jnp.asarray(visible),
        "infrared": jnp.asarray(255 - visible[..., :1]),
        "mask": jnp.ones(count, jnp.float32),
        "example": jnp.arange(count, dtype=jnp.uint32),
    }


def unit(images):
    return {k: v.astype(jnp.float32) / 255.0 if v.dtype == jnp.uint8 else v for k, v in images.items()}


@functools.cache
def prepared():
    """A batch of many pairs, in the numbers of stage 1."""
    task = task_of("lure_tiny")
    images, records = jax.jit(task.prepare)(KEY, unit(batch(64)))
    return jax.device_get(images), records


def test_pairs_are_of_the_image_that_the_task_is_for():
    images, records = prepared()
    source = unit(batch(64))
    infrared = images["modality"] == 1
    thermal = np.broadcast_to(source["infrared"], source["visible_clear"].shape)
    np.testing.assert_array_equal(images["visible_clear"][infrared], thermal[infrared])
    np.testing.assert_array_equal(
        images["visible_clear"][~infrared], np.asarray(source["visible_clear"])[~infrared]
    )
    np.testing.assert_array_equal(infrared, np.isin(images["label"], (0, 1, 5)))  # LC, SR, PD
    clean = images["label"] == 5
    same = np.abs(images["visible_hazy"] - images["visible_clear"]).max((1, 2, 3)) == 0
    np.testing.assert_array_equal(same, clean)
    assert 1 <= clean.sum() <= 16
    error = np.abs(images["visible_hazy"] - images["visible_clear"]).mean()
    np.testing.assert_allclose(records["degradation/error"].result(), error, rtol=1e-4)


def test_descriptions_are_training_prompts_of_the_pairs_task():
    images, _ = prepared()
    names = ("LC", "SR", "HZ", "OE", "LL", "PD")
    vectors = {name: [hash_sentence(text) for text in load_prompts()[name].training] for name in names}
    used = set()
    for label, text, clean in zip(images["label"], images["text"], images["text_clean"], strict=True):
        matches = [np.array_equal(text, vector) for vector in vectors[names[label]]]
        assert sum(matches) == 1
        used.add((label, matches.index(True)))
        assert any(np.array_equal(clean, vector) for vector in vectors["PD"])
    assert len(used) > 16  # of the forty


@functools.cache
def trained_restoration():
    """A hundred steps on four pairs, the same in every step; the compiled step serves these tests only."""
    config = config_of("lure_tiny", tasks=("LC", "OE"), alpha_unified=0.5)
    model = models.create(config.model.to_dict())
    with config.unlocked():
        config.optimizer.learning_rate = 5e-3
        config.steps = 100
    optimizer = make_optimizer(config.optimizer.to_dict(), steps=config.steps)
    step = jax.jit(make_train_step(make_task(model, config.to_dict()), optimizer, augment_options={}))
    start = state = init_state(make_initializer(model, optimizer, seed=0))
    losses = []
    for _ in range(100):
        # What is drawn is a function of the step's number, which is therefore kept at 0.
        again = dataclasses.replace(state, step=jnp.zeros_like(state.step))
        state, records, finite = step(again, batch(), *SCALARS)
        losses.append(float(records["loss/total"].result()))
    return start, state, losses, bool(finite)


def test_stage_one_learns_four_pairs():
    _, _, losses, finite = trained_restoration()
    assert finite
    assert max(losses[-5:]) < losses[0] / 5


def test_stage_one_leaves_the_fusion_alone():
    start, state, _, _ = trained_restoration()
    moved = {part: _largest_move(start.params[part], state.params[part]) for part in start.params}
    assert moved.pop("fusion") == 0.0
    assert min(moved.values()) > 1e-3


def test_stage_two_moves_fusion_and_decoder_only():
    config = config_of("lure_tiny_fusion")
    assert ("^image_encoder/|^text_head/", 0.0) in map(tuple, config.optimizer.rates)
    with config.unlocked():
        # Without these, parameters stay where they are only if their gradients are exactly zero.
        config.optimizer.rates = (("^image_decoder/", 0.1),)
        config.optimizer.weight_decay = 0.0
    model = models.create(config.model.to_dict())
    optimizer = make_optimizer(config.optimizer.to_dict(), steps=config.steps)
    step = jax.jit(make_train_step(make_task(model, config.to_dict()), optimizer, augment_options={}))
    state = init_state(make_initializer(model, optimizer, seed=0))
    new, records, finite = step(state, batch(), *SCALARS)
    assert finite
    moved = {part: _largest_move(state.params[part], new.params[part]) for part in state.params}
    assert moved["image_encoder"] == moved["text_head"] == 0.0
    rate = config.optimizer.learning_rate
    assert 0.0 < moved["image_decoder"] < 0.2 * rate  # AdamW moves by about the rate
    assert 0.5 * rate < moved["fusion"] < 2.0 * rate
    zero = new.params["fusion"]["level_1_out"]["kernel"]
    assert np.abs(zero).max() > 0.0
    assert {name for name in records if name.startswith("loss/")} == {
        f"loss/{name}" for name in ("total", "color", "gradient", "intensity")
    }


def _largest_move(before, after):
    return max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), before, after)))


def scene(name):
    images = batch(1)
    return {"name": name, **{key: np.asarray(images[key][0]) for key in ("visible_clear", "infrared")}}


def test_validation_scenes_have_every_degradation_and_are_always_the_same():
    task = task_of("lure_tiny")
    first, again = (list(task.examples([scene("a"), scene("b")])) for _ in range(2))
    assert [e["name"] for e in first] == [f"{s} {d}" for s in "ab" for d in ("LC", "SR4", "SR8", "OE", "LL")]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one["visible_hazy"], other["visible_hazy"])
        assert one["visible_hazy"].shape == one["visible_clear"].shape == (16, 16, 3)
        assert one["visible_hazy"].dtype == np.uint8
    contrast = first[0]
    np.testing.assert_array_equal(contrast["visible_clear"], np.tile(contrast["infrared"], (1, 1, 3)))
    assert (contrast["label"], contrast["modality"]) == (0, 1)
    np.testing.assert_array_equal(contrast["text"], hash_sentence(load_prompts()["LC"].training[0]))
    reduced = next(iter(task_of("lure_tiny_fusion", val_scale=0.5).examples([scene("a")])))
    blocks = scene("a")["visible_clear"].reshape(8, 2, 8, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(reduced["visible_clear"], blocks, atol=0.51)
    assert reduced["visible_hazy"].shape == (8, 8, 3)
    assert reduced["infrared"].shape == (8, 8, 1)
    fusion = task_of("lure_tiny_fusion", val_side=8)
    squares = list(fusion.examples([scene("a")]))
    assert [e["name"] for e in squares] == ["a OE", "a LL"]
    for square in squares:
        np.testing.assert_array_equal(square["visible_clear"], scene("a")["visible_clear"][4:12, 4:12])
        assert square["visible_hazy"].shape == (8, 8, 3)
        assert square["infrared"].shape == (8, 8, 1)


def test_the_probe_tells_degradations_apart_before_training():
    task = task_of("lure_tiny", tasks=("OE", "LL"))
    model = models.create(config_of("lure_tiny").to_dict()["model"])
    image = jnp.zeros((1, 16, 16, 3))
    shapes = jax.eval_shape(model.init, KEY, image, image)["params"]
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: rng.normal(0.0, 0.3, leaf.shape).astype(np.float32), shapes)
    scenes = [scene(name) for name in "abcdefgh"]
    found = task.overall(params, task.examples(scenes))
    # Only visible images: over-exposed, dark, and each scene's clean one once.
    assert set(found) == {"probe/visible", "probe/visible_places"}
    assert min(found.values()) > 0.6  # chance is 1 / 3
    assert task.overall(params, []) == {}


def test_joint_training_has_both_losses():
    config = config_of("lure_tiny", name="lure_joint", tasks=("SR",)).to_dict()
    model = models.create(config["model"])
    joint = make_task(model, config)
    names = ("total", "task", "unified", "recon", "text", "color", "gradient", "intensity")
    assert joint.loss_names == names
    small = config | {"task": {**config["task"], "val_side": 8, "val_scale": 1.0}}
    squares = make_task(model, small).examples([scene("a")])
    assert {square["visible_source"].shape for square in squares} == {(8, 8, 3)}

    def of_a_batch(key):
        images, _ = joint.prepare(key, unit(batch()))
        params = model.init(key, images["visible_hazy"], images["infrared"])["params"]
        outputs = joint.apply(params, images)
        return outputs, images, joint.loss(outputs, images, SCALARS[0])

    outputs, images, losses = jax.eval_shape(of_a_batch, KEY)
    assert set(losses) == set(names)
    rng = np.random.default_rng(0)

    def some(leaf):
        return jnp.asarray(rng.uniform(size=leaf.shape), leaf.dtype)

    outputs, images = jax.tree.map(some, (outputs, images))

    @jax.jit
    def totals(outputs, images):
        fusion = lure_fusion_loss(outputs, {**images, "visible_clear": images["visible_source"]})
        weight = config["task"]["alpha_unified"]
        restoration = lure_restoration_loss(outputs, images, clean_class=5, alpha_unified=weight)
        return joint.loss(outputs, images, SCALARS[0])["total"], fusion["total"] + restoration["total"]

    np.testing.assert_allclose(*totals(outputs, images), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lure", {}),
        ("lure_fusion", {}),
        (
            "lure_tiny",
            {
                "alpha_unified": 5.0,
                "clean_infrared": 0.0,
                "shares": (4.0, 0.3, 2.5, 1.3, 1.3),
                "val_scale": 0.3,
            },
        ),
        (
            "lure_tiny_unify",
            {
                "alpha_unified": 50.0,
                "clean_infrared": 0.0,
                "shares": (5.0, 0.3, 2.0, 1.3, 1.3),
                "val_scale": 0.3,
            },
        ),
        ("lure_tiny_fusion", {"alpha_int": 2.0, "brightest": 0.3, "val_scale": 0.3}),
    ],
)
def test_configurations_have_the_options_with_their_defaults(name, change):
    given = {key: value for key, value in load_config(name).task.items() if key != "name"}
    assert LureOptions(**given) == LureOptions(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": ("LC", "RAIN")}, "tasks is .*expected some of LC, SR, HZ, OE, LL"),
        ({"val_scale": 0.0}, "val_scale is 0.0 and val_side 0"),
        ({"sr_scales": (3,)}, "sr_scales is .*expected 4, 8 or both"),
        ({"shares": (1.0, 2.0)}, "shares is .*expected a positive number for each of"),
        ({"shares": (1.0, 2.0, 0.0, 1.0)}, "shares is .*expected a positive number for each of"),
        ({"alpha_per": 0.1}, "alpha_per is 0.1; it needs vgg_path"),
        ({"alpha_per": 0.1, "vgg_path": "none.npz"}, "none.npz does not exist"),
        ({"rain": 1}, "other options than its task: rain"),
    ],
)
def test_impossible_options_are_errors(change, message):
    with pytest.raises((ConfigError, RuntimeError), match=message):
        task_of("lure_tiny_fusion", **change)


def test_shares_say_how_likely_a_degradation_is():
    names, shares = degradations(LureOptions(tasks=("LC", "SR"), shares=(3.0, 1.0)))
    assert names == ("LC", "SR4", "SR8")
    np.testing.assert_allclose(shares, (0.75, 0.125, 0.125))


def test_the_network_has_to_fit():
    config = config_of("lure_tiny").to_dict()
    with pytest.raises(ConfigError, match="sentence_dim is 768; vectors of onehot have 6"):
        make_task(models.create(config["model"], text_backend="onehot"), config)
    with pytest.raises(ConfigError, match="for the network lure, not for iassf"):
        make_task(models.create("iassf"), config | {"model": {"name": "iassf"}})
