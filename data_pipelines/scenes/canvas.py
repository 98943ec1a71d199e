"""The picture before lighting: per pixel albedo, normal, temperature and distance, composed with a z-buffer.

Colour, temperature and distance of a pixel always come from the same surface. Panels must be drawn from far
to near: their edges are blended for smoothness (all channels alike), the distance is that of the surface that
covers at least half of the pixel.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.scenes.atlas import Atlas, bounds
from data_pipelines.scenes.camera import Camera, Vector
from data_pipelines.scenes.labels import Label

NEAR = 0.6  # metres; nothing is drawn closer to the camera
STRIP = 48  # columns drawn at one level of detail


@dataclass
class Canvas:
    """Per-pixel surface properties; `forward` is the distance along the optical axis in metres."""

    camera: Camera
    color: Float[np.ndarray, "h w 3"]  # linear albedo
    glow: Float[np.ndarray, "h w 3"]  # light given off
    normal: Float[np.ndarray, "h w 3"]
    surface: Float[np.ndarray, "h w 4"]  # temperature, emissivity, emission, gloss
    forward: Float[np.ndarray, "h w"]
    label: UInt8[np.ndarray, "h w"]

    @classmethod
    def empty(cls, camera: Camera) -> "Canvas":
        """Return a canvas that shows nothing, infinitely far away."""
        size = (camera.height, camera.width)
        return cls(
            camera=camera,
            color=np.zeros((*size, 3), np.float32),
            glow=np.zeros((*size, 3), np.float32),
            normal=np.zeros((*size, 3), np.float32),
            surface=np.zeros((*size, 4), np.float32),
            forward=np.full(size, np.inf, np.float32),
            label=np.full(size, Label.SKY, np.uint8),
        )


@dataclass(frozen=True)
class Panel:
    """A flat parallelogram: the points origin + s across + t down for s, t in [0, 1]; origin is top left."""

    origin: Vector
    across: Vector
    down: Vector

    @cached_property
    def corners(self) -> Float[np.ndarray, "4 3"]:
        """Top left, top right, bottom right, bottom left."""
        o, a, d = self.origin, self.across, self.down
        return np.stack([o, o + a, o + a + d, o + d])

    def normal(self, camera: Camera) -> Vector:
        """Return the unit normal that faces the camera."""
        (ax, ay, az), (dx, dy, dz) = self.across, self.down
        normal = np.array([ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx])
        away = normal @ (self.origin - np.array([0.0, camera.elevation, 0.0]))
        return normal / (-math.copysign(math.hypot(*normal), away))

    def texels(self, camera: Camera, *, limit: int = 480) -> tuple[int, int]:
        """Return rows and columns that give an atlas about one texel a pixel where the panel is nearest."""
        corners = self.corners.copy()
        corners[:, 2] = np.maximum(corners[:, 2], 2.5)
        pixels = camera.project(corners)
        length = np.linalg.norm(pixels - np.roll(pixels, -1, axis=0), axis=1)
        rows, columns = max(length[1], length[3]), 1.1 * max(length[0], length[2])
        return int(np.clip(rows, 4, limit)), int(np.clip(columns, 4, limit))

    def visible(self, camera: Camera) -> bool:
        """Whether the panel is in front of the camera and its bounding box touches the image."""
        corners = self.corners
        if corners[:, 2].min() < NEAR:
            return False
        u, v = camera.project(corners).T
        return bool(
            u.max() > 0 and u.min() < camera.width - 1 and v.max() > 0 and v.min() < camera.height - 1
        )


def draw_panel(canvas: Canvas, panel: Panel, atlas: Atlas, label: Label, *, relief: float = 1.0) -> None:
    """Compose a textured panel into the canvas; panels behind the camera or outside the image do nothing.

    `relief` is the length in metres of the unit in which the atlas states its relief.
    """
    camera = canvas.camera
    if not panel.visible(camera):
        return
    u, v = camera.project(panel.corners).T
    left, right = max(0, int(u.min()) - 1), min(camera.width, int(np.ceil(u.max())) + 2)
    top, bottom = max(0, int(v.min()) - 1), min(camera.height, int(np.ceil(v.max())) + 2)
    to_plane = np.linalg.inv(camera.plane_to_image(panel.origin, panel.across, panel.down)).astype(np.float32)
    normal = panel.normal(camera).astype(np.float32)
    # a panel that recedes needs finer texels at its near end than at its far end
    strips = max(1, round((right - left) / STRIP)) if abs(panel.across[2]) > 0.2 else 1
    edges = np.linspace(left, right, strips + 1).astype(int)
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        if stop > start and bottom > top:
            region = (slice(top, bottom), slice(start, stop))
            _compose(canvas, region, to_plane, normal, atlas, label, relief)


def _compose(canvas: Canvas, region, to_plane, normal, atlas: Atlas, label: Label, relief: float) -> None:
    region = _in_front(canvas, region, to_plane, relief if atlas.shape is not None else 0.0)
    if region is None:
        return
    across, down, forward = _plane_coordinates(region, to_plane)
    maps = dict(zip(atlas.layers(), _sample(atlas, across, down), strict=True))
    covered = maps["color"][..., 3]
    if "shape" in maps:
        forward = forward - np.float32(relief) * maps["shape"][..., 3] / np.maximum(covered, 1e-3)
    shown = (covered > 0.004) & (forward < canvas.forward[region]) & (forward > NEAR)
    if not shown.any():
        return
    if not shown.all():
        for layer in maps.values():
            layer *= shown[..., None]
    kept = 1 - covered[..., None]
    _blend(canvas.color[region], kept, maps["color"][..., :3])
    _blend(canvas.surface[region], kept, maps["surface"])
    _blend(canvas.glow[region], kept, maps["glow"][..., :3] if "glow" in maps else None)
    _blend(canvas.normal[region], kept, maps["shape"][..., :3] if "shape" in maps else normal * (1 - kept))
    solid = covered >= 0.5
    canvas.forward[region] = np.where(solid, forward, canvas.forward[region])
    canvas.label[region] = np.where(solid, np.uint8(label), canvas.label[region])


def _in_front(canvas: Canvas, region, to_plane, relief: float):
    """Return the part of the region where the panel can be nearer than what is drawn; None where nowhere."""
    forward = _plane_coordinates(region, to_plane)[2]
    box = bounds(forward - np.float32(relief) < canvas.forward[region])
    if box is None:
        return None
    return tuple(slice(w.start + b.start, w.start + b.stop) for w, b in zip(region, box, strict=True))


def _blend(layer: np.ndarray, kept: np.ndarray, added: np.ndarray | None) -> None:
    """Keep a share of what the layer (a view of the canvas) shows and add what is in front."""
    layer *= kept
    if added is not None:
        layer += added


def _plane_coordinates(region, to_plane):
    """Return s, t and the forward distance of every pixel of the region on the panel's plane."""
    rows, columns = region
    u = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :]
    v = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    across, down, nearness = (m[0] * u + m[1] * v + m[2] for m in to_plane)
    # beyond the panel's own horizon the nearness is not positive: nothing of the panel is there
    forward = 1 / np.where(nearness > 1e-6, nearness, np.float32(np.nan))
    return across * forward, down * forward, forward


def _sample(atlas: Atlas, across, down) -> list[np.ndarray]:
    """Sample the maps at panel coordinates, from texels averaged to about the size of a pixel."""
    height, width = atlas.size
    row, column = across.shape[0] // 2, across.shape[1] // 2
    columns = _block(float(across[row, column] - across[row, column - 1]), width)
    rows = _block(float(down[row, column] - down[row - 1, column]), height)
    maps = atlas.reduced(rows, columns)
    high, wide = maps[0].shape[0] - 2, maps[0].shape[1] - 2
    # fmin and fmax put what is not a number outside of the maps too
    x = np.fmin(np.fmax(across * np.float32(wide) + np.float32(0.5), -1), wide + 2)
    y = np.fmin(np.fmax(down * np.float32(high) + np.float32(0.5), -1), high + 2)
    return [
        cv2.remap(each, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        for each in maps
    ]


def _block(step: float, texels: int) -> int:
    """Return the power of two nearest to the number of texels that a pixel spans, at most 64."""
    spanned = abs(step) * texels
    return 2 ** min(6, round(math.log2(spanned))) if spanned > 1 else 1
