"""Rivals without any learning: fusions, and what they get in place of the hazy image; uint8, on the host.

A baseline's name is a fusion (`FUSIONS`) of the hazy visible image and the infrared one. Before it, with a
"+", may stand what the visible image goes through first: "dark_channel+mean" takes the haze away by the dark
channel prior, "restored+mean" takes the network's restored image.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from iassf_jax.core.errors import InputError
from iassf_jax.metrics.baselines import BASELINES

DARK_CHANNEL, RESTORED = "dark_channel", "restored"

Colour = UInt8[np.ndarray, "h w 3"]
Plane = Float64[np.ndarray, "h w"]

# Li, Kang and Hu, section IV: window of the base layer, saliency, and radius and epsilon of both weights.
_BASE_WINDOW = 31
_SALIENCY_RADIUS, _SALIENCY_SIGMA = 5, 5.0
_BASE_RADIUS, _BASE_EPSILON = 45, 0.3
_DETAIL_RADIUS, _DETAIL_EPSILON = 7, 1e-6
# He, Sun and Tang (dark channel), sections 3 and 4; the guided filter replaces the soft matting.
_DARK_WINDOW = 15
_OMEGA, _LEAST_TRANSMISSION = 0.95, 0.1
_AIRLIGHT_SHARE = 1e-3
_REFINE_RADIUS, _REFINE_EPSILON = 30, 1e-4


def guided(
    visible: UInt8[np.ndarray, "h w 3"], infrared: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the fusion by guided filters of Li, Kang and Hu, "Image Fusion with Guided Filtering", 2013.

    Base (31x31 mean) and detail layers are mixed by weights that follow which source is more salient at a
    pixel (the smoothed size of its Laplacian) and the edges of that source.
    """
    grey_visible = cv2.cvtColor(visible, cv2.COLOR_RGB2GRAY) / 255.0
    sources = (visible / 255.0, np.repeat(infrared[:, :, None] / 255.0, 3, axis=2))
    guides = (grey_visible, infrared / 255.0)
    saliency = [_saliency(guide) for guide in guides]
    first = (saliency[0] >= saliency[1]).astype(np.float64)
    fused = np.zeros(visible.shape)
    bases = [_box_mean(source, _BASE_WINDOW) for source in sources]
    layers = (
        (bases, _BASE_RADIUS, _BASE_EPSILON),
        ([s - b for s, b in zip(sources, bases, strict=True)], _DETAIL_RADIUS, _DETAIL_EPSILON),
    )
    for images, radius, epsilon in layers:
        weights = [
            np.clip(_guided_filter(guide, chosen, radius, epsilon), 0.0, 1.0)
            for guide, chosen in zip(guides, (first, 1.0 - first), strict=True)
        ]
        total = np.maximum(weights[0] + weights[1], 1e-9)
        fused += (
            sum(w[:, :, None] * image for w, image in zip(weights, images, strict=True)) / total[:, :, None]
        )
    return _to_uint8(fused)


def remove_haze(hazy: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image without haze by the dark channel prior.

    He, Sun and Tang, "Single Image Haze Removal Using Dark Channel Prior", 2011: airlight from the 0.1 % of
    pixels with the highest dark channel, transmission refined by a guided filter on the grey image, not
    taken under 0.1.
    """
    image = hazy / 255.0
    airlight = _airlight(image, _dark_channel(image))
    raw = 1.0 - _OMEGA * _dark_channel(image / np.maximum(airlight, 1e-3))
    grey = cv2.cvtColor(hazy, cv2.COLOR_RGB2GRAY) / 255.0
    transmission = np.clip(
        _guided_filter(grey, raw, _REFINE_RADIUS, _REFINE_EPSILON), _LEAST_TRANSMISSION, 1.0
    )
    return _to_uint8((image - airlight) / transmission[:, :, None] + airlight)


FUSIONS: Mapping[str, Callable[..., Colour]] = {**BASELINES, "guided": guided}
ALL = tuple(f"{first}{fusion}" for first in ("", f"{DARK_CHANNEL}+", f"{RESTORED}+") for fusion in FUSIONS)


def fuse_by(
    name: str, visible: Mapping[str, UInt8[np.ndarray, "h w 3"]], infrared: UInt8[np.ndarray, "h w"]
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the fused image of a baseline.

    Args:
      name: one of `ALL`.
      visible: the visible images that baselines start from: "" is the hazy one, then `DARK_CHANNEL` and
        `RESTORED`; those that `name` does not use may be absent.
      infrared: the other source.
    """
    first, _, fusion = name.rpartition("+")
    return FUSIONS[fusion](visible[first], infrared)


def uses_dark_channel(names: Sequence[str]) -> bool:
    """Return whether a baseline starts from what the dark channel prior makes of the hazy image."""
    return any(name.startswith(f"{DARK_CHANNEL}+") for name in names)


def check_names(names: Sequence[str]) -> None:
    """Refuse names that are no baselines.

    Raises:
      InputError: the first such name, with those that there are.
    """
    for name in names:
        if name not in ALL:
            raise InputError(f"no baseline is called {name!r}; there are {', '.join(ALL)}")


def _saliency(grey: Plane) -> Plane:
    size = 2 * _SALIENCY_RADIUS + 1
    strength = np.abs(cv2.Laplacian(grey, cv2.CV_64F, borderType=cv2.BORDER_REFLECT_101))
    return cv2.GaussianBlur(strength, (size, size), _SALIENCY_SIGMA, borderType=cv2.BORDER_REFLECT_101)


def _guided_filter(guide: Plane, source: Plane, radius: int, epsilon: float) -> Plane:
    """He, Sun and Tang 2013; `ops.guided_filter` is the same on the device, compiled for each size."""
    size = 2 * radius + 1
    mean_guide, mean_source = _box_mean(guide, size), _box_mean(source, size)
    covariance = _box_mean(guide * source, size) - mean_guide * mean_source
    variance = _box_mean(guide * guide, size) - mean_guide * mean_guide
    slope = covariance / (variance + epsilon)
    return _box_mean(slope, size) * guide + _box_mean(mean_source - slope * mean_guide, size)


def _box_mean(image: np.ndarray, size: int) -> np.ndarray:
    # OpenCV refuses a mirror beyond the image; a border repeated as often as needed has no such limit.
    reach = size // 2
    pads = [(reach, reach), (reach, reach)] + [(0, 0)] * (image.ndim - 2)
    padded = np.pad(image, pads, mode="reflect")
    mean = cv2.boxFilter(padded, cv2.CV_64F, (size, size), borderType=cv2.BORDER_CONSTANT)
    return mean[reach:-reach, reach:-reach]


def _dark_channel(image: Float64[np.ndarray, "h w 3"]) -> Plane:
    window = np.ones((_DARK_WINDOW, _DARK_WINDOW), np.uint8)
    return cv2.erode(image.min(axis=2), window)  # outside of the image counts as bright


def _airlight(image: Float64[np.ndarray, "h w 3"], dark: Plane) -> Float64[np.ndarray, " 3"]:
    count = max(1, int(dark.size * _AIRLIGHT_SHARE))
    brightest = np.argsort(-dark.ravel(), kind="stable")[:count]
    return image.reshape(-1, 3)[brightest].mean(axis=0)


def _to_uint8(image: Float64[np.ndarray, "h w 3"]) -> Colour:
    return np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
