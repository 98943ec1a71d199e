"""What a pair of images has to be before a network sees it."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Array, Float32, UInt8

from data_pipelines.decode import single_channel
from iassf_jax.core.errors import InputError
from iassf_jax.core.images import InfraredRange, infrared_to_unit

SMALLEST_SIDE = 16  # pixels; what the networks can take

PreparedPair = tuple[UInt8[np.ndarray, "_h _w 3"], Float32[np.ndarray, "_h _w 1"]]  # sizes differ among pairs


def prepare_pair(
    visible: np.ndarray | Array, infrared: np.ndarray | Array, ir_range: InfraredRange = "auto"
) -> PreparedPair:
    """Check a pair; bring visible to three channels of uint8 and infrared to one channel of float32 in [0,1].

    Args:
        visible: uint8 [H,W,3] RGB or [H,W] grey.
        infrared: uint8, uint16 or float [H,W], [H,W,1] or [H,W,3], of the same size.
        ir_range: see `core.images.infrared_to_unit`.

    Raises:
        InputError: another type or shape, different sizes, sides below 16, infrared that is not finite.
    """
    visible, infrared = _check_visible(np.asarray(visible)), _check_infrared(np.asarray(infrared))
    if visible.shape[:2] != infrared.shape:
        raise InputError(
            f"the images differ in size: visible {format_size(visible.shape)}, "
            f"infrared {format_size(infrared.shape)} (width x height); resize one to the other"
        )
    _check_size(visible)
    return visible, infrared_to_unit(infrared, ir_range)[:, :, None]


def prepare_visible(visible: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """Check a visible image that comes alone, see `prepare_pair`.

    Raises:
        InputError: another type or shape, or sides below 16.
    """
    visible = _check_visible(visible)
    _check_size(visible)
    return visible


def prepare_infrared(
    infrared: np.ndarray, ir_range: InfraredRange = "auto"
) -> Float32[np.ndarray, "h2 w2 1"]:
    """Check an infrared image that comes alone and scale it to [0,1], see `prepare_pair`.

    Raises:
        InputError: another type or shape, sides below 16, or values that are not finite.
    """
    infrared = _check_infrared(infrared)
    _check_size(infrared)
    return infrared_to_unit(infrared, ir_range)[:, :, None]


def format_size(shape: Sequence[int]) -> str:
    """Return "WIDTHxHEIGHT" of an array's shape [h, w, ...]."""
    return f"{shape[1]}x{shape[0]}"


def _check_size(image: np.ndarray) -> None:
    if min(image.shape[:2]) < SMALLEST_SIDE:
        size = format_size(image.shape)
        raise InputError(f"the images are {size}: both sides must be {SMALLEST_SIDE} or more")


def _check_visible(visible: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    grey = visible.ndim == 2
    if visible.dtype != np.uint8 or not (grey or (visible.ndim == 3 and visible.shape[2] == 3)):
        found = f"{visible.dtype} {list(visible.shape)}"
        raise InputError(f"visible must be uint8 of shape [h, w, 3] or [h, w], got {found}")
    return np.repeat(visible[:, :, None], 3, axis=2) if grey else visible


def _check_infrared(infrared: np.ndarray) -> np.ndarray:
    numeric = infrared.dtype in (np.uint8, np.uint16) or np.issubdtype(infrared.dtype, np.floating)
    if numeric and infrared.ndim == 3 and infrared.shape[2] in (1, 3):
        return single_channel(infrared)
    if not numeric or infrared.ndim != 2:
        found = f"{infrared.dtype} {list(infrared.shape)}"
        raise InputError(f"infrared must be uint8, uint16 or float of shape [h, w] or [h, w, 3], got {found}")
    return infrared
