"""Dense convolutions in the form that runs fastest here.

The gradient of a kernel is, on CPU, one matrix product per tap. XLA's own convolution of the image with the
gradient takes 3 to 6 times as long (24 to 24 channels, 3x3 taps, 256x256 pixels: 113 ms against 17 ms, 6 to 6
channels: 14 against 4), and in a loop, as over micro-batches, another 10 times that.
"""

import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_at_least, check_choice, check_images
from iassf_jax.ops.padding import pad_border

_NARROW = 4  # outputs up to which `conv` multiplies first and shifts the products afterwards

_LAYOUT = ("NHWC", "HWIO", "NHWC")

Edges = tuple[tuple[int, int], tuple[int, int]]


def conv(
    x: Float[Array, "b h w i"],
    kernel: Float[Array, "kh kw i o"],
    bias: Float[Array, " o"] | None = None,
    *,
    stride: int = 1,
    padding: Literal["reflect", "zero", "valid"],
) -> Float[Array, "b H W o"]:
    """Cross-correlate with a dense kernel.

    Args:
        x: images or features; kernel and bias are cast to their dtype, and so is the result.
        kernel: taps in the order [row, column, input channel, output channel].
        bias: added to each output channel.
        stride: distance of neighbouring windows in pixels.
        padding: "reflect" and "zero" pad by half of an odd kernel on each side (the mirror leaves out the
            edge pixel); "valid" uses the windows inside the image.

    Raises:
        InputError: the channels disagree, a padded kernel is even, or no window fits into the image.
    """
    check_images(x=x)
    check_at_least(1, stride=stride)
    check_choice(("reflect", "zero", "valid"), padding=padding)
    if kernel.ndim != 4 or kernel.shape[2] != x.shape[3]:
        raise InputError(f"the kernel has shape {kernel.shape}; expected (kh, kw, {x.shape[3]}, outputs)")
    if padding != "valid":
        if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
            raise InputError(f"padding {padding!r} needs an odd kernel, but its shape is {kernel.shape}")
        x = pad_border(x, kernel.shape[0] // 2, kernel.shape[1] // 2, padding)
    check_at_least(kernel.shape[0], height=x.shape[1])
    check_at_least(kernel.shape[1], width=x.shape[2])
    kernel = kernel.astype(x.dtype)
    if stride == 1 and kernel.shape[3] <= _NARROW:
        y = _narrow_correlation(x, kernel)
    else:
        y = _correlation(x, kernel, stride)
    return y if bias is None else y + bias.astype(y.dtype)[None, None, None, :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def correlate(
    x: Float[Array, "b h w i"], kernel: Float[Array, "kh kw i o"], strides: tuple[int, int], edges: Edges
) -> Float[Array, "b H W o"]:
    """Cross-correlate `x`, with `edges` of zeros around it, with a kernel of the same dtype.

    Args:
        x: images or features.
        kernel: taps in the order [row, column, input channel, output channel].
        strides: distance of neighbouring windows in pixels, (down, right).
        edges: ((top, bottom), (left, right)) rows and columns of zeros.
    """
    return _convolution(x, kernel, strides, edges)


def _convolution(x: Array, kernel: Array, strides: tuple[int, int], edges: Edges) -> Array:
    return lax.conv_general_dilated(x, kernel, strides, edges, dimension_numbers=_LAYOUT)


def _correlate_forward(
    x: Array, kernel: Array, strides: tuple[int, int], edges: Edges
) -> tuple[Array, tuple[Array, Array]]:
    return correlate(x, kernel, strides, edges), (x, kernel)


def _correlate_backward(
    strides: tuple[int, int], edges: Edges, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    def by_convolution(x: Array, kernel: Array, g: Array) -> Array:
        return jax.vjp(lambda taps: _convolution(x, taps, strides, edges), kernel)[1](g)[0]

    def by_products(x: Array, kernel: Array, g: Array) -> Array:
        return _tap_products(jnp.pad(x, ((0, 0), *edges, (0, 0))), g, kernel.shape[:2], strides)

    x, kernel = saved
    if strides == kernel.shape[:2] and edges == ((0, 0), (0, 0)):
        x_gradient = _tile_gradient(g, kernel, x.shape)
    else:
        x_gradient = _image_gradient(g, kernel, x.shape, strides, edges)
    taps = lax.platform_dependent(x, kernel, g, cpu=by_products, default=by_convolution)
    return x_gradient, taps


correlate.defvjp(_correlate_forward, _correlate_backward)


def _image_gradient(
    g: Array, kernel: Array, shape: tuple[int, ...], strides: tuple[int, int], edges: Edges
) -> Array:
    """Gradient of the image: `g`, spread out by the strides, correlated with the flipped kernel.

    XLA's own transpose reads the kernel with exchanged axes in place, which its CPU compiler rearranges
    outside of loops only: over micro-batches, the convolution took ten times as long.
    """
    around = []
    for axis in (0, 1):
        before = kernel.shape[axis] - 1 - edges[axis][0]
        spread = strides[axis] * (g.shape[1 + axis] - 1) + 1
        around.append((before, shape[1 + axis] - spread - before + kernel.shape[axis] - 1))
    flipped = kernel[::-1, ::-1].swapaxes(2, 3)
    return lax.conv_general_dilated(
        g, flipped, (1, 1), around, lhs_dilation=strides, dimension_numbers=_LAYOUT
    )


def _tile_gradient(g: Array, kernel: Array, shape: tuple[int, ...]) -> Array:
    """Gradient of the image where windows lie side by side: one matrix product, a row for each window.

    48 to 24 channels, 2x2 taps, 256x256 pixels: 1.5 ms on CPU, XLA's own transpose 2.6 and in loops 22 ms.
    """
    b, h, w, outputs = g.shape
    kh, kw, inputs, _ = kernel.shape
    windows = g.reshape(-1, outputs) @ kernel.reshape(-1, outputs).T
    seen = windows.reshape(b, h, w, kh, kw * inputs).swapaxes(2, 3).reshape(b, h * kh, w * kw, inputs)
    return jnp.pad(seen, ((0, 0), (0, shape[1] - h * kh), (0, shape[2] - w * kw), (0, 0)))


def _tap_products(x: Array, g: Array, size: tuple[int, ...], strides: tuple[int, int]) -> Array:
    """Gradient of a kernel: for each tap, the pixels that it has seen times the gradients of what it gave.

    A loop, because XLA works out anew for every tap what it can fuse into the slices, such as the padding.
    """
    b, h, w, outputs = g.shape
    down, right = strides
    extent = (b, down * (h - 1) + 1, right * (w - 1) + 1, x.shape[3])
    gradients = g.reshape(-1, outputs)

    def product(tap: Array) -> Array:
        seen = lax.dynamic_slice(x, (0, tap[0], tap[1], 0), extent)[:, ::down, ::right]
        return lax.dot_general(
            seen.reshape(-1, x.shape[3]),
            gradients,
            (((0,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        )

    taps = jnp.stack(jnp.meshgrid(*map(jnp.arange, size), indexing="ij"), axis=-1).reshape(-1, 2)
    return lax.map(product, taps).reshape(*size, x.shape[3], outputs).astype(g.dtype)


def _correlation(x: Array, kernel: Array, stride: int) -> Array:
    """Windows inside `x`; on CPU XLA's unpadded convolution takes five times as long as one of full size."""
    kh, kw = kernel.shape[:2]
    if stride > 1 or kh % 2 == 0 or kw % 2 == 0:
        return correlate(x, kernel, (stride, stride), ((0, 0), (0, 0)))
    y = correlate(x, kernel, (1, 1), ((kh // 2, kh // 2), (kw // 2, kw // 2)))
    return y[:, kh // 2 : x.shape[1] - kh // 2, kw // 2 : x.shape[2] - kw // 2]


def _narrow_correlation(x: Array, kernel: Array) -> Array:
    """The same for few outputs: one product per pixel for all taps, then a sum of shifted results."""
    kh, kw, _, outputs = kernel.shape
    b, h, w, _ = x.shape
    products = x @ jnp.moveaxis(kernel, 2, 0).reshape(x.shape[3], kh * kw * outputs)[None, None]
    rows, columns = h - kh + 1, w - kw + 1
    shifted = [
        products[:, i : i + rows, j : j + columns, (i * kw + j) * outputs : (i * kw + j + 1) * outputs]
        for i in range(kh)
        for j in range(kw)
    ]
    return functools.reduce(lax.add, shifted)
