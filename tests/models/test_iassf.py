"""The network of the paper's text: sizes, Eq. 5, ablations, options, numerical behaviour."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.models.ablations import ABLATIONS
from iassf_jax.models.fusion import MultiStageFusion, max_pool
from iassf_jax.models.iassf import Iassf
from iassf_jax.models.layers.prompting import PromptGeneration
from iassf_jax.models.layers.restormer import RestormerU

KEY = jax.random.key(0)
SMALL = {"channels": 4, "prompt_size": 6, "num_prompts": 2, "tf_heads": (1, 2), "tf_blocks": (1, 1, 1)}
SMALL |= {"num_fusion_blocks": 3}


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def images(height, width, batch=1, infrared_channels=1):
    visible_key, infrared_key = jax.random.split(jax.random.key(1))
    return (
        jax.random.uniform(visible_key, (batch, height, width, 3)),
        jax.random.uniform(infrared_key, (batch, height, width, infrared_channels)),
    )


def variables_of(model, *inputs):
    """Random parameters of the size of PyTorch's initial ones, made without compiling `init`."""
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        values = rng.uniform(-1, 1, leaf.shape) / max(np.prod(leaf.shape[:-1]), 4) ** 0.5
        positive = path[-1].key in ("scale", "temperature")
        return jnp.asarray(1 + values if positive else values, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(model.init, KEY, *inputs))


def run(model, *inputs):
    variables = variables_of(model, *inputs)
    return jax.jit(model.apply)(variables, *inputs), variables


@functools.cache
def small_network():
    """Outputs and variables of the small network on its images, shared by the tests that only read them."""
    model, inputs = Iassf(**SMALL), images(20, 24, batch=2)
    outputs, variables = run(model, *inputs)
    return model, inputs, outputs, variables


@pytest.mark.parametrize(
    ("blocks", "prompt_size", "parameters"),
    [(1, 64, 1_958_568), (3, 64, 2_184_030), (5, 64, 3_049_152), (7, 64, 6_436_008), (5, 256, 17_794_752)],
)
def test_number_of_parameters(blocks, prompt_size, parameters):
    model = Iassf(num_fusion_blocks=blocks, prompt_size=prompt_size)
    assert count(jax.eval_shape(model.init, KEY, *images(16, 16))) == parameters
    assert f"| {blocks} | {prompt_size:<3} | {parameters:>10,} |" in Iassf.__doc__


def test_number_of_parameters_by_module():
    params = jax.eval_shape(Iassf().init, KEY, *images(16, 16))["params"]
    assert count(params["encoder"]["stem"]) == 648
    assert count(params["encoder"]["blocks"]) == 8_719
    assert count(params["prompt"]) == 502_613
    assert count(params["embedding"]) == 37_615
    assert count(params["transformer"]) == 857_572
    assert count(params["restored_head"]) == 651
    assert count(params["fusion"]) + count(params["fusion_prompt"]) == 1_641_334


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"num_fusion_blocks": 1, "tf_kind": "block"}, (17, 31)),
        ({"num_fusion_blocks": 3, "prompt_mode": "channel", "fusion_layout": "flat"}, (16, 16)),
        (
            {"num_fusion_blocks": 5, "tf_kind": "stack", "tf_stack_blocks": 2, "norm_kind": "bias_free"},
            (17, 31),
        ),
        ({"num_fusion_blocks": 7, "tf_kind": "block", "prompt_chain": True}, (16, 16)),
        ({"num_fusion_blocks": 4, "fusion_layout": "flat", "tf_kind": "block"}, (17, 31)),
    ],
)
def test_variants_run_on_odd_and_smallest_sizes(fields, size):
    outputs, variables = run(Iassf(**SMALL | fields), *images(*size))
    assert outputs["fused"].shape == outputs["restored"].shape == (1, *size, 3)
    assert outputs["haze_density"].shape == (1, *size)
    for leaf in jax.tree.leaves((outputs, variables)):
        assert bool(jnp.isfinite(leaf).all())
    assert float(outputs["fused"].std()) > 1e-3 and float(outputs["restored"].std()) > 1e-3


@pytest.mark.parametrize(
    ("tf_kind", "prompt_mode"), [("unet", "pool"), ("block", "channel"), ("stack", "pool")]
)
@pytest.mark.parametrize("layout", ["u", "flat"])
@pytest.mark.parametrize("blocks", [1, 3, 5, 7])
def test_every_size_of_every_layout_builds(blocks, layout, tf_kind, prompt_mode):
    fields = {"num_fusion_blocks": blocks, "fusion_layout": layout, "tf_kind": tf_kind}
    model = Iassf(**SMALL | fields, prompt_mode=prompt_mode)
    outputs, _ = jax.eval_shape(functools.partial(model.init_with_output, KEY), *images(17, 31))
    assert outputs["fused"].shape == (1, 17, 31, 3)
    widths = [outputs[f"fusion_{m}"].shape[-1] for m in range(1, blocks + 1)]
    up = {1: [4], 3: [4, 8, 4], 5: [4, 8, 16, 8, 4], 7: [4, 8, 16, 32, 16, 8, 4]}[blocks]
    assert widths == (up if layout == "u" else [4] * blocks)


