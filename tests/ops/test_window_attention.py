"""Window attention against its formula in float64, and the kernels for GPUs against plain JAX.

Without a GPU the kernels are interpreted, and lowered for one.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iassf_jax.core.errors import InputError
from iassf_jax.ops import depthwise, window_attention
from iassf_jax.ops.depthwise_kernel import tap_sums_in_kernel
from iassf_jax.ops.window_attention import attend
from iassf_jax.ops.window_attention_chunks import chunk_length, gradients_by_chunks
from iassf_jax.ops.window_attention_kernel import attend_in_kernel, gradients_in_kernel

# Windows (fewer than a program takes, as many, and more), tokens, and widths that are no powers of two.
SHAPES = [(3, 64, 12, 12), (8, 64, 24, 24), (19, 16, 6, 10)]


def operands(shape, rng, dtype=jnp.float32):
    """Queries, keys, values, bias, and a gradient of the result."""
    n, t, d, v = shape
    sizes = [(n, t, d), (n, t, d), (n, t, v), (t, t), (n, t, v)]
    dtypes = [dtype, dtype, dtype, jnp.float32, dtype]
    return [jnp.asarray(rng.normal(size=s), kind) for s, kind in zip(sizes, dtypes, strict=True)]


def result_and_gradients(q, k, v, bias, g, *, pallas):
    attended, transpose = jax.vjp(lambda *x: attend(*x, pallas=pallas), q, k, v, bias)
    return attended, *transpose(g)


@pytest.mark.parametrize("pallas", [False, True])
def test_attention_is_a_softmax_over_the_tokens_of_a_window(pallas, rng):
    q, k, v, bias, _ = operands(SHAPES[0], rng)
    logits = np.einsum("nqd,nkd->nqk", *np.float64([q, k])) + np.float64(bias)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    attended = jax.jit(attend, static_argnames="pallas")(q, k, v, bias, pallas=pallas)
    np.testing.assert_allclose(attended, weights @ np.float64(v), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_agree_with_plain_jax(shape, rng):
    *inputs, g = operands(shape, rng)
    expected = result_and_gradients(*inputs, g, pallas=False)
    found = attend_in_kernel(*inputs, interpret=True), *gradients_in_kernel(*inputs, g, interpret=True)
    for mine, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-5, atol=2e-5)


def test_kernels_round_bfloat16_no_more_than_plain_jax(rng):
    *inputs, g = operands(SHAPES[1], rng, jnp.bfloat16)
    exact = result_and_gradients(*(x.astype(jnp.float32) for x in (*inputs, g)), pallas=False)
    plain = result_and_gradients(*inputs, g, pallas=False)
    found = attend_in_kernel(*inputs, interpret=True), *gradients_in_kernel(*inputs, g, interpret=True)
    for mine, its, true in zip(found, plain, exact, strict=True):
        assert mine.dtype == its.dtype
        error, its_error = (np.linalg.norm(np.float32(x) - np.float32(true)) for x in (mine, its))
        assert 0 < error < 1.2 * its_error


def test_with_kernels_result_and_gradients_are_the_same(rng):
    """Of the plain path where the tests run on a CPU, of the compiled kernels on a GPU."""
    arrays = operands(SHAPES[0], rng)
    both = [result_and_gradients(*arrays, pallas=pallas) for pallas in (True, False)]
    for mine, plain in zip(*both, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-5, atol=2e-5)


# Windows in one chunk, in two and four, and of a prime number.
@pytest.mark.parametrize("shape", [(3, 64, 12, 12), (512, 64, 6, 10), (1024, 64, 8, 8), (257, 64, 8, 8)])
def test_gradients_by_chunks_are_those_of_the_whole(shape, rng):
    *inputs, g = operands(shape, rng)
    expected = jax.jit(window_attention._plain_gradients)(*inputs, g)
    for mine, plain in zip(jax.jit(gradients_by_chunks)(*inputs, g), expected, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-4, atol=1e-4 * np.abs(plain).max())


def test_gradients_by_chunks_round_bfloat16_no_more_than_those_of_the_whole(rng):
    arrays = operands((512, 64, 12, 12), rng, jnp.bfloat16)
    exact = window_attention._plain_gradients(*(x.astype(jnp.float32) for x in arrays))
    whole = window_attention._plain_gradients(*arrays)
    for mine, its, true in zip(gradients_by_chunks(*arrays), whole, exact, strict=True):
        assert mine.dtype == its.dtype
        error, its_error = (np.linalg.norm(np.float32(x) - np.float32(true)) for x in (mine, its))
        assert 0 < error < 1.2 * its_error


@given(windows=st.integers(1, 5000), side=st.integers(1, 16))
def test_chunks_are_equal_parts_of_bounded_size(windows, side):
    length = chunk_length(windows, side**2)
    assert windows % length == 0
    logits = length * side**4
    assert 2**18 <= logits <= 2**20 or length == windows


@pytest.mark.parametrize("windows", [1024, 1089, 289, 2048, 2178, 4800, 4941])
def test_the_windows_of_usual_images_are_cut(windows):
    """256x256 and 480x640 pixels, with and without shifted windows, one and two images."""
    assert 64 <= chunk_length(windows, 64) <= 289


@pytest.mark.parametrize("tokens", [4, 49, 256])
def test_other_windows_are_refused(tokens, rng):
    *inputs, _ = operands((2, tokens, 8, 8), rng)
    with pytest.raises(InputError, match=f"windows of 4x4 or 8x8 tokens, but these have {tokens}"):
        attend(*inputs, pallas=True)
    attend(*inputs)


@pytest.mark.parametrize(("shape", "size"), [((2, 40, 33, 24), 5), ((1, 7, 9, 3), 3), ((1, 33, 128, 48), 5)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_tap_sums_of_the_kernel_are_those_of_plain_jax(dtype, shape, size, rng):
    b, h, w, c = shape
    padded = jnp.asarray(rng.normal(size=(b, h + size - 1, w + size - 1, c)), dtype)
    g = jnp.asarray(rng.normal(size=shape), dtype)
    found, expected = tap_sums_in_kernel(padded, g, interpret=True), depthwise._tap_sums(padded, g)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=2e-4)


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_depthwise_gradients_are_the_same_with_the_kernel(padding, rng):
    x, kernel, g = (
        jnp.asarray(rng.normal(size=s), jnp.float32) for s in [(2, 9, 8, 3), (5, 5, 3), (2, 9, 8, 3)]
    )

    with_kernel, without = (
        jax.vjp(functools.partial(depthwise.depthwise_conv, padding=padding, pallas=pallas), x, kernel)[1](g)
        for pallas in (True, False)
    )
    for mine, plain in zip(with_kernel, without, strict=True):
        np.testing.assert_allclose(mine, plain, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("pallas", [True, False])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_gpus_get_the_kernels_if_asked_for(dtype, pallas, rng, lower_for_gpu):
    *inputs, g = operands(SHAPES[1], rng, dtype)
    attention = lower_for_gpu(lambda *x: result_and_gradients(*x, pallas=pallas), *inputs, g)
    assert ("_attend_kernel" in attention) == ("_gradient_kernel" in attention) == pallas
    x, kernel = jnp.zeros((1, 64, 64, 24), dtype), jnp.zeros((5, 5, 24), dtype)
    taps = jax.grad(
        lambda k: depthwise.depthwise_conv(x, k, padding="zero", pallas=pallas).astype(jnp.float32).sum()
    )
    assert ("_add_rows" in lower_for_gpu(taps, kernel)) == pallas
