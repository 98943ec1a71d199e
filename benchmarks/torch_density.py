"""Haze density of a PyTorch feature in two ways: on the host as users run it today, and on the device."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F

_WINDOW = 15  # side of the dark channel's minimum, pixels
_OMEGA = 0.95  # share of the haze that counts
_BOX = 60  # side of the guided filter's box, pixels
_EPSILON = 1e-4


@torch.compiler.disable
def host_density(feature: torch.Tensor) -> torch.Tensor:
    """Density [b,1,h,w] of a feature [b,c,h,w], image by image with NumPy and OpenCV.

    The feature leaves the device and the density comes back, which is how the released code works. So is the
    airlight, which is estimated and then divides an image that nothing reads: it costs time and no more.
    """
    maps = [_host_density_of_one(image) for image in feature.detach().float().cpu().numpy()]
    return torch.from_numpy(np.stack(maps)[:, None]).to(feature.device)


def _host_density_of_one(feature: np.ndarray) -> np.ndarray:
    mean = feature.mean(axis=0)
    mean = (mean - mean.min()) / (mean.max() - mean.min() + 1e-8)
    image = cv2.merge([(mean * 255).astype(np.uint8)] * 3).astype(np.float64) / 255
    element = cv2.getStructuringElement(cv2.MORPH_RECT, (_WINDOW, _WINDOW))
    dark = cv2.erode(image.min(axis=2), element)
    _ = image / np.maximum(_host_airlight(image, dark), 1e-8)
    guide = cv2.cvtColor((image * 255).astype(np.uint8), cv2.COLOR_BGR2GRAY).astype(np.float64) / 255
    return (1 - _host_guided_filter(guide, 1 - _OMEGA * dark)).astype(np.float32)


def _host_airlight(image: np.ndarray, dark: np.ndarray) -> np.ndarray:
    count = max(dark.size // 1000, 1)
    brightest = np.argsort(dark.reshape(-1))[dark.size - count :]
    return image.reshape(-1, 3)[brightest[1:]].sum(axis=0) / count


def _host_guided_filter(guide: np.ndarray, source: np.ndarray) -> np.ndarray:
    def box(x: np.ndarray) -> np.ndarray:
        return cv2.boxFilter(x, cv2.CV_64F, (_BOX, _BOX))

    mean_guide, mean_source = box(guide), box(source)
    slope = (box(guide * source) - mean_guide * mean_source) / (
        box(guide * guide) - mean_guide * mean_guide + _EPSILON
    )
    return box(slope) * guide + box(mean_source - slope * mean_guide)


@torch.no_grad()
def device_density(feature: torch.Tensor) -> torch.Tensor:
    """Density [b,1,h,w] of a feature [b,c,h,w] without leaving the device: what a careful port would do.

    float32 with separable windows; sides must exceed 30 pixels, half the box.
    """
    mean = feature.float().mean(dim=1, keepdim=True)
    low, high = mean.amin((1, 2, 3), keepdim=True), mean.amax((1, 2, 3), keepdim=True)
    guide = torch.floor((mean - low) / (high - low + 1e-8) * 255) / 255
    dark = -_separable(F.max_pool2d, -guide, _WINDOW, padding=_WINDOW // 2)
    # The filter keeps constants and is linear, so 1 - guided(1 - omega * dark) = guided(omega * dark).
    return _device_guided_filter(guide, _OMEGA * dark)


def _device_guided_filter(guide: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    def box(*images: torch.Tensor) -> list[torch.Tensor]:
        before, after = _BOX // 2, (_BOX - 1) // 2
        padded = F.pad(torch.cat(images, dim=1), (before, after, before, after), mode="reflect")
        return list(_separable(F.avg_pool2d, padded, _BOX).split(1, dim=1))

    # Centred per image, or the variance below is a small difference of large float32 numbers.
    centre, level = guide.mean((2, 3), keepdim=True), source.mean((2, 3), keepdim=True)
    guide, source = guide - centre, source - level
    mean_guide, mean_source, mean_product, mean_square = box(guide, source, guide * source, guide * guide)
    slope = (mean_product - mean_guide * mean_source) / (mean_square - mean_guide**2 + _EPSILON)
    mean_slope, mean_offset = box(slope, mean_source - slope * mean_guide)
    return mean_slope * guide + mean_offset + level


def _separable(pool, x: torch.Tensor, size: int, *, padding: int = 0) -> torch.Tensor:
    rows = pool(x, (size, 1), stride=1, padding=(padding, 0))
    return pool(rows, (1, size), stride=1, padding=(0, padding))
