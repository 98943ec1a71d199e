"""Blocks of LURE against plain NumPy, and the properties that they are built for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.models.lure.attention import (
    TGA_VARIANTS,
    ChannelCrossAttention,
    TextGuidedAttention,
    WindowCrossAttention,
)
from iassf_jax.models.lure.blocks import BaseBlock, NAFBlock
from iassf_jax.models.lure.decoder import Decoder
from iassf_jax.models.lure.fusion import Fusion
from iassf_jax.models.lure.rules import fuse_by_rule
from iassf_jax.models.lure.text_head import TextHead

KEY = jax.random.key(0)


def random_variables(module, *inputs, seed=0):
    """Parameters that are nowhere zero, so that every one of them shows."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(module.init, KEY, *inputs)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0.0, 0.5, leaf.shape), jnp.float32), shapes)


def draw(*shape, seed=1):
    return jax.random.normal(jax.random.key(seed), shape)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def layer_norm(x, p, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) * p["scale"] + p["bias"]


def depthwise(x, kernel):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = x.shape[1:3]
    return sum(padded[:, i : i + h, j : j + w] * kernel[i, j] for i in range(3) for j in range(3))


def dense(x, p):
    return x @ p["kernel"] + p.get("bias", 0.0)


def naf_block(x, p):
    c = x.shape[-1]
    h = dense(layer_norm(x, p["norm_1"], 1e-6), p["expand_1"])
    h = depthwise(h, p["depthwise_kernel"]) + p["depthwise_bias"]
    h = h[..., :c] * h[..., c:]
    h = h * dense(h.mean((1, 2), keepdims=True), p["channel_attention"])
    x = x + p["beta"] * dense(h, p["project_1"])
    h = dense(layer_norm(x, p["norm_2"], 1e-6), p["expand_2"])
    return x + p["gamma"] * dense(h[..., :c] * h[..., c:], p["project_2"])


def channel_cross_attention(q_map, kv_map, p, heads):
    b, h, w, c = q_map.shape
    q = depthwise(dense(q_map, p["query"]), p["query_depthwise"]["kernel"])
    kv = depthwise(dense(kv_map, p["key_value"]), p["key_value_depthwise"]["kernel"])

    def split(x):
        return x.reshape(b, h * w, heads, c // heads).transpose(0, 2, 3, 1)

    q, k, v = (split(x) for x in (q, kv[..., :c], kv[..., c:]))
    q, k = (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12) for x in (q, k))
    logits = q @ k.swapaxes(-1, -2) * p["temperature"][:, None, None]
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    mixed = shares / shares.sum(-1, keepdims=True) @ v
    return mixed.transpose(0, 3, 1, 2).reshape(b, h, w, c) @ p["projection"]


def as_numpy(variables):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables["params"])


def test_naf_block_is_its_formula():
    x = draw(2, 5, 6, 4)
    variables = random_variables(NAFBlock(), x)
    expected = naf_block(np.asarray(x, np.float64), as_numpy(variables))
    np.testing.assert_allclose(NAFBlock().apply(variables, x), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("channels", "parameters"), [(48, 17_712), (96, 67_680), (192, 264_384), (384, 1_044_864)]
)
def test_naf_block_starts_as_the_identity_and_has_its_size(channels, parameters):
    x = draw(1, 4, 4, channels)
    shapes = jax.eval_shape(NAFBlock().init, KEY, x)
    assert count(shapes) == parameters
    if channels == 48:
        np.testing.assert_array_equal(NAFBlock().apply(NAFBlock().init(KEY, x), x), x)


def test_windowed_channel_means_follow_the_image():
    x = draw(1, 12, 12, 4)
    whole, windowed = NAFBlock(), NAFBlock(sca_window=4)
    variables = random_variables(whole, x)
    assert np.abs(whole.apply(variables, x) - windowed.apply(variables, x)).max() > 1e-3
    # An image no larger than the window has one mean.
    small = x[:, :4, :4]
    np.testing.assert_array_equal(whole.apply(variables, small), windowed.apply(variables, small))


