"""Terms of LURE's losses (Ma et al., arXiv 2503.07033), one value for each image of a batch, float32."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from iassf_jax.core.errors import InputError
from iassf_jax.ops import rgb_to_gray, rgb_to_ycbcr, sobel
from iassf_jax.ops.arguments import check_choice, check_same_shape

Image = Float[Array, "b h w c"]
Rgb = Float[Array, "b h w 3"]
PerImage = Float[Array, " b"]

SIMILARITIES = ("cos_pixel", "cos_flat", "cc")
_EPSILON = 1e-8


def masked_mean(values: PerImage, batch: Mapping[str, Any]) -> Float[Array, ""]:
    """Return the mean over the images that the batch's "mask" [b] counts; over all without one, 0 of none."""
    if "mask" not in batch:
        return values.mean()
    mask = batch["mask"].astype(jnp.float32)
    return (jnp.where(mask > 0, values, 0.0) * mask).sum() / jnp.maximum(mask.sum(), 1.0)


def similarity(first: Image, second: Image, *, kind: str = "cos_pixel") -> PerImage:
    """Return how much two latents agree, from -1 to 1 (Gamma of Eq. 3).

    cos_pixel: cosine between the channels of each pixel, mean over the pixels.
    cos_flat: cosine between the whole maps.
    cc: correlation over the pixels of each channel, mean over the channels; blind to a constant.

    Raises:
      InputError: an unknown kind, or maps of different shape.
    """
    check_choice(SIMILARITIES, gamma=kind)
    check_same_shape(first=first, second=second)
    a, b = (x.astype(jnp.float32) for x in (first, second))
    if kind == "cc":
        a, b = (x - x.mean(axis=(1, 2), keepdims=True) for x in (a, b))
        return jnp.clip(_cosine(a, b, (1, 2)), -1.0, 1.0).mean(axis=-1)
    if kind == "cos_flat":
        return _cosine(a, b, (1, 2, 3))
    return _cosine(a, b, (3,)).mean(axis=(1, 2))


def _cosine(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    energy = jnp.square(a).sum(axis=axes) * jnp.square(b).sum(axis=axes)
    return (a * b).sum(axis=axes) / jnp.sqrt(energy + _EPSILON**2)


def absolute_error(image: Image, target: Image) -> PerImage:
    """Return the mean of |image - target|."""
    check_same_shape(image=image, target=target)
    return _mean(jnp.abs(image.astype(jnp.float32) - target.astype(jnp.float32)))


def edge_error(image: Image, target: Image) -> PerImage:
    """Return the mean of ||grad image| - |grad target||; |grad x| = |x_x| + |x_y| of each channel (Sobel)."""
    (image_x, image_y), (target_x, target_y) = edge_sobel(image), edge_sobel(target)
    return absolute_error(jnp.abs(image_x) + jnp.abs(image_y), jnp.abs(target_x) + jnp.abs(target_y))


def color_error(fused: Rgb, visible: Rgb) -> PerImage:
    """Return the mean error of both colour differences, Cb and Cr; luminance does not matter."""
    errors = jnp.abs(rgb_to_ycbcr(_float32(fused)) - rgb_to_ycbcr(_float32(visible)))[..., 1:]
    return errors.sum(axis=-1).mean(axis=(1, 2))


def fused_edge_error(fused: Rgb, visible: Rgb, infrared: Image) -> PerImage:
    """Return how far the luma's edges are from the stronger of the sources', across and along separately."""
    images = (edge_sobel(_luma(x)) for x in (fused, visible, infrared))
    f, v, i = (tuple(jnp.abs(g) for g in gradients) for gradients in images)
    return sum(
        (_mean(jnp.abs(f[axis] - jnp.maximum(v[axis], i[axis]))) for axis in (0, 1)),
        start=jnp.zeros(fused.shape[0], jnp.float32),
    )


def intensity_error(fused: Rgb, visible: Rgb, infrared: Image, *, brightest: float = 1.0) -> PerImage:
    """Return the mean error against a brightness between the sources.

    With `brightest` 1 that is, at each pixel, the source whose channels' mean is larger; with 0 the mean of
    both sources; in between the weighted mean of these two.

    Raises:
      InputError: `brightest` is not in [0,1].
    """
    if not 0.0 <= brightest <= 1.0:
        raise InputError(f"brightest is {brightest}; expected 0 (mean of both) to 1 (the brighter one)")
    visible, thermal = _float32(visible), jnp.broadcast_to(_float32(infrared), fused.shape)
    hotter = thermal.mean(axis=-1, keepdims=True) > visible.mean(axis=-1, keepdims=True)
    brighter = jnp.where(hotter, thermal, visible)
    target = brightest * brighter + (1.0 - brightest) * 0.5 * (visible + thermal)
    return absolute_error(fused, target)


def edge_sobel(image: Image) -> tuple[Image, Image]:
    """Sobel responses with the edge pixels repeated outwards: a flat image has none, at its border either."""
    padded = jnp.pad(_float32(image), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    across, along = sobel(padded)
    return across[:, 1:-1, 1:-1], along[:, 1:-1, 1:-1]


def required(images: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """Return entries of a batch or of outputs.

    Raises:
      InputError: one is missing.
    """
    missing = [name for name in names if name not in images]
    if missing:
        raise InputError(f"the loss needs {', '.join(missing)}; there are {', '.join(sorted(images))}")
    return tuple(images[name] for name in names)


def _luma(image: Image) -> Float[Array, "b h w 1"]:
    return rgb_to_gray(_float32(image)) if image.shape[-1] == 3 else _float32(image)


def _float32(image: Image) -> Image:
    return image.astype(jnp.float32)


def _mean(image: Image) -> PerImage:
    return image.mean(axis=(1, 2, 3))
