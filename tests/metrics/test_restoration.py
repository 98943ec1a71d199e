"""PSNR and SSIM against independent float64 references, and their properties."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from iassf_jax.core.errors import InputError
from iassf_jax.metrics import psnr, ssim


def _psnr64(a, b):
    return 10 * np.log10(1 / np.mean((np.float64(a) - np.float64(b)) ** 2))


def _ssim64(a, b):
    """Wang et al. with a full two-dimensional window, channel by channel."""
    a, b = np.float64(a), np.float64(b)
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(image):
        return signal.correlate2d(image, window, mode="valid")

    maps = []
    for channel in range(a.shape[-1]):
        p, q = a[..., channel], b[..., channel]
        mp, mq = mean(p), mean(q)
        vp, vq, vpq = (
            mean((p - mp.mean()) ** 2),
            mean((q - mq.mean()) ** 2),
            mean((p - mp.mean()) * (q - mq.mean())),
        )
        vp, vq, vpq = (
            vp - (mp - mp.mean()) ** 2,
            vq - (mq - mq.mean()) ** 2,
            vpq - (mp - mp.mean()) * (mq - mq.mean()),
        )
        maps.append(
            (2 * mp * mq + 0.01**2) * (2 * vpq + 0.03**2) / ((mp**2 + mq**2 + 0.01**2) * (vp + vq + 0.03**2))
        )
    return np.mean(maps)


def _natural(rng, shape):
    """Smooth structure with some noise, like a photograph, in [0,1]."""
    image = cv2.GaussianBlur(rng.random(shape), (0, 0), 3)
    image = (image - image.min()) / (image.max() - image.min())
    return np.clip(image + 0.02 * rng.standard_normal(shape), 0, 1).astype(np.float32)


@pytest.mark.parametrize("metric, reference", [(psnr, _psnr64), (ssim, _ssim64)])
@pytest.mark.parametrize("size", [(11, 11), (16, 37), (48, 64)])
@pytest.mark.parametrize("channels", [1, 3])
def test_agrees_with_a_float64_reference(metric, reference, size, channels, rng):
    a = np.stack(
        [_natural(rng, (*size, channels)) if channels == 3 else _natural(rng, size)[..., None] for _ in "ab"]
    )
    b = np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1).astype(np.float32)
    expected = [reference(p, q) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(metric(jnp.asarray(a), jnp.asarray(b)), expected, rtol=2e-5, atol=2e-5)


def test_ssim_of_constant_images_is_the_luminance_term():
    a, b = 0.2, 0.6
    expected = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    value = ssim(jnp.full((1, 16, 16, 3), a), jnp.full((1, 16, 16, 3), b))
    np.testing.assert_allclose(value, [expected], rtol=1e-5)


def test_known_psnr_values():
    black = jnp.zeros((3, 12, 12, 1))
    levels = jnp.asarray([1.0, 0.1, 0.01])[:, None, None, None] * jnp.ones_like(black)
    np.testing.assert_allclose(psnr(levels, black), [0.0, 20.0, 40.0], atol=1e-4)


def test_equal_images(rng):
    image = jnp.asarray(rng.random((2, 20, 20, 3), np.float32))
    assert np.all(np.isposinf(psnr(image, image)))
    np.testing.assert_allclose(ssim(image, image), [1.0, 1.0], atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), noise=st.floats(0.01, 1.0))
def test_symmetric_bounded_and_worse_with_more_noise(seed, noise):
    rng = np.random.default_rng(seed)
    a = jnp.asarray(rng.random((1, 16, 16, 3), np.float32))
    difference = jnp.asarray(rng.standard_normal((1, 16, 16, 3)).astype(np.float32))
    b, further = a + noise * difference, a + 1.5 * noise * difference
    np.testing.assert_allclose(ssim(a, b), ssim(b, a), atol=1e-5)
    np.testing.assert_allclose(psnr(a, b), psnr(b, a), rtol=1e-5)
    assert -1.0 <= float(ssim(a, b)[0]) <= 1.0
    assert float(psnr(a, further)[0]) < float(psnr(a, b)[0])


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_jit_and_vmap_agree_with_eager(metric, rng):
    a, b = (jnp.asarray(rng.random((4, 14, 18, 3), np.float32)) for _ in "ab")
    expected = metric(a, b)
    np.testing.assert_allclose(jax.jit(metric)(a, b), expected, rtol=1e-5)
    stacked = jax.vmap(metric)(a.reshape(2, 2, 14, 18, 3), b.reshape(2, 2, 14, 18, 3))
    np.testing.assert_allclose(stacked.reshape(4), expected, rtol=1e-5)


@pytest.mark.parametrize("metric", [psnr, ssim])
def test_low_precision_images_are_measured_in_float32(metric, rng):
    a, b = (jnp.asarray(rng.random((1, 16, 16, 3), np.float32)).astype(jnp.bfloat16) for _ in "ab")
    value = metric(a, b)
    assert value.dtype == jnp.float32
    np.testing.assert_allclose(value, metric(a.astype(jnp.float32), b.astype(jnp.float32)))


def test_ssim_gradient_is_finite_on_flat_images():
    flat = jnp.full((1, 16, 16, 3), 0.5)
    gradient = jax.grad(lambda x: ssim(x, flat).sum())(flat)
    assert np.all(np.isfinite(gradient))


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("metric", [psnr, ssim])
def test_shapes_that_would_broadcast_and_integers_are_refused(metric):
    image = jnp.zeros((2, 16, 16, 3))
    with pytest.raises(InputError, match=r"\(2, 16, 16, 1\)"):
        metric(image, image[..., :1])
    with pytest.raises(InputError, match="uint8"):
        metric(image, image.astype(jnp.uint8))


def test_ssim_of_an_image_smaller_than_its_window_is_refused():
    with pytest.raises(InputError, match="11x11"):
        ssim(jnp.zeros((1, 10, 30, 3)), jnp.zeros((1, 10, 30, 3)))
