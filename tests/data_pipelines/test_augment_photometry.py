"""Photometric jitter: one function for both visible images of an example, nothing for the others."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.augment import augment

STRENGTHS = ("brightness", "contrast", "saturation", "gamma")
STILL = {"horizontal_flip": False, "vertical_flip": False}
changed = jax.jit(augment, static_argnames=("horizontal_flip", "vertical_flip", "rotate", *STRENGTHS))


def _batch(seed, count=6):
    rng = np.random.default_rng(seed)
    clear = rng.integers(20, 200, (count, 5, 6, 3)).astype(np.uint8)
    return {"visible_clear": clear, "visible_hazy": clear // 2 + 60, "infrared": clear[..., :1]}


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000))
def test_both_visible_images_get_one_function_and_infrared_none(seed):
    batch = _batch(seed)
    batch["visible_hazy"][:, :2] = batch["visible_clear"][:, :2]  # where they are equal, they stay equal
    out = changed(
        jax.random.key(seed), batch, **STILL, brightness=0.3, contrast=0.3, saturation=0.4, gamma=0.3
    )
    np.testing.assert_array_equal(out["visible_hazy"][:, :2], out["visible_clear"][:, :2])
    np.testing.assert_array_equal(out["infrared"], batch["infrared"])
    assert out["visible_clear"].dtype == jnp.uint8
    difference = np.abs(np.asarray(out["visible_clear"], int) - batch["visible_clear"]).mean(axis=(1, 2, 3))
    assert np.all(difference > 0.3)  # every example is changed


def _unit(batch):
    return batch["visible_clear"] / 255.0


@pytest.mark.parametrize(
    "name, undo",
    [
        ("brightness", lambda x, y: np.log(y / x)),
        ("contrast", lambda x, y: np.log((y - 0.5) / (x - 0.5))),
        ("gamma", lambda x, y: np.log(np.log(y) / np.log(x))),
        (
            "saturation",
            lambda x, y: np.log((y[..., 0] - y[..., 1]) / (x[..., 0] - x[..., 1])),
        ),
    ],
)
def test_each_factor_is_one_number_an_example_within_its_strength(name, undo):
    clear = np.tile(np.array([0.30, 0.36, 0.42]), (200, 4, 4, 1)) + np.linspace(0, 0.05, 4)[:, None, None]
    batch = {"visible_clear": jnp.asarray(clear, jnp.float32)}
    out = np.asarray(changed(jax.random.key(1), batch, **STILL, **{name: 0.2})["visible_clear"], np.float64)
    exponents = undo(clear, out).reshape(200, -1)
    np.testing.assert_allclose(np.ptp(exponents, axis=1), 0, atol=1e-3)
    drawn = exponents.mean(axis=1)
    assert -0.2 <= drawn.min() < -0.17
    assert 0.17 < drawn.max() <= 0.2001
    assert abs(drawn.mean()) < 0.035  # four standard deviations


def test_it_is_off_by_default_and_leaves_the_flips_as_they_were():
    batch = _batch(0)
    plain = changed(jax.random.key(2), batch)
    jittered = changed(jax.random.key(2), batch, brightness=0.5)
    np.testing.assert_array_equal(plain["infrared"], jittered["infrared"])
    assert not np.array_equal(plain["visible_clear"], jittered["visible_clear"])
    np.testing.assert_array_equal(
        changed(jax.random.key(2), batch, **STILL)["visible_clear"], _batch(0)["visible_clear"]
    )


def test_changes_follow_the_example_and_not_its_place():
    batch = {**_batch(3), "example": jnp.asarray([7, 1, 900, 4, 2**32 - 1, 0], jnp.uint32)}
    order = np.array([4, 0, 3, 1, 2, 5])
    options = {"brightness": 0.5, "gamma": 0.5, "contrast": 0.1, "saturation": 0.3}
    whole = changed(jax.random.key(0), batch, **options)
    moved = changed(jax.random.key(0), jax.tree.map(lambda x: x[order], batch), **options)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[order]), moved, whole)


def test_values_stay_in_range_and_gradients_finite():
    batch = {"visible_clear": jnp.tile(jnp.asarray([0.0, 0.5, 1.0]), (8, 2, 2, 1))}
    out = changed(jax.random.key(0), batch, brightness=2.0, contrast=2.0, saturation=2.0, gamma=1.0)
    assert 0.0 <= out["visible_clear"].min() < out["visible_clear"].max() <= 1.0

    def total(x):
        return augment(jax.random.key(0), {"visible_clear": x}, gamma=0.5, saturation=0.5)[
            "visible_clear"
        ].sum()

    assert np.isfinite(jax.jit(jax.grad(total))(batch["visible_clear"])).all()


def test_negative_strengths_are_refused():
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError, match="'contrast': -1.*expected 0 or more"):
            augment(jax.random.key(0), _batch(0), contrast=-1)
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
