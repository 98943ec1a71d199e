"""The picture grid: its size, where the images are, and what it refuses."""

import numpy as np
import pytest

from iassf_jax.core.errors import InputError
from iassf_jax.evaluation.figures import GAP, LABEL_HEIGHT, picture_grid


def row(name, height=30, width=40):
    shapes = {"hazy": (height, width, 3), "infrared": (height, width, 1), "haze density": (height, width)}
    return {"name": name} | {
        column: np.full(shape, 60 * (index + 1), np.uint8)
        for index, (column, shape) in enumerate(shapes.items())
    }


def test_size_and_places():
    columns = ("hazy", "infrared", "haze density")
    grid = picture_grid([row("a"), row("b", 60, 40)], columns=columns, cell_width=80)
    heights = [60, 120]  # 30x40 and 60x40 at a width of 80
    assert grid.dtype == np.uint8
    assert grid.shape == (
        LABEL_HEIGHT + sum(height + LABEL_HEIGHT + GAP for height in heights),
        3 * (80 + GAP) + GAP,
        3,
    )
    top = LABEL_HEIGHT
    for height in heights:
        for index in range(3):
            left = GAP + index * (80 + GAP)
            assert (grid[top : top + height, left : left + 80] == 60 * (index + 1)).all()
        top += height + LABEL_HEIGHT + GAP


def test_labels_and_names_are_written():
    grid = picture_grid([row("scene 7")], columns=("hazy", "infrared"), cell_width=80)
    for left in (GAP, 80 + 2 * GAP):
        assert grid[:LABEL_HEIGHT, left : left + 80].min() < 100  # dark letters on white
    assert grid[LABEL_HEIGHT + 60 :, :80].min() < 100


def test_missing_images_are_named():
    with pytest.raises(InputError, match="scene a has no image 'fused'; it has name, hazy"):
        picture_grid([row("a")], columns=("hazy", "fused"))
    with pytest.raises(InputError, match="at least one row"):
        picture_grid([])
