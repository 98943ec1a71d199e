"""The loss against an independent float64 implementation and the released code's values; its properties."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from iassf_jax.core.errors import InputError
from iassf_jax.losses import gradient_error, iassf_loss, intensity_error, restoration_error

PARTS = ("total", "intensity", "gradient", "restoration")


def _edges64(images):
    """|Sobel_x| + |Sobel_y| of every channel with zeros outside, by SciPy."""
    edges = np.empty_like(images)
    for b, c in np.ndindex(images.shape[0], images.shape[-1]):
        plane = images[b, ..., c]
        edges[b, ..., c] = sum(np.abs(ndimage.sobel(plane, axis=axis, mode="constant")) for axis in (0, 1))
    return edges


def _loss64(fused, restored, clear, infrared, alpha, signed):
    images = [np.float64(x) for x in (fused, restored, clear, infrared)]
    fused, restored, clear, infrared = [2 * x - 1 for x in images] if signed else images
    infrared = np.repeat(infrared, 3, axis=-1) if infrared.shape[-1] == 1 else infrared
    intensity = np.mean(np.abs(fused - np.maximum(clear, infrared)))
    gradient = np.mean(np.abs(_edges64(fused) - np.maximum(_edges64(clear), _edges64(infrared))))
    restoration = np.mean(np.abs(restored - clear))
    return dict(
        zip(
            PARTS, (intensity + gradient + alpha * restoration, intensity, gradient, restoration), strict=True
        )
    )


def _random_case(rng, batch=2, height=9, width=13, infrared_channels=1):
    def image(channels):
        return jnp.asarray(rng.random((batch, height, width, channels), np.float32))

    outputs = {"fused": image(3) * 1.4 - 0.2, "restored": image(3) * 1.4 - 0.2}
    return outputs, {"visible_clear": image(3), "infrared": image(infrared_channels)}


def _expected(outputs, batch, *, alpha, signed, select=slice(None)):
    arrays = (outputs["fused"], outputs["restored"], batch["visible_clear"], batch["infrared"])
    return _loss64(*(np.asarray(x)[select] for x in arrays), alpha, signed)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    size=st.sampled_from([(1, 1, 1), (2, 5, 8), (1, 12, 3)]),
    infrared_channels=st.sampled_from([1, 3]),
    alpha=st.floats(0, 5),
    signed=st.booleans(),
)
def test_agrees_with_float64(seed, size, infrared_channels, alpha, signed):
    outputs, batch = _random_case(np.random.default_rng(seed), *size, infrared_channels)
    expected = _expected(outputs, batch, alpha=alpha, signed=signed)
    losses = iassf_loss(outputs, batch, alpha=alpha, signed=signed)
    assert set(losses) == set(PARTS)
    for name in PARTS:
        assert losses[name].dtype == jnp.float32
        np.testing.assert_allclose(losses[name], expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_agrees_with_the_released_code(shared):
    fixture = np.load(shared / "parity" / "train_smallA_batch2_64x64.npz")
    listed = json.loads((shared / "parity" / "train.json").read_text())["smallA"]

    def unit_range(name):
        """From NCHW in [-1,1], the released code's layout, to NHWC in [0,1]."""
        return jnp.asarray((np.moveaxis(fixture[name], 1, -1) + 1) / 2)

    outputs = {"fused": unit_range("f/out"), "restored": unit_range("d/out")}
    batch = {"visible_clear": unit_range("in/gt"), "infrared": unit_range("in/ir")[..., :1]}
    losses = jax.jit(lambda o, b: iassf_loss(o, b, signed=True))(outputs, batch)
    for name, value in (
        ("intensity", losses["intensity"]),
        ("gradient", losses["gradient"]),
        ("dehaze_times_2", 2 * losses["restoration"]),
        ("total", losses["total"]),
    ):
        np.testing.assert_allclose(value, fixture[f"loss/{name}"], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(value, listed[f"loss_{name}"], rtol=1e-5, err_msg=name)


def test_target_maps_agree_with_the_released_code(shared):
    fixture = np.load(shared / "parity" / "train_smallA_batch2_64x64.npz")
    clear, infrared = (jnp.asarray(np.moveaxis(fixture[f"in/{name}"], 1, -1)) for name in ("gt", "ir"))
    joint_edges = np.maximum(fixture["loss/sobel_gt"], fixture["loss/sobel_ir_ch0"])
    # Against a fused image without edges and of value -1 the errors are the targets themselves.
    black = jnp.full_like(clear, -1.0)
    intensity = intensity_error(black, clear, infrared) - 1.0
    gradient = gradient_error(jnp.zeros_like(clear), clear, infrared)
    np.testing.assert_allclose(gradient, np.moveaxis(joint_edges, 1, -1), atol=1e-5)
    every_second = np.moveaxis(np.asarray(intensity), -1, 1)[:, :, [*range(0, 64, 2), 63]][
        ..., [*range(0, 64, 2), 63]
    ]
    np.testing.assert_allclose(every_second, fixture["loss/joint_intensity_target@s2"], atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_zero_at_the_targets(signed, rng):
    # An infrared darker and smoother than the clear image everywhere makes the clear image every target.
    clear = jnp.asarray(rng.random((2, 8, 8, 3), np.float32))
    infrared = jnp.full((2, 8, 8, 1), 0.5 if signed else 0.0)
    clear = jnp.maximum(clear, 0.5) if signed else clear
    losses = iassf_loss(
        {"fused": clear, "restored": clear}, {"visible_clear": clear, "infrared": infrared}, signed=signed
    )
    assert all(float(losses[name]) == 0.0 for name in PARTS)


def test_the_brighter_and_the_sharper_source_win():
    clear = jnp.zeros((1, 8, 8, 3)).at[:, :, 4:].set(0.5)
    infrared = jnp.full((1, 8, 8, 1), 0.25)
    intensity = intensity_error(jnp.zeros_like(clear), clear, infrared)[0, 3, :, 0]
    np.testing.assert_array_equal(intensity, [0.25] * 4 + [0.5] * 4)
    gradient = gradient_error(jnp.zeros_like(clear), clear, infrared)[0, 3, :, 0]
    # Inside, only the visible step of 0.5 has edges, 4 * 0.5 on its two sides; outside the image is black.
    np.testing.assert_allclose(gradient, [1.0, 0, 0, 2.0, 2.0, 0, 0, 2.0])


def test_restoration_does_not_see_the_infrared_and_alpha_weighs_it_alone(rng):
    outputs, batch = _random_case(rng)
    one, three = (iassf_loss(outputs, batch, alpha=alpha) for alpha in (1.0, 3.0))
    np.testing.assert_allclose(three["total"] - one["total"], 2 * one["restoration"], rtol=1e-5)
    brighter = {**batch, "infrared": batch["infrared"] + 1.0}
    assert float(iassf_loss(outputs, brighter)["restoration"]) == float(one["restoration"])


def test_another_alpha_does_not_recompile(rng):
    outputs, batch = _random_case(rng)
    traces = 0

    @jax.jit
    def total(alpha):
        nonlocal traces
        traces += 1
        return iassf_loss(outputs, batch, alpha=alpha)["total"]

    values = [float(total(alpha)) for alpha in (0.5, 2.0, 4.0)]
    assert traces == 1
    expected = [_expected(outputs, batch, alpha=alpha, signed=False)["total"] for alpha in (0.5, 2.0, 4.0)]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_alpha_may_differ_for_every_member_of_a_population(rng):
    outputs, batch = _random_case(rng)
    alphas = jnp.asarray([0.5, 1.0, 5.0])
    totals = jax.vmap(lambda alpha: iassf_loss(outputs, batch, alpha=alpha)["total"])(alphas)
    np.testing.assert_allclose(
        totals, [iassf_loss(outputs, batch, alpha=float(a))["total"] for a in alphas], rtol=1e-6
    )


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradients_are_finite_on_flat_images(level, signed):
    flat = jnp.full((1, 8, 8, 3), level)
    batch = {"visible_clear": flat, "infrared": flat[..., :1]}
    gradients = jax.grad(lambda o: iassf_loss(o, batch, signed=signed)["total"])(
        {"fused": flat, "restored": flat}
    )
    assert all(np.all(np.isfinite(g)) for g in jax.tree.leaves(gradients))


def test_the_gradient_is_the_derivative(rng):
    outputs, batch = _random_case(rng, batch=1, height=6, width=6)
    direction = {
        name: jnp.asarray(rng.standard_normal(x.shape).astype(np.float32)) for name, x in outputs.items()
    }
    _, slope = jax.jvp(lambda o: iassf_loss(o, batch)["total"], (outputs,), (direction,))
    step = 1e-6
    ahead, behind = (
        _expected(
            {n: np.float64(outputs[n]) + sign * step * np.float64(direction[n]) for n in outputs},
            batch,
            alpha=2.0,
            signed=False,
        )
        for sign in (1, -1)
    )
    np.testing.assert_allclose(slope, (ahead["total"] - behind["total"]) / (2 * step), rtol=1e-3)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("padding", [0.0, 7.0, np.nan])
def test_a_masked_image_has_no_influence_on_value_and_gradient(padding, signed, rng):
    outputs, batch = _random_case(rng, batch=3)

    def padded(images):
        return {name: x.at[1].set(padding) for name, x in images.items()}

    masked_batch = {**padded(batch), "mask": jnp.asarray([1.0, 0.0, 1.0])}
    expected = _expected(outputs, batch, alpha=2.0, signed=signed, select=[0, 2])
    losses = iassf_loss(padded(outputs), masked_batch, signed=signed)
    for name in PARTS:
        np.testing.assert_allclose(losses[name], expected[name], rtol=1e-5, err_msg=name)

    gradients = jax.grad(lambda o: iassf_loss(o, masked_batch, signed=signed)["total"])(padded(outputs))
    kept = [{name: x[jnp.asarray([0, 2])] for name, x in images.items()} for images in (outputs, batch)]
    kept_gradients = jax.grad(lambda o: iassf_loss(o, kept[1], signed=signed)["total"])(kept[0])
    for name, gradient in gradients.items():
        assert np.all(np.asarray(gradient)[1] == 0.0)
        np.testing.assert_allclose(gradient[jnp.asarray([0, 2])], kept_gradients[name], rtol=1e-5, atol=1e-9)


def test_a_mask_of_ones_changes_nothing_and_one_of_zeros_gives_zero(rng):
    outputs, batch = _random_case(rng)
    plain = iassf_loss(outputs, batch)
    ones = iassf_loss(outputs, {**batch, "mask": jnp.ones(2)})
    zeros = iassf_loss(outputs, {**batch, "mask": jnp.zeros(2)})
    for name in PARTS:
        np.testing.assert_allclose(ones[name], plain[name], rtol=1e-6)
        assert float(zeros[name]) == 0.0


def test_outputs_in_bfloat16_give_losses_in_float32(rng):
    outputs, batch = _random_case(rng)
    low = {name: x.astype(jnp.bfloat16) for name, x in outputs.items()}
    losses = iassf_loss(low, batch)
    rounded = iassf_loss({name: x.astype(jnp.float32) for name, x in low.items()}, batch)
    for name in PARTS:
        assert losses[name].dtype == jnp.float32
        np.testing.assert_allclose(losses[name], rounded[name], rtol=1e-6)
    assert restoration_error(low["restored"], batch["visible_clear"]).dtype == jnp.float32


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    "where, name, change, message",
    [
        ("outputs", "fused", lambda x: x[:1], r"fused \(1, 9, 13, 3\)"),
        ("outputs", "restored", lambda x: x[..., :1], r"restored \(2, 9, 13, 1\)"),
        ("batch", "infrared", lambda x: x[:, :1], r"\(2, 1, 13, 1\)"),
        ("batch", "infrared", lambda x: jnp.concatenate([x, x], -1), "1 or 3 channels"),
        ("batch", "visible_clear", lambda x: (255 * x).astype(jnp.uint8), "visible_clear has type uint8"),
        ("batch", "mask", lambda x: jnp.ones(3), r"mask has shape \(3,\)"),
    ],
)
def test_wrong_input_is_refused_by_name(where, name, change, message, rng):
    outputs, batch = _random_case(rng)
    images = {"outputs": outputs, "batch": batch}
    images[where][name] = change(images[where].get(name))
    with pytest.raises(InputError, match=message):
        iassf_loss(images["outputs"], images["batch"])


@pytest.mark.parametrize("name", ["fused", "restored", "visible_clear", "infrared"])
def test_a_missing_entry_is_named(name, rng):
    outputs, batch = _random_case(rng)
    outputs.pop(name, None), batch.pop(name, None)
    with pytest.raises(InputError, match=f"'{name}'"):
        iassf_loss(outputs, batch)
