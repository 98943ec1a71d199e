"""The lite network: what the reduced image tells about the full one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import models
from iassf_jax.core.errors import ConfigError, InputError
from iassf_jax.models.iassf_lite import local_gain, working_size

FIELDS = {
    "embed_dims": (8, 8, 8, 8, 8),
    "depths": (1, 1, 1, 1, 1),
    "num_heads": (1, 1, 1, 1, 1),
    "prompt_size": 8,
    "num_prompts": 2,
}
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def lite():
    model = models.create("iassf_lite", working_side=32, **FIELDS)
    hazy = jax.random.uniform(KEY, (2, 33, 50, 3))
    infrared = jax.random.uniform(jax.random.key(1), (2, 33, 50, 1))
    variables = jax.jit(model.init)(KEY, hazy, infrared)
    return model, variables, hazy, infrared, jax.jit(model.apply)(variables, hazy, infrared)


def test_outputs_have_the_full_size_and_intermediates_the_working_size(lite):
    *_, outputs = lite
    assert outputs["fused"].shape == outputs["restored"].shape == (2, 33, 50, 3)
    assert outputs["haze_density"].shape == (2, 33, 50)
    assert outputs["dehaze/out"].shape[1:3] == (20, 32)


def test_parameters_are_those_of_the_released_dehaze_network(lite):
    model, variables, hazy, infrared, _ = lite
    released = models.create("iassf_released", num_fusion_blocks=1, **FIELDS | {
        name: getattr(model, name) for name in ("attn_ratios", "mlp_ratios")
    })  # fmt: skip
    shapes = jax.eval_shape(released.init, KEY, hazy, infrared)["params"]["dehaze"]
    assert set(variables["params"]) == {"dehaze"}
    assert jax.tree.map(jnp.shape, variables["params"]["dehaze"]) == jax.tree.map(jnp.shape, shapes)


def test_gradients_reach_every_part(lite):
    model, variables, hazy, infrared, _ = lite

    def loss(variables):
        outputs = model.apply(variables, hazy, infrared)
        return outputs["fused"].mean() + (outputs["restored"] ** 2).mean()

    grads = jax.jit(jax.grad(loss))(variables)["params"]["dehaze"]
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    still = {name for name, part in grads.items() if not any(np.abs(g).max() for g in jax.tree.leaves(part))}
    assert still == {"conv24_3"}  # makes the infrared image of the released fusion network, absent here


def test_a_gain_and_an_offset_are_found_exactly(rng):
    before = jnp.asarray(rng.uniform(size=(1, 24, 32, 3)), jnp.float32)
    gain, offset = local_gain(before, 3.0 * before - 0.7, size=7, epsilon=1e-7)
    np.testing.assert_allclose(gain, 3.0, atol=1e-3)
    np.testing.assert_allclose(offset, -0.7, atol=1e-3)


def test_flat_images_keep_their_new_value():
    before = jnp.full((1, 24, 24, 3), 0.8)
    gain, offset = local_gain(before, jnp.full((1, 24, 24, 3), 0.3), size=5, epsilon=1e-5)
    np.testing.assert_allclose(gain * before + offset, 0.3, atol=1e-5)
    np.testing.assert_allclose(gain, 0.0, atol=1e-5)


def test_haze_that_varies_slowly_is_removed_with_all_detail(rng):
    """I = J t + A (1 - t): the inverse, fitted on the reduced image, restores the full one."""
    clear = jnp.asarray(rng.uniform(size=(1, 128, 128, 3)), jnp.float32)
    t = jnp.linspace(0.4, 0.8, 128)[None, None, :, None]
    hazy = clear * t + 0.9 * (1 - t)
    small_hazy, small_clear = (x.reshape(1, 32, 4, 32, 4, 3).mean(axis=(2, 4)) for x in (hazy, clear))
    gain, offset = local_gain(small_hazy, small_clear, size=7, epsilon=1e-5)
    full = [jax.image.resize(x, (1, 128, 128, 3), "linear") for x in (gain, offset)]
    inside = np.s_[:, 16:-16, 16:-16]
    before, after = (np.abs(x - clear)[inside].mean() for x in (hazy, full[0] * hazy + full[1]))
    assert after < 0.02 < 0.1 < before


def test_laws_and_smoothing_act_on_what_is_carried_to_the_full_size(rng):
    """Errors of the reduced image reach the full one unless a law explains it; then rounding is left."""
    rows, columns = np.mgrid[0:96, 0:128]
    clear = 0.3 + 0.2 * np.sin(rows / 9.0) * np.cos(columns / 7.0) + 0.05 * rng.uniform(size=(96, 128))
    clear = jnp.asarray(np.repeat(clear[None, ..., None], 3, axis=-1), jnp.float32)
    hazy = jnp.round((0.3 * clear + 0.7 * 0.9) * 255.0) / 255.0
    small_hazy, small_clear = (x.reshape(1, 24, 4, 32, 4, 3).mean(axis=(2, 4)) for x in (hazy, clear))
    wrong = small_clear + 0.025 * jnp.sin(jnp.linspace(0.0, 12.0, 32))[None, None, :, None]

    def error(**fields):
        carried = models.create("iassf_lite", **fields)._carry(small_hazy, wrong, hazy)
        return float(jnp.abs(carried - clear).mean())

    explained = error(haze_laws=("flat", "wave"))
    assert explained < 0.5 * error()
    assert error(haze_laws=("flat", "wave"), rounding=2.0) != explained


@pytest.mark.parametrize(
    "size, side, expected",
    [((480, 640), 128, (96, 128)), ((17, 31), 128, (16, 28)), ((1000, 100), 128, (128, 16))],
)
def test_working_size(size, side, expected):
    assert working_size(size, side) == expected


def test_what_cannot_work_is_named():
    image = jnp.zeros((1, 32, 32, 3))
    with pytest.raises(ConfigError, match="guide_size must be at least 1, not 0"):
        models.create("iassf_lite", guide_size=0)
    with pytest.raises(ConfigError, match="working_side is 8"):
        jax.eval_shape(models.create("iassf_lite", working_side=8).init, KEY, image, image)
    with pytest.raises(InputError, match="too small"):
        jax.eval_shape(models.create("iassf_lite").init, KEY, image[:, :8], image[:, :8])
