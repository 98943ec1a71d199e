"""Resizing and random cropping of the images of one scene alike; host side only."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from jaxtyping import Num

IMAGE_KEYS = ("visible_hazy", "visible_clear", "infrared", "depth")


def resize_images(example: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Return the example with its images [h w c] at `size` (height, width).

    Pixels are averaged over their area where both sides shrink; otherwise the images are interpolated
    linearly, since an area average that enlarges repeats pixels.
    """

    def resize(image: Num[np.ndarray, "h w c"]) -> Num[np.ndarray, "p q c"]:
        shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        resized = cv2.resize(image, (size[1], size[0]), interpolation=interpolation)
        return resized.reshape(*size, image.shape[2])  # OpenCV drops a single channel's axis

    return _map_images(resize, example)


def random_crop(
    example: dict[str, Any], rng: np.random.Generator, size: int, *, scale: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Return a square of `size` pixels from one random place in all images of the example.

    With `scale` (low, high) the images are first resized by a factor drawn uniformly from it; below 1 the
    crop shows more of the scene. Only the part that the crop shows is resized.

    A side shorter than what the crop shows is first extended at the bottom or right by reflection,
    repeatedly if need be.
    """
    shown = size if scale is None else max(1, round(size / rng.uniform(*scale)))
    example = extend(example, shown)
    height, width = example["visible_clear"].shape[:2]
    top, left = draw_corner(rng, height, width, shown)
    example = _map_images(lambda image: image[top : top + shown, left : left + shown], example)
    return example if shown == size else resize_images(example, (size, size))


def whole(example: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """Return the example as it is: the place of `random_crop` where whole images are trained on."""
    return example


def draw_corner(rng: np.random.Generator, height: int, width: int, size: int) -> tuple[int, int]:
    """Return (top, left) of a random square of `size` in an image that is extended to hold it."""
    return int(rng.integers(max(height - size, 0) + 1)), int(rng.integers(max(width - size, 0) + 1))


def extend(example: dict[str, Any], size: int) -> dict[str, Any]:
    """Return the example with sides of at least `size`, by reflection at the bottom and right."""
    return _map_images(lambda image: _reflect_to(image, size), example)


def _reflect_to(image: Num[np.ndarray, "h w c"], size: int) -> Num[np.ndarray, "p q c"]:
    missing = [(0, max(0, size - side)) for side in image.shape[:2]]
    return np.pad(image, [*missing, (0, 0)], mode="reflect") if any(after for _, after in missing) else image


def _map_images(function: Callable[[np.ndarray], np.ndarray], example: dict[str, Any]) -> dict[str, Any]:
    return {name: function(value) if name in IMAGE_KEYS else value for name, value in example.items()}
