"""VIFB's treatment of colour: every channel of the images against the grey infrared one, then the mean."""

from collections.abc import Callable

import jax
from jax import numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.metrics.canvas import Size, pixels, size_within
from iassf_jax.metrics.contrast import perceived_difference
from iassf_jax.metrics.edges import edge_preservation
from iassf_jax.metrics.information import mutual_information_sum
from iassf_jax.metrics.statistics import summed_differences
from iassf_jax.metrics.windows import safe_sqrt


def mutual_information_of_channels(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w 3"],
    fused: Float[Array, "b h w 3"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_MI of each channel, then their mean: up to 7 % from that of the grey image."""
    return _mean_of_channels(mutual_information_sum, infrared, visible, fused, within)


def edge_preservation_of_channels(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w 3"],
    fused: Float[Array, "b h w 3"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_AB/F of each channel, then their mean: up to 3 % from that of the grey image."""
    return _mean_of_channels(edge_preservation, infrared, visible, fused, within)


def perceived_difference_of_channels(
    infrared: Float[Array, "b h w"],
    visible: Float[Array, "b h w 3"],
    fused: Float[Array, "b h w 3"],
    *,
    within: Size | None = None,
) -> Float[Array, " b"]:
    """Q_CV of each channel, then their mean: up to 10 % from that of the grey image."""
    return _mean_of_channels(perceived_difference, infrared, visible, fused, within)


def spatial_frequency_of_channels(
    fused: Float[Array, "b h w 3"], *, within: Size | None = None
) -> Float[Array, " b"]:
    """SF of the three channels side by side, the two seams between them included; sums over their pixels."""
    size = size_within(fused, within)
    channels = [fused[..., i] for i in range(3)]
    squares = sum((summed_differences(x, size) for x in channels), jnp.zeros(fused.shape[0], fused.dtype))
    for left, right in zip(channels, channels[1:], strict=False):
        # The last column of the images, which on a canvas is not that of the array.
        last = jnp.take(left, jnp.asarray(size.width) - 1, axis=2)
        seam = jnp.square(right[:, :, 0] - last)
        squares = squares + jnp.where(jnp.arange(seam.shape[1])[None] < size.height, seam, 0.0).sum(1)
    return safe_sqrt(squares / (3.0 * pixels(fused, size)))


def _mean_of_channels(
    metric: Callable[..., Array], infrared: Array, visible: Array, fused: Array, within: Size | None
) -> Array:
    def one(channels: tuple[Array, Array]) -> Array:
        return metric(infrared, *channels, within=within)

    # A loop over the channels, because its body is compiled once.
    return jax.lax.map(one, tuple(jnp.moveaxis(x, -1, 0) for x in (visible, fused))).mean(0)
