"""The ablations of Table VII in the released network: what they remove is gone, the rest the formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import models
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.models.ablations import ABLATIONS

FIELDS = {
    "embed_dims": (8, 8, 8, 8, 8),
    "depths": (1, 1, 1, 1, 1),
    "num_heads": (2, 2, 2, 1, 1),
    "prompt_size": 12,
    "fusion_width": 4,
    "fusion_prompt_size": 10,
    "num_fusion_blocks": 3,
}
PROMPT = "PromptGenerationAndEmbeddingBlock"
EMBEDDINGS = ("prompt_in_blocks_enc_0", "prompt_in_blocks_enc_1", "prompt_in_blocks_dec_0")


def network(ablation, size=(20, 24)):
    rng = np.random.default_rng(0)
    inputs = [jnp.asarray(rng.random((1, *size, c)), jnp.float32) for c in (3, 1)]
    model = models.create("iassf_released", ablation=ablation, **FIELDS)
    return model, inputs, jax.eval_shape(model.init, jax.random.key(0), *inputs)["params"]


def paths(params):
    return {
        jax.tree_util.keystr(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }


def within(params, part, *names):
    """Paths of everything below modules of `part`."""
    starts = tuple(f"['{part}']['{name}']" for name in names)
    return {path for path in paths(params) if path.startswith(starts)}


@pytest.mark.parametrize("ablation", [name for name in ABLATIONS if name != "none"])
def test_what_an_ablation_removes_has_no_parameters(ablation):
    full, params = paths(network("none")[2]), paths(network(ablation)[2])
    tree = network("none")[2]
    attention = {p for p in full if "['attention']" in p}
    prompt, fusion = within(tree, "dehaze", PROMPT), within(tree, "fusion", *EMBEDDINGS)
    generation = within(tree, "fusion", "prompt_gen_block") | {p for p in full if "prompt_adjust" in p}
    removed = {
        "wo_fir": prompt,
        "wo_hde": set(),
        "wo_pir": prompt,
        "wo_fr_peb": prompt & (attention | {f"['dehaze']['{PROMPT}']['conv3x3_embed']['kernel']"}),
        "wo_pvi": generation,
        "wo_fb_peb": fusion & attention,
    }[ablation]
    assert (ablation == "wo_hde") != bool(removed)
    assert set(full) - set(params) == removed and not set(params) - set(full)
    widths = [params[f"['fusion']['{name}']['conv1x1']['kernel']"][0] for name in EMBEDDINGS]
    assert widths == ([4, 8, 4] if ablation == "wo_pvi" else [8, 16, 8])  # of the feature, and the prompt


@pytest.mark.parametrize("ablation", ["wo_fir", "wo_hde", "wo_pir", "wo_fr_peb"])
def test_the_restoration_gets_what_the_formula_says(ablation):
    model, (hazy, infrared), shapes = network(ablation)
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda s: rng.normal(0.3, 0.3, s.shape).astype(np.float32), shapes)

    @jax.jit
    def taps(params, infrared):
        out = model.apply({"params": params}, hazy, infrared)
        return {k: out[f"dehaze/{k}"] for k in ("combined", "enc_vi", "enc_ir", "density")} | {
            k: out[f"dehaze/{k}"] for k in ("peb_out", "prompt") if f"dehaze/{k}" in out
        }

    found = taps(params, infrared)
    vi, ir, h = found["enc_vi"], found["enc_ir"], found["density"][..., None]
    if ablation == "wo_fr_peb":
        joint = jnp.concatenate([ir, found["prompt"]], axis=-1)
        ir = joint @ params["dehaze"][PROMPT]["conv1x1_embed"]["kernel"]
    expected = {
        "wo_fir": lambda: vi,
        "wo_hde": lambda: found["peb_out"] + vi,
        "wo_pir": lambda: ir * h + vi * (1 - h) + vi,
        "wo_fr_peb": lambda: ir * h + vi * (1 - h) + vi,
    }[ablation]()
    np.testing.assert_allclose(found["combined"], expected, rtol=1e-5, atol=1e-4)
    assert (float(jnp.abs(h).max()) == 0) == (ablation in ("wo_fir", "wo_hde"))
    other = taps(params, 1.0 - infrared)["combined"]
    assert bool((other == found["combined"]).all()) == (ablation == "wo_fir")


def test_impossible_requests_are_refused():
    with pytest.raises(ConfigError, match="wo_fir, wo_hde.*not 'wo_all'"):
        models.create("iassf_released", ablation="wo_all")
    model, inputs, _ = network("wo_hde")
    with pytest.raises(InputError, match="'wo_hde' uses no haze density"):
        jax.eval_shape(lambda: model.init(jax.random.key(0), *inputs, haze_density=jnp.zeros((1, 20, 24))))
