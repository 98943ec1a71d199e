"""Restormer's layers against float64 NumPy written from the formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from iassf_jax.core.errors import ConfigError
from iassf_jax.models.layers.restormer import (
    GDFN,
    MDTA,
    Downsample,
    LayerNorm,
    RestormerBlock,
    RestormerOptions,
    RestormerStack,
    RestormerU,
    Upsample,
    channel_attention,
    gelu,
)

KEY = jax.random.key(0)


def normal(rng, *shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def parameters(rng, layer, x):
    """Random values for all parameters: no symmetric ones as at the start, and nothing to compile."""
    shapes = jax.eval_shape(layer.init, KEY, x)["params"]
    return jax.tree.map(lambda leaf: normal(rng, *leaf.shape) / max(leaf.shape[0], 4) ** 0.5, shapes)


def depthwise_reference(x, kernel):
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    h, w = x.shape[1:3]
    return sum(padded[:, i : i + h, j : j + w] * kernel[i, j] for i in range(3) for j in range(3))


def mdta_reference(x, params, heads):
    """MDTA in float64, attention and projection one after the other, L2 norms taken on the maps."""
    b, h, w, c = x.shape
    qkv = depthwise_reference(x @ params["qkv"]["kernel"], params["qkv_depthwise"]["kernel"])
    q, k, v = (
        part.reshape(b, h * w, heads, c // heads).transpose(0, 2, 3, 1) for part in np.split(qkv, 3, axis=-1)
    )
    q, k = (part / np.linalg.norm(part, axis=-1, keepdims=True) for part in (q, k))
    logits = q @ k.transpose(0, 1, 3, 2) * params["temperature"][:, None, None]
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    out = (weights / weights.sum(axis=-1, keepdims=True)) @ v
    return out.transpose(0, 3, 1, 2).reshape(b, h, w, c) @ params["projection"]


def gdfn_reference(x, params):
    both = depthwise_reference(x @ params["project_in"]["kernel"], params["depthwise"]["kernel"])
    a, b = np.split(both, 2, axis=-1)
    return (0.5 * a * (1 + erf(a / np.sqrt(2))) * b) @ params["project_out"]["kernel"]


def as_float64(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def test_layer_norm_with_bias_matches_its_formula(rng):
    x, scale, bias = normal(rng, 2, 3, 5, 6), normal(rng, 6), normal(rng, 6)
    y = LayerNorm("with_bias").apply({"params": {"scale": scale, "bias": bias}}, x)
    wide = np.asarray(x, np.float64)
    expected = (wide - wide.mean(-1, keepdims=True)) / np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected * np.asarray(scale) + np.asarray(bias), atol=2e-6)


def test_bias_free_layer_norm_keeps_the_mean_and_has_no_bias(rng):
    x, scale = normal(rng, 2, 3, 5, 6) + 3, normal(rng, 6)
    layer = LayerNorm("bias_free")
    assert set(jax.eval_shape(layer.init, KEY, x)["params"]) == {"scale"}
    wide = np.asarray(x, np.float64)
    expected = wide / np.sqrt(wide.var(-1, keepdims=True) + 1e-5) * np.asarray(scale)
    np.testing.assert_allclose(layer.apply({"params": {"scale": scale}}, x), expected, rtol=2e-6)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_mdta_matches_numpy(rng, heads):
    x = normal(rng, 2, 5, 7, 8)
    layer = MDTA(heads)
    params = parameters(rng, layer, x)
    expected = mdta_reference(np.asarray(x, np.float64), as_float64(params), heads)
    actual = layer.apply({"params": params}, x)
    np.testing.assert_allclose(actual, expected, atol=2e-5 * np.abs(expected).max())


def test_channel_attention_is_a_distribution_that_ignores_the_scale_of_the_maps(rng):
    q, k = (normal(rng, 2, 50, 6) for _ in range(2))
    attention = channel_attention(q, k, jnp.array([1.0, 3.0]))
    assert attention.shape == (2, 2, 3, 3)
    np.testing.assert_allclose(attention.sum(axis=-1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(
        channel_attention(40.0 * q, 0.1 * k, jnp.array([1.0, 3.0])), attention, rtol=1e-5
    )


def test_mdta_rejects_heads_that_do_not_divide_the_channels():
    with pytest.raises(ConfigError, match="8 channels .* 3 attention heads"):
        MDTA(3).init(KEY, jnp.zeros((1, 4, 4, 8)))


def test_gdfn_matches_numpy_and_rounds_its_width_down(rng):
    x = normal(rng, 2, 5, 7, 6)
    layer = GDFN(2.66)
    params = parameters(rng, layer, x)
    assert params["project_out"]["kernel"].shape == (15, 6)  # 2.66 * 6 = 15.96
    expected = gdfn_reference(np.asarray(x, np.float64), as_float64(params))
    np.testing.assert_allclose(
        layer.apply({"params": params}, x), expected, atol=2e-6 * np.abs(expected).max()
    )


def test_gelu_is_the_exact_one():
    x = jnp.linspace(-6, 6, 121).reshape(1, 11, 11, 1)
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), atol=5e-7)
    assert gelu(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_block_is_two_residual_steps(rng):
    x = normal(rng, 1, 6, 5, 8)
    block = RestormerBlock(2, RestormerOptions(norm_kind="bias_free"))
    params = parameters(rng, block, x)
    norm = LayerNorm("bias_free")
    first = norm.apply({"params": params["norm_1"]}, x)
    middle = x + MDTA(2).apply({"params": params["attention"]}, first)
    second = norm.apply({"params": params["norm_2"]}, middle)
    expected = middle + GDFN().apply({"params": params["feed_forward"]}, second)
    np.testing.assert_allclose(block.apply({"params": params}, x), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("width", "heads", "parameters"), [(24, 1, 8_719), (48, 2, 31_280), (96, 4, 117_874)]
)
def test_block_has_the_published_number_of_parameters(width, heads, parameters):
    shapes = jax.eval_shape(RestormerBlock(heads).init, KEY, jnp.zeros((1, 8, 8, width)))
    assert count(shapes) == parameters


@pytest.mark.parametrize("value", [0.0, 1.0, -7.5])
def test_gradients_on_flat_features_are_finite(rng, value):
    layer = MDTA(2)
    x = jnp.full((1, 6, 6, 4), value)
    loss = jax.jit(jax.grad(lambda p, x: jnp.square(layer.apply({"params": p}, x)).sum(), argnums=(0, 1)))
    gradients = loss(parameters(rng, layer, x), x)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))


def test_resizing_layers_trade_channels_for_resolution(rng):
    x = normal(rng, 1, 6, 8, 4)
    down, parameters = Downsample().init_with_output(KEY, x)
    up, up_parameters = Upsample().init_with_output(KEY, x)
    assert (down.shape, up.shape) == ((1, 3, 4, 8), (1, 12, 16, 2))
    assert (count(parameters), count(up_parameters)) == (9 * 4 * 2, 9 * 4 * 8)
    # An output pixel sees its own 2x2 square and one pixel around it, nothing else.
    reach = jax.grad(lambda x: Downsample().apply(parameters, x)[0, 1, 1].sum())(x)
    touched = (
        np.flatnonzero(np.abs(reach).sum(axis=(0, 2, 3))),
        np.flatnonzero(np.abs(reach).sum(axis=(0, 1, 3))),
    )
    assert [list(axis) for axis in touched] == [[1, 2, 3, 4], [1, 2, 3, 4]]


def test_u_has_skips_and_no_final_residual(rng):
    u = RestormerU(heads=(1, 2), blocks=(1, 0, 1))
    x = normal(rng, 1, 8, 12, 4)
    params = parameters(rng, u, x)
    apply = jax.jit(lambda kernel: u.apply({"params": params | {"skip_1": {"kernel": kernel}}}, x))
    kernel = params["skip_1"]["kernel"]
    assert kernel.shape == (8, 4)
    from_below, skipped = (apply(kernel.at[half].set(0.0)) for half in (slice(4, 8), slice(0, 4)))
    assert from_below.shape == x.shape
    assert min(float(from_below.std()), float(skipped.std())) > 1e-2
    # Without both, only the biases of the last block's norms are left: the same value in all inner pixels.
    np.testing.assert_allclose(apply(jnp.zeros_like(kernel))[0, 2:-2, 2:-2].std(axis=(0, 1)), 0.0, atol=1e-5)


def test_u_of_the_paper_has_its_number_of_parameters():
    shapes = jax.eval_shape(RestormerU().init, KEY, jnp.zeros((1, 16, 16, 24)))
    assert count(shapes) == 857_572


def test_u_rejects_blocks_that_do_not_fit_its_levels():
    with pytest.raises(ConfigError, match="3 levels has 5 stages"):
        RestormerU(heads=(1, 2, 4), blocks=(2, 2, 2))


def test_unknown_norm_is_an_error():
    with pytest.raises(ConfigError, match="with_bias"):
        RestormerOptions(norm_kind="batch")


def test_recomputation_changes_neither_parameters_nor_gradients(rng):
    x = normal(rng, 1, 6, 6, 4)
    plain, remat = (RestormerStack(1, 2, RestormerOptions(remat=flag)) for flag in (False, True))
    params = parameters(rng, plain, x)
    assert jax.eval_shape(plain.init, KEY, x) == jax.eval_shape(remat.init, KEY, x)
    gradients = [
        jax.jit(jax.grad(lambda p, m=m: jnp.square(m.apply({"params": p}, x)).sum()))(params)
        for m in (plain, remat)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5), *gradients)


def test_bfloat16_stays_close_to_float32_and_keeps_float32_parameters(rng):
    x = normal(rng, 1, 8, 8, 8)
    plain, half = RestormerBlock(2), RestormerBlock(2, RestormerOptions(dtype=jnp.bfloat16))
    assert jax.eval_shape(half.init, KEY, x.astype(jnp.bfloat16)) == jax.eval_shape(plain.init, KEY, x)
    params = parameters(rng, plain, x)
    y = jax.jit(half.apply)({"params": params}, x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    expected = jax.jit(plain.apply)({"params": params}, x)
    np.testing.assert_allclose(y.astype(jnp.float32), expected, atol=0.02 * float(jnp.abs(expected).max()))
