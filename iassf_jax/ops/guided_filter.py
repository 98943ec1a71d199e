"""The guided filter of He, Sun and Tang (PAMI 2013): smoothing that keeps the edges of a guide."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops.arguments import check_images, check_same_shape
from iassf_jax.ops.filters import box_mean


def guided_filter(
    guide: Float[Array, "b h w c"], source: Float[Array, "b h w c"], *, size: int, epsilon: float | int
) -> Float[Array, "b h w c"]:
    """Filter `source` by local linear models of `guide`, each channel on its own.

    Within every window the output is a * guide + b with a = cov(guide, source) / (var(guide) + epsilon) and
    b = mean(source) - a mean(guide); the coefficients of overlapping windows are averaged.

    Args:
        guide: images whose edges are kept.
        source: images to filter, shaped like the guide.
        size: side of the (square) window in pixels, not its radius.
        epsilon: variance of the guide below which a window counts as flat; above 0.

    Raises:
        InputError: the shapes differ, or `epsilon` is not above 0.
    """
    check_images(guide=guide, source=source)
    check_same_shape(guide=guide, source=source)
    if not epsilon > 0:
        raise InputError(f"epsilon is {epsilon}; expected a number above 0")
    centred_guide, _ = _centre(guide)
    centred_source, offset = _centre(source)
    products = [centred_guide, centred_source, centred_guide * centred_source, centred_guide * centred_guide]
    mean_guide, mean_source, mean_product, mean_square = _box_means(products, size)
    variance = mean_square - mean_guide * mean_guide
    slope = (mean_product - mean_guide * mean_source) / (variance + epsilon)
    slope, intercept = _box_means([slope, mean_source - slope * mean_guide], size)
    return (slope * centred_guide + intercept + offset).astype(source.dtype)


def _centre(x: Array) -> tuple[Array, Array]:
    # Float32 variances are differences of large sums unless the mean is taken out first. The result does not
    # depend on the offset, so no gradient has to pass through it.
    x = x.astype(jnp.float32)
    offset = lax.stop_gradient(jnp.mean(x, axis=(1, 2), keepdims=True))
    return x - offset, offset


def _box_means(images: list[Array], size: int) -> list[Array]:
    """One filter over the stacked images instead of one each: a quarter of the operations to compile."""
    return jnp.split(box_mean(jnp.concatenate(images), size), len(images))
