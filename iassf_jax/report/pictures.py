"""Image panels: scenes as rows, methods as columns, and below each image what is in its zoom box."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from data_pipelines.decode import ImageError, list_images, read_visible
from iassf_jax.core.errors import InputError
from iassf_jax.report.names import with_data_sets

_GAP, _TEXT_HEIGHT = 4, 22  # pixels
_BOX_COLOUR = (255, 210, 0)
_SHARE = 0.2  # height of the zoom box over the image's
_ASPECT = 2  # width of the zoom box over its height

Colour = UInt8[np.ndarray, "_ _ 3"]  # images of any sizes
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclasses.dataclass(frozen=True)
class Box:
    """A part of an image: its left upper corner, height and width, pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Image files of several columns; `files` is column -> scene -> path."""

    files: Mapping[str, Mapping[str, Path]]

    @property
    def scenes(self) -> list[str]:
        """Scenes that every column has."""
        found = [set(files) for files in self.files.values()]
        return sorted(set.intersection(*found)) if found else []

    def read(self, scene: str) -> dict[str, Colour]:
        """Return the images of a scene by column, all of the first one's size.

        Raises:
          InputError: a file cannot be read, or differs in size.
        """
        images: dict[str, Colour] = {}
        for column, files in self.files.items():
            try:
                images[column] = read_visible(files[scene])
            except ImageError as error:
                raise InputError(str(error)) from error
            first = next(iter(images.values()))
            if images[column].shape != first.shape:
                sizes = [f"{image.shape[0]}x{image.shape[1]}" for image in (first, images[column])]
                raise InputError(f"{files[scene]} is {sizes[1]}, the images beside it are {sizes[0]}")
        return images


def find_gallery(folders: Mapping[str, Path]) -> Gallery:
    """Return the images below folders by column; names without a data set count as those with the only one.

    Raises:
      InputError: a folder without an image.
    """
    found = {column: find_images(folder) for column, folder in folders.items()}
    names = with_data_sets([tuple(files) for files in found.values()])
    return Gallery(
        {
            column: dict(zip(own, files.values(), strict=True))
            for own, (column, files) in zip(names, found.items(), strict=True)
        }
    )


def find_images(folder: Path) -> dict[str, Path]:
    """Return the images below a folder by name, "DATA/NAME" where they lie in folders of data sets.

    Raises:
      InputError: there is no image.
    """
    folders = [folder, *sorted(path for path in folder.rglob("*") if path.is_dir())]
    found: dict[str, Path] = {}
    for part in folders:
        try:
            images = list_images(part)
        except ImageError:
            continue  # this folder has none; whether any has is seen below
        prefix = part.relative_to(folder).as_posix()
        found |= {path.stem if prefix == "." else f"{prefix}/{path.stem}": path for path in images}
    if not found:
        raise InputError(f"{folder} has no images")
    return found


def spread_out(scenes: Sequence[str], values: Mapping[str, float], count: int) -> list[str]:
    """Return `count` scenes from the lowest to the highest of `values`, evenly; those without one last."""

    def order(scene: str) -> tuple[bool, float, str]:
        value = values.get(scene, math.nan)
        return (math.isnan(value), 0.0 if math.isnan(value) else value, scene)

    known = sorted(scenes, key=order)
    if len(known) <= count:
        return known
    return [known[round(i * (len(known) - 1) / max(count - 1, 1))] for i in range(count)]


def telling_box(images: Sequence[UInt8[np.ndarray, "h w 3"]]) -> Box:
    """Return the part in which the images' details differ most from each other."""
    height, width = images[0].shape[:2]
    rows = min(height, max(8, round(_SHARE * height)))
    columns = min(width, _ASPECT * rows)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) for image in images]
    # Haze and brightness differ everywhere; what a reader looks for are edges and texture.
    details = np.stack([image - cv2.GaussianBlur(image, (0, 0), 4) for image in grey])
    total = cv2.integral(details.std(axis=0))
    sums = (
        total[rows:, columns:] - total[:-rows, columns:] - total[rows:, :-columns] + total[:-rows, :-columns]
    )
    top, left = np.unravel_index(np.argmax(sums), sums.shape)
    return Box(int(top), int(left), rows, columns)


def panel(
    rows: Sequence[tuple[str, Mapping[str, Colour]]], *, width: int = 280
) -> UInt8[np.ndarray, "height width 3"]:
    """Return scenes below each other, each with a line of images and a line of their zoom boxes.

    Args:
      rows: name and images by column of each scene; all with the same columns.
      width: of an image, pixels.

    Raises:
      InputError: no scene.
    """
    if not rows:
        raise InputError("a panel needs at least one scene")
    columns = list(rows[0][1])
    font = ImageFont.load_default(size=13)
    strips = [_header(columns, width, font)]
    for name, images in rows:
        box = telling_box(list(images.values()))
        strips.append(_strip(name, [images[column] for column in columns], box, width, font))
    return np.concatenate(strips, axis=0)


def _header(columns: Sequence[str], width: int, font: Font) -> Colour:
    canvas = Image.new("RGB", (len(columns) * (width + _GAP) + _GAP, _TEXT_HEIGHT), "white")
    for i, column in enumerate(columns):
        ImageDraw.Draw(canvas).text((_GAP + i * (width + _GAP), _GAP), column, "black", font)
    return np.asarray(canvas)


def _strip(name: str, images: Sequence[Colour], box: Box, width: int, font: Font) -> Colour:
    height = max(1, round(images[0].shape[0] * width / images[0].shape[1]))
    zoom = max(1, round(box.height * width / box.width))
    size = (len(images) * (width + _GAP) + _GAP, height + zoom + 2 * _GAP + _TEXT_HEIGHT)
    canvas = Image.new("RGB", size, "white")
    drawing, scale = ImageDraw.Draw(canvas), width / images[0].shape[1]
    corners = (box.left, box.top, box.left + box.width, box.top + box.height)
    for i, array in enumerate(images):
        left, image = _GAP + i * (width + _GAP), Image.fromarray(array)
        canvas.paste(image.resize((width, height), Image.Resampling.LANCZOS), (left, 0))
        marked = [round(scale * x) + (left if k % 2 == 0 else 0) for k, x in enumerate(corners)]
        drawing.rectangle(marked, outline=_BOX_COLOUR, width=2)
        # Magnified pixels stay visible as pixels.
        part = image.crop(corners).resize((width, zoom), Image.Resampling.NEAREST)
        canvas.paste(part, (left, height + _GAP))
        edges = (left, height + _GAP, left + width - 1, height + _GAP + zoom - 1)
        drawing.rectangle(edges, outline=_BOX_COLOUR, width=2)
    drawing.text((_GAP, height + zoom + 2 * _GAP), name, "black", font)
    return np.asarray(canvas)