def test_channel_cross_attention_is_its_formula():
    query_map, source_map = draw(2, 4, 5, 8), draw(2, 4, 5, 8, seed=2)
    module = ChannelCrossAttention(heads=4)
    variables = random_variables(module, query_map, source_map)
    maps = (np.asarray(x, np.float64) for x in (query_map, source_map))
    expected = channel_cross_attention(*maps, as_numpy(variables), heads=4)
    np.testing.assert_allclose(module.apply(variables, query_map, source_map), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", TGA_VARIANTS)
def test_text_changes_what_attention_gives(variant):
    x, text = draw(1, 6, 6, 8), draw(2, 16, seed=3)
    module = TextGuidedAttention(variant, heads=2)
    variables = random_variables(module, x, text[:1])
    apply = jax.jit(module.apply)
    first, second = (apply(variables, x, text[i : i + 1]) for i in range(2))
    assert np.abs(first - second).mean() > 1e-4 * np.abs(first).mean()
    assert first.shape == x.shape


def test_text_weights_of_one_value_leave_the_queries_alone():
    # What is common to all channels is divided out: only the proportions of the weights guide.
    x = draw(1, 6, 6, 8)
    module = TextGuidedAttention(heads=2)
    variables = random_variables(module, x, draw(1, 3))
    gate = variables["params"]["gate"]
    gate["kernel"] = jnp.zeros_like(gate["kernel"])
    gate["bias"] = jnp.full_like(gate["bias"], 0.3)
    weak = module.apply(variables, x, draw(1, 3))
    gate["bias"] = jnp.full_like(gate["bias"], 3.0)
    np.testing.assert_allclose(module.apply(variables, x, draw(1, 3)), weak, atol=1e-4)


def test_window_attention_is_its_formula():
    query_map, source_map = draw(1, 8, 4, 3), draw(1, 8, 4, 3, seed=2)
    module = WindowCrossAttention(heads=2, window=4)
    variables = random_variables(module, query_map, source_map)
    p = as_numpy(variables)
    q = dense(np.asarray(query_map, np.float64), p["query"])
    k, v = np.split(dense(np.asarray(source_map, np.float64), p["key_value"]), 2, axis=-1)
    expected = np.zeros((1, 8, 4, 3))
    for top in (0, 4):
        cells = [(slice(top + i, top + i + 2), slice(j, j + 2)) for i in (0, 2) for j in (0, 2)]
        tokens = [np.stack([x[0, rows, columns].ravel() for rows, columns in cells]) for x in (q, k, v)]
        heads = []
        for half in (slice(0, 6), slice(6, 12)):
            logits = tokens[0][:, half] @ tokens[1][:, half].T / np.sqrt(6)
            shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            heads.append(shares @ tokens[2][:, half])
        for (rows, columns), token in zip(cells, np.concatenate(heads, -1), strict=True):
            expected[0, rows, columns] = token.reshape(2, 2, 3)
    expected = dense(expected, p["projection"])
    np.testing.assert_allclose(module.apply(variables, query_map, source_map), expected, rtol=1e-4, atol=1e-4)


def test_reversed_window_attention_takes_the_opposite_of_the_logits():
    x, y = draw(1, 5, 7, 4), draw(1, 5, 7, 4, seed=2)
    plain, reverse = (WindowCrossAttention(heads=2, window=4, reverse=r) for r in (False, True))
    variables = random_variables(plain, x, y)
    negative = jax.tree.map(lambda leaf: leaf, variables)
    negative["params"]["query"] = {"kernel": -variables["params"]["query"]["kernel"]}
    np.testing.assert_allclose(
        reverse.apply(variables, x, y), plain.apply(negative, x, y), rtol=1e-5, atol=1e-5
    )


def test_modality_embedding_is_added_before_the_block():
    x = draw(2, 4, 4, 6)
    module = BaseBlock()
    variables = random_variables(module, x, jnp.asarray([0, 1]))
    table = variables["params"]["modality"]
    alone = NAFBlock().apply({"params": variables["params"]["block"]}, x + table[:, None, None, :])
    np.testing.assert_allclose(module.apply(variables, x, jnp.asarray([0, 1])), alone, rtol=1e-6)


def test_decoder_ends_in_a_small_image():
    latents = (draw(1, 8, 8, 4), draw(1, 4, 4, 8))
    module = Decoder(widths=(12, 24), blocks=(1, 1))
    image = jax.jit(lambda key: module.init_with_output(key, latents)[0])(KEY)
    assert image.shape == (1, 8, 8, 3)
    assert np.abs(image).mean() < 0.3


def test_heads_that_do_not_divide_the_channels_are_an_error():
    x = draw(1, 4, 4, 6)
    with pytest.raises(ConfigError, match="6 channels cannot be shared out to 4"):
        ChannelCrossAttention(heads=4).init(KEY, x, x)


@pytest.mark.parametrize("rule", ["l1norm", "mean", "softmax_sum"])
def test_rules_give_equal_latents_back_and_keep_silence(rule):
    z = draw(2, 5, 6, 4)
    np.testing.assert_allclose(fuse_by_rule(z, z, rule=rule), z, rtol=1e-6)
    zero = jnp.zeros_like(z)
    np.testing.assert_array_equal(fuse_by_rule(zero, zero, rule=rule), zero)
    gradient = jax.grad(lambda a: fuse_by_rule(a, zero, rule=rule).sum())(zero)
    assert np.isfinite(gradient).all()


def test_sum_and_no_rule():
    v, i = draw(1, 3, 3, 2), draw(1, 3, 3, 2, seed=2)
    np.testing.assert_allclose(fuse_by_rule(v, i, rule="sum"), v + i)
    np.testing.assert_array_equal(fuse_by_rule(v, i, rule="none"), np.zeros((1, 3, 3, 2)))
    with pytest.raises(InputError, match="no fusion rule 'max'"):
        fuse_by_rule(v, i, rule="max")


@given(radius=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_l1_rule_weighs_by_averaged_activity(radius, seed):
    v, i = (np.asarray(draw(1, 5, 4, 3, seed=seed + k)) for k in range(2))
    activity = []
    for z in (v, i):
        padded = np.pad(np.abs(z[0]).sum(-1), radius, mode="edge")
        side = 2 * radius + 1
        activity.append(
            np.array([[padded[y : y + side, x : x + side].mean() for x in range(4)] for y in range(5)])
        )
    share = (activity[0] / (activity[0] + activity[1]))[None, :, :, None]
    fused = fuse_by_rule(jnp.asarray(v), jnp.asarray(i), l1_radius=radius)
    np.testing.assert_allclose(fused, share * v + (1 - share) * i, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["channel", "window"])
def test_fusion_starts_as_the_rule_and_leaves_it_after_a_step(attention):
    visible, infrared = (draw(1, 4, 4, 4),), (draw(1, 4, 4, 4, seed=2),)
    module = Fusion(blocks=(1,), attention=attention)
    variables = random_variables(module, visible, infrared)
    # The start of a `Fusion` without blocks is that of any other: its last layer.
    last = Fusion(blocks=(0,)).init(KEY, visible, infrared)["params"]["level_1_out"]
    variables["params"]["level_1_out"] = last

    @jax.jit
    def loss(v):
        (fused,) = module.apply(v, visible, infrared)
        return jnp.square(fused).sum(), fused

    gradient, fused = jax.grad(loss, has_aux=True)(variables)
    np.testing.assert_allclose(fused, module.by_rule(visible, infrared)[0], atol=1e-6)
    assert np.abs(gradient["params"]["level_1_out"]["kernel"]).max() > 0
    assert np.abs(gradient["params"]["level_1_join"]["kernel"]).max() == 0


def test_fusion_without_a_rule_does_not_start_at_zero():
    visible, infrared = (draw(1, 4, 4, 4),), (draw(1, 4, 4, 4, seed=2),)
    module = Fusion(blocks=(0,), rule="none")
    (fused,) = module.apply(module.init(KEY, visible, infrared), visible, infrared)
    assert np.abs(fused).max() > 1e-2


@pytest.mark.parametrize("norm", ["l2", "layernorm"])
def test_text_head(norm):
    sentence = draw(3, 20)
    module = TextHead(features=8, classes=6, norm=norm)
    variables = random_variables(module, sentence)
    description, logits = module.apply(variables, sentence)
    p = as_numpy(variables)
    s = np.asarray(sentence, np.float64)
    expected = dense(layer_norm(s, p["norm"], 1e-5) if norm == "layernorm" else s, p["describe"])
    if norm == "l2":
        expected = expected / np.linalg.norm(expected, axis=-1, keepdims=True)
    np.testing.assert_allclose(description, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, dense(expected, p["classify"]), rtol=1e-4, atol=1e-5)
