"""Depthwise convolutions in the form that runs fastest here.

XLA's grouped convolution is over 20 times slower on CPU than a sum of shifted images, so depthwise layers are
such sums with a gradient of their own. Measured with 5x5 taps, 24 channels, 256x256 pixels, in CPU time:
forward 3 ms against 63 ms; gradient 11 ms against 240 ms (grouped) and 205 ms (XLA's transpose of the sum).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_choice, check_images
from iassf_jax.ops.padding import Border, pad_border, spatial_size


def depthwise_conv(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "k k c"],
    bias: Float[Array, " c"] | None = None,
    *,
    padding: Border,
    pallas: bool = False,
) -> Float[Array, "b h w c"]:
    """Correlate every channel with its own odd square kernel; the size of the images is kept.

    Args:
        x: images or features; the result has their dtype.
        kernel: [k, k, c] taps, in any float dtype. Their gradient is accumulated in float32.
        bias: added to each channel.
        padding: what lies outside the image: its mirror without the edge pixel, or zeros.
        pallas: on NVIDIA GPUs, compute the gradient of the taps in a kernel.

    Raises:
        InputError: the kernel is not odd and square, or its channels are not those of `x`.
    """
    check_images(x=x)
    check_choice(("reflect", "zero"), padding=padding)
    size = kernel.shape[0]
    if kernel.ndim != 3 or kernel.shape[1] != size or size % 2 == 0 or kernel.shape[2] != x.shape[3]:
        raise InputError(f"the kernel has shape {kernel.shape}; expected (k, k, {x.shape[3]}) with odd k")
    y = _depthwise(x, kernel, padding, pallas)
    return y if bias is None else y + bias.astype(y.dtype)[None, None, None, :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(x: Array, kernel: Array, padding: Border, pallas: bool) -> Array:
    radius = kernel.shape[0] // 2
    return _shifted_sum(pad_border(x, radius, radius, padding), kernel)


def _depthwise_forward(
    x: Array, kernel: Array, padding: Border, pallas: bool
) -> tuple[Array, tuple[Array, Array]]:
    # The image is kept and padded again: cheaper than keeping a second, padded copy until the backward pass.
    return _depthwise(x, kernel, padding, pallas), (x, kernel)


def _depthwise_backward(
    padding: Border, pallas: bool, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    x, kernel = saved
    radius = kernel.shape[0] // 2
    padded = pad_border(x, radius, radius, padding)
    on_gpu = _tap_sums
    if pallas:  # imported for those who ask for it, because not every jaxlib has Triton
        from iassf_jax.ops.depthwise_kernel import tap_sums_in_kernel as on_gpu
    taps = lax.platform_dependent(padded, g, cpu=_tap_sums_by_rows, cuda=on_gpu, default=_tap_sums)
    return _image_gradient(g, kernel, padding), taps.reshape(kernel.shape).astype(kernel.dtype)


_depthwise.defvjp(_depthwise_forward, _depthwise_backward)


def _shifted_sum(padded: Array, kernel: Array) -> Array:
    size = kernel.shape[0]
    b, h, w, c = padded.shape
    h, w = h - size + 1, w - size + 1
    taps = kernel.astype(padded.dtype).reshape(size, size, 1, 1, 1, c)
    # Fused into the sum, the border would be worked out anew for each tap: three times slower.
    padded = lax.optimization_barrier(padded)
    terms = [padded[:, i : i + h, j : j + w, :] * taps[i, j] for i in range(size) for j in range(size)]
    return functools.reduce(lax.add, terms)


def _image_gradient(g: Array, kernel: Array, padding: Border) -> Array:
    """Gradient of the image: `g` correlated with the flipped kernel, and what falls on a mirrored border.

    That border is worked out apart and added in place. As one sum over the padded image, folded afterwards,
    XLA's CPU compiler makes one loop of both, 4 times slower, and 100 times for more than one image.
    """
    h, w = spatial_size(g)
    radius = kernel.shape[0] // 2

    def part(*corners: tuple[int, int, int, int]) -> Array:
        """The correlation at the rows and columns between `corners` (top, bottom, left, right)."""
        margin = (-radius, radius, -radius, radius)
        views = [_view(g, *map(sum, zip(corner, margin, strict=True))) for corner in corners]
        return _shifted_sum(lax.concatenate(views, 0), kernel[::-1, ::-1])

    if padding == "reflect" and radius >= min(h, w):  # mirrored more than once
        _, fold = jax.vjp(lambda image: pad_border(image, radius, radius, padding), g)
        return fold(part((-radius, h + radius, -radius, w + radius)))[0]
    inside = part((0, h, 0, w))
    if padding == "zero" or radius == 0:
        return inside
    sides = part((0, h, -radius, 0), (0, h, w, w + radius))
    ends = part((-radius, 0, -radius, w + radius), (h, h + radius, -radius, w + radius))
    left, centre, right = jnp.split(ends, (radius, w + radius), axis=2)
    ends = _fold(centre, left, right, axis=2)
    inside = _fold(inside, *jnp.split(sides, 2), axis=2)
    return _fold(inside, *jnp.split(ends, 2), axis=1)


def _view(x: Array, top: int, bottom: int, left: int, right: int) -> Array:
    """Rows `top` to `bottom` and columns `left` to `right`; zeros where there is no image."""
    h, w = spatial_size(x)
    edges = [(0, 0, 0), (-top, bottom - h, 0), (-left, right - w, 0), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), edges)


def _fold(x: Array, before: Array, after: Array, *, axis: int) -> Array:
    """Add the borders before and after `x` to the pixels that they mirror."""
    width = before.shape[axis]
    for border, start in ((before, 1), (after, x.shape[axis] - 1 - width)):
        part = lax.slice_in_dim(x, start, start + width, axis=axis)
        x = lax.dynamic_update_slice_in_dim(x, part + lax.rev(border, (axis,)), start, axis)
    return x


def _tap_sums(padded: Array, g: Array) -> Array:
    """Gradient of the taps, [k*k, c]: for each shift, the sum over all pixels of image times gradient."""
    padded, g = padded.astype(jnp.float32), g.astype(jnp.float32)
    h, w = g.shape[1:3]
    rows, columns = padded.shape[1] - h + 1, padded.shape[2] - w + 1
    sums = [
        jnp.sum(padded[:, i : i + h, j : j + w, :] * g, axis=(0, 1, 2))
        for i in range(rows)
        for j in range(columns)
    ]
    return jnp.stack(sums)


def _tap_sums_by_rows(padded: Array, g: Array) -> Array:
    """`_tap_sums` for CPUs in a fifteenth of the time: 6 against 100 ms for the layer measured above.

    XLA's CPU reductions add one number after the other and read the images anew for each tap. Here the images
    are read once, row by row, and added elementwise, in vector instructions, to sums by column, which stay in
    the cache and are all that is left to the reduction. Two to fourteen rows at once take thrice as long.
    """
    padded, g = padded.astype(jnp.float32), g.astype(jnp.float32)
    b, h, w, c = g.shape
    tap_rows, tap_columns = padded.shape[1] - h + 1, padded.shape[2] - w + 1
    image_rows, g_rows = padded.reshape(b, padded.shape[1], -1), g.reshape(b, h, w * c)

    def add_row(index: Array, totals: tuple[Array, ...]) -> tuple[Array, ...]:
        start = (index // h, index % h, 0)
        seen = lax.dynamic_slice(image_rows, start, (1, tap_rows, image_rows.shape[2]))[0]
        row = lax.dynamic_slice(g_rows, start, (1, 1, w * c))[0]
        return tuple(total + seen[:, j * c : (j + w) * c] * row for j, total in enumerate(totals))

    totals = lax.fori_loop(0, b * h, add_row, (jnp.zeros((tap_rows, w * c), g.dtype),) * tap_columns)
    return jnp.sum(jnp.stack(totals, axis=1).reshape(-1, w, c), axis=1)
