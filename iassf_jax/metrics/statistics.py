"""Activity and contrast of the fused image alone, on grey levels 0..255. Higher is more, not better."""

from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, central_differences, centred, mean, pixels, size_within, total
from iassf_jax.metrics.windows import safe_divide, safe_sqrt, sobel


def spatial_frequency(fused: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, " b"]:
    """Q_SF = sqrt(RF^2 + CF^2), from the mean squares of the differences of neighbours."""
    (across, size_across), (down, size_down) = _neighbour_squares(fused, size_within(fused, within))
    return safe_sqrt(mean(across, size_across) + mean(down, size_down))


def spatial_frequency_vifb(fused: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, " b"]:
    """SF with sums over the number of pixels instead of the number of differences: 0.05 to 0.2 % smaller."""
    size = size_within(fused, within)
    return safe_sqrt(summed_differences(fused, size) / pixels(fused, size))


def spatial_frequency_uint8(
    fused: Float[Array, "b h w"], *, within: Size | None = None
) -> Float[Array, " b"]:
    """SF in MATLAB's saturating uint8 arithmetic: falls count as 0, squares as 255 at most."""
    sides = _neighbours(fused, size_within(fused, within))
    means = [mean(jnp.minimum(jnp.square(jnp.maximum(d, 0.0)), 255.0), size) for d, size in sides]
    return safe_sqrt(means[0] + means[1])


def relative_spatial_frequency(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w"],
    fused: Float[Array, "b h w"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Zheng's ratio (SF_F - SF_R) / SF_R, with diagonals of weight 1 / sqrt(2); neither sign is better.

    SF_R takes at every pixel the larger difference of the two sources.
    """
    size = size_within(fused, within)
    squares, references = jnp.zeros(fused.shape[0], fused.dtype), jnp.zeros(fused.shape[0], fused.dtype)
    differences = [_four_directions(x, size) for x in (fused, infrared, visible)]
    for (f, inner), (a, _), (b, _), weight in zip(*differences, (1.0, 1.0, 0.5**0.5, 0.5**0.5), strict=True):
        squares = squares + weight * total(jnp.square(f), inner)
        references = references + weight * total(jnp.maximum(jnp.square(a), jnp.square(b)), inner)
    return safe_divide(safe_sqrt(squares) - safe_sqrt(references), safe_sqrt(references))


def summed_differences(levels: Float[Array, "b h w"], size: Size) -> Float[Array, " b"]:
    """Return the sum of the squared differences of neighbours, across and down."""
    (across, size_across), (down, size_down) = _neighbour_squares(levels, size)
    return total(across, size_across) + total(down, size_down)


def average_gradient(fused: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, " b"]:
    """AG of Tang's tool box and VIFB: sum of sqrt((gx^2 + gy^2) / 2) over (h-1)(w-1).

    Central differences inside, one-sided ones at the border.
    """
    size = size_within(fused, within)
    return total(_gradient_strength(fused, size), size) / pixels(fused, size.windows(2))


def average_gradient_mean(fused: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, " b"]:
    """AG of CDDFuse and IVIF_ZOO: the mean over all pixels, 0.4 % smaller at 480x640."""
    size = size_within(fused, within)
    return mean(_gradient_strength(fused, size), size)


def standard_deviation(fused: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, " b"]:
    """SD of the grey levels, divided by the number of pixels."""
    size = size_within(fused, within)
    return safe_sqrt(mean(jnp.square(centred(fused, size)), size))


def edge_intensity(fused: Float[Array, "b h w"], *, within: Size | None = None) -> Float[Array, " b"]:
    """EI: mean strength of the Sobel gradient with repeated borders."""
    size = size_within(fused, within)
    gx, gy = sobel(fused, size, padding="edge")
    return mean(safe_sqrt(gx * gx + gy * gy), size)


def _neighbour_squares(levels: Array, size: Size) -> tuple[tuple[Array, Size], tuple[Array, Size]]:
    """Squared differences across and down, each with its size."""
    (across, size_across), (down, size_down) = _neighbours(levels, size)
    return (jnp.square(across), size_across), (jnp.square(down), size_down)


def _neighbours(levels: Array, size: Size) -> tuple[tuple[Array, Size], tuple[Array, Size]]:
    across, down = levels[:, :, 1:] - levels[:, :, :-1], levels[:, 1:] - levels[:, :-1]
    return (across, Size(size.height, size.width - 1)), (down, Size(size.height - 1, size.width))


def _four_directions(levels: Array, size: Size) -> list[tuple[Array, Size]]:
    falling, rising = levels[:, 1:, 1:] - levels[:, :-1, :-1], levels[:, 1:, :-1] - levels[:, :-1, 1:]
    return [*_neighbours(levels, size), (falling, size.windows(2)), (rising, size.windows(2))]


def _gradient_strength(levels: Array, size: Size) -> Array:
    gy, gx = central_differences(levels, 1, size), central_differences(levels, 2, size)
    return safe_sqrt((gx * gx + gy * gy) / 2.0)
