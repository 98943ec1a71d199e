"""Reads depth maps for haze: 16-bit images and NumPy files, near-is-small or near-is-large; host side only.

Which of the two a file is cannot be told from its values, and the wrong one puts the thickest haze nearest to
the camera. So it has to be declared:

  distance   larger is farther: stereo, lidar, simulators; metres per unit are given
  disparity  larger is nearer: inverse depth of networks such as MiDaS or Depth Anything, known only up to
             scale and offset, so that the distances of the largest and the smallest value are given
"""

import dataclasses
import io
import os
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32, Num
from PIL import Image

from data_pipelines.decode import ImageError, decode_infrared, decode_visible, list_images

Convention = Literal["distance", "disparity"]
NEAREST, FARTHEST = 1.0, 500.0  # metres; a measured distance outside counts as the limit
_NPY_MAGIC = b"\x93NUMPY"


@dataclasses.dataclass(frozen=True)
class DepthRule:
    """How stored depth becomes metres; the fields are those of `read_depth`.

    Raises:
        ValueError: an unknown convention, a scale or limits that are not above 0, or a nearest that is not
            below the farthest.
    """

    convention: Convention
    scale: float = 1.0
    limits: tuple[float, float] = (NEAREST, FARTHEST)

    def __post_init__(self) -> None:
        if self.convention not in get_args(Convention):
            known = " or ".join(get_args(Convention))
            raise ValueError(f"depth convention {self.convention!r}: expected {known}")
        nearest, farthest = self.limits
        if not (self.scale > 0 and 0 < nearest < farthest < np.inf):
            raise ValueError(
                f"depth scale {self.scale:g}, limits {nearest:g},{farthest:g}: "
                "expected numbers above 0, nearest first"
            )


def list_depth_files(folder: str | os.PathLike) -> dict[str, Path]:
    """Return the images and .npy files of a folder by their stem.

    Raises:
        ImageError: no such folder, or two files of one stem.
    """
    images = list_images(folder)
    arrays = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() == ".npy")
    files: dict[str, Path] = {}
    for path in [*images, *arrays]:
        if path.stem in files:
            raise ImageError(folder, f"has two depth maps of one name: {files[path.stem].name}, {path.name}")
        files[path.stem] = path
    return files


def read_depth(
    path: str | os.PathLike,
    *,
    convention: Convention,
    scale: float = 1.0,
    limits: tuple[float, float] = (NEAREST, FARTHEST),
) -> Float32[np.ndarray, "h w"]:
    """Return distances in metres, within `limits`.

    Args:
        path: a one-channel image of 8 or 16 bits, or an .npy file of shape [h, w] or [h, w, 1].
        convention: "distance" or "disparity", see above.
        scale: metres per stored unit of a distance, for example 0.01 for centimetres.
        limits: nearest and farthest distance in metres. Distances are clipped to them; 0, NaN and infinite
            values, which mark pixels without a measurement (mostly sky), become the farthest. Of a disparity
            the largest value becomes the nearest and the smallest the farthest; the range of an image is that
            of its type, of an array its own.

    Raises:
        ImageError: unreadable, not one channel (a depth map drawn in colours cannot be turned back), negative
            distances.
        ValueError: a scale or limits that are not above 0, or a nearest that is not below the farthest.
    """
    rule = DepthRule(convention, scale, limits)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(path, f"cannot be read ({error.strerror})") from error
    return decode_depth(data, rule, name=path)


def decode_depth(data: bytes, rule: DepthRule, *, name: str | os.PathLike) -> Float32[np.ndarray, "h w"]:
    """Return distances in metres from the content of a depth file, see `read_depth`.

    Raises:
        ImageError: see `read_depth`; `name` is what it calls the file.
    """
    nearest, farthest = rule.limits
    values = decode_depth_values(data, name=name)
    if rule.convention == "disparity":
        share = _to_unit(values)
        return (1.0 / (share / nearest + (1.0 - share) / farthest)).astype(np.float32)
    metres = values.astype(np.float64) * rule.scale
    if np.nanmin(metres, initial=0.0) < 0:
        raise ImageError(name, f"negative distances, down to {np.nanmin(metres):g} m; is it a disparity?")
    metres[~np.isfinite(metres) | (metres == 0)] = farthest
    return np.clip(metres, nearest, farthest).astype(np.float32)


def decode_depth_values(data: bytes, *, name: str | os.PathLike) -> Num[np.ndarray, "h w"]:
    """Return the numbers of a depth file as they are stored.

    Raises:
        ImageError: unreadable, or not one channel.
    """
    return _decode_array(data, name) if data.startswith(_NPY_MAGIC) else _decode_image(data, name)


def _to_unit(values: Num[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Bring disparities to [0,1]; pixels without a value are far."""
    if values.dtype.kind == "u":
        return (values / np.iinfo(values.dtype).max).astype(np.float32)
    known = np.where(np.isfinite(values), values.astype(np.float64), np.nan)
    low, high = (np.nanmin(known), np.nanmax(known)) if np.isfinite(known).any() else (0.0, 0.0)
    unit = (known - low) / (high - low) if high > low else np.zeros(known.shape)
    return np.nan_to_num(unit, nan=0.0).astype(np.float32)


def _decode_image(data: bytes, name: str | os.PathLike) -> Num[np.ndarray, "h w"]:
    values = decode_infrared(data, name=name)
    with Image.open(io.BytesIO(data)) as image:
        colour = len(image.getbands()) >= 3 or image.mode == "P"
    if colour and np.ptp(decode_visible(data, name=name), axis=2).any():
        raise ImageError(name, "a depth map drawn in colours; the values themselves are needed, one channel")
    return values


def _decode_array(data: bytes, name: str | os.PathLike) -> Num[np.ndarray, "h w"]:
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(name, f"no readable .npy file ({' '.join(str(error).split())[:80]})") from error
    if isinstance(array, np.ndarray) and array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "uif":
        found = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else "several arrays"
        raise ImageError(name, f"holds {found}; expected numbers of shape [h, w]")
    if not array.size:
        raise ImageError(name, "holds an empty array")
    return array
