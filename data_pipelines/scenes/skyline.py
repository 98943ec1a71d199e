"""What closes the view: distant blocks and a line of trees beyond the end of the street."""

import numpy as np

from data_pipelines.scenes.atlas import Atlas, band, linear
from data_pipelines.scenes.canvas import Canvas, Panel, draw_panel
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile

TONES = (linear(150, 150, 152), linear(176, 168, 158), linear(128, 134, 142), linear(160, 140, 128))


def draw_skyline(canvas: Canvas, mood: Mood, noise: NoiseTile, rng: np.random.Generator) -> None:
    """Draw blocks at 200 to 520 m and trees at about 160 to 190 m, farthest first."""
    distances = np.sort(rng.uniform(200, 520, int(rng.integers(9, 17))))[::-1]
    for distance in distances:
        width, height = rng.uniform(18, 60), float(np.clip(rng.lognormal(2.9, 0.45), 8, 70))
        x = rng.uniform(-0.62, 0.62) * distance
        panel = Panel(
            np.array([x - width / 2, height, distance]), np.array([width, 0, 0]), np.array([0, -height, 0])
        )
        if panel.visible(canvas.camera):
            draw_panel(canvas, panel, _block(panel, width, height, mood, noise, rng, canvas), Label.BUILDING)
    for distance in (190.0, 160.0):
        _tree_line(canvas, distance, mood, noise, rng)


def _block(panel: Panel, width, height, mood: Mood, noise: NoiseTile, rng, canvas: Canvas) -> Atlas:
    rows, columns = (n + n // 2 for n in panel.texels(canvas.camera, limit=100))
    atlas = Atlas.blank((rows, columns), color=TONES[rng.integers(len(TONES))], temperature=mood.air + 1.5)
    x = (np.arange(columns) + 0.5) / columns * width
    y = (1 - (np.arange(rows) + 0.5) / rows) * height
    bay, storey = rng.uniform(2.4, 4), 3.2
    panes = np.outer(
        band(np.mod(y, storey), 1.0, 2.5, height / rows) * (y < height - 1.5),
        band(np.mod(x, bay), 0.5, bay - 0.5, width / columns),
    ).astype(np.float32)
    lit = rng.random((int(height / storey) + 1, int(width / bay) + 1)) < 0.7 * mood.lit_windows
    shining = panes * lit[np.floor(y / storey).astype(int)][:, np.floor(x / bay).astype(int)]
    atlas.paint(panes, color=linear(70, 78, 88), temperature=mood.air - 1, emissivity=0.85, gloss=0.4)
    atlas.paint(
        shining.astype(np.float32), color=(1.0, 0.86, 0.6), emission=0.5 if mood.night else 0.15, gloss=0.0
    )
    atlas.scale_color(1 + 0.08 * noise.patch(rng, atlas.size, texels=90.0))
    return atlas


def _tree_line(canvas: Canvas, distance: float, mood: Mood, noise: NoiseTile, rng) -> None:
    width, height = 1.6 * distance, rng.uniform(6, 13)
    panel = Panel(
        np.array([-width / 2, height, distance]), np.array([width, 0, 0]), np.array([0, -height, 0])
    )
    if not panel.visible(canvas.camera):
        return
    rows, columns = panel.texels(canvas.camera, limit=400)
    atlas = Atlas.blank((rows, columns), color=linear(74, 88, 58), temperature=mood.air, alpha=0.0)
    outline = 0.45 + 0.14 * noise.patch(rng, (1, columns), texels=220.0)
    rough = noise.patch(rng, (rows, columns), texels=420.0, smooth=False)
    down = ((np.arange(rows, dtype=np.float32) + 0.5) / rows)[:, None]
    atlas.alpha = np.clip((down - outline - 0.05 * rough) * rows + 0.5, 0, 1).astype(np.float32)
    atlas.scale_color((1 + 0.3 * rough) * (1.15 - 0.5 * down))
    atlas.surface[..., 0] += 0.8 * rough
    draw_panel(canvas, panel, atlas, Label.FOLIAGE)