def test_outputs_have_stable_names_and_float32_images():
    _, _, outputs, _ = small_network()
    assert set(outputs) == {
        "fused", "restored", "haze_density", "features_visible", "features_infrared", "prompt", "embedded",
        "mixed", "features_restored", "fusion_prompt", "fusion_1", "fusion_2", "fusion_3",
    }  # fmt: skip
    assert {leaf.dtype for leaf in outputs.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize("density", [0.0, 1.0])
def test_density_chooses_between_visible_and_infrared(density):
    model, inputs, _, variables = small_network()
    injected = jnp.full((2, 20, 24), density)
    outputs = jax.jit(model.apply)(variables, *inputs, haze_density=injected)
    other = outputs["embedded"] if density else outputs["features_visible"]
    mixed = other + outputs["features_visible"]
    np.testing.assert_allclose(outputs["mixed"], mixed, atol=1e-6)
    transformer = RestormerU(model.tf_heads, model.tf_blocks)
    expected = jax.jit(transformer.apply)({"params": variables["params"]["transformer"]}, mixed)
    np.testing.assert_allclose(outputs["features_restored"], expected, atol=1e-5)


def test_injecting_the_estimate_changes_nothing_whatever_the_padding():
    model, inputs = Iassf(**SMALL), images(17, 31)
    outputs, variables = run(model, *inputs)
    density = outputs["haze_density"]
    assert float(density.min()) >= 0 and float(density.max()) <= 1 and float(density.std()) > 1e-5
    again = jax.jit(model.apply)(variables, *inputs, haze_density=density)
    np.testing.assert_allclose(again["fused"], outputs["fused"], atol=1e-6)


def test_gradient_through_the_density_is_a_choice():
    def encoder_gradient(haze_gradient):
        model = Iassf(**SMALL | {"tf_kind": "block", "num_fusion_blocks": 1}, haze_gradient=haze_gradient)
        inputs = images(16, 16)
        variables = variables_of(model, *inputs)
        gradient = jax.jit(jax.grad(lambda v: model.apply(v, *inputs)["haze_density"].sum()))(variables)
        return max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient["params"]["encoder"]))

    assert encoder_gradient(False) == 0
    assert encoder_gradient(True) > 1e-4


# Fields of the parameter tree that an ablation removes, and what stays of an embedding block.
REMOVED = {
    "wo_fir": ["prompt", "embedding"],
    "wo_hde": [],
    "wo_pir": ["prompt", "embedding"],
    "wo_fr_peb": [],
    "wo_pvi": ["fusion_prompt"],
    "wo_fb_peb": [],
}


@pytest.mark.parametrize("ablation", REMOVED)
def test_ablation_removes_its_parameters(ablation):
    inputs = images(16, 16)
    full = jax.eval_shape(Iassf(**SMALL).init, KEY, *inputs)["params"]
    params = jax.eval_shape(Iassf(**SMALL, ablation=ablation).init, KEY, *inputs)["params"]
    assert set(full) - set(params) == set(REMOVED[ablation])
    embeddings = [params["fusion"][f"block_{m}"]["embedding"] for m in (1, 2, 3)]
    if ablation == "wo_fr_peb":
        assert set(params["embedding"]) == {"kernel"} and params["embedding"]["kernel"].shape == (8, 4)
    if ablation == "wo_fb_peb":
        assert all(set(embedding) == {"pointwise", "spatial"} for embedding in embeddings)
    if ablation == "wo_pvi":
        assert embeddings[1]["block"]["attention"]["projection"].shape == (8, 8)  # the block's own width
        assert "project_prompt" not in params["fusion"]["block_1"]
    unchanged = ("wo_hde",)
    assert (count(params) < count(full)) != (ablation in unchanged)


@pytest.mark.parametrize("ablation", ["wo_fir", "wo_hde", "wo_pir"])
def test_ablated_restoration_follows_its_formula(ablation):
    outputs, _ = run(
        Iassf(**SMALL | {"tf_kind": "block", "num_fusion_blocks": 1}, ablation=ablation), *images(16, 16)
    )
    visible, infrared, density = (
        outputs[name] for name in ("features_visible", "features_infrared", "haze_density")
    )
    h = density[..., None]
    expected = {
        "wo_fir": lambda: visible,
        "wo_hde": lambda: outputs["embedded"] + visible,
        "wo_pir": lambda: infrared * h + visible * (1.0 - h) + visible,
    }[ablation]()
    np.testing.assert_allclose(outputs["mixed"], expected, atol=1e-6)
    assert (float(jnp.abs(density).max()) == 0) == (ablation != "wo_pir")


