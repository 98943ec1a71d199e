"""A picture of many examples, to look at a data set before training on it; host side only."""

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

GAP = 4  # pixels between pictures
CAPTION = 18  # pixels above a row
CAPTION_SCALE = 0.42


def contact_sheet(examples: Sequence[Mapping[str, Any]], *, width: int = 320) -> UInt8[np.ndarray, "h w 3"]:
    """Return one row of hazy, clear and infrared pictures for each example, each `width` pixels wide.

    An example without a hazy picture has a row of two. Examples are as in `examples.Examples`.

    Raises:
        ValueError: there are no examples.
    """
    if not examples:
        raise ValueError("a contact sheet needs at least one example")
    rows = [_row(example, width) for example in examples]
    widest = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0))) for row in rows])


def _row(images: Mapping[str, Any], width: int) -> np.ndarray:
    """Return the captioned pictures of one example side by side."""
    names = [name for name in ("visible_hazy", "visible_clear", "infrared") if name in images]
    cells = [_cell(images[name], width) for name in names]
    pictures = np.concatenate(cells, axis=1)
    caption = np.zeros((CAPTION, pictures.shape[1], 3), np.uint8)
    text = f"{images['name']}   {'   '.join(name.removeprefix('visible_') for name in names)}"
    cv2.putText(
        caption,
        text,
        (GAP, CAPTION - 5),
        cv2.FONT_HERSHEY_SIMPLEX,
        CAPTION_SCALE,
        (230, 230, 230),
        1,
        cv2.LINE_AA,
    )
    return np.concatenate([caption, pictures])


def _cell(image: np.ndarray, width: int) -> np.ndarray:
    """Return a picture scaled to the width, three channels, with a dark gap at its right and below."""
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    kind = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_NEAREST
    scaled = cv2.resize(image, (width, height), interpolation=kind).reshape(height, width, -1)
    return np.pad(np.broadcast_to(scaled, (height, width, 3)), ((0, GAP), (0, GAP), (0, 0)))
