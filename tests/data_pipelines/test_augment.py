"""Flips and quarter turns: the right group elements, alike for all images, reproducible per example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipelines.augment import augment, to_float
from data_pipelines.augment.zoom import zoom_in
from iassf_jax.core.errors import InputError

moved = jax.jit(augment, static_argnames=("horizontal_flip", "vertical_flip", "rotate"))

MANY = 64  # examples, so that every outcome occurs


def _batch(count=MANY, height=4, width=4):
    """Every pixel of an example has another value, so each flip and turn gives another image."""
    pixels = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    clear = jnp.asarray(np.broadcast_to(pixels, (count, *pixels.shape)))
    return {"visible_clear": clear, "visible_hazy": clear + jnp.uint8(100), "infrared": clear[..., :1]}


def _outcomes(images):
    return {np.asarray(image).tobytes() for image in images}


def _expected(pixels, *, horizontal=False, vertical=False, rotate=False):
    """All images that the enabled operations can make, by NumPy."""
    pixels = np.asarray(pixels)
    turned = [np.rot90(pixels, k) for k in range(4)] if rotate else [pixels]
    flipped = [y for x in turned for y in ([x, x[::-1]] if vertical else [x])]
    return _outcomes(
        np.ascontiguousarray(y) for x in flipped for y in ([x, x[:, ::-1]] if horizontal else [x])
    )


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("rotate", [False, True])
def test_exactly_the_enabled_operations_occur(horizontal, vertical, rotate):
    batch = _batch()
    options = {"horizontal_flip": horizontal, "vertical_flip": vertical, "rotate": rotate}
    out = moved(jax.random.key(0), batch, **options)
    expected = _expected(batch["visible_clear"][0], horizontal=horizontal, vertical=vertical, rotate=rotate)
    assert _outcomes(out["visible_clear"]) == expected


def test_both_flips_are_fair_and_independent_and_turns_are_uniform():
    count = 4000
    batch = {"infrared": jnp.broadcast_to(jnp.arange(4.0).reshape(1, 2, 2, 1), (count, 2, 2, 1))}
    flipped = np.asarray(moved(jax.random.key(1), batch)["infrared"])
    turned = np.asarray(
        moved(jax.random.key(2), batch, horizontal_flip=False, vertical_flip=False, rotate=True)["infrared"]
    )
    for images in (flipped, turned):
        frequencies = np.unique(images.reshape(count, 4), axis=0, return_counts=True)[1] / count
        assert frequencies.shape == (4,)
        np.testing.assert_allclose(frequencies, 0.25, atol=0.03)  # four standard deviations


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), rotate=st.booleans())
def test_all_images_of_an_example_move_alike(seed, rotate):
    out = moved(jax.random.key(seed), _batch(8), rotate=rotate)
    np.testing.assert_array_equal(out["visible_hazy"], out["visible_clear"] + jnp.uint8(100))
    np.testing.assert_array_equal(out["infrared"], out["visible_clear"][..., :1])


def test_what_happens_to_an_example_depends_on_the_key_and_its_position_only():
    few, many = (moved(jax.random.key(7), _batch(n), rotate=True) for n in (3, 10))
    np.testing.assert_array_equal(few["visible_clear"], many["visible_clear"][:3])
    other = moved(jax.random.key(8), _batch(10), rotate=True)
    assert not np.array_equal(other["visible_clear"], many["visible_clear"])


def test_switching_one_operation_off_leaves_the_others_as_they_were():
    batch = _batch(16)
    both = moved(jax.random.key(3), batch)["visible_clear"]
    only_horizontal = moved(jax.random.key(3), batch, vertical_flip=False)["visible_clear"]
    for a, b in zip(np.asarray(both), np.asarray(only_horizontal), strict=True):
        assert np.array_equal(a, b) or np.array_equal(a, b[::-1])


def test_other_entries_pass_through_and_types_stay():
    batch = {**_batch(2), "mask": jnp.asarray([1.0, 0.0]), "name": ["a", "b"]}
    out = augment(jax.random.key(0), batch, rotate=True)
    assert list(out) == list(batch)
    assert out["name"] == ["a", "b"]
    np.testing.assert_array_equal(out["mask"], batch["mask"])
    assert out["visible_clear"].dtype == jnp.uint8
    assert to_float(out)["visible_clear"].dtype == jnp.float32


def test_rectangular_images_flip_and_keep_their_shape():
    batch = _batch(height=3, width=5)
    out = moved(jax.random.key(0), batch)
    assert _outcomes(out["visible_clear"]) == _expected(
        batch["visible_clear"][0], horizontal=True, vertical=True
    )


def test_jit_and_vmap_agree_with_eager():
    batch = _batch(6)
    key = jax.random.key(5)
    jax.tree.map(
        np.testing.assert_array_equal, moved(key, batch, rotate=True), augment(key, batch, rotate=True)
    )

    keys = jax.random.split(key, 2)
    stacked = jax.jit(jax.vmap(lambda k: augment(k, batch, rotate=True)))(keys)
    for i in range(2):
        one = moved(keys[i], batch, rotate=True)
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), stacked, one)


def test_numpy_batches_are_accepted():
    batch = jax.tree.map(np.asarray, _batch(4))
    out = augment(jax.random.key(0), batch)
    jax.tree.map(np.testing.assert_array_equal, out, augment(jax.random.key(0), _batch(4)))


def test_to_float_maps_bytes_to_the_unit_range_and_nothing_else():
    batch = {
        "infrared": np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1),
        "mask": jnp.ones(1),
        "visible_clear": jnp.full((1, 16, 16, 3), 0.25),
        "name": ["a"],
    }
    out = jax.jit(lambda b: to_float(b))({k: v for k, v in batch.items() if k != "name"})
    assert to_float(batch)["name"] == ["a"]
    assert out["infrared"].dtype == jnp.float32
    np.testing.assert_allclose(np.ravel(out["infrared"]), np.arange(256) / 255, rtol=1e-6)
    assert float(out["infrared"].max()) == 1.0
    np.testing.assert_array_equal(out["visible_clear"], batch["visible_clear"])
    np.testing.assert_array_equal(out["mask"], batch["mask"])


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize(
    "change, options, message",
    [
        ({}, {"rotate": True}, "5x3: rotation by quarter turns needs square images"),
        ({"infrared": jnp.zeros((4, 3, 4, 1))}, {}, r"must agree.*infrared \(4, 3, 4, 1\)"),
        ({"haze_density": jnp.zeros((4, 3, 5))}, {}, r"haze_density has shape \(4, 3, 5\)"),
    ],
)
def test_batches_that_cannot_be_moved_together_are_refused(change, options, message):
    with pytest.raises(ValueError, match=message):
        augment(jax.random.key(0), {**_batch(4, height=3, width=5), **change}, **options)


def _shows_a_part(image, whole):
    """Whether an enlarged ramp is a ramp within the whole: least and largest value, and the slopes."""
    assert image.min() >= whole.min() - 1e-4 and image.max() <= whole.max() + 1e-4
    inner = image[2:-2, 2:-2, 0]  # the rim is clamped
    return np.ptp(np.diff(inner, axis=0)) < 0.01 and np.ptp(np.diff(inner, axis=1)) < 0.01


def test_zoom_enlarges_a_part_alike_in_all_images():
    rows, columns = np.mgrid[:24, :32].astype(np.float32)
    ramp = jnp.broadcast_to(jnp.asarray(rows + 100.0 * columns)[None, :, :, None], (MANY, 24, 32, 1))
    batch = {"visible_clear": jnp.repeat(ramp, 3, axis=-1), "infrared": ramp, "mask": jnp.ones(MANY)}
    out = jax.jit(lambda k: zoom_in(k, batch, most=2.0))(jax.random.key(0))
    np.testing.assert_array_equal(out["visible_clear"][..., :1], out["infrared"])
    images = np.asarray(out["infrared"])
    assert all(_shows_a_part(image, np.asarray(ramp[0])) for image in images)
    # A slope of 100 becomes 100/z in both directions, z log-even in 1..2; the places differ.
    slopes = np.diff(images[:, 12, 10:20, 0], axis=1).mean(axis=1)
    np.testing.assert_allclose(np.diff(images[:, 10:14, 16, 0], axis=1).mean(axis=1), slopes / 100, rtol=2e-3)
    assert 50 <= slopes.min() < 56 and 90 < slopes.max() <= 100
    assert abs(np.log(100 / slopes).mean() - np.log(2.0) / 2) < 0.08
    assert images[:, 2, 2].min() < 400 and images[:, 2, 2].max() > 1000


def test_zoom_of_one_is_nothing_and_integers_stay_integers():
    batch = _batch(3)
    assert zoom_in(jax.random.key(0), batch)["infrared"] is batch["infrared"]
    out = augment(jax.random.key(0), batch, zoom=1.5)
    assert out["visible_clear"].dtype == jnp.uint8 and out["visible_clear"].shape == (3, 4, 4, 3)
    with pytest.raises(InputError, match="zoom is 0.5; expected 1"):
        augment(jax.random.key(0), batch, zoom=0.5)
