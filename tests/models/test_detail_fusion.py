"""The fusion without parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from iassf_jax.models import detail_fusion
from iassf_jax.ops import laplacian_pyramid

fuse = jax.jit(
    detail_fusion.fuse,
    static_argnames=(
        "detail_levels",
        "visible_detail",
        "infrared_detail",
        "complement",
        "faint_infrared",
    ),
)


def _pair(rng, channels=1):
    return tuple(jnp.asarray(rng.uniform(size=(2, 21, 26, c)), jnp.float32) for c in (3, channels))


def test_the_fused_image_is_the_larger_source_with_what_the_fields_add(rng):
    a, b = _pair(rng)
    larger, smaller = np.maximum(a, b), np.minimum(a, b)
    np.testing.assert_array_equal(fuse(a, b), larger)
    added = np.asarray(fuse(a, b, complement=0.25)) - larger
    luma = smaller @ np.array([[0.299], [0.587], [0.114]])
    expected = np.broadcast_to(0.25 * (luma - luma.mean(axis=(1, 2), keepdims=True)), a.shape)
    np.testing.assert_allclose(added, expected, atol=1e-6)
    flat = jnp.full((1, 12, 14, 3), 0.4)
    np.testing.assert_allclose(
        fuse(flat, flat, detail_levels=2, visible_detail=1.4, complement=0.3), 0.4, atol=1e-6
    )
    waves = jnp.asarray((-1.0) ** np.arange(14), jnp.float32)[None, None, :, None] * jnp.ones((1, 12, 1, 3))
    dark = jnp.zeros((1, 12, 14, 1))
    np.testing.assert_allclose(
        fuse(waves, dark, detail_levels=1, visible_detail=1.5, infrared_detail=3.0), 1.5 * waves, atol=1e-6
    )
    np.testing.assert_allclose(
        fuse(jnp.zeros_like(waves), waves[..., :1], detail_levels=1, infrared_detail=1.5),
        1.5 * waves,
        atol=1e-6,
    )


def test_detail_of_a_darker_image_survives():
    """A bright flat image hides a dark pattern from the maximum, and not from the detail."""
    dark = jnp.asarray(0.2 + 0.1 * (-1.0) ** np.arange(32), jnp.float32)[None, None, :, None]
    dark = jnp.broadcast_to(dark, (1, 24, 32, 3))
    bright = jnp.full((1, 24, 32, 1), 0.7)
    np.testing.assert_array_equal(fuse(dark, bright), jnp.full((1, 24, 32, 3), 0.7))
    fused = np.asarray(fuse(dark, bright, detail_levels=1))[:, :, 4:-4]
    np.testing.assert_allclose(fused, 0.7 + (dark - 0.2)[:, :, 4:-4], atol=1e-6)
    swapped = np.asarray(fuse(jnp.broadcast_to(bright, dark.shape), dark, detail_levels=1))[:, :, 4:-4]
    np.testing.assert_allclose(swapped, fused, atol=1e-6)


def test_an_image_fused_with_itself_or_with_nothing_is_itself(rng):
    a, _ = _pair(rng)
    for b in (a, jnp.zeros((2, 21, 26, 1))):
        np.testing.assert_allclose(fuse(a, b, detail_levels=3), a, atol=1e-6)


def test_one_channel_is_three_equal_ones_and_jit_is_eager(rng):
    a, b = _pair(rng)
    options = {"detail_levels": 1, "complement": 0.3, "infrared_detail": 1.2}
    one = fuse(a, b, **options)
    np.testing.assert_allclose(one, fuse(a, jnp.repeat(b, 3, axis=-1), **options), atol=1e-6)
    np.testing.assert_allclose(one, detail_fusion.fuse(a, b, **options), atol=1e-5)


def test_factors_and_complement_fade_as_infrared_detail_grows(rng):
    """In full up to the limit, by half in the middle, not at all from twice the limit on; for each image."""
    visible = jnp.asarray(rng.uniform(size=(1, 24, 32, 3)), jnp.float32)
    pattern = jnp.asarray(rng.uniform(-0.5, 0.5, size=(1, 24, 32, 1)), jnp.float32)
    finest, _ = laplacian_pyramid(pattern, 1)
    strength = float(jnp.sqrt(jnp.square(finest).mean()))
    added = {"detail_levels": 2, "visible_detail": 1.3, "infrared_detail": 1.6, "complement": 0.2}
    half = {"detail_levels": 2, "visible_detail": 1.15, "infrared_detail": 1.3, "complement": 0.1}
    for limit, options in ((1.01, added), (1 / 1.5, half), (0.49, {"detail_levels": 2})):
        fused = fuse(visible, pattern, faint_infrared=limit * strength, **added)
        np.testing.assert_allclose(fused, fuse(visible, pattern, **options), atol=1e-5)
    strong_and_faint = jnp.concatenate([pattern, 0.1 * pattern])
    both = fuse(
        jnp.concatenate([visible, visible]), strong_and_faint, faint_infrared=0.49 * strength, **added
    )
    np.testing.assert_allclose(both[:1], fuse(visible, pattern, detail_levels=2), atol=1e-5)
    np.testing.assert_allclose(both[1:], fuse(visible, 0.1 * pattern, **added), atol=1e-5)


def test_the_gradient_of_the_fading_is_finite_for_flat_infrared():
    flat = jnp.full((1, 16, 16, 1), 0.3)
    visible = jnp.full((1, 16, 16, 3), 0.5)

    def total(infrared):
        return detail_fusion.fuse(
            visible, infrared, detail_levels=1, complement=0.2, faint_infrared=0.01
        ).sum()

    assert bool(jnp.isfinite(jax.grad(total)(flat)).all())
