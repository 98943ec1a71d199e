"""LURE as a whole: sizes, what it depends on, its start as a rule, use by the generic code."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import models
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.inference import Fuser
from iassf_jax.models.lure import PRESETS, Lure
from iassf_jax.text import hash_sentence, load_prompts, make_encoder

KEY = jax.random.key(0)
SMALL = {
    "widths": (8, 16),
    "latents": (4, 8),
    "k_bt": (1, 1),
    "k_tb": (1, 1),
    "dec_blocks": (1, 1),
    "fusion_blocks": (1, 1),
    "text_dim": 16,
}
COUNTS = {
    "paper": (36_514_120, 1_849_011, 1_144_956),
    "light": (15_176_868, 203_683, 1_144_956),
    "tiny": (630_104, 120_399, 46_120),
}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def image(height, width, channels=3, batch=1, seed=1):
    return jax.random.uniform(jax.random.key(seed), (batch, height, width, channels))


def sentence(task):
    return jnp.asarray(hash_sentence(load_prompts()[task].training[0]))[None]


def initial_variables(model):
    """Parameters as `init` draws them, but without compiling it: kernels uniform, the rest as it starts."""
    rng = np.random.default_rng(0)

    def start(path, leaf):
        name, parent = path[-1].key, path[-2].key
        if name in ("scale", "temperature"):
            return jnp.ones(leaf.shape)
        if name in ("bias", "depthwise_bias", "beta", "gamma") or parent.endswith("_out"):
            return jnp.zeros(leaf.shape)
        if name == "modality":
            return jnp.asarray(rng.normal(0.0, 0.02, leaf.shape), jnp.float32)
        depthwise = "depthwise" in parent or name.startswith("depthwise")
        bound = 1.0 / math.sqrt(9 if depthwise else math.prod(leaf.shape[:-1]))
        return jnp.asarray(
            rng.uniform(-bound, bound, leaf.shape) * (0.1 if parent == "head" else 1), jnp.float32
        )

    shapes = jax.eval_shape(model.init, KEY, image(16, 16), image(16, 16, 1))
    return jax.tree_util.tree_map_with_path(start, shapes)


def inputs():
    """Two pairs of images whose sides are no multiple of anything, and what is wrong with each."""
    haze, bright = (sentence(task) for task in ("HZ", "OE"))
    texts = jnp.concatenate([haze, bright])
    return image(17, 19, batch=2), image(17, 19, 1, batch=2, seed=2), texts, texts[::-1]


@functools.cache
def small():
    """Network, variables, its compiled call and restoration, shared by all tests."""
    model = Lure(**SMALL)

    def call(variables, visible, infrared, first, second):
        return model.apply(variables, visible, infrared, text_visible=first, text_infrared=second)

    restore = jax.jit(lambda v, *inputs: model.apply(v, *inputs, method="restore"))
    return model, initial_variables(model), jax.jit(call), restore


@pytest.mark.parametrize("preset", PRESETS)
def test_number_of_parameters(preset):
    model = Lure(**PRESETS[preset])
    params = jax.eval_shape(model.init, KEY, image(16, 16), image(16, 16, 1))["params"]
    counts = tuple(count(params[part]) for part in ("image_encoder", "image_decoder", "fusion"))
    assert counts == COUNTS[preset]
    assert count(params["text_head"]) == 198_406
    assert set(params) == {"image_encoder", "image_decoder", "fusion", "text_head"}
    row = next(line for line in Lure.__doc__.splitlines() if line.strip().startswith(f"| {preset}"))
    assert [cell.strip() for cell in row.split("|")[2:5]] == [f"{n:,}" for n in counts]


def test_shapes_of_images_and_latents():
    model = Lure(**PRESETS["tiny"])
    variables = jax.eval_shape(model.init, KEY, image(16, 16), image(16, 16, 1))
    for size, padded in (((64, 64), (64, 64)), ((37, 50), (40, 56))):
        outputs = jax.eval_shape(model.apply, variables, image(*size, batch=2), image(*size, 1, batch=2))
        for name in ("fused", "restored", "restored_infrared"):
            assert outputs[name].shape == (2, *size, 3)
        assert outputs["haze_density"].shape == (2, *size)
        for level, width in enumerate((4, 8, 16, 32)):
            for kind in ("visible", "infrared", "fused"):
                shape = (2, padded[0] >> level, padded[1] >> level, width)
                assert outputs[f"latent_{kind}_{level + 1}"].shape == shape


def test_outputs_are_finite_images():
    _, variables, apply, _ = small()
    outputs = apply(variables, *inputs())
    assert outputs["fused"].shape == (2, 17, 19, 3)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(outputs))
    assert {x.dtype for x in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}


def test_text_and_modality_change_the_latents():
    _, variables, _, restore = small()
    x = jnp.tile(image(17, 19), (2, 1, 1, 1))
    haze, contrast = sentence("HZ"), sentence("LC")
    both = jnp.concatenate([haze, contrast])
    by_text = restore(variables, x, both, jnp.zeros(2, jnp.int32))["latents"]
    by_modality = restore(variables, x, jnp.tile(haze, (2, 1)), jnp.asarray([0, 1]))["latents"]
    for latents in (by_text, by_modality):
        assert max(float(jnp.abs(z[0] - z[1]).mean()) for z in latents) > 1e-3
    # Images of a batch have nothing to do with each other.
    swapped = restore(variables, x, both[::-1], jnp.zeros(2, jnp.int32))["latents"]
    for z, other in zip(by_text, swapped, strict=True):
        np.testing.assert_allclose(z, other[::-1], atol=1e-5)


def test_fusion_starts_as_the_rule():
    model, variables, apply, _ = small()
    outputs = apply(variables, *inputs())
    visible, infrared, fused = (
        (outputs[f"latent_{name}_1"], outputs[f"latent_{name}_2"])
        for name in ("visible", "infrared", "fused")
    )
    by_rule = model.apply(variables, visible, infrared, method="fuse_by_rule")
    for z, rule in zip(fused, by_rule, strict=True):
        np.testing.assert_allclose(z, rule, atol=1e-6)
    decoded = jax.jit(lambda v, z: model.apply(v, z, method="decode"))(variables, by_rule)
    np.testing.assert_allclose(outputs["fused"], decoded[:, :17, :19], atol=1e-5)


def test_restoration_is_what_the_whole_network_restores():
    _, variables, apply, restore = small()
    visible, infrared, first, second = inputs()
    whole = apply(variables, visible, infrared, first, second)
    alone = restore(variables, visible, first, jnp.zeros(2, jnp.int32))
    np.testing.assert_allclose(whole["restored"], alone["restored"], atol=1e-5)
    assert alone["logits"].shape == (2, 6)
    thermal = restore(variables, jnp.tile(infrared, (1, 1, 1, 3)), second, jnp.ones(2, jnp.int32))
    np.testing.assert_allclose(whole["restored_infrared"], thermal["restored"], atol=1e-5)


def test_fuser_runs_it_like_any_other_network_and_without_text_nothing_is_wrong():
    model, variables, apply, _ = small()
    visible = np.random.default_rng(0).integers(0, 256, (2, 17, 19, 3), np.uint8)
    infrared = visible[..., :1]
    clean = jnp.tile(jnp.asarray(hash_sentence("The image is clean, keep it as it is."))[None], (2, 1))
    units = (jnp.asarray(x, jnp.float32) / 255.0 for x in (visible, infrared))
    expected = apply(variables, *units, clean, clean)
    result = Fuser(model, variables)(visible[0], infrared[0, ..., 0])
    for name in ("fused", "restored"):
        rounded = np.round(np.clip(expected[name][0], 0.0, 1.0) * 255)
        np.testing.assert_allclose(getattr(result, name), rounded, atol=1)
    assert not result.haze_density.any()


def test_a_users_words_become_its_inputs():
    vectors = Lure().conditions(text="the visible image is hazy", task_infrared="LC")
    assert set(vectors) == set(Lure.extra_inputs)
    # This backend knows no other words than those of the training prompts.
    np.testing.assert_array_equal(vectors["text_visible"], sentence("HZ")[0])
    prompt = load_prompts()["HZ"].training[3]
    np.testing.assert_array_equal(Lure().conditions(text=prompt)["text_visible"], hash_sentence(prompt))
    np.testing.assert_array_equal(vectors["text_infrared"], sentence("LC")[0])
    with pytest.raises(InputError, match="needs path"):
        Lure(text_backend="distilbert").conditions(text="dark")
    onehot = make_encoder("onehot")
    assert Lure(text_backend="distilbert").conditions(encoder=onehot)["text_visible"].tolist()[-1] == 1.0


def test_it_is_built_by_name():
    assert models.create("lure", **PRESETS["tiny"]) == Lure(**PRESETS["tiny"])


def test_ablations_change_what_they_should():
    def shapes(**fields):
        model = Lure(**SMALL | fields)
        return jax.eval_shape(model.init, KEY, image(16, 16), image(16, 16, 1))["params"]

    whole = shapes()
    machine = shapes(rule="none", remat=True)
    assert jax.tree.structure(machine) == jax.tree.structure(whole)
    other = shapes(inner_residual=False, tga_variant="gate", fusion_attention="window", split_sr=True)
    assert "linear" not in other["image_encoder"]["level_1"]
    assert "attention" not in other["image_encoder"]["level_1"]["base_text_1"]["guided"]
    assert "temperature" not in other["fusion"]["level_1_block_1"]["attention_v"]
    assert other["text_head"]["classify"]["bias"].shape == (7,)
    table = shapes(text_backend="onehot", sentence_dim=6)["text_head"]["describe"]
    assert table["kernel"].shape == (6, 16)


def test_bfloat16_keeps_images_and_parameters_in_float32():
    model = Lure(**SMALL, dtype="bfloat16")
    images = (image(16, 16), image(16, 16, 1))
    variables = jax.eval_shape(model.init, KEY, *images)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    outputs = jax.eval_shape(model.apply, variables, *images)
    assert outputs["fused"].dtype == outputs["restored"].dtype == jnp.float32
    assert outputs["latent_fused_1"].dtype == outputs["latent_visible_2"].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tga_variant": "none"}, "tga_variant must be one of .*spatial_gate"),
        ({"rule": "max"}, "rule must be one of"),
        ({"decoder": "narrow"}, "decoder must be one of"),
        ({"text_backend": "clip"}, "text_backend must be one of"),
        ({"heads": 0}, "heads must be at least 1, not 0"),
        ({"k_tb": (1, 2)}, "k_tb has 2 values for 4 levels"),
    ],
)
def test_impossible_fields_are_errors_at_construction(fields, message):
    with pytest.raises(ConfigError, match=message):
        Lure(**fields)


@pytest.mark.parametrize(
    ("fields", "inputs", "message"),
    [
        ({}, {"haze_density": (1, 16, 16)}, "no haze density"),
        ({}, {"text_visible": (1, 20)}, "expected \\(1, 768\\)"),
        ({"text_backend": "distilbert"}, {}, "backend 'distilbert', and none is given"),
    ],
)
def test_inputs_that_do_not_fit_are_errors(fields, inputs, message):
    model = Lure(**SMALL | fields)
    variables = jax.eval_shape(model.init, KEY, image(16, 16), image(16, 16, 1))
    named = {name: jnp.zeros(shape) for name, shape in inputs.items()}
    with pytest.raises(InputError, match=message):
        jax.eval_shape(lambda v: model.apply(v, image(16, 16), image(16, 16, 1), **named), variables)
