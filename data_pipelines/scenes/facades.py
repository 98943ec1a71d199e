"""Buildings: two faces of a box with storeys, windows, ledges, shops and stains."""

from collections.abc import Sequence

import numpy as np

from data_pipelines.scenes.atlas import Atlas, band, linear
from data_pipelines.scenes.camera import Camera
from data_pipelines.scenes.canvas import Canvas, Panel, draw_panel
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.layout import Building
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile

WALLS = (
    linear(176, 160, 140),  # plaster
    linear(150, 84, 66),  # brick
    linear(196, 190, 178),
    linear(140, 138, 134),  # concrete
    linear(168, 120, 92),
    linear(112, 100, 92),
    linear(206, 200, 190),
    linear(126, 134, 140),
)
SIGNS = (
    linear(176, 40, 36),
    linear(30, 74, 140),
    linear(226, 200, 60),
    linear(36, 110, 70),
    linear(230, 228, 222),
)
DOORS = (
    linear(92, 70, 54),
    linear(60, 64, 70),
    linear(54, 84, 74),
    linear(120, 116, 108),
    linear(110, 46, 42),
    linear(52, 66, 104),
)
GLASS = linear(46, 54, 60)
CURTAINS = (linear(208, 200, 184), linear(184, 176, 160), linear(120, 112, 104))
LAMPLIGHT = ((1.0, 0.72, 0.40), (1.0, 0.83, 0.56), (0.84, 0.95, 1.0), (0.9, 1.0, 0.86))
LIMIT = 400  # texels a side of a face
NEAREST = 1.2  # metres; street faces are cut off here, outside of the view


def draw_building(
    canvas: Canvas, building: Building, mood: Mood, noise: NoiseTile, *, neighbours: Sequence[Building] = ()
) -> None:
    """Draw the long face along the street, and the end that faces the camera unless a neighbour hides it."""
    near = max(building.near, _first_visible(canvas.camera, building.front))
    if building.far <= near + 0.5:
        return
    rng = np.random.default_rng(building.seed)
    style = _draw_style(rng)
    camera, side, tall = canvas.camera, building.side, building.height
    outer = building.front + side * building.depth
    if building.near > NEAREST and not _hidden_end(building, neighbours):
        top = min(tall, _highest_visible(camera, building.near))
        origin = np.array([min(building.front, outer), top, building.near])
        end = Panel(origin, np.array([building.depth, 0, 0]), np.array([0.0, -top, 0]))
        _draw_face(canvas, end, tall, building.depth, style, mood, noise, rng, street=False)
    top = min(tall, _highest_visible(camera, building.far))
    street_face = Panel(
        np.array([building.front, top, near]),
        np.array([0.0, 0, building.far - near]),
        np.array([0.0, -top, 0]),
    )
    _draw_face(canvas, street_face, tall, building.far - near, style, mood, noise, rng, street=True)


def _first_visible(camera: Camera, x: float) -> float:
    """Return the forward distance from which on an upright line at `x` is within the image's width."""
    margin = camera.centre_u if x < 0 else camera.width - camera.centre_u
    return max(NEAREST, 0.97 * abs(x) * camera.focal / margin)


def _highest_visible(camera: Camera, z: float) -> float:
    """Return the height above which everything up to the distance `z` is above the image."""
    return 0.3 + camera.elevation + z * max(camera.centre_v, 1.0) / camera.focal


def _hidden_end(building: Building, neighbours: Sequence[Building]) -> bool:
    """Whether a nearer house of the row touches this one and covers the whole end that faces the camera."""
    return any(
        other.side == building.side
        and other.near < building.near <= other.far + 1e-6
        and other.height >= building.height
        and abs(other.front - building.front) < 1e-6
        for other in neighbours
    )