def test_restoration_without_infrared_does_not_see_it_but_the_fusion_does():
    model = Iassf(**SMALL | {"tf_kind": "block", "num_fusion_blocks": 1}, ablation="wo_fir")
    hazy, infrared = images(16, 16)
    outputs, variables = run(model, hazy, infrared)
    other = jax.jit(model.apply)(variables, hazy, 1.0 - infrared)
    np.testing.assert_array_equal(outputs["restored"], other["restored"])
    assert float(jnp.abs(outputs["fused"] - other["fused"]).max()) > 1e-4


def test_every_ablation_is_described_and_tested():
    assert set(ABLATIONS) == {"none", *REMOVED}


def test_every_parameter_takes_part():
    model, inputs, _, variables = small_network()

    def loss(v):
        outputs = model.apply(v, *inputs)
        return jnp.square(outputs["fused"] - 0.3).mean() + jnp.square(outputs["restored"] - 0.6).mean()

    gradients = jax.tree_util.tree_leaves_with_path(jax.jit(jax.grad(loss))(variables))
    idle = [jax.tree_util.keystr(path) for path, leaf in gradients if not float(jnp.abs(leaf).max()) > 0]
    assert not idle


def test_gradients_on_flat_images_are_finite():
    model = Iassf(**SMALL | {"tf_kind": "block", "num_fusion_blocks": 1}, haze_gradient=True)
    gradient = jax.jit(jax.grad(lambda v, *flat: jnp.square(model.apply(v, *flat)["fused"]).sum()))
    for value in (0.0, 1.0):
        flat = jnp.full((1, 16, 16, 3), value), jnp.full((1, 16, 16, 1), value)
        gradients = gradient(variables_of(model, *flat), *flat)
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))


def test_images_of_a_batch_do_not_influence_each_other():
    model, (hazy, infrared), outputs, variables = small_network()
    alone = jax.jit(model.apply)(variables, hazy[1:], infrared[1:])
    for name in ("fused", "restored", "haze_density"):
        np.testing.assert_allclose(alone[name], outputs[name][1:], atol=2e-6)


def test_one_and_three_infrared_channels_agree():
    model, (hazy, infrared), outputs, variables = small_network()
    three = jax.jit(model.apply)(variables, hazy, jnp.repeat(infrared, 3, axis=-1))
    np.testing.assert_array_equal(three["fused"], outputs["fused"])


def test_jit_equals_eager():
    model, inputs, outputs, variables = small_network()
    eager = model.apply(variables, *inputs)
    for name, value in outputs.items():
        np.testing.assert_allclose(eager[name], value, atol=5e-6, err_msg=name)


def test_bfloat16_is_close_to_float32_with_the_same_float32_parameters():
    _, inputs, outputs, variables = small_network()
    half = Iassf(**SMALL, dtype="bfloat16")
    shapes = jax.eval_shape(half.init, KEY, *inputs)
    assert shapes == jax.eval_shape(lambda: variables)
    computed = jax.jit(half.apply)(variables, *inputs)
    assert computed["fusion_2"].dtype == jnp.bfloat16
    for name in ("fused", "restored", "haze_density"):
        assert computed[name].dtype == jnp.float32
    for name in ("fused", "restored"):
        np.testing.assert_allclose(computed[name], outputs[name], atol=0.03)


def test_remat_keeps_parameters_and_results():
    model, inputs, outputs, variables = small_network()
    remat = Iassf(**SMALL, remat=True)
    assert jax.eval_shape(remat.init, KEY, *inputs) == jax.eval_shape(lambda: variables)
    np.testing.assert_allclose(jax.jit(remat.apply)(variables, *inputs)["fused"], outputs["fused"], atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"share_encoder": False}, True),
        ({"prompt_chain": True}, True),
        ({"enc_blocks": 2}, True),
        ({"ffn_expansion": 2.0}, True),
        ({"norm_kind": "bias_free"}, True),
        ({"peb_heads": 2}, True),
        ({"prompt_pointwise_first": False}, False),
        ({"divide_by_airlight": False}, False),
        (
            {"haze_clip": False, "haze_window": 3, "haze_box": 5, "haze_omega": 0.5, "haze_epsilon": 1e-2},
            False,
        ),
        ({"restored_residual": True}, False),
        ({"fusion_prompt_source": "encoded"}, False),
    ],
)
def test_every_option_has_an_effect(fields, changes):
    """Either on the parameters, or on the results with the same parameters."""
    _, inputs, outputs, variables = small_network()
    model = Iassf(**SMALL, **fields)
    same_shapes = jax.eval_shape(model.init, KEY, *inputs) == jax.eval_shape(lambda: variables)
    assert same_shapes != changes
    if same_shapes:
        changed = jax.jit(lambda: model.apply(variables, *inputs))()
        names = ("fused", "restored", "haze_density")
        assert max(float(jnp.abs(changed[name] - outputs[name]).max()) for name in names) > 1e-6


