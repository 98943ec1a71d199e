"""A picture of many examples, to look at a data set before training on it; host side only."""

import cv2
import numpy as np
from jaxtyping import UInt8

from data_pipelines.triplets import InfraredRange, Triplet, read_triplet

GAP = 4  # pixels between pictures
CAPTION = 18  # pixels above a row
CAPTION_SCALE = 0.42


def contact_sheet(
    triplets: list[Triplet], *, width: int = 320, infrared_range: InfraredRange = "full"
) -> UInt8[np.ndarray, "h w 3"]:
    """Return one row of hazy, clear and infrared pictures for each example, each `width` pixels wide.

    An example without a hazy picture has a row of two. See `scale_infrared` for `infrared_range`.

    Raises:
        ImageError: an image cannot be read.
        ValueError: there are no examples.
    """
    if not triplets:
        raise ValueError("a contact sheet needs at least one example")
    rows = [_row(read_triplet(triplet, infrared_range=infrared_range), width) for triplet in triplets]
    widest = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0))) for row in rows])


def _row(images: dict, width: int) -> np.ndarray:
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
