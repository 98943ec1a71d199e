"""All random changes of a batch in one call."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Array, Key

from data_pipelines.augment.geometry import turn_and_flip
from data_pipelines.augment.photometry import jitter_visible
from data_pipelines.augment.zoom import zoom_in


def augment(
    key: Key[Array, ""],
    batch: Mapping[str, Any],
    *,
    horizontal_flip: bool = True,
    vertical_flip: bool = True,
    rotate: bool = False,
    zoom: float | int = 1.0,
    brightness: float | int = 0.0,
    contrast: float | int = 0.0,
    saturation: float | int = 0.0,
    gamma: float | int = 0.0,
) -> dict[str, Any]:
    """Return the batch with every example turned, flipped and, on request, enlarged and changed in colour.

    Example i draws from `fold_in(key, i)`, or from `fold_in(key, example[i])` where the batch has numbers
    "example" [b]; nothing else of the batch has an influence on it. See `turn_and_flip`, `zoom_in` and
    `jitter_visible` for the options and errors.
    """
    moved = turn_and_flip(
        key, batch, horizontal_flip=horizontal_flip, vertical_flip=vertical_flip, rotate=rotate
    )
    moved = zoom_in(key, moved, most=zoom)
    return jitter_visible(
        key, moved, brightness=brightness, contrast=contrast, saturation=saturation, gamma=gamma
    )
