"""Images between files, uint8 arrays and the networks' float32 [0,1]; host side, NumPy.

Reading is `data_pipelines.decode`, the decoder that training uses too.
"""

import os
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from iassf_jax.core.atomic import written_aside
from iassf_jax.core.errors import InputError

InfraredRange = str | tuple[float | int, float | int]  # "auto", "full" or (low, high)

AUTO_PERCENTILES = (0.1, 99.9)  # a few dead or burning pixels must not set the range
JPEG_QUALITY = 95
_ENCODERS: dict[str, list[int]] = {
    ".png": [],
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY],
    ".tif": [],
    ".tiff": [],
}
OUTPUT_EXTENSIONS = frozenset(_ENCODERS)


def parse_infrared_range(text: str) -> InfraredRange:
    """Read the command line's `auto`, `full` or `lo,hi`.

    Raises:
        InputError: anything else.
    """
    if text in ("auto", "full"):
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"infrared range {text!r}: expected auto, full or two numbers such as 7000,9500"
        ) from None
    _check_bounds(low, high)
    return low, high


def infrared_to_unit(array: np.ndarray, ir_range: InfraredRange = "auto") -> Float32[np.ndarray, "h w"]:
    """Scale an infrared image [h w] to float32 [0,1].

    `auto`: 8-bit images use 0 to 255. 16-bit and float images use the 0.1 to 99.9 percentile of the image
    itself, because thermal cameras fill a small part of their range; a flat image gives zeros.
    `full`: the whole range of the dtype; float images must lie in [0,1].
    `(low, high)`: low becomes 0, high becomes 1, values outside are clipped.

    Raises:
        InputError: not a two-dimensional image of numbers, values that are not finite, float values outside
            [0,1] with `full`, or a range that is not increasing.
    """
    if array.ndim != 2 or array.dtype.kind not in "uif":
        raise InputError(f"infrared must be numbers of shape [h, w], got {array.dtype} {list(array.shape)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(f"infrared has {np.count_nonzero(~np.isfinite(array))} values that are not finite")
    low, high = _bounds(array, ir_range)
    width = high - low if high > low else 1.0
    scaled = (array.astype(np.float32) - np.float32(low)) / np.float32(width)
    return np.clip(scaled, 0.0, 1.0, dtype=np.float32)


def to_uint8(array: np.ndarray) -> UInt8[np.ndarray, "..."]:
    """Round float values in [0,1] to uint8; values outside are clipped.

    Raises:
        InputError: values that are not finite.
    """
    if not np.isfinite(array).all():
        raise InputError("the image has values that are not finite (NaN or infinite)")
    return np.rint(np.clip(array, 0.0, 1.0) * 255.0).astype(np.uint8)


def write_image(path: str | os.PathLike, array: UInt8[np.ndarray, "h w *c"]) -> None:
    """Write a uint8 grey [h w] or RGB [h w 3] image as PNG, JPEG (quality 95) or TIFF, by extension.

    The file appears complete or not at all: it is written under a temporary name in the same folder, which is
    made if missing, and then renamed. An existing file is replaced.

    Raises:
        InputError: another extension or another shape, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _ENCODERS:
        raise InputError(f"{path}: cannot write {path.suffix!r}; use {', '.join(sorted(_ENCODERS))}")
    if array.ndim != 2 and array.shape[2:] != (3,):
        raise InputError(f"{path}: expected an image of shape [h, w] or [h, w, 3], got {list(array.shape)}")
    stored = array if array.ndim == 2 else cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    extension = path.suffix.lower()
    done, data = cv2.imencode(extension, stored, _ENCODERS[extension])
    if not done:
        raise InputError(f"{path}: the image of shape {list(array.shape)} could not be encoded")
    with written_aside(path) as aside:
        aside.write_bytes(data.tobytes())


def _bounds(array: np.ndarray, ir_range: InfraredRange) -> tuple[float | int, float | int]:
    if not isinstance(ir_range, str):
        low, high = ir_range
        _check_bounds(low, high)
        return low, high
    if ir_range not in ("auto", "full"):
        raise InputError(f"infrared range {ir_range!r}: expected 'auto', 'full' or (low, high)")
    if ir_range == "full":
        return _full_bounds(array)
    if array.dtype == np.uint8:
        return 0.0, 255.0
    low, high = (float(value) for value in np.percentile(array, AUTO_PERCENTILES))
    # In a nearly empty image the percentiles fall together, and what little there is must not be lost.
    return (low, high) if high > low else (float(array.min()), float(array.max()))


def _full_bounds(array: np.ndarray) -> tuple[float, float]:
    if array.dtype.kind in "ui":
        limits = np.iinfo(array.dtype)
        return float(limits.min), float(limits.max)
    if array.min() < 0 or array.max() > 1:
        raise InputError(
            f"float infrared spans {array.min():g} to {array.max():g}, but the range 'full' needs [0, 1]; "
            "use 'auto' or give low,high"
        )
    return 0.0, 1.0


def _check_bounds(low: float | int, high: float | int) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"infrared range {low:g},{high:g}: the first must be finite and below the second")
