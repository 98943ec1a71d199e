"""Three fusions without any learning, the least that a network has to beat; uint8, NumPy and OpenCV."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

Colour = UInt8[np.ndarray, "h w 3"]
Grey = UInt8[np.ndarray, "h w"]
_LEVELS = 4  # of the Laplacian pyramid


def maximum(
    visible: UInt8[np.ndarray, "h w 3"], infrared: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the larger of visible and infrared, channel by channel."""
    return np.maximum(visible, infrared[:, :, None])


def mean(
    visible: UInt8[np.ndarray, "h w 3"], infrared: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the mean of visible and infrared, rounded half up."""
    return ((visible.astype(np.uint16) + infrared[:, :, None] + 1) // 2).astype(np.uint8)


def laplacian(
    visible: UInt8[np.ndarray, "h w 3"], infrared: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a Laplacian pyramid's fusion: of four levels of detail the stronger one, of the base the mean.

    An image whose shorter side is under 32 pixels has fewer levels, so that the base keeps 2 pixels.
    """
    levels = min(_LEVELS, max(0, int(np.log2(min(infrared.shape))) - 1))
    grey = np.repeat(infrared[:, :, None], 3, axis=2)
    first, second = _pyramid(visible.astype(np.float32), levels), _pyramid(grey.astype(np.float32), levels)
    fused = (first.pop() + second.pop()) / 2
    for a, b in zip(reversed(first), reversed(second), strict=True):
        detail = np.where(np.abs(a) >= np.abs(b), a, b)
        fused = cv2.pyrUp(fused, dstsize=(detail.shape[1], detail.shape[0])) + detail
    return np.rint(np.clip(fused, 0, 255)).astype(np.uint8)


BASELINES: Mapping[str, Callable[[Colour, Grey], Colour]] = {
    "maximum": maximum,
    "mean": mean,
    "laplacian": laplacian,
}


def _pyramid(image: Float32[np.ndarray, "h w 3"], levels: int) -> list[Float32[np.ndarray, "_ _ 3"]]:
    """Details from fine to coarse, then the base."""
    layers = []
    for _ in range(levels):
        smaller = cv2.pyrDown(image)
        layers.append(image - cv2.pyrUp(smaller, dstsize=(image.shape[1], image.shape[0])))
        image = smaller
    return [*layers, image]
