"""Reads image files for training and inference; host side only.

What a file is, is decided by its content, never by its extension. Rotation stored in EXIF is applied. A file
that is damaged, cut off or larger than `MAX_PIXELS` raises `ImageError`; nothing is ever decoded in part.
Formats: PNG, JPEG, TIFF, BMP, WebP, GIF (of several pages or frames the first).
"""

import io
import os
import struct
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"})
MAX_PIXELS = 89_000_000  # Pillow itself warns of a decompression bomb from here on

_SIGNATURES = {  # first bytes of a file -> name for messages
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"GIF8": "GIF",
}
_ORIENTATION_TAG = 0x0112
_MAX_RATIO = 2000  # decoded bytes per stored byte; deflate ends at 1032, baseline JPEG at about 1024
# Pillow raises most of the built-in errors for damaged files, depending on which field the damage hits.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, LookupError, ArithmeticError, struct.error)


class ImageError(ValueError):
    """An image file that cannot be used; `reason` is one short line, `str()` puts the path before it."""

    def __init__(self, path: str | os.PathLike, reason: str):
        super().__init__(f"{path}: {reason}")
        self.path = Path(path)
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)  # errors travel from worker processes


def read_visible(path: str | os.PathLike) -> UInt8[np.ndarray, "h w 3"]:
    """Return a visible image as uint8 RGB.

    Grey is repeated, palettes and CMYK are converted, 16-bit is scaled to 8 bit (65535 becomes 255). Alpha is
    dropped, not composited: the colour under a transparent pixel is what the camera saw, a background is not.

    Raises:
        ImageError: missing, empty, damaged, cut off, too large, or pixels of 32 bits, whose range is unknown.
    """
    return decode_visible(_read(path), name=path)


def decode_visible(data: bytes, *, name: str | os.PathLike) -> UInt8[np.ndarray, "h w 3"]:
    """Return what `read_visible` returns for a file that holds `data`; `name` stands in the errors."""
    pixels = _decode(name, data)
    if pixels.dtype == np.uint16:
        pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise ImageError(name, "32-bit pixels; a visible image must have 8 or 16 bits per channel")
    if pixels.shape[2] < 3:
        pixels = np.repeat(pixels[:, :, :1], 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, :3])


def read_infrared(path: str | os.PathLike) -> Num[np.ndarray, "h w"]:
    """Return an infrared image as uint8, uint16 or float32 in the file's own range.

    Three equal channels give that channel; three different ones (a colour-mapped or compressed image) give
    their BT.601 luma, 0.299 R + 0.587 G + 0.114 B. Alpha is dropped. Signed 16-bit and 32-bit integers are
    returned as float32.

    Raises:
        ImageError: as `read_visible`, except that 32-bit pixels are accepted.
    """
    return decode_infrared(_read(path), name=path)


def decode_infrared(data: bytes, *, name: str | os.PathLike) -> Num[np.ndarray, "h w"]:
    """Return what `read_infrared` returns for a file that holds `data`; `name` stands in the errors."""
    return single_channel(_decode(name, data))


