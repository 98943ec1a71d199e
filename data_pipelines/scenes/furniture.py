"""Slender things at the roadside: lamps, poles with wires, signs, cones, bollards, railings."""

import numpy as np

from data_pipelines.scenes.atlas import Atlas, Color, linear
from data_pipelines.scenes.canvas import Canvas, Panel, draw_panel
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.layout import Post, Street
from data_pipelines.scenes.mood import Mood

LAMP_HEIGHT, LAMP_REACH = 5.6, 1.2  # metres
POLE_HEIGHT = 8.5
METAL, CONCRETE = linear(120, 124, 126), linear(140, 136, 130)
DISCS = (linear(186, 30, 34), linear(28, 70, 158), linear(226, 190, 40))


def lamp_position(post: Post, street: Street) -> tuple[float, float, float]:
    """Return where the light of a street lamp is: over the road."""
    towards_road = -np.sign(post.x - street.centre)
    return (post.x + towards_road * LAMP_REACH, LAMP_HEIGHT - 0.1, post.z)


def draw_post(canvas: Canvas, post: Post, street: Street, mood: Mood) -> None:
    """Draw one thing at the roadside."""
    draw = {"lamp": _lamp, "pole": _pole, "sign": _sign, "cone": _cone, "bollard": _bollard}[post.kind]
    draw(canvas, post, street, mood)


def draw_railing(canvas: Canvas, street: Street, mood: Mood) -> None:
    """Draw the railing along one kerb, in lengths of 6 m with gaps, farthest first."""
    if not street.railing:
        return
    x = street.centre + street.railing * (street.road + 0.18)
    for near in np.arange(62.0, 4.0, -7.0):
        panel = Panel(np.array([x, 0.95, near]), np.array([0, 0, 6.0]), np.array([0, -0.95, 0]))
        if not panel.visible(canvas.camera):
            continue
        rows, columns = panel.texels(canvas.camera, limit=420)
        atlas = Atlas.blank(
            (max(rows, 24), max(columns, 80)), color=linear(214, 214, 208), temperature=mood.air - 0.5,
            emissivity=0.8, gloss=0.15, alpha=0.0,
        )  # fmt: skip
        for bar in (0.05, 0.4, 0.7):
            atlas.alpha = np.maximum(atlas.alpha, atlas.rectangle(0, 1, bar - 0.025, bar + 0.03))
        for upright in (0.008, 0.336, 0.664, 0.992):
            atlas.alpha = np.maximum(atlas.alpha, atlas.rectangle(upright - 0.006, upright + 0.006, 0.03, 1))
        draw_panel(canvas, panel, atlas, Label.FURNITURE)


def draw_wires(canvas: Canvas, street: Street, mood: Mood) -> None:
    """Hang wires between the poles of the street."""
    poles = sorted((p for p in street.posts if p.kind == "pole"), key=lambda p: -p.z)
    for far, near in zip(poles[:-1], poles[1:], strict=True):
        for height, aside in ((POLE_HEIGHT - 0.6, -0.5), (POLE_HEIGHT - 0.6, 0.5), (POLE_HEIGHT - 2.2, 0.0)):
            panel = Panel(
                np.array([near.x + aside, height, near.z]),
                np.array([0, 0, far.z - near.z]),
                np.array([0, -0.9, 0]),
            )
            if not panel.visible(canvas.camera):
                continue
            atlas = Atlas.blank((120, 160), color=linear(36, 36, 38), temperature=mood.air, alpha=0.0)
            s = np.linspace(0, 1, 40)
            sag = 0.1 + 0.72 * (1 - (2 * s - 1) ** 2)
            line = np.concatenate([np.stack([s, sag], 1), np.stack([s, sag + 0.035], 1)[::-1]])
            atlas.alpha = atlas.polygon(line)
            draw_panel(canvas, panel, atlas, Label.FURNITURE)


def _cylinder(
    canvas: Canvas, x, z, radius, bottom, top, *, color: Color, temperature, emissivity=0.92
) -> None:
    """Draw an upright pole as a panel with rounded normals."""
    panel = Panel(
        np.array([x - radius, top, z]), np.array([2 * radius, 0, 0]), np.array([0, bottom - top, 0])
    )
    if not panel.visible(canvas.camera):
        return
    rows, columns = panel.texels(canvas.camera, limit=200)
    size = (rows, max(6, columns))
    atlas = Atlas.blank(size, color=color, temperature=temperature, emissivity=emissivity, gloss=0.08)
    across = np.linspace(-0.95, 0.95, size[1], dtype=np.float32)
    toward = np.sqrt(1 - across**2)
    normal = np.stack([across, 0 * across, -toward, radius * toward], axis=1)
    atlas.shape = np.broadcast_to(normal, (*size, 4)).astype(np.float32)
    draw_panel(canvas, panel, atlas, Label.FURNITURE)


def _board(canvas: Canvas, x, y, z, width, height) -> tuple[Panel, Atlas] | None:
    """Return an upright panel that faces the camera, centred at (x, y, z), with an empty atlas."""
    panel = Panel(
        np.array([x - width / 2, y + height / 2, z]), np.array([width, 0, 0]), np.array([0, -height, 0])
    )
    if not panel.visible(canvas.camera):
        return None
    rows, columns = panel.texels(canvas.camera, limit=120)
    size = (max(8, 2 * rows), max(8, 2 * columns))
    return panel, Atlas.blank(size, color=METAL, temperature=0.0, alpha=0.0)