def _draw_style(rng: np.random.Generator) -> dict:
    kind = rng.choice(["grid", "ribbon", "balcony"], p=[0.55, 0.2, 0.25])
    return {
        "kind": kind,
        "wall": WALLS[rng.integers(len(WALLS))],
        "brick": rng.random() < 0.35,
        "storey": rng.uniform(2.9, 3.5),
        "base": rng.uniform(3.2, 4.2),
        "bay": rng.uniform(1.9, 3.6),
        "wide": {"grid": rng.uniform(0.38, 0.62), "ribbon": 0.94, "balcony": rng.uniform(0.6, 0.8)}[kind],
        "sill": {"grid": rng.uniform(0.26, 0.34), "ribbon": 0.34, "balcony": 0.06}[kind],
        "head": rng.uniform(0.76, 0.84),
        "frame": linear(226, 224, 218) if rng.random() < 0.5 else linear(70, 66, 62),
        "light": LAMPLIGHT[rng.integers(len(LAMPLIGHT))],
        "warmth": rng.uniform(-0.8, 1.8),
    }


def _draw_face(canvas, panel, height, length, style, mood, noise, rng, *, street: bool) -> None:
    """Paint and draw one face; the panel may leave out the top of the wall, which is `height` metres high."""
    if not panel.visible(canvas.camera):
        return
    rows, columns = panel.texels(canvas.camera, limit=LIMIT)
    top = -float(panel.down[1])
    along = (np.arange(columns, dtype=np.float32) + 0.5) / columns * np.float32(length)
    up = np.float32(top) * (1 - (np.arange(rows, dtype=np.float32) + 0.5) / rows)
    step = (top / rows, length / columns)
    atlas = Atlas.blank((rows, columns), color=style["wall"], temperature=mood.air + style["warmth"])
    _wall(atlas, along, up, step, height, style, noise, rng)
    _windows(atlas, along, up, step, height, length, style, mood, rng)
    _ground_floor(atlas, along, up, step, length, style, mood, noise, rng, shop=street)
    _weathering(atlas, along, up, height, noise, rng)
    draw_panel(canvas, panel, atlas, Label.BUILDING)


def _wall(atlas: Atlas, along, up, step, height, style, noise, rng) -> None:
    grain = noise.patch(rng, atlas.size, texels=300.0, smooth=False)
    shade = 1 + 0.05 * grain
    if style["brick"] and step[0] < 0.06:
        course = np.floor(up / 0.12)
        joints = band(np.mod(up, np.float32(0.12)), -1, 0.018, step[0])[:, None]
        shifted = np.mod(along[None, :] + (np.mod(course, 2) * np.float32(0.14))[:, None], np.float32(0.28))
        upright = band(shifted, -1, 0.016, step[1])
        shade = shade * (1 - 0.22 * np.maximum(joints, upright))
    atlas.scale_color(shade)
    atlas.surface[..., 0] += 0.35 * grain
    # ledges between the storeys, and the cornice with the shadow under it
    level = np.mod(up - np.float32(style["base"]), np.float32(style["storey"]))
    ledge = band(level, -0.01, 0.13, step[0]) * (up > style["base"] - 0.2)
    cornice = band(up, height - 0.4, height + 1, step[0])
    under = band(up, height - 0.75, height - 0.4, step[0]) + 0.7 * band(
        level, style["storey"] - 0.16, 9, step[0]
    )
    ones = np.ones_like(along)[None, :]
    light = tuple(min(0.8, 1.25 * c + 0.02) for c in style["wall"])
    atlas.paint(np.clip(ledge + cornice, 0, 1)[:, None] * ones, color=light)
    atlas.scale_color((1 - 0.35 * np.clip(under, 0, 1))[:, None] * ones)


