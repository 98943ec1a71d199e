"""What every operation promises: jit equals eager, vmap equals a loop, dtype is kept, gradients are sound."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iassf_jax import ops

SHAPE = (2, 8, 12, 3)
_RNG = np.random.default_rng(7)
KERNEL = jnp.asarray(_RNG.normal(size=(5, 5, 3)), jnp.float32)
DENSE_KERNEL = jnp.asarray(_RNG.normal(size=(3, 3, 3, 4)), jnp.float32)
WIDE_KERNEL = jnp.asarray(_RNG.normal(size=(3, 3, 3, 8)), jnp.float32)
TRANSMISSION = jnp.asarray(_RNG.uniform(0.3, 1, (2, 8, 12, 1)), jnp.float32)
AIRLIGHT = jnp.asarray(_RNG.uniform(0.5, 1, (2, 1, 1, 3)), jnp.float32)
GREY_AIRLIGHT = jnp.full((2, 1, 1, 3), 0.8, jnp.float32)
GUIDE = jnp.asarray(_RNG.uniform(size=SHAPE), jnp.float32)


def _like(x, constant):
    return constant.astype(x.dtype)


# Every entry is a function of one image batch and is affine along the direction (1, 1, ..., 1).
OPERATIONS = {
    "reflect_pad": lambda x: ops.reflect_pad(x, ((3, 0), (14, 2))),
    "pad_to_multiple": lambda x: ops.pad_to_multiple(x, 5, minimum=12)[0],
    "crop": lambda x: ops.crop(x, (5, 7)),
    "resize_half_pixel": lambda x: ops.resize_bilinear(x, (11, 5), align_corners=False),
    "resize_corners": lambda x: ops.resize_bilinear(x, (11, 5), align_corners=True),
    "downscale_area": lambda x: ops.downscale_area(x, (3, 12)),
    "pixel_shuffle": lambda x: ops.pixel_shuffle(jnp.concatenate([x, x, x, x], 3), 2),
    "pixel_unshuffle": lambda x: ops.pixel_unshuffle(x, 4),
    "box_mean_even": lambda x: ops.box_mean(x, 6),
    "box_mean_larger": lambda x: ops.box_mean(x, 31),
    "box_mean_valid": lambda x: ops.box_mean(x, 7, padding="valid"),
    "min_filter": lambda x: ops.min_filter(x, 5),
    "max_filter": lambda x: ops.max_filter(x, 6),
    "guided_filter": lambda x: ops.guided_filter(_like(x, GUIDE), x, size=5, epsilon=1e-2),
    "guided_by_itself": lambda x: ops.guided_filter(x, x, size=5, epsilon=1e-2),
    "dark_channel": lambda x: ops.dark_channel(x, window=3),
    "airlight": lambda x: ops.airlight(x, ops.dark_channel(x, window=3), fraction=0.05),
    "transmission": lambda x: ops.transmission(x, _like(x, GREY_AIRLIGHT), window=3),
    "refine_transmission": lambda x: ops.refine_transmission(
        x[..., :1], _like(x, GUIDE[..., :1]), size=5, epsilon=1e-2
    ),
    "scatter": lambda x: ops.scatter(x, _like(x, TRANSMISSION), _like(x, AIRLIGHT)),
    "unscatter": lambda x: ops.unscatter(x, _like(x, TRANSMISSION), _like(x, AIRLIGHT)),
    "smooth_rounding": lambda x: ops.smooth_rounding(x, _like(x, GUIDE[..., :1]) + 2, strength=9.0),
    "blur": ops.blur,
    "blur_larger": lambda x: ops.blur(x, 8),
    "laplacian_pyramid": lambda x: ops.laplacian_pyramid(x, 1)[0],
    "collapse": lambda x: ops.collapse([2.0 * x, x[:, ::2, ::2]]),
    "sobel_x": lambda x: ops.sobel(x)[0],
    "sobel_y": lambda x: ops.sobel(x)[1],
    "sobel_magnitude_l1": ops.sobel_magnitude_l1,
    "channel_mean": ops.channel_mean,
    "rgb_to_gray": ops.rgb_to_gray,
    "rgb_to_ycbcr": ops.rgb_to_ycbcr,
    "ycbcr_to_rgb": ops.ycbcr_to_rgb,
    "window_partition": lambda x: ops.window_partition(x, 4),
    "window_merge": lambda x: ops.window_merge(x.reshape(2, 6, 16, 3), 4, (8, 12)),
    "depthwise_reflect": lambda x: ops.depthwise_conv(x, KERNEL, padding="reflect"),
    "depthwise_zero": lambda x: ops.depthwise_conv(x, KERNEL, AIRLIGHT[0, 0, 0], padding="zero"),
    "conv_reflect": lambda x: ops.conv(x, DENSE_KERNEL, padding="reflect"),
    "conv_wide": lambda x: ops.conv(x, WIDE_KERNEL, padding="zero"),
    "conv_stride": lambda x: ops.conv(x, DENSE_KERNEL, stride=2, padding="valid"),
}
# Not affine along that direction: tested for finiteness only.
CURVED = {
    "transmission_from_depth": lambda x: ops.transmission_from_depth(x, 1.5),
    "transmission_of_own_airlight": lambda x: ops.transmission(
        x, ops.airlight(x, ops.dark_channel(x, window=3)), window=3
    ),
}
EVERYTHING = OPERATIONS | CURVED


def _image(rng, *leading):
    return jnp.asarray(rng.uniform(size=(*leading, *SHAPE)), jnp.float32)


def test_every_public_function_is_listed_here():
    source = set()
    for function in EVERYTHING.values():
        source |= {function.__name__} if function.__name__ != "<lambda>" else set(function.__code__.co_names)
    assert set(ops.__all__) - {"spatial_size"} <= source  # it returns no array


@pytest.mark.parametrize("name", EVERYTHING)
def test_jit_equals_eager(name, rng):
    x = _image(rng)
    np.testing.assert_allclose(jax.jit(EVERYTHING[name])(x), EVERYTHING[name](x), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", EVERYTHING)
def test_vmap_equals_loop(name, rng):
    x = _image(rng, 3)
    each = jax.jit(EVERYTHING[name])
    expected = np.stack([each(one) for one in x])
    np.testing.assert_allclose(jax.jit(jax.vmap(EVERYTHING[name]))(x), expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", EVERYTHING)
def test_bfloat16_in_gives_bfloat16_out_near_float32(name, rng):
    x = _image(rng).astype(jnp.bfloat16)
    exact = np.asarray(EVERYTHING[name](x.astype(jnp.float32)))
    found = EVERYTHING[name](x)
    assert found.dtype == jnp.bfloat16
    scale = max(1.0, float(np.abs(exact).max()))
    np.testing.assert_allclose(found.astype(jnp.float32), exact, atol=0.03 * scale)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", EVERYTHING)
def test_gradient_is_finite_on_flat_images(name, level):
    flat = jnp.full(SHAPE, level, jnp.float32)
    assert np.isfinite(jax.jit(jax.grad(lambda x: EVERYTHING[name](x).sum()))(flat)).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
@pytest.mark.parametrize("name", OPERATIONS)
def test_gradient_on_flat_images_predicts_a_change_of_brightness(name, level, rng):
    # Also at the ties of a minimum the gradient must share out exactly the weight of the output.
    if name == "sobel_magnitude_l1" and level == 0:
        pytest.skip("absolute values have their kink exactly there")
    operation = OPERATIONS[name]
    black, white = jnp.zeros(SHAPE, jnp.float32), jnp.ones(SHAPE, jnp.float32)
    change = np.asarray(operation(white) - operation(black), np.float64)
    weights = rng.uniform(0.5, 1.5, change.shape)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(operation(x) * jnp.asarray(weights, jnp.float32))))(
        jnp.full(SHAPE, level, jnp.float32)
    )
    expected = np.sum(weights * change)
    magnitude = np.sum(np.abs(weights * change)) + 1
    np.testing.assert_allclose(np.asarray(gradient, np.float64).sum(), expected, atol=1e-5 * magnitude)
    assert np.abs(gradient).max() > 1e-4
