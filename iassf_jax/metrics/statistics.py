"""Activity and contrast of the fused image alone, on grey levels 0..255. Higher is more, not better."""

from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.windows import safe_sqrt, sobel


def spatial_frequency(fused: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """Q_SF = sqrt(RF^2 + CF^2), from the mean squares of the differences of neighbours."""
    across, down = _neighbour_squares(fused)
    return safe_sqrt(across.mean((1, 2)) + down.mean((1, 2)))


def spatial_frequency_vifb(fused: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """SF with sums over the number of pixels instead of the number of differences: 0.05 to 0.2 % smaller."""
    across, down = _neighbour_squares(fused)
    return safe_sqrt((across.sum((1, 2)) + down.sum((1, 2))) / (fused.shape[1] * fused.shape[2]))


def average_gradient(fused: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """AG of Tang's tool box and VIFB: sum of sqrt((gx^2 + gy^2) / 2) over (h-1)(w-1).

    Central differences inside, one-sided ones at the border.
    """
    return _gradient_strength(fused).sum((1, 2)) / ((fused.shape[1] - 1) * (fused.shape[2] - 1))


def average_gradient_mean(fused: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """AG of CDDFuse and IVIF_ZOO: the mean over all pixels, 0.4 % smaller at 480x640."""
    return _gradient_strength(fused).mean((1, 2))


def standard_deviation(fused: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """SD of the grey levels, divided by the number of pixels."""
    return safe_sqrt(jnp.square(fused - fused.mean((1, 2), keepdims=True)).mean((1, 2)))


def edge_intensity(fused: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """EI: mean strength of the Sobel gradient with repeated borders."""
    gx, gy = sobel(fused, padding="edge")
    return safe_sqrt(gx * gx + gy * gy).mean((1, 2))


def _neighbour_squares(levels: Array) -> tuple[Array, Array]:
    return jnp.square(levels[:, :, 1:] - levels[:, :, :-1]), jnp.square(levels[:, 1:] - levels[:, :-1])


def _gradient_strength(levels: Array) -> Array:
    gy, gx = _central(levels, 1), _central(levels, 2)
    return safe_sqrt((gx * gx + gy * gy) / 2.0)


def _central(x: Array, axis: int) -> Array:
    x = jnp.moveaxis(x, axis, -1)
    inside = (x[..., 2:] - x[..., :-2]) / 2.0
    first, last = x[..., 1:2] - x[..., :1], x[..., -1:] - x[..., -2:-1]
    return jnp.moveaxis(jnp.concatenate([first, inside, last], -1), -1, axis)
