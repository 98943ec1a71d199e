"""LURE's losses: zero where they should be, blind to what they should not see, equal to their formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from iassf_jax.core.errors import CheckpointError, ConfigError, InputError
from iassf_jax.losses import lure_fusion_loss, lure_restoration_loss
from iassf_jax.losses.lure_terms import (
    SIMILARITIES,
    color_error,
    edge_error,
    edge_sobel,
    fused_edge_error,
    similarity,
)
from iassf_jax.losses.vgg import load_vgg

restoration_loss = jax.jit(partial(lure_restoration_loss, clean_class=3))
alike = jax.jit(lambda a, b, kind: similarity(a, b, kind=kind), static_argnums=2)


@partial(jax.jit, static_argnums=(2, 3))
def fusion_loss(outputs, batch, alpha_grad=1.0, alpha_int=1.0):
    return lure_fusion_loss(outputs, batch, alpha_grad=alpha_grad, alpha_int=alpha_int)


def image(seed, channels=3, batch=2, side=8):
    return jax.random.uniform(jax.random.key(seed), (batch, side, side, channels))


def latent(seed, channels=4):
    return jax.random.normal(jax.random.key(seed), (2, 6, 5, channels))


@pytest.mark.parametrize("kind", SIMILARITIES)
def test_a_latent_is_like_itself_and_scale_does_not_matter(kind):
    z, other = latent(0), latent(1)
    np.testing.assert_allclose(alike(z, z, kind), 1.0, atol=1e-5)
    np.testing.assert_allclose(alike(z, -z, kind), -1.0, atol=1e-5)
    np.testing.assert_allclose(alike(3.0 * z, other, kind), alike(z, 0.2 * other, kind), atol=1e-5)
    zero = jnp.zeros_like(z)
    gradient = jax.grad(lambda a: alike(a, zero, kind).sum())(zero)
    assert np.isfinite(gradient).all()


@given(shift=st.floats(0.5, 3.0), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_only_the_correlation_is_blind_to_a_constant(shift, seed):
    z, other = latent(seed), latent(seed + 100)
    moved = z + shift * jnp.arange(1.0, 5.0)[None, None, None]
    np.testing.assert_allclose(
        similarity(moved, other, kind="cc"), similarity(z, other, kind="cc"), atol=1e-4
    )
    np.testing.assert_allclose(similarity(moved, z, kind="cc"), 1.0, atol=1e-4)
    for kind in ("cos_pixel", "cos_flat"):
        assert np.max(similarity(moved, z, kind=kind)) < 0.99


def test_similarities_are_their_formulas():
    a, b = (np.asarray(latent(seed), np.float64) for seed in (0, 1))
    pixel = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
    flat = (a * b).sum((1, 2, 3)) / np.sqrt((a**2).sum((1, 2, 3)) * (b**2).sum((1, 2, 3)))
    cc = [[np.corrcoef(a[n, ..., c].ravel(), b[n, ..., c].ravel())[0, 1] for c in range(4)] for n in range(2)]
    expected = {"cos_pixel": pixel.mean((1, 2)), "cos_flat": flat, "cc": np.mean(cc, axis=1)}
    for kind, value in expected.items():
        np.testing.assert_allclose(alike(latent(0), latent(1), kind), value, atol=1e-5)
    with pytest.raises(InputError, match="gamma is 'dot'"):
        similarity(latent(0), latent(1), kind="dot")


def test_flat_images_have_no_edges_and_steps_have_theirs():
    across, along = edge_sobel(jnp.full((1, 5, 6, 1), 0.7))
    np.testing.assert_allclose(across, 0.0, atol=1e-6)
    np.testing.assert_allclose(along, 0.0, atol=1e-6)
    step = jnp.zeros((1, 5, 6, 1)).at[:, :, 3:].set(1.0)
    across, along = edge_sobel(step)
    np.testing.assert_allclose(across[0, :, :, 0], np.tile([0, 0, 4, 4, 0, 0], (5, 1)), atol=1e-6)
    np.testing.assert_allclose(along, 0.0, atol=1e-6)
    # The size of an edge counts and not its sign.
    np.testing.assert_allclose(edge_error(1.0 - step, step), 0.0, atol=1e-6)
    np.testing.assert_allclose(edge_error(jnp.zeros_like(step), step), 4 * 2 / 6, atol=1e-6)


def test_color_does_not_see_luminance():
    visible = 0.2 + 0.5 * image(0)
    np.testing.assert_allclose(color_error(visible + 0.1, visible), 0.0, atol=1e-6)
    red = visible.at[..., 0].add(0.1)
    np.testing.assert_allclose(color_error(red, visible), 0.1 * (0.168736 + 0.5), atol=1e-5)


def test_fused_edges_follow_the_stronger_source_in_each_direction():
    columns = jnp.zeros((1, 8, 8, 1)).at[:, :, 4:].set(1.0)  # an edge across
    rows = columns.swapaxes(1, 2)  # an edge along
    visible = jnp.tile(columns, (1, 1, 1, 3))
    # Each source alone misses the other's edge, by the same amount.
    error = jax.jit(fused_edge_error)
    errors = [error(jnp.tile(x, (1, 1, 1, 3)), visible, rows) for x in (columns, rows)]
    np.testing.assert_allclose(*errors, rtol=1e-6)
    # Their sum has both.
    np.testing.assert_allclose(error(jnp.tile(columns + rows, (1, 1, 1, 3)), visible, rows), 0.0, atol=1e-6)
    np.testing.assert_allclose(error(visible, visible, columns), 0.0, atol=1e-6)


def restoration_case():
    target = image(0)
    outputs = {
        "restored": image(1),
        "reconstructed": image(2),
        "logits": latent(3)[:, 0, 0],
        "logits_clean": latent(4)[:, 0, 0],
    }
    outputs |= {f"latent_{k}": latent(4 + k) for k in (1, 2)} | {
        f"latent_clean_{k}": latent(6 + k) for k in (1, 2)
    }
    return outputs, {"visible_clear": target, "label": jnp.asarray([2, 0])}


def test_restoration_loss_is_the_weighted_sum_of_its_parts():
    outputs, batch = restoration_case()
    weights = {"alpha_unified": 0.3, "alpha_recon": 0.7, "alpha_text": 0.2, "alpha_task_grad": 0.5}
    losses = jax.jit(partial(lure_restoration_loss, clean_class=3, **weights))(outputs, batch)
    expected = losses["task"] + 0.3 * losses["unified"] + 0.7 * losses["recon"] + 0.2 * losses["text"]
    np.testing.assert_allclose(losses["total"], expected, rtol=1e-6)
    np.testing.assert_allclose(losses["recon"], np.abs(image(2) - image(0)).mean(), rtol=1e-5)
    agreement = np.mean(
        [alike(outputs[f"latent_{k}"], outputs[f"latent_clean_{k}"], "cos_pixel") for k in (1, 2)]
    )
    np.testing.assert_allclose(losses["unified"], 1.0 - agreement, rtol=1e-5)
    logs = [np.asarray(jax.nn.log_softmax(outputs[name])) for name in ("logits", "logits_clean")]
    entropy = -np.mean([logs[0][0, 2], logs[0][1, 0], logs[1][0, 3], logs[1][1, 3]])
    np.testing.assert_allclose(losses["text"], entropy, rtol=1e-5)


def test_restoration_loss_is_zero_at_its_optimum():
    outputs, batch = restoration_case()
    sure = 100.0 * jax.nn.one_hot(jnp.asarray([[2, 0], [3, 3]]), 4)
    outputs |= {"restored": batch["visible_clear"], "reconstructed": batch["visible_clear"]}
    outputs |= {"logits": sure[0], "logits_clean": sure[1]}
    outputs |= {f"latent_{k}": 2.0 * outputs[f"latent_clean_{k}"] for k in (1, 2)}
    for value in restoration_loss(outputs, batch).values():
        np.testing.assert_allclose(value, 0.0, atol=1e-5)


def test_masked_images_do_not_count():
    outputs, batch = restoration_case()
    mask = {"mask": jnp.asarray([0.0, 1.0])}
    first = restoration_loss(outputs, batch | mask)
    alone = jax.tree.map(lambda x: x[1:], (outputs, batch))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        first,
        restoration_loss(*alone),
    )


def test_a_detached_target_gets_no_gradient():
    outputs, batch = restoration_case()

    def unified(clean, detach):
        losses = lure_restoration_loss(
            outputs | {"latent_clean_1": clean}, batch, clean_class=3, unified_detach_pd=detach
        )
        return losses["unified"]

    gradient = jax.jit(jax.grad(unified), static_argnums=1)
    gradients = [gradient(outputs["latent_clean_1"], detach) for detach in (False, True)]
    assert np.abs(gradients[0]).max() > 0
    assert np.abs(gradients[1]).max() == 0


def test_fusion_loss_is_the_weighted_sum_of_its_parts_and_zero_for_equal_sources():
    visible, infrared, fused = image(0), image(1, channels=1), image(2)
    batch = {"visible_clear": visible, "infrared": infrared}
    losses = fusion_loss({"fused": fused}, batch, 0.4, 0.6)
    expected = losses["color"] + 0.4 * losses["gradient"] + 0.6 * losses["intensity"]
    np.testing.assert_allclose(losses["total"], expected, rtol=1e-6)
    grey = jnp.tile(infrared, (1, 1, 1, 3))
    for value in lure_fusion_loss({"fused": grey}, {"visible_clear": grey, "infrared": infrared}).values():
        np.testing.assert_allclose(value, 0.0, atol=1e-5)
    brighter = jnp.where(
        infrared > visible.mean(-1, keepdims=True), jnp.tile(infrared, (1, 1, 1, 3)), visible
    )
    np.testing.assert_allclose(lure_fusion_loss({"fused": brighter}, batch)["intensity"], 0.0, atol=1e-6)
    assert "intensity" not in lure_fusion_loss({"fused": fused}, batch, alpha_int=0.0)
    for share in (0.0, 0.3):
        aim = share * brighter + (1 - share) * 0.5 * (visible + infrared)
        part = lure_fusion_loss({"fused": aim}, batch, brightest=share)["intensity"]
        np.testing.assert_allclose(part, 0.0, atol=1e-6)
    with pytest.raises(InputError, match="brightest is 1.5"):
        lure_fusion_loss({"fused": fused}, batch, brightest=1.5)


def test_missing_entries_are_errors():
    outputs, batch = restoration_case()
    with pytest.raises(InputError, match="needs label; there are visible_clear"):
        lure_restoration_loss(outputs, {"visible_clear": batch["visible_clear"]}, clean_class=3)
    with pytest.raises(InputError, match="needs fused"):
        lure_fusion_loss({}, batch)


_NUMBERS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


def vgg_tensors(width=2):
    rng = np.random.default_rng(0)
    tensors, channels = {}, 3
    for number in _NUMBERS:
        tensors[f"features.{number}.weight"] = rng.normal(0, 0.3, (width, channels, 3, 3)).astype(np.float32)
        tensors[f"features.{number}.bias"] = rng.normal(0, 0.1, width).astype(np.float32)
        channels = width
    return tensors


@pytest.fixture
def vgg_file(tmp_path):
    safetensors.numpy.save_file(vgg_tensors(), tmp_path / "vgg.safetensors")
    return tmp_path / "vgg.safetensors"


def test_vgg_features_are_those_of_the_layers(vgg_file):
    vgg = load_vgg(vgg_file, scaling="torchvision")
    luma = image(0, channels=1, side=32)
    features = jax.jit(vgg.features)(luma)
    assert [f.shape for f in features] == [(2, 32 >> k, 32 >> k, 2) for k in range(5)]
    # The first layer, one output pixel, by hand.
    tensors = vgg_tensors()
    grey = np.asarray(luma)[0, 3:8, 4:9, 0]
    means, deviations = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = (grey[None] - means[:, None, None]) / deviations[:, None, None]
    kernels = [tensors[f"features.{number}.weight"] for number in (0, 2)]
    biases = [tensors[f"features.{number}.bias"] for number in (0, 2)]
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    first = np.maximum(np.einsum("ihwyx,oiyx->ohw", windows, kernels[0]) + biases[0][:, None, None], 0)
    second = np.maximum(np.einsum("iyx,oiyx->o", first, kernels[1]) + biases[1], 0)
    np.testing.assert_allclose(features[0][0, 5, 6], second, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", ["caffe", "torchvision"])
def test_perceptual_distance(vgg_file, scaling):
    distance = load_vgg(vgg_file, scaling=scaling)
    visible, infrared = image(0, side=16), image(1, channels=1, side=16)
    flat = jnp.full_like(infrared, 0.5)
    same, even = (jnp.tile(x, (1, 1, 1, 3)) for x in (infrared, flat))
    compiled = jax.jit(distance)
    np.testing.assert_allclose(compiled(same, same, infrared), 0.0, atol=1e-5)
    assert (compiled(image(2, side=16), visible, infrared) > 0).all()
    # A source with detail counts for more than one without.
    assert (compiled(visible, visible, flat) < compiled(even, visible, flat)).all()


def test_perceptual_term_enters_the_fusion_loss():
    batch = {"visible_clear": image(0), "infrared": image(1, channels=1)}
    outputs = {"fused": image(2)}
    losses = jax.jit(
        lambda b: lure_fusion_loss(
            outputs, b, alpha_per=0.5, alpha_int=0.0, perceptual=lambda f, v, i: jnp.asarray([2.0, 4.0])
        )
    )(batch)
    assert losses["perceptual"] == 3.0
    np.testing.assert_allclose(losses["total"], losses["color"] + losses["gradient"] + 1.5, rtol=1e-5)
    with pytest.raises(InputError, match="no features to compare"):
        lure_fusion_loss(outputs, batch, alpha_per=0.5)


def test_vgg_files_are_checked(tmp_path, vgg_file):
    with pytest.raises(CheckpointError, match="does not exist"):
        load_vgg(tmp_path / "none.npz")
    with pytest.raises(ConfigError, match="vgg_scaling is 'keras'"):
        load_vgg(vgg_file, scaling="keras")
    tensors = vgg_tensors()
    np.savez(tmp_path / "short.npz", **{k: v for k, v in tensors.items() if "28" not in k})
    with pytest.raises(CheckpointError, match="lacks features.28.weight, features.28.bias"):
        load_vgg(tmp_path / "short.npz")
    tensors["features.2.weight"] = tensors["features.2.weight"][:, :1]
    np.savez(tmp_path / "other.npz", **tensors)
    with pytest.raises(CheckpointError, match="behind 2 channels; expected the 3x3"):
        load_vgg(tmp_path / "other.npz")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is damaged"):
        load_vgg(tmp_path / "broken.safetensors")
