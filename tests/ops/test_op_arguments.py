"""Wrong shapes are explained by the operations themselves, where no annotation checker runs."""

import jax.numpy as jnp
import jaxtyping
import pytest

from iassf_jax import ops
from iassf_jax.core.errors import InputError

IMAGE = jnp.zeros((1, 4, 6, 3))
FLAT = jnp.zeros((4, 6, 3))
ONE = jnp.ones((1, 1, 1, 1))


@pytest.fixture(autouse=True)
def without_annotation_checks():
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


TAKES_IMAGES = {
    "spatial_size": ops.spatial_size,
    "reflect_pad": lambda x: ops.reflect_pad(x, ((1, 1), (1, 1))),
    "pad_to_multiple": lambda x: ops.pad_to_multiple(x, 4),
    "crop": lambda x: ops.crop(x, (2, 2)),
    "resize_bilinear": lambda x: ops.resize_bilinear(x, (2, 2), align_corners=True),
    "downscale_area": lambda x: ops.downscale_area(x, (2, 2)),
    "pixel_shuffle": lambda x: ops.pixel_shuffle(x, 1),
    "pixel_unshuffle": lambda x: ops.pixel_unshuffle(x, 2),
    "box_mean": lambda x: ops.box_mean(x, 3),
    "min_filter": lambda x: ops.min_filter(x, 3),
    "max_filter": lambda x: ops.max_filter(x, 3),
    "guided_filter": lambda x: ops.guided_filter(x, x, size=3, epsilon=1e-3),
    "refine_transmission": lambda x: ops.refine_transmission(x, x),
    "dark_channel": ops.dark_channel,
    "airlight": lambda x: ops.airlight(x, x),
    "transmission": lambda x: ops.transmission(x, ONE),
    "scatter": lambda x: ops.scatter(x, ONE, ONE),
    "unscatter": lambda x: ops.unscatter(x, ONE, ONE),
    "transmission_from_depth": lambda x: ops.transmission_from_depth(x, 1.0),
    "smooth_rounding": lambda x: ops.smooth_rounding(x, ONE),
    "blur": ops.blur,
    "laplacian_pyramid": lambda x: ops.laplacian_pyramid(x, 1),
    "collapse": lambda x: ops.collapse([x]),
    "sobel": ops.sobel,
    "sobel_magnitude_l1": ops.sobel_magnitude_l1,
    "channel_mean": ops.channel_mean,
    "rgb_to_gray": ops.rgb_to_gray,
    "rgb_to_ycbcr": ops.rgb_to_ycbcr,
    "ycbcr_to_rgb": ops.ycbcr_to_rgb,
    "window_partition": lambda x: ops.window_partition(x, 2),
    "window_merge": lambda x: ops.window_merge(x, 2, (4, 6)),
    "depthwise_conv": lambda x: ops.depthwise_conv(x, jnp.ones((3, 3, 3)), padding="zero"),
    "conv": lambda x: ops.conv(x, jnp.ones((3, 3, 3, 1)), padding="zero"),
}


def test_every_public_function_is_listed_here():
    assert set(TAKES_IMAGES) == set(ops.__all__)


@pytest.mark.parametrize("name", TAKES_IMAGES)
def test_a_missing_batch_axis_is_named_with_its_remedy(name):
    with pytest.raises(InputError, match=r"\(4, 6, 3\); expected four axes.*batch axis with image\[None\]"):
        TAKES_IMAGES[name](FLAT)


@pytest.mark.parametrize("name", TAKES_IMAGES)
def test_empty_images_are_refused(name):
    with pytest.raises(InputError, match="is empty"):
        TAKES_IMAGES[name](jnp.zeros((1, 4, 0, 3)))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ops.guided_filter(IMAGE, ONE, size=3, epsilon=1.0), "guide .*4, 6.*source .*1, 1"),
        (lambda: ops.airlight(IMAGE, IMAGE), r"expected \(1, 4, 6, 1\)"),
        (lambda: ops.rgb_to_gray(IMAGE[..., :2]), "2 channels; expected three"),
        (lambda: ops.ycbcr_to_rgb(IMAGE[..., :1]), "1 channels; expected three"),
        (lambda: ops.depthwise_conv(IMAGE, jnp.zeros((3, 3, 2)), padding="zero"), r"\(k, k, 3\)"),
        (lambda: ops.depthwise_conv(IMAGE, jnp.zeros((3, 5, 3)), padding="zero"), r"\(k, k, 3\)"),
        (lambda: ops.depthwise_conv(IMAGE, jnp.zeros((3, 3)), padding="zero"), r"\(k, k, 3\)"),
        (lambda: ops.depthwise_conv(IMAGE, jnp.zeros((3, 3, 3)), padding="same"), "'same'; expected one of"),
        (lambda: ops.conv(IMAGE, jnp.zeros((3, 3, 4, 1)), padding="zero"), r"\(kh, kw, 3, outputs\)"),
        (lambda: ops.conv(IMAGE, jnp.zeros((3, 3, 3, 1)), padding="SAME"), "'SAME'; expected one of"),
        (lambda: ops.box_mean(IMAGE, 3, padding="zero"), "'zero'; expected one of 'reflect', 'valid'"),
    ],
)
def test_shapes_that_disagree_and_unknown_options_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
