"""Surface maps of a flat panel: what it reflects, how warm it is, what it emits; painted layer on layer."""

from dataclasses import dataclass, field
from typing import TypeAlias

import cv2
import numpy as np
from jaxtyping import Float

Number: TypeAlias = float | int | np.floating
Color: TypeAlias = tuple[Number, Number, Number]


Bound: TypeAlias = Number | np.ndarray


def linear(red: int, green: int, blue: int) -> Color:
    """Return the linear albedo of a colour given as it looks on a screen (0 to 255)."""
    return ((red / 255) ** 2.2, (green / 255) ** 2.2, (blue / 255) ** 2.2)


def band(x: np.ndarray, low: Bound, high: Bound, step: Bound) -> np.ndarray:
    """Return the share of each sample (samples `step` apart) that lies between `low` and `high`."""
    inside = np.clip((x - low) / step + 0.5, 0, 1) * np.clip((high - x) / step + 0.5, 0, 1)
    return inside.astype(np.float32)


@dataclass
class Atlas:
    """Maps of h x w texels.

    `color` is linear albedo; light given off is color * emission. `surface` holds temperature (degrees
    Celsius), emissivity (thermal), emission and gloss (share of mirror-like reflection). `shape`, where
    present, holds the world normal and the relief towards the camera (in metres, or in the unit that the
    drawer states).
    """

    color: Float[np.ndarray, "h w 3"]
    alpha: Float[np.ndarray, "h w"]
    surface: Float[np.ndarray, "h w 4"]
    shape: Float[np.ndarray, "h w 4"] | None = None
    _full: list[np.ndarray] = field(default_factory=list, repr=False)  # maps multiplied by alpha
    _reduced: dict[tuple[int, int], list[np.ndarray]] = field(default_factory=dict, repr=False)

    @classmethod
    def blank(
        cls,
        size: tuple[int, int],
        *,
        color: Color,
        temperature: Number,
        emissivity: Number = 0.95,
        gloss: Number = 0.0,
        alpha: Number = 1.0,
    ) -> "Atlas":
        """Return maps of one uniform material."""
        surface = np.empty((*size, 4), np.float32)
        surface[:] = (temperature, emissivity, 0.0, gloss)
        painted = np.empty((*size, 3), np.float32)
        painted[:] = color
        return cls(painted, np.full(size, alpha, np.float32), surface)

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.alpha.shape

    def paint(
        self,
        mask: Float[np.ndarray, "h w"],
        *,
        color: Color | np.ndarray | None = None,
        temperature: Bound | None = None,
        emissivity: Number | None = None,
        emission: Bound | None = None,
        gloss: Number | None = None,
        opaque: bool = False,
    ) -> None:
        """Cover the share `mask` of every texel with another material; what is not named stays."""
        box = bounds(mask)
        if box is None:
            return
        mask = mask[box]
        if color is not None:
            tone = np.asarray(color, np.float32)
            layer = self.color[box]
            layer += mask[..., None] * ((tone if tone.ndim == 1 else tone[box]) - layer)
        for channel, value in enumerate((temperature, emissivity, emission, gloss)):
            if value is not None:
                level = np.asarray(value, np.float32)
                layer = self.surface[box][..., channel]
                layer += mask * ((level if level.ndim == 0 else level[box]) - layer)
        if opaque:
            self.alpha[box] = np.maximum(self.alpha[box], mask)

    def scale_color(self, factor: np.ndarray) -> None:
        """Multiply the albedo by a map (stains, joints, occluded corners), kept within [0, 0.95]."""
        self.color *= factor.astype(np.float32)[..., None]
        np.clip(self.color, 0.0, 0.95, out=self.color)

    def polygon(self, points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "h w"]:
        """Return the covered share of every texel; points are (across, down) in [0, 1]."""
        height, width = self.size
        mask = np.zeros((height, width), np.uint8)
        fixed = np.round(np.asarray(points) * (width, height) * 16 - 8).astype(np.int32)
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, shift=4)
        return mask.astype(np.float32) * np.float32(1 / 255)

    def disc(self, across: Number, down: Number, radius_across: Number, radius_down: Number) -> np.ndarray:
        """Return the covered share of every texel for an ellipse, all in [0, 1]."""
        turn = np.linspace(0, 2 * np.pi, 33)[:-1]
        return self.polygon(
            np.stack([across + radius_across * np.cos(turn), down + radius_down * np.sin(turn)], axis=1)
        )

    def rectangle(self, left: Number, right: Number, top: Number, bottom: Number) -> np.ndarray:
        """Return the covered share of every texel for a rectangle, all in [0, 1]."""
        height, width = self.size
        columns = band((np.arange(width) + 0.5) / width, left, right, 1 / width)
        rows = band((np.arange(height) + 0.5) / height, top, bottom, 1 / height)
        return rows[:, None] * columns[None, :]

    def reduced(self, rows: int, columns: int) -> list[np.ndarray]:
        """Return the maps averaged over blocks of rows x columns texels, multiplied by alpha.

        The list holds (color, 1), surface, and where present (light given off, 0) and shape, in the order of
        `layers`. Blocks are limited to the atlas. A transparent texel is added all round, so that sampling
        fades out at the edges. Results are kept for the next call; paint first.
        """
        rows, columns = min(rows, self.size[0]), min(columns, self.size[1])
        if (rows, columns) not in self._reduced:
            size = (max(1, round(self.size[1] / columns)), max(1, round(self.size[0] / rows)))
            self._full = maps = self._full or self._premultiplied()
            if (rows, columns) != (1, 1):
                maps = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in maps]
            self._reduced[rows, columns] = [
                cv2.copyMakeBorder(each, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0)) for each in maps
            ]
        return self._reduced[rows, columns]

    def layers(self) -> list[str]:
        """Return the names of the maps that `reduced` returns, in order."""
        names = ["color", "surface"]
        names += ["glow"] if self.surface[..., 2].any() else []
        return names + (["shape"] if self.shape is not None else [])

    def _premultiplied(self) -> list[np.ndarray]:
        weight = self.alpha[..., None]
        opaque = bool(self.alpha.min() >= 1)
        sources = [self.color, self.surface]
        sources += [self.color * self.surface[..., 2:3]] if "glow" in self.layers() else []
        sources += [] if self.shape is None else [self.shape]
        maps = []
        for source in sources:
            if opaque and source.shape[2] == 4:
                maps.append(source)
                continue
            layer = np.zeros((*self.size, 4), np.float32)
            np.multiply(source, weight, out=layer[..., : source.shape[2]])
            maps.append(layer)
        maps[0][..., 3] = self.alpha
        return maps


def bounds(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Return the smallest box that holds all of the mask, None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
