"""Depthwise and dense convolutions and their gradients against SciPy and explicit sums in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from iassf_jax import ops
from iassf_jax.core.errors import InputError
from iassf_jax.ops import convolution, depthwise

SCIPY_MODE = {"reflect": {"mode": "mirror"}, "zero": {"mode": "constant", "cval": 0.0}}
NUMPY_MODE = {"reflect": {"mode": "reflect"}, "zero": {"mode": "constant"}}


def _single(*arrays):
    return [jnp.asarray(array, jnp.float32) for array in arrays]


@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_depthwise_matches_scipy(size, padding, rng):
    x, kernel, bias = rng.normal(size=(2, 9, 8, 3)), rng.normal(size=(size, size, 3)), rng.normal(size=3)
    expected = np.empty_like(x)
    for b in range(2):
        for c in range(3):
            plane = ndimage.correlate(x[b, :, :, c], kernel[:, :, c], **SCIPY_MODE[padding])
            expected[b, :, :, c] = plane + bias[c]
    found = ops.depthwise_conv(*_single(x, kernel, bias), padding=padding)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("shape", [(2, 9, 8, 3), (1, 2, 1, 4), (1, 4, 17, 24)])
def test_depthwise_gradients_match_explicit_sums(shape, padding, rng):
    x, kernel, g = rng.normal(size=shape), rng.normal(size=(5, 5, shape[3])), rng.normal(size=shape)
    _, transpose = jax.vjp(lambda x, k: ops.depthwise_conv(x, k, padding=padding), *_single(x, kernel))
    x_gradient, kernel_gradient = transpose(_single(g)[0])

    # The pixel of the image that each pixel of the padded image shows; -1 is outside.
    b, h, w, c = shape
    index = np.arange(h * w).reshape(h, w)
    border = {"constant_values": -1} if padding == "zero" else {}
    shown = np.pad(index, 2, **NUMPY_MODE[padding], **border)
    expected_x, expected_kernel = np.zeros((b, h * w + 1, c)), np.zeros_like(kernel)
    pixels = np.concatenate([x.reshape(b, h * w, c), np.zeros((b, 1, c))], axis=1)
    for i in range(5):
        for j in range(5):
            places = shown[i : i + h, j : j + w].ravel()
            flat = g.reshape(b, h * w, c)
            expected_kernel[i, j] = np.sum(pixels[:, places] * flat, axis=(0, 1))
            for n in range(b):
                np.add.at(expected_x[n], places, flat[n] * kernel[i, j])
    np.testing.assert_allclose(x_gradient, expected_x[:, :-1].reshape(shape), atol=3e-5)
    np.testing.assert_allclose(kernel_gradient, expected_kernel, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 37, 20, 3), (1, 16, 8, 24)])
def test_both_forms_of_the_weight_gradient_agree(shape, rng):
    # One of them runs on CPUs, the other on accelerators.
    b, h, w, c = shape
    padded, g = rng.normal(size=(b, h + 4, w + 4, c)), rng.normal(size=shape)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (h, w), axis=(1, 2))
    expected = np.einsum("bijcyx,byxc->ijc", windows, g).reshape(25, c)
    for form in (depthwise._tap_sums, depthwise._tap_sums_by_rows):
        np.testing.assert_allclose(jax.jit(form)(*_single(padded, g)), expected, rtol=1e-5, atol=1e-4)


def test_depthwise_has_a_second_gradient(rng):
    x, kernel = _single(rng.normal(size=(1, 6, 7, 2)), rng.normal(size=(3, 3, 2)))

    def squared_gradient(k):
        return jnp.sum(jax.grad(lambda x: jnp.sum(ops.depthwise_conv(x, k, padding="zero") ** 2))(x) ** 2)

    direction = _single(rng.normal(size=(3, 3, 2)))[0]
    slope = jnp.vdot(jax.grad(squared_gradient)(kernel), direction)
    step = 1e-2
    numeric = squared_gradient(kernel + step * direction) - squared_gradient(kernel - step * direction)
    np.testing.assert_allclose(slope, numeric / (2 * step), rtol=1e-2)


def test_depthwise_vmaps_over_members_with_own_kernels(rng):
    x, kernels = _single(rng.normal(size=(1, 6, 7, 2)), rng.normal(size=(3, 5, 5, 2)))
    loss = jax.grad(lambda k: jnp.sum(ops.depthwise_conv(x, k, padding="reflect") ** 2))
    expected = np.stack([loss(kernel) for kernel in kernels])
    np.testing.assert_allclose(jax.vmap(loss)(kernels), expected, rtol=1e-5, atol=1e-4)


def test_depthwise_weight_gradient_is_accumulated_in_float32(rng):
    # Summing 4096 ones in bfloat16 would stop at 256.
    x = jnp.ones((1, 64, 64, 2), jnp.bfloat16)
    kernel = jnp.ones((3, 3, 2), jnp.float32)
    gradient = jax.grad(lambda k: ops.depthwise_conv(x, k, padding="reflect").astype(jnp.float32).sum())(
        kernel
    )
    assert gradient.dtype == jnp.float32
    np.testing.assert_array_equal(gradient, 4096)


def _dense(x, kernel, bias, stride):
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
    return np.einsum("bhwiyx,yxio->bhwo", windows[:, ::stride, ::stride], kernel) + bias


@pytest.mark.parametrize("padding", ["reflect", "zero"])
@pytest.mark.parametrize("outputs", [4, 7])  # few outputs take another form than many
@pytest.mark.parametrize("taps, stride", [((1, 1), 1), ((3, 3), 1), ((5, 3), 1), ((3, 3), 2)])
def test_padded_conv_matches_explicit_sum(taps, stride, outputs, padding, rng):
    x, kernel, bias = (
        rng.normal(size=(2, 9, 8, 3)),
        rng.normal(size=(*taps, 3, outputs)),
        rng.normal(size=outputs),
    )
    rows, columns = taps[0] // 2, taps[1] // 2
    wide = np.pad(x, ((0, 0), (rows, rows), (columns, columns), (0, 0)), **NUMPY_MODE[padding])
    found = ops.conv(*_single(x, kernel, bias), stride=stride, padding=padding)
    np.testing.assert_allclose(found, _dense(wide, kernel, bias, stride), atol=1e-5)


@pytest.mark.parametrize("outputs", [4, 7])
@pytest.mark.parametrize("taps, stride", [((1, 1), 1), ((2, 2), 2), ((3, 3), 1), ((8, 9), 1)])
def test_valid_conv_and_gradients_match_explicit_sum(taps, stride, outputs, rng):
    x, kernel = rng.normal(size=(2, 9, 9, 3)), rng.normal(size=(*taps, 3, outputs))
    expected = _dense(x, kernel, 0, stride)
    g = rng.normal(size=expected.shape)
    apply = functools.partial(ops.conv, stride=stride, padding="valid")
    found, transpose = jax.vjp(apply, *_single(x, kernel))
    np.testing.assert_allclose(found, expected, atol=2e-5)
    x_gradient, kernel_gradient = transpose(_single(g)[0])
    windows = np.lib.stride_tricks.sliding_window_view(x, taps, axis=(1, 2))[:, ::stride, ::stride]
    expected_kernel = np.einsum("bhwiyx,bhwo->yxio", windows, g)
    np.testing.assert_allclose(kernel_gradient, expected_kernel, atol=1e-4)
    expected_x = np.zeros_like(x)
    for (y, column), _ in np.ndenumerate(expected[0, :, :, 0]):
        corner = (slice(None), slice(y * stride, y * stride + taps[0]))
        corner += (slice(column * stride, column * stride + taps[1]),)
        expected_x[corner] += np.einsum("bo,yxio->byxi", g[:, y, column], kernel)
    np.testing.assert_allclose(x_gradient, expected_x, atol=1e-4)


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("edges", [((0, 0), (0, 0)), ((1, 1), (1, 1)), ((2, 0), (1, 3))])
def test_gradients_of_a_correlation_are_those_of_xla(edges, strides, rng):
    x, kernel = _single(rng.normal(size=(2, 9, 8, 3)), rng.normal(size=(3, 2, 3, 5)))
    numbers = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    expected, reference = jax.vjp(
        lambda x, k: jax.lax.conv_general_dilated(x, k, strides, edges, **numbers), x, kernel
    )
    found, transpose = jax.vjp(lambda x, k: convolution.correlate(x, k, strides, edges), x, kernel)
    np.testing.assert_array_equal(found, expected)
    g = _single(rng.normal(size=expected.shape))[0]
    for mine, xlas in zip(transpose(g), reference(g), strict=True):
        np.testing.assert_allclose(mine, xlas, rtol=1e-5, atol=1e-4)


def test_gradient_of_the_image_reads_a_kernel_laid_out_as_in_the_forward_pass():
    """With exchanged axes XLA's CPU compiler leaves the convolutions in loops ten times slower."""
    x, kernel = jnp.ones((1, 9, 9, 3)), jnp.ones((3, 3, 3, 5))
    image_gradient = jax.grad(lambda x: convolution.correlate(x, kernel, (1, 1), ((1, 1), (1, 1))).sum())
    lowered = jax.jit(image_gradient).trace(x).lower(lowering_platforms=("cpu",)).as_text()
    assert lowered.count("stablehlo.convolution") == lowered.count("x[0, 1, i, o]->") > 0


def test_weight_gradient_of_a_correlation_is_accumulated_in_float32():
    x, kernel = jnp.ones((1, 64, 64, 2), jnp.bfloat16), jnp.ones((1, 1, 2, 2), jnp.bfloat16)
    edges = ((0, 0), (0, 0))
    gradient = jax.grad(lambda k: convolution.correlate(x, k, (1, 1), edges).astype(jnp.float32).sum())(
        kernel
    )
    np.testing.assert_array_equal(gradient, 4096)


def test_bad_shapes_and_options_are_named():
    x = jnp.zeros((1, 6, 6, 3))
    with pytest.raises(InputError, match=r"expected \(k, k, 3\) with odd k"):
        ops.depthwise_conv(x, jnp.zeros((4, 4, 3)), padding="zero")
    with pytest.raises(InputError, match="odd kernel"):
        ops.conv(x, jnp.zeros((2, 2, 3, 1)), padding="reflect")
    with pytest.raises(InputError, match="height is 6; expected at least 7"):
        ops.conv(x, jnp.zeros((7, 7, 3, 1)), padding="valid")
    with pytest.raises(InputError, match="stride is 0"):
        ops.conv(x, jnp.zeros((1, 1, 3, 1)), stride=0, padding="valid")
