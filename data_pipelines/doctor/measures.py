"""What is measured on one pair."""

import dataclasses
import io
from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Float32, Num, UInt8
from PIL import Image

from data_pipelines.decode import FORMATS, ImageError, decode_infrared, decode_visible
from data_pipelines.depth_files import decode_depth_values
from data_pipelines.doctor.pairs import Pair
from data_pipelines.sets.cards import DEPTH, HAZY, INFRARED, VISIBLE
from data_pipelines.sets.scan import fingerprint

SIDE = 256  # pixels, longer side at which displacements are estimated
REACH = 0.1  # largest displacement looked for, as a share of each side
JPEG_QUALITY = 85
_SMOOTHING = 1.5  # pixels of SIDE, standard deviation


@dataclasses.dataclass(frozen=True)
class Measures:
    """One pair.

    Attributes:
      name, split: which.
      size, infrared_size: (height, width).
      other_sizes: the same of the hazy image and the depth map, as far as there are any.
      visible_mode, infrared_mode: file format, channels and depth, as "PNG RGB" or "TIFF I;16".
      saturation, infrared_saturation: mean of max - min over the channels, 8-bit levels; 0 is grey.
      contrast, infrared_contrast: standard deviation, 8-bit levels; 0 is constant.
      hazy_range: 0.1 and 99.9 percentile of the hazy image, None without one.
      shift: (down, right) of infrared against visible in pixels of the visible image.
      shift_confidence: height of the correlation's peak over its surroundings, in robust standard
        deviations; from about 6 on the shift can be relied on.
      thumbnail: see `sets.scan.fingerprint`.
      picture: both images side by side, small, as JPEG.
    """

    name: str
    split: str
    size: tuple[int, int]
    infrared_size: tuple[int, int]
    other_sizes: Mapping[str, tuple[int, int]]
    visible_mode: str
    infrared_mode: str
    saturation: float
    infrared_saturation: float
    contrast: float
    infrared_contrast: float
    hazy_range: tuple[int, int] | None
    shift: tuple[float, float]
    shift_confidence: float
    thumbnail: np.ndarray
    picture: bytes


def measure(pair: Pair, *, picture_height: int = 96) -> Measures:
    """Read and measure a pair.

    Raises:
      ImageError: an image cannot be read.
    """
    files = pair.read()
    visible = decode_visible(files[VISIBLE], name=f"{pair.name}/{VISIBLE}")
    infrared = to_eight_bits(decode_infrared(files[INFRARED], name=f"{pair.name}/{INFRARED}"))
    others = _others(files, pair.name)
    shift, confidence = displacement(visible, infrared)
    return Measures(
        name=pair.name,
        split=pair.split,
        size=visible.shape[:2],
        infrared_size=infrared.shape[:2],
        other_sizes={role: image.shape[:2] for role, image in others.items()},
        visible_mode=_mode(files[VISIBLE]),
        infrared_mode=_mode(files[INFRARED]),
        saturation=_saturation(visible),
        infrared_saturation=_infrared_saturation(files),
        contrast=float(visible.std()),
        infrared_contrast=float(infrared.std()),
        hazy_range=_range(others[HAZY]) if HAZY in others else None,
        shift=shift,
        shift_confidence=confidence,
        thumbnail=fingerprint(visible, infrared),
        picture=_picture(visible, infrared, picture_height),
    )


def displacement(
    visible: UInt8[np.ndarray, "h w 3"], infrared: UInt8[np.ndarray, "p q"]
) -> tuple[tuple[float, float], float]:
    """Estimate how far infrared lies (down, right) of where it belongs, in pixels of the visible image.

    Phase correlation of the magnitudes of gradients: edges show in both modalities, brightness does not. The
    second value is the confidence, see `Measures.shift_confidence`.
    """
    height, width = visible.shape[:2]
    factor = SIDE / max(height, width)
    size = (max(16, round(width * factor)), max(16, round(height * factor)))
    grey: np.ndarray = visible.mean(axis=2, dtype=np.float32)
    edges: np.ndarray = _edges(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    other = _edges(cv2.resize(infrared, size, interpolation=cv2.INTER_AREA))
    spectrum = np.conj(np.fft.rfft2(edges)) * np.fft.rfft2(other)
    spectrum /= np.maximum(np.abs(spectrum), 1e-9)
    correlation: np.ndarray = np.fft.fftshift(np.fft.irfft2(spectrum, s=edges.shape)).astype(np.float32)
    correlation = cv2.GaussianBlur(correlation, (0, 0), _SMOOTHING)
    middle = [side // 2 for side in correlation.shape]
    reach = [max(1, int(side * REACH)) for side in correlation.shape]
    near = correlation[
        middle[0] - reach[0] : middle[0] + reach[0] + 1, middle[1] - reach[1] : middle[1] + reach[1] + 1
    ]
    down, right = np.unravel_index(int(near.argmax()), near.shape)
    spread = 1.4826 * float(np.median(np.abs(near - np.median(near))))
    confidence = float(near.max() - np.median(near)) / spread if spread > 0 else 0.0
    return ((int(down) - reach[0]) / factor, (int(right) - reach[1]) / factor), confidence


def to_eight_bits(infrared: Num[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Return infrared to look at: 8 bits as they are, others between their 0.1 and 99.9 percentiles."""
    if infrared.dtype == np.uint8:
        return infrared
    values = np.nan_to_num(infrared.astype(np.float32))
    low, high = (float(value) for value in np.percentile(values, (0.1, 99.9)))
    return np.rint(255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)


def _edges(image: Num[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1.0)
    gradients = (cv2.Sobel(smooth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1)))
    magnitude = np.sqrt(np.hypot(*gradients))  # the root keeps a few strong edges from deciding alone
    window = cv2.createHanningWindow((image.shape[1], image.shape[0]), cv2.CV_32F)
    return (magnitude - magnitude.mean()) * window


def _mode(data: bytes) -> str:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return f"{image.format} {image.mode}"


def _saturation(image: UInt8[np.ndarray, "h w 3"]) -> float:
    return float((image.max(axis=2) - image.min(axis=2)).mean())


def _infrared_saturation(files: Mapping[str, bytes]) -> float:
    if _mode(files[INFRARED]).split()[-1] in ("L", "I", "F", "I;16", "I;16B", "1"):
        return 0.0
    try:
        return _saturation(decode_visible(files[INFRARED], name=INFRARED))
    except ImageError:  # 32-bit pixels have one channel
        return 0.0


def _others(files: Mapping[str, bytes], name: str) -> dict[str, np.ndarray]:
    decoders = {HAZY: decode_visible, DEPTH: decode_depth_values}
    return {
        role: decode(files[role], name=f"{name}/{role}") for role, decode in decoders.items() if role in files
    }


def _range(hazy: UInt8[np.ndarray, "h w 3"]) -> tuple[int, int]:
    low, high = np.percentile(hazy, (0.1, 99.9))  # JPEG overshoots at edges
    return int(low), int(high)


def _picture(visible: UInt8[np.ndarray, "h w 3"], infrared: UInt8[np.ndarray, "p q"], height: int) -> bytes:
    """Both side by side. Compressed, since the pictures of all pairs are kept until the report is written."""

    def small(image: np.ndarray) -> np.ndarray:
        width = max(1, round(image.shape[1] * height / image.shape[0]))
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)

    grey = small(infrared)
    both = np.concatenate([small(visible), np.repeat(grey[:, :, None], 3, axis=2)], axis=1)
    stored = cv2.cvtColor(both, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