def _windows(atlas: Atlas, along, up, step, height, length, style, mood: Mood, rng) -> None:
    """Glass in every bay of every full storey: each window has its own curtain and may be lit."""
    bays = max(1, round(length / style["bay"]))
    storeys = int((height - 0.7 - style["base"]) / style["storey"])
    if storeys < 1:
        return
    bay = length / bays
    x = along / np.float32(bay)
    column = np.clip(np.floor(x).astype(int), 0, bays - 1)
    y = (up - np.float32(style["base"])) / np.float32(style["storey"])
    row = np.floor(y).astype(int)
    real = ((row >= 0) & (row < storeys)).astype(np.float32)
    row = np.clip(row, 0, storeys - 1)
    fx, fy = x - column, np.mod(y, 1)
    half, sx, sy = style["wide"] / 2, step[1] / bay, step[0] / style["storey"]
    border = 0.055 / bay
    opening = np.outer(
        band(fy, style["sill"], style["head"], sy) * real, band(np.abs(fx - 0.5), -1, half, sx)
    )
    inner = np.outer(
        band(fy, style["sill"] + 0.025, style["head"] - 0.025, sy) * real,
        band(np.abs(fx - 0.5), border / 2 if style["wide"] > 0.45 else -1, half - border, sx),
    )
    table = (storeys, bays)
    curtain = rng.uniform(-0.7, 1.0, table)[row][:, column]
    lit = ((rng.random(table) < mood.lit_windows) * rng.uniform(0.35, 1.4, table))[row][:, column]
    atlas.paint(opening, color=style["frame"])
    atlas.paint(inner, color=GLASS, temperature=mood.air - 0.5, emissivity=0.86, gloss=0.8)
    drop = np.clip((fy[:, None] - (style["head"] - curtain * 0.5)) / np.float32(sy), 0, 1) * inner
    atlas.paint(drop.astype(np.float32), color=CURTAINS[rng.integers(len(CURTAINS))], gloss=0.3)
    glow = (inner * (lit > 0)).astype(np.float32)
    dim = np.where(drop > 0.5, 0.6, 1.0)
    level = lit * dim * (0.75 + 0.4 * fy[:, None]) * (0.9 if mood.night else 0.25)
    atlas.paint(glow, color=style["light"], emission=level, temperature=mood.air + 3.5, gloss=0.1)
    atlas.scale_color(1 - 0.5 * opening * band(fy, style["head"] - 0.07, 2, sy)[:, None])
    if style["kind"] == "balcony":
        _balconies(atlas, fx, fy, real, sx, sy, style, mood)


def _balconies(atlas: Atlas, fx, fy, real, sx, sy, style, mood: Mood) -> None:
    width = band(np.abs(fx - 0.5), -1, 0.47, sx)
    slab = np.outer(band(fy, -0.02, 0.05, sy) * real, width)
    bars = np.outer(band(fy, 0.05, 0.34, sy) * real, width)
    light = tuple(min(0.85, 1.3 * c + 0.03) for c in style["wall"])
    atlas.paint(
        bars * 0.8, color=tuple(0.75 * c for c in light), temperature=mood.air, emission=0.0, gloss=0.0
    )
    atlas.paint(slab, color=light, temperature=mood.air + 0.8, emission=0.0)
    atlas.paint(np.outer(band(fy, 0.32, 0.35, sy) * real, width), color=light, emission=0.0)
    atlas.scale_color(1 - 0.4 * np.outer(band(fy, 0.84, 2, sy) * real, width))


def _ground_floor(
    atlas: Atlas, along, up, step, length, style, mood: Mood, noise, rng, *, shop: bool
) -> None:
    """Shops with sign and awning, doors and garage doors, or a plain wall with a plinth."""
    units = max(1, round(length / rng.uniform(4, 7)))
    width, base = length / units, style["base"]
    ones = np.ones_like(along)
    atlas.paint(np.outer(band(up, -1, 0.45, step[0]), ones) * 0.8, color=linear(96, 92, 88))
    goods = _goods(along, up, length, rng)
    for unit in range(units if shop else 0):
        left = unit * width
        kind = rng.choice(["shop", "door", "garage", "wall"], p=[0.4, 0.25, 0.15, 0.2])
        if kind == "shop":
            _shop(atlas, along, up, step, left, width, base, goods, mood, rng)
        elif kind in ("door", "garage"):
            wide = 1.1 if kind == "door" else width - 1.4
            start = left + rng.uniform(0.4, max(0.5, width - wide - 0.4))
            opening = np.outer(band(up, 0, 2.3, step[0]), band(along, start, start + wide, step[1]))
            tone = DOORS[rng.integers(len(DOORS))]
            atlas.paint(opening, color=tone, temperature=mood.air + 0.5, emissivity=0.85)
            ribs = 1 - 0.18 * opening * (np.mod(up, np.float32(0.25)) < 0.05)[:, None]
            atlas.scale_color(ribs)


