"""Pictures to look at: scenes as rows, what the network saw and made as labelled columns."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from iassf_jax.core.errors import InputError

COLUMNS = ("hazy", "infrared", "restored", "fused", "haze density", "clear")
LABEL_HEIGHT = 24  # pixels of the line of labels above the columns
GAP = 4  # pixels between cells
_BACKGROUND, _TEXT = (255, 255, 255), (20, 20, 20)


def picture_grid(
    rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] = COLUMNS, cell_width: int = 320
) -> UInt8[np.ndarray, "height width 3"]:
    """Return the images of `rows` side by side under the names of `columns`, each row under its name.

    Args:
      rows: one mapping per scene: "name", and for every column a uint8 image [h w 3], [h w 1] or [h w].
      columns: which images, from left to right.
      cell_width: width of an image in the grid, pixels; heights follow the images' proportions.

    Raises:
      InputError: no rows, or a row without one of the columns.
    """
    if not rows:
        raise InputError("a picture grid needs at least one row of images")
    cells = [[_cell(row, column, cell_width) for column in columns] for row in rows]
    heights = [max(cell.height for cell in line) for line in cells]
    width = len(columns) * (cell_width + GAP) + GAP
    height = LABEL_HEIGHT + sum(h + LABEL_HEIGHT + GAP for h in heights)
    canvas = Image.new("RGB", (width, height), _BACKGROUND)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=LABEL_HEIGHT * 0.6)
    lefts = [GAP + index * (cell_width + GAP) for index in range(len(columns))]
    for left, column in zip(lefts, columns, strict=True):
        draw.text((left, GAP), column, _TEXT, font)
    top = LABEL_HEIGHT
    for row, line, row_height in zip(rows, cells, heights, strict=True):
        for left, cell in zip(lefts, line, strict=True):
            canvas.paste(cell, (left, top))
        draw.text((GAP, top + row_height + GAP), str(row["name"]), _TEXT, font)
        top += row_height + LABEL_HEIGHT + GAP
    return np.asarray(canvas)


def _cell(row: Mapping[str, Any], column: str, width: int) -> Image.Image:
    if column not in row:
        raise InputError(f"scene {row.get('name')} has no image {column!r}; it has {', '.join(row)}")
    array = np.asarray(row[column])
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    image = Image.fromarray(array).convert("RGB")
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.BILINEAR)