def single_channel(pixels: Num[np.ndarray, "h w c"]) -> Num[np.ndarray, "h w"]:
    """Reduce infrared of 1 to 4 channels (grey, grey-alpha, RGB, RGBA) to one, as `read_infrared` says."""
    if pixels.shape[2] < 3:
        return np.ascontiguousarray(pixels[:, :, 0])
    red, green, blue = (pixels[:, :, channel] for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return np.ascontiguousarray(red)
    luma = pixels[:, :, :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return luma if np.issubdtype(pixels.dtype, np.floating) else np.rint(luma).astype(pixels.dtype)


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """Return (height, width) in pixels after EXIF rotation; reads the header only.

    Raises:
        ImageError: missing, empty, of unknown format, too large, or far too short for the size it claims.
    """
    try:
        length = os.stat(path).st_size
        with open(path, "rb") as file, _open_header(path, file, length) as image:
            return _displayed_size(image)
    except ImageError:
        raise
    except _DAMAGE as error:
        raise ImageError(path, _system_reason(error)) from error


def list_images(folder: str | os.PathLike) -> list[Path]:
    """Return the image files of a folder by extension (any case), sorted by name; hidden files are left out.

    Raises:
        ImageError: the folder does not exist or is a file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ImageError(folder, "not a folder" if folder.exists() else "no such folder")
    shown = (path for path in folder.iterdir() if not path.name.startswith("."))
    return sorted(path for path in shown if path.suffix.lower() in EXTENSIONS and path.is_file())


def images_by_stem(folder: str | os.PathLike) -> dict[str, list[Path]]:
    """Return the images of `list_images` by file name without extension, which several may share.

    Raises:
        ImageError: the folder does not exist or is a file.
    """
    stems: dict[str, list[Path]] = {}
    for path in list_images(folder):
        stems.setdefault(path.stem, []).append(path)
    return stems


def _read(path: str | os.PathLike) -> bytes:
    try:
        return Path(path).read_bytes()
    except MemoryError as error:
        raise ImageError(path, "too large for this machine's memory") from error
    except _DAMAGE as error:
        raise ImageError(path, _system_reason(error)) from error


def _decode(path: str | os.PathLike, data: bytes) -> Num[np.ndarray, "h w c"]:
    """Return the rotated pixels with 1 to 4 channels (grey, grey-alpha, RGB, RGBA)."""
    try:
        with _open_header(path, io.BytesIO(data), len(data)) as image:
            height, width = _displayed_size(image)
            orientation = (
                1 if image.format == "TIFF" else _orientation(image)
            )  # Pillow rotates TIFF by itself
            if image.format == "PNG":
                _verify(data)
            image.load()  # raises when the data end early, also where OpenCV does the decoding below
            if _is_deep_colour(image, data):
                pixels, orientation = _decode_deep_colour(path, data), _orientation_of(data)
            else:
                pixels = _to_array(path, image)
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(path, "too large for this machine's memory") from error
    except _DAMAGE as error:
        raise ImageError(path, _system_reason(error)) from error
    pixels = _rotate(pixels, orientation)
    if pixels.shape[:2] != (height, width):
        found = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise ImageError(path, f"damaged: decodes to {found}, the header says {width}x{height}")
    return pixels


def _open_header(path: str | os.PathLike, file, length: int) -> Image.Image:
    """Open an image and hold its claimed size against the limit and against the length of the file."""
    if length == 0:
        raise ImageError(path, "empty file (0 bytes)")
    signature = file.read(4)
    file.seek(0)
    try:
        image = Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageError(path, f"larger than the limit of {MAX_PIXELS / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(path, _unidentified_reason(signature)) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(path, f"{width}x{height} exceeds the limit of {MAX_PIXELS / 1e6:.0f} megapixels")
    if _least_bytes(image) > length * _MAX_RATIO:
        raise ImageError(path, f"header says {width}x{height}, but the file has only {length} bytes")
    return image


def _least_bytes(image: Image.Image) -> int:
    """Bytes of raw pixels the header promises, at least; 0 where a flat image may compress without bound."""
    if image.format not in ("PNG", "JPEG", "BMP"):
        return 0
    bits = 1 if image.mode in ("1", "L", "P") else 8 * len(image.getbands())
    return image.width * image.height * bits // 8


def _unidentified_reason(signature: bytes) -> str:
    for start, name in _SIGNATURES.items():
        if signature.startswith(start):
            return f"{name} with a damaged or cut off header, or of an unsupported kind"
    return f"not an image in a known format ({', '.join(FORMATS)})"


def _system_reason(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, IsADirectoryError):
        return "a folder, not an image"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    text = " ".join(str(error).split())[:80] or type(error).__name__
    return f"damaged or cut off ({text})"


def _verify(data: bytes) -> None:
    """Check every chunk's checksum, which decoding skips."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.verify()


def _orientation(image: Image.Image) -> int:
    # Not image.getexif(): the PNG reader would decode the whole image in search of a late EXIF chunk.
    return Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)


def _orientation_of(data: bytes) -> int:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return _orientation(image)


def _displayed_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) after rotation of an image that is not decoded yet."""
    width, height = image.size
    if image.format == "TIFF":  # versions of Pillow differ in whether .size is rotated before decoding
        width, height = image.tag_v2[256], image.tag_v2[257]  # type: ignore[attr-defined]
    return (width, height) if _orientation(image) in (5, 6, 7, 8) else (height, width)


def _rotate(pixels: Num[np.ndarray, "..."], orientation: int) -> Num[np.ndarray, "..."]:
    """Bring stored rows and columns upright (EXIF orientations 1 to 8; others count as 1)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _is_deep_colour(image: Image.Image, data: bytes) -> bool:
    """Whether the image has 16 bits in several channels, which Pillow would cut to 8."""
    if image.format == "PNG":
        return data[24] == 16 and data[25] != 0  # bit depth, colour type 0 is plain grey
    if image.format == "TIFF":
        bits = image.tag_v2.get(258, (1,))  # type: ignore[attr-defined]
        return len(bits) > 1 and max(bits) > 8
    return False


def _decode_deep_colour(path: str | os.PathLike, data: bytes) -> Num[np.ndarray, "h w c"]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError(path, "damaged or cut off")
    if pixels.dtype != np.uint16 or pixels.ndim != 3:
        raise ImageError(path, "16-bit pixels in an unsupported layout (use RGB or RGBA)")
    order = cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(pixels, order)


def _to_array(path: str | os.PathLike, image: Image.Image) -> Num[np.ndarray, "h w c"]:
    """Return a decoded image as uint8 (any channels), uint16 or float32 (one channel)."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[:, :, None]
    if image.mode in ("I", "F"):
        return np.asarray(image).astype(np.float32)[:, :, None]
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # straight to RGB, Pillow warns about palettes with transparency
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