def _goods(along, up, length: float, rng: np.random.Generator) -> np.ndarray:
    """Return brightness, about -1 to 1, of what stands on the shelves behind shop windows."""
    columns, rows = int(length / 0.22) + 1, 8
    table = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    # the edge of a shelf is a dark line under each row
    shelf = 0.5 * (np.mod(up, np.float32(0.4)) < 0.05).astype(np.float32)
    row, column = (up / np.float32(0.4)).astype(int), (along / np.float32(0.22)).astype(int)
    return table[np.clip(row, 0, rows - 1)][:, np.clip(column, 0, columns - 1)] - shelf[:, None]


def _shop(atlas: Atlas, along, up, step, left, width, base, goods, mood: Mood, rng) -> None:
    front = band(along, left + 0.3, left + width - 0.3, step[1])
    glass = np.outer(band(up, 0.5, 2.5, step[0]), front)
    posts = band(np.mod(along - np.float32(left), np.float32(1.6)), -1, 0.07, step[1])[None, :]
    open_late = rng.random() < (0.5 if mood.night else 0.35)
    atlas.paint(glass, color=GLASS, temperature=mood.air + 1.0, emissivity=0.86, gloss=0.7)
    inside = np.clip(0.5 + 0.3 * goods, 0.05, 1.0)[..., None] * np.asarray(
        LAMPLIGHT[rng.integers(4)], np.float32
    )
    if open_late:
        strength = (1.3 if mood.night else 0.5) * (0.5 + 0.5 * np.clip(goods, -1, 1))
        atlas.paint(glass, color=inside, emission=strength, temperature=mood.air + 3 + goods, gloss=0.3)
    atlas.paint(glass * posts, color=linear(60, 58, 56), emission=0.0)
    sign = np.outer(
        band(up, 2.65, base - 0.25, step[0]), band(along, left + 0.25, left + width - 0.25, step[1])
    )
    tone = SIGNS[rng.integers(len(SIGNS))]
    lit_sign = open_late and mood.night and rng.random() < 0.6
    atlas.paint(sign, color=tone, emission=0.9 if lit_sign else 0.0, temperature=mood.air + 2 * lit_sign)
    letter = np.floor((along - left) / 0.42).astype(int)
    letters = (rng.random(64) < 0.75)[np.mod(letter, 64)] * band(
        np.mod(along - np.float32(left), np.float32(0.42)), 0.06, 0.34, step[1]
    )
    ink = linear(240, 238, 230) if np.mean(np.array(tone)) < 0.4 else linear(40, 40, 46)
    writing = np.outer(
        band(up, 2.8, base - 0.42, step[0]), letters * (along > left + 0.7) * (along < left + width - 0.8)
    )
    strokes = (np.mod(along[None, :] * 9 + 3 * np.sin(up[:, None] * 23), 2) < 1.4).astype(np.float32)
    atlas.paint((writing * strokes).astype(np.float32), color=ink)
    if rng.random() < 0.5:
        stripes = np.where(np.mod(along, np.float32(0.8)) < 0.4, 1.0, 0.35)[None, :, None]
        cloth = (np.asarray(SIGNS[rng.integers(len(SIGNS))], np.float32) * stripes).astype(np.float32)
        awning = np.outer(
            band(up, 2.2, 2.75, step[0]), band(along, left + 0.15, left + width - 0.15, step[1])
        )
        atlas.paint(
            awning, color=cloth + 0 * goods[..., None], emission=0.0, temperature=mood.air + 0.3, gloss=0.0
        )
        atlas.scale_color(1 - 0.45 * np.outer(band(up, 1.7, 2.2, step[0]), front))


def _weathering(atlas: Atlas, along, up, height, noise, rng) -> None:
    """Large stains, runs of dirt down the wall, darker foot."""
    stains = noise.patch(rng, atlas.size, texels=60.0)
    runs = noise.patch(rng, (1, atlas.size[1]), texels=240.0, smooth=False)
    foot = 1 - 0.28 * np.exp(-up / 0.7)[:, None]
    atlas.scale_color((1 + 0.06 * stains + 0.035 * runs) * foot)
    atlas.surface[..., 0] += 0.5 * stains + 0.3 * runs + (0.6 * up / np.float32(max(height, 1.0)))[:, None]
