"""The released network against a NumPy implementation of its description, and what must hold besides."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import models
from iassf_jax.checkpoints.released_names import to_released
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.models.inputs import check_inputs
from iassf_jax.models.layers.windowed_attention import attention_blocks
from tests.models import released_reference as reference

FIELDS: dict[str, Any] = {
    "embed_dims": (8, 8, 12, 8, 8),
    "depths": (1, 2, 1, 1, 1),
    "num_heads": (2, 2, 3, 1, 1),
    "attn_ratios": (0.0, 0.5, 1.0, 0.0, 1.0),
    "prompt_size": 12,
    "fusion_width": 4,
    "fusion_prompt_size": 10,
}
SIZE = (36, 44)  # a multiple of 4 at full size, of the window at no resolution


@functools.cache
def network(num_fusion_blocks: int = 3):
    """Model and variables with every parameter moved away from its initial value."""
    model = models.create("iassf_released", num_fusion_blocks=num_fusion_blocks, **FIELDS)
    return model, moved_variables(model)


def moved_variables(model):
    shapes = jax.eval_shape(model.init, jax.random.key(0), *images())
    rng = np.random.default_rng(1)

    def value(path, shape):
        name = path[-1].key
        centre = 1.0 if name == "scale" or "meta1" in jax.tree_util.keystr(path) and name == "bias" else 0.0
        spread = 0.1 if len(shape.shape) < 2 else 0.7 / np.sqrt(max(np.prod(shape.shape[:-1]), 4))
        return (centre + spread * rng.standard_normal(shape.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(value, shapes)


@functools.cache
def images(size: tuple[int, int] = SIZE) -> tuple[jax.Array, jax.Array]:
    rng = np.random.default_rng(2)
    ramp = np.linspace(0, 1, size[0])[:, None, None] * np.linspace(0.3, 1, size[1])[None, :, None]
    hazy = 0.5 + 0.3 * ramp + 0.2 * rng.random((*size, 3))
    infrared = 0.7 * ramp[::-1] + 0.3 * rng.random((*size, 1))
    return jnp.asarray(hazy[None], jnp.float32), jnp.asarray(infrared[None], jnp.float32)


@functools.cache
def forward(num_fusion_blocks: int = 3):
    model = network(num_fusion_blocks)[0]
    return jax.jit(lambda v, h, i, d=None: model.apply(v, h, i, haze_density=d))


def released_state(variables, part: str) -> reference.Parameters:
    flat = jax.tree_util.tree_flatten_with_path(variables["params"][part])[0]
    named = (to_released(tuple(k.key for k in path), np.asarray(leaf)) for path, leaf in flat)
    return reference.Parameters(dict(named))


def reference_outputs(variables, hazy, infrared, *, stages: int = 2, haze=None) -> dict[str, np.ndarray]:
    h, w = hazy.shape[1:3]
    vis, ir = (
        np.broadcast_to(np.moveaxis(2.0 * np.asarray(x[0], np.float64) - 1.0, -1, 0), (3, h, w))
        for x in (hazy, infrared)
    )
    restored, infrared3, haze = reference.dehaze(
        vis, ir, released_state(variables, "dehaze"),
        depths=FIELDS["depths"], num_heads=FIELDS["num_heads"], prompt_heads=2, haze=haze,
    )  # fmt: skip
    fused = reference.fuse(restored, infrared3, released_state(variables, "fusion"), stages=stages)
    to_unit = {"restored": restored, "fused": fused}
    return {k: np.moveaxis(0.5 * (v + 1.0), 0, -1)[None] for k, v in to_unit.items()} | {
        "haze_density": haze[None]
    }


@pytest.mark.parametrize("num_fusion_blocks", [1, 3, pytest.param(5, marks=pytest.mark.slow), 7])
def test_agrees_with_the_reference_for_every_number_of_fusion_blocks(num_fusion_blocks):
    variables = network(num_fusion_blocks)[1]
    size = (40, 48) if num_fusion_blocks == 7 else SIZE
    hazy, infrared = images(size)
    haze = np.random.default_rng(3).random((1, *size)).astype(np.float32)
    ours = forward(num_fusion_blocks)(variables, hazy, infrared, haze)
    stages = (num_fusion_blocks + 1) // 2
    expected = reference_outputs(variables, hazy, infrared, stages=stages, haze=haze[0].astype(np.float64))
    for name in ("restored", "fused"):
        np.testing.assert_allclose(ours[name], expected[name], atol=2e-5 * np.abs(expected[name]).max())


def test_estimated_density_agrees_with_opencv_up_to_single_grey_levels():
    _, variables = network()
    ours = forward()(variables, *images())
    expected = reference_outputs(variables, *images())
    error = np.abs(ours["haze_density"] - expected["haze_density"])
    # A last-bit difference can move single pixels by one of 256 levels before the filters.
    assert np.percentile(error, 99) < 1e-4 and error.max() < 5e-3
    assert np.abs(ours["fused"] - expected["fused"]).max() < 5e-3


def test_gradient_agrees_with_finite_differences_of_the_reference():
    model, variables = network()
    hazy, infrared = images()
    haze = jnp.full((1, *SIZE), 0.4)
    weights = np.random.default_rng(4).standard_normal((1, *SIZE, 3)).astype(np.float32)

    @jax.jit
    @jax.grad
    def gradient(params):
        out = model.apply({"params": params}, hazy, infrared, haze_density=haze)
        return ((out["fused"] + out["restored"]) * weights).mean()

    grads = gradient(variables["params"])
    rng = np.random.default_rng(5)
    direction = jax.tree.map(lambda p: rng.standard_normal(p.shape) * np.std(p), variables["params"])

    def reference_value(t: float) -> float:
        moved = jax.tree.map(lambda p, d: np.asarray(p, np.float64) + t * d, variables["params"], direction)
        out = reference_outputs({"params": moved}, hazy, infrared, haze=np.asarray(haze[0], np.float64))
        return float(((out["fused"] + out["restored"]) * weights).mean())

    step = 1e-5
    expected = (reference_value(step) - reference_value(-step)) / (2 * step)
    ours = sum(jax.tree.leaves(jax.tree.map(lambda g, d: float((np.asarray(g) * d).sum()), grads, direction)))
    assert ours == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("size", [(17, 31), (70, 85)])
def test_other_sizes_are_padded_by_reflection_and_cropped(size):
    model, variables = network()
    h, w = size
    hazy, infrared = images(size)
    pads = ((0, 0), (0, -h % 4), (0, -w % 4), (0, 0))
    padded = [jnp.asarray(np.pad(x, pads, mode="reflect")) for x in (hazy, infrared)]
    ours, whole = forward()(variables, hazy, infrared), forward()(variables, *padded)
    assert ours["haze_density"].shape == (1, h, w)
    for name in ("fused", "restored"):
        assert ours[name].shape == (1, h, w, 3)
        np.testing.assert_allclose(ours[name], whole[name][:, :h, :w], atol=1e-5)


def test_examples_of_a_batch_do_not_touch_each_other():
    _, variables = network()
    hazy, infrared = images()
    other = forward()(variables, hazy[:, ::-1], infrared)
    both = forward()(variables, jnp.concatenate([hazy, hazy[:, ::-1]]), jnp.concatenate([infrared, infrared]))
    np.testing.assert_allclose(both["fused"][1:], other["fused"], atol=2e-5)


def test_one_and_three_channel_infrared_are_the_same():
    _, variables = network()
    hazy, infrared = images()
    one = forward()(variables, hazy, infrared)
    three = forward()(variables, hazy, jnp.repeat(infrared, 3, axis=-1))
    np.testing.assert_array_equal(one["fused"], three["fused"])


def test_flat_images_have_finite_gradients():
    model, variables = network(1)
    flat = jnp.ones((1, 16, 16, 3))

    @jax.jit
    @jax.grad
    def gradient(params):
        return model.apply({"params": params}, flat, flat[..., :1])["fused"].sum()

    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(variables["params"])))


def test_bfloat16_computes_in_bfloat16_and_stays_close():
    _, variables = network(1)
    model = models.create("iassf_released", dtype="bfloat16", num_fusion_blocks=1, **FIELDS)
    haze = jnp.full((1, *SIZE), 0.5)
    half = jax.jit(model.apply)(variables, *images(), haze_density=haze)
    full = forward(1)(variables, *images(), haze)
    assert half["dehaze/layer1"].dtype == jnp.bfloat16 and half["fused"].dtype == jnp.float32
    spread = float(full["fused"].std())
    assert 1e-6 < float(jnp.abs(half["fused"] - full["fused"]).mean()) < 0.1 * spread


def test_parameter_counts_are_the_released_ones():
    model = models.create("iassf_released")
    params = jax.eval_shape(model.init, jax.random.key(0), *images())["params"]
    count = {part: sum(leaf.size for leaf in jax.tree.leaves(tree)) for part, tree in params.items()}
    unused = 1 + 1 + 24 * 24 + 24 * 24  # of the released dehaze network, not built here
    assert count == {"dehaze": 9_184_895 - unused, "fusion": 2_013_681}


def initial_values(model, *modules: str):
    """Initial parameters of these modules of the dehaze network; the others are not compiled."""

    @jax.jit
    def init(key, *inputs):
        dehaze = model.init(key, *inputs)["params"]["dehaze"]
        return {name: dehaze[name] for name in modules}

    return init(jax.random.key(0), *images((16, 16)))


def test_initial_values_follow_the_released_rules():
    model = models.create(
        "iassf_released", depths=(1, 1, 2, 1, 1), prompt_size=8, fusion_prompt_size=8, num_fusion_blocks=1
    )
    params = initial_values(model, "layer3", "patch_merge2", "PromptGenerationAndEmbeddingBlock")
    block = params["layer3"]["blocks_1"]
    gain = (8 * 6) ** -0.25
    assert np.std(block["mlp"]["mlp_0"]["kernel"]) == pytest.approx(gain * np.sqrt(2 / (96 + 384)), rel=0.02)
    assert np.std(block["attn"]["QK"]["kernel"]) == pytest.approx(np.sqrt(2 / (96 + 192)), rel=0.02)
    assert np.std(block["attn"]["conv"]["kernel"]) == pytest.approx(gain * np.sqrt(2 / (25 * 97)), rel=0.1)
    assert np.all(block["norm1"]["meta1"]["bias"] == 1) and np.all(block["norm1"]["meta2"]["bias"] == 0)
    merge = np.abs(params["patch_merge2"]["proj"]["kernel"]).max()
    assert 0.95 / np.sqrt(4 * 48) < merge <= 1 / np.sqrt(4 * 48)
    pool = params["PromptGenerationAndEmbeddingBlock"]["prompt_param"]
    assert 0 <= pool.min() < 0.01 and 0.99 < pool.max() < 1


@pytest.mark.parametrize(
    ("depth", "ratio", "expected"),
    [(8, 0.25, [6, 7]), (8, 0.75, [2, 3, 4, 5, 6, 7]), (4, 0.0, []), (3, 1 / 3, [2]), (2, 1.0, [0, 1])],
)
def test_the_last_blocks_of_a_layer_attend(depth, ratio, expected):
    assert [i for i, attends in enumerate(attention_blocks(depth, ratio)) if attends] == expected


def test_bad_settings_and_shapes_are_named():
    hazy, infrared = images()
    with pytest.raises(ConfigError, match="1, 3, 5 or 7, not 4"):
        jax.eval_shape(
            models.create("iassf_released", num_fusion_blocks=4).init, jax.random.key(0), hazy, infrared
        )
    with pytest.raises(ConfigError, match="window must be at least 1, not 0"):
        models.create("iassf_released", window=0)
    with pytest.raises(ConfigError, match="embed_dims must be at least 1, not .*-8"):
        models.create("iassf_released", embed_dims=(24, -8, 24, 24, 24))
    with pytest.raises(ConfigError, match="did you mean 'embed_dims'"):
        models.create("iassf_released", embed_dim=8)
    with pytest.raises(ConfigError, match="did you mean 'iassf_released'"):
        models.create("iassf_relased")
    with pytest.raises(InputError, match="does not fit"):
        check_inputs(hazy, infrared[:, 1:])
    with pytest.raises(InputError, match="too small"):
        check_inputs(hazy[:, :15], infrared[:, :15])


def test_float16_stays_close():
    _, variables = network(1)
    model = models.create("iassf_released", dtype="float16", num_fusion_blocks=1, **FIELDS)
    haze = jnp.full((1, *SIZE), 0.5)
    half = jax.jit(model.apply)(variables, *images(), haze_density=haze)
    full = forward(1)(variables, *images(), haze)
    np.testing.assert_allclose(half["fused"], full["fused"], atol=0.02 * float(jnp.abs(full["fused"]).max()))


def shallow_loss(**how):
    """A shallow network computed in some way, and a loss of its variables."""
    model = models.create(
        "iassf_released", **{**FIELDS, "depths": (1, 1, 1, 1, 1), "num_fusion_blocks": 1, **how}
    )
    inputs = images((16, 16))  # kept for all tests, so not to be made while tracing
    return model, lambda variables: (model.apply(variables, *inputs)["fused"] ** 2).mean()


@pytest.mark.parametrize("how", [{"remat": True}, {"remat": True, "pallas": True}])
def test_remat_and_kernels_keep_parameters_results_and_gradients(how):
    (plain, loss), (other, other_loss) = shallow_loss(), shallow_loss(**how)
    variables = moved_variables(plain)
    shapes = jax.eval_shape(other.init, jax.random.key(0), *images((16, 16)))
    assert shapes == jax.eval_shape(lambda: variables)
    a, b = (jax.jit(jax.value_and_grad(function))(variables) for function in (loss, other_loss))
    np.testing.assert_allclose(a[0], b[0], rtol=1e-5)
    for x, y in zip(jax.tree.leaves(a[1]), jax.tree.leaves(b[1]), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


@pytest.mark.parametrize("pallas", [True, False])
def test_gpus_get_the_kernels_if_asked_for(pallas, lower_for_gpu):
    model, loss = shallow_loss(pallas=pallas)
    text = lower_for_gpu(jax.value_and_grad(loss), moved_variables(model))
    assert all((name in text) == pallas for name in ("_attend_kernel", "_gradient_kernel", "_add_rows"))


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ConfigError, match="float32, bfloat16, float16"):
        models.create("iassf_released", dtype="float8")
