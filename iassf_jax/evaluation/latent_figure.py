"""Latents of many images as points in a plane, coloured by what was wrong with the image."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.degraded import Latents
from iassf_jax.evaluation.latent_probe import PROJECTIONS, Points

# Okabe and Ito's palette, which readers who do not tell red from green can tell apart.
_COLOURS = ("#000000", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_SIDE, _MARGIN, _LINE, _RADIUS = 420, 24, 20, 4  # of a panel, around its points, of text, of a point; pixels
_PANELS = (("visible", False), ("infrared", True))
_FEWEST = 3  # points that span a plane
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


def draw_latents(latents: Latents, *, projection: str = "pca") -> UInt8[np.ndarray, "h w 3"]:
    """Return a picture with a panel for each modality of at least three images, and a point for each image.

    Points of different degradations that lie on top of each other are latents that have forgotten them.

    Args:
      latents: of restored images.
      projection: one of `latent_probe.PROJECTIONS`.

    Raises:
      InputError: an unknown projection, or no modality with three images.
      MissingDependencyError: the projection needs a package that is not installed.
    """
    if projection not in PROJECTIONS:
        raise InputError(f"there is no projection {projection!r}; there are {', '.join(PROJECTIONS)}")
    infrared, kinds = np.array(latents.infrared), np.array(latents.kinds)
    members = [(name, np.flatnonzero(infrared == wanted)) for name, wanted in _PANELS]
    panels = [(name, chosen) for name, chosen in members if len(chosen) >= _FEWEST]
    if not panels:
        raise InputError(
            f"a picture of latents needs {_FEWEST} images of a modality, got {len(kinds)} in all"
        )
    canvas = Image.new("RGB", (_SIDE * len(panels), _SIDE + _LINE), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for column, (name, chosen) in enumerate(panels):
        points = PROJECTIONS[projection](latents.features[chosen])
        _draw_panel(draw, column * _SIDE, f"{name}, {projection}", points, kinds[chosen])
    return np.asarray(canvas)


def _draw_panel(draw: ImageDraw.ImageDraw, left: int, title: str, points: Points, kinds: np.ndarray) -> None:
    font = ImageFont.load_default(size=_LINE * 0.65)
    draw.text((left + _MARGIN, 2), title, _INK, font)
    names = list(dict.fromkeys(kinds.tolist()))
    low, span = points.min(axis=0), np.maximum(np.ptp(points, axis=0), 1e-12)
    inside = (points - low[None]) / span[None] * (_SIDE - 2 * _MARGIN) + np.array(
        [left + _MARGIN, _LINE + _MARGIN]
    )
    for (x, y), kind in zip(inside, kinds, strict=True):
        colour = _COLOURS[names.index(kind) % len(_COLOURS)]
        draw.ellipse((x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS), fill=colour)
    for index, name in enumerate(names):
        place = (left + _MARGIN + 60 * (index + 3), 2)
        draw.text(place, name, _COLOURS[index % len(_COLOURS)], font)