def test_prompt_is_a_mixture_of_the_pool():
    x = jax.random.normal(KEY, (2, 6, 6, 4))
    generation = PromptGeneration(num_prompts=3, size=6)
    prompt, variables = run(generation, x)
    params = variables["params"]
    # With equal logits every prompt has a third; the pool has the feature's size and is not resized.
    params["weight_linear"] = jax.tree.map(jnp.zeros_like, params["weight_linear"])
    params["pointwise"]["kernel"] = jnp.eye(4)
    params["spatial"]["kernel"] = jnp.zeros((3, 3, 4, 4)).at[1, 1].set(jnp.eye(4))
    mean = jax.tree.leaves(params["pool"])[0].mean(axis=0)
    actual = generation.apply({"params": params}, x)
    np.testing.assert_allclose(actual, jnp.broadcast_to(mean[None], actual.shape), atol=1e-6)
    assert float(jnp.abs(prompt[0] - prompt[1]).max()) > 1e-6  # the weights depend on the image


def test_channel_prompt_with_equal_weights_is_the_stored_prompt():
    x = jnp.zeros((1, 6, 6, 4))
    generation = PromptGeneration(mode="channel", size=6)
    params = variables_of(generation, x)["params"]
    params["weight_linear"] = jax.tree.map(jnp.zeros_like, params["weight_linear"])
    params["pointwise"]["kernel"] = jnp.eye(4)
    params["spatial"]["kernel"] = jnp.zeros((3, 3, 4, 4)).at[1, 1].set(jnp.eye(4))
    stored = jax.tree.leaves(params["pool"])[0]
    np.testing.assert_allclose(generation.apply({"params": params}, x), stored, atol=1e-6)


@pytest.mark.parametrize(
    ("blocks", "layout", "residuals"), [(1, "u", 0), (3, "u", 1), (5, "u", 2), (7, "u", 3)]
)
def test_u_fusion_has_its_residual_connections(blocks, layout, residuals):
    x = jnp.zeros((1, 16, 16, 4))
    params = jax.eval_shape(MultiStageFusion(blocks, layout).init, KEY, x, x, x)["params"]
    assert sum(name.startswith("skip_") for name in params) == residuals


def test_max_pool():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(max_pool(x)[0, :, :, 0], [[5, 7], [13, 15]])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tf_kind": "unnet"}, "tf_kind must be one of .*unet"),
        ({"norm_kind": "batch"}, "norm_kind"),
        ({"prompt_mode": "spatial"}, "prompt_mode"),
        ({"fusion_layout": "v"}, "fusion_layout"),
        ({"ablation": "wo_all"}, "ablation"),
        ({"dtype": "float16"}, "dtype"),
        ({"channels": 5}, "channels must be even"),
        ({"num_prompts": 0}, "num_prompts must be at least 1, not 0"),
    ],
)
def test_impossible_fields_are_errors_at_construction(fields, message):
    with pytest.raises(ConfigError, match=message):
        Iassf(**fields)


def test_even_number_of_blocks_in_a_u_is_an_error():
    with pytest.raises(ConfigError, match="1, 3, 5, 7, ..., not 4"):
        jax.eval_shape(Iassf(**SMALL | {"num_fusion_blocks": 4}).init, KEY, *images(16, 16))


@pytest.mark.parametrize(
    ("visible", "infrared", "density", "message"),
    [
        ((1, 15, 40, 3), (1, 15, 40, 1), None, "15x40 pixels are too small"),
        ((1, 16, 16, 3), (1, 16, 18, 1), None, "does not fit visible"),
        ((1, 16, 16, 3), (1, 16, 16, 2), None, "does not fit visible"),
        ((1, 16, 16, 3), (1, 16, 16, 1), (1, 16, 18), "expected \\(1, 16, 16\\)"),
    ],
)
def test_shapes_that_do_not_fit_are_errors(visible, infrared, density, message):
    density = None if density is None else jnp.zeros(density)
    with pytest.raises(InputError, match=message):
        Iassf(**SMALL).init(KEY, jnp.zeros(visible), jnp.zeros(infrared), haze_density=density)


def test_density_for_an_ablation_without_one_is_an_error():
    with pytest.raises(InputError, match="wo_hde.* uses no haze density"):
        Iassf(**SMALL, ablation="wo_hde").init(KEY, *images(16, 16), haze_density=jnp.zeros((1, 16, 16)))