def _lamp(canvas: Canvas, post: Post, street: Street, mood: Mood) -> None:
    warm = mood.air + (1.0 if mood.night else 2.0)
    _cylinder(canvas, post.x, post.z, 0.07, 0, LAMP_HEIGHT, color=METAL, temperature=warm, emissivity=0.85)
    x, y, z = lamp_position(post, street)
    board = _board(canvas, (x + post.x) / 2, y + 0.1, z - 0.05, LAMP_REACH + 0.5, 0.24)
    if board is None:
        return
    panel, atlas = board
    atlas.surface[..., 0] = warm
    end = 0.0 if x < post.x else 1.0
    arm = atlas.rectangle(0.1, 0.9, 0.28, 0.48)
    head = atlas.rectangle(min(end, abs(end - 0.38)), max(end, abs(end - 0.38)), 0.2, 0.7)
    glass = atlas.rectangle(min(end, abs(end - 0.34)), max(end, abs(end - 0.34)), 0.55, 1.0)
    atlas.paint(arm, color=METAL, opaque=True)
    atlas.paint(head, color=METAL, opaque=True, temperature=mood.air + (14 if mood.night else 2))
    lit = 7.0 if mood.night else 0.0
    atlas.paint(glass, color=(1.0, 0.86, 0.62), emission=lit, temperature=mood.air + 2.5 * lit, opaque=True)
    draw_panel(canvas, panel, atlas, Label.FURNITURE)


def _pole(canvas: Canvas, post: Post, street: Street, mood: Mood) -> None:
    _cylinder(canvas, post.x, post.z, 0.15, 0, POLE_HEIGHT, color=CONCRETE, temperature=mood.air + 1.5)
    for height in (POLE_HEIGHT - 0.6, POLE_HEIGHT - 1.2):
        board = _board(canvas, post.x, height, post.z - 0.16, 1.5, 0.14)
        if board is not None:
            panel, atlas = board
            atlas.paint(
                atlas.rectangle(0, 1, 0, 1), color=linear(90, 86, 80), temperature=mood.air, opaque=True
            )
            draw_panel(canvas, panel, atlas, Label.FURNITURE)
    transformer = np.random.default_rng(post.seed).random() < 0.5
    if transformer:
        side = np.sign(street.centre - post.x)
        _cylinder(
            canvas, post.x + side * 0.45, post.z, 0.27, POLE_HEIGHT - 2.4, POLE_HEIGHT - 1.4,
            color=linear(150, 152, 150), temperature=mood.air + 9,
        )  # fmt: skip


def _sign(canvas: Canvas, post: Post, street: Street, mood: Mood) -> None:
    rng = np.random.default_rng(post.seed)
    _cylinder(canvas, post.x, post.z, 0.035, 0, 2.7, color=METAL, temperature=mood.air, emissivity=0.8)
    board = _board(canvas, post.x, 2.35, post.z - 0.05, 0.7, 0.7)
    if board is None:
        return
    panel, atlas = board
    atlas.surface[..., 0] = mood.air - 1.0
    atlas.surface[..., 1] = 0.85
    tone, white = DISCS[rng.integers(len(DISCS))], linear(232, 232, 228)
    if rng.random() < 0.6:
        atlas.paint(atlas.disc(0.5, 0.5, 0.49, 0.49), color=tone, opaque=True)
        atlas.paint(atlas.disc(0.5, 0.5, 0.36, 0.36), color=white)
        atlas.paint(
            atlas.rectangle(0.3, 0.7, 0.43, 0.57), color=tone if rng.random() < 0.5 else linear(30, 30, 30)
        )
    else:
        atlas.paint(atlas.rectangle(0.08, 0.92, 0.02, 0.98), color=white, opaque=True)
        atlas.paint(atlas.rectangle(0.12, 0.88, 0.06, 0.94), color=tone)
        arrow = np.array(
            [[0.5, 0.14], [0.74, 0.48], [0.58, 0.48], [0.58, 0.84], [0.42, 0.84], [0.42, 0.48], [0.26, 0.48]]
        )
        atlas.paint(atlas.polygon(arrow), color=white)
    draw_panel(canvas, panel, atlas, Label.FURNITURE)


def _cone(canvas: Canvas, post: Post, street: Street, mood: Mood) -> None:
    board = _board(canvas, post.x, 0.36, post.z, 0.44, 0.72)
    if board is None:
        return
    panel, atlas = board
    red, white = linear(206, 52, 36), linear(230, 228, 222)
    body = atlas.polygon(np.array([[0.45, 0], [0.55, 0], [0.84, 0.93], [0.16, 0.93]]))
    atlas.paint(body, color=red, opaque=True)
    for high, low in ((0.22, 0.38), (0.56, 0.72)):
        atlas.paint(body * atlas.rectangle(0, 1, high, low), color=white)
    atlas.paint(atlas.rectangle(0, 1, 0.93, 1), color=linear(40, 38, 38), opaque=True)
    columns = atlas.size[1]
    atlas.scale_color((1 - 0.35 * np.linspace(0, 1, columns))[None, :] * np.ones((atlas.size[0], 1)))
    atlas.surface[..., 0] = mood.air + 0.5
    draw_panel(canvas, panel, atlas, Label.FURNITURE)


def _bollard(canvas: Canvas, post: Post, street: Street, mood: Mood) -> None:
    _cylinder(canvas, post.x, post.z, 0.07, 0, 0.85, color=linear(196, 196, 190), temperature=mood.air)
    _cylinder(
        canvas, post.x, post.z - 0.01, 0.073, 0.6, 0.72, color=linear(190, 60, 40), temperature=mood.air
    )
