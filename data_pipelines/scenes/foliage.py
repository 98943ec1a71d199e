"""Trees and bushes: crowns of leaf clumps, painted from back to front on a sprite that is used many times."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from data_pipelines.scenes.atlas import Atlas, Color, linear
from data_pipelines.scenes.canvas import Canvas, Panel, draw_panel
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.layout import Tree
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile

LEAVES = (
    linear(92, 112, 52),
    linear(74, 98, 48),
    linear(112, 120, 58),
    linear(128, 110, 54),
    linear(82, 104, 66),
)
BARK = linear(96, 82, 68)
FINEST, COARSEST = 320, 96  # rows of a sprite
ASPECT = (0.94, 0.94, 2.5)  # width of a sprite by its height, by kind of tree
CLUMPS = (1700, 2300, 900)  # by kind of tree
TRUNK = (0.42, 0.24, 0.0)  # share of the height below the crown


@dataclass(frozen=True)
class Clumps:
    """Leaf clumps in units of the tree: x in [-1, 1] (right), y in [0, 1] (up), depth towards the camera."""

    centre: Float[np.ndarray, "n 3"]
    normal: Float[np.ndarray, "n 3"]
    shade: Float[np.ndarray, "n"]


def tree_sprite(
    kind: int, mood: Mood, noise: NoiseTile, rng: np.random.Generator, *, image_height: int
) -> Atlas:
    """Return the maps of one tree, as fine as an image can show; relief is in halves of the tree's width."""
    rows = int(np.clip(image_height * (0.67 if kind < 2 else 0.36), COARSEST, FINEST))
    columns = round(ASPECT[kind] * rows)
    index = np.zeros((rows, columns), np.float32)
    branches = _paint_branches(index, kind, rng)
    clumps = _grow(kind, rng)
    _paint_clumps(index, clumps, kind, rng)
    painted = np.round(index).astype(np.int32)
    atlas = Atlas.blank((rows, columns), color=BARK, temperature=mood.air + 1.0)
    atlas.alpha = (painted != 0).astype(np.float32)
    atlas.shape = np.zeros((rows, columns, 4), np.float32)
    atlas.shape[..., 2] = -1.0
    leaf = np.maximum(painted - branches, 0)
    _color_leaves(atlas, leaf, clumps, LEAVES[rng.integers(len(LEAVES))], mood, noise, rng)
    return atlas


def _grow(kind: int, rng: np.random.Generator) -> Clumps:
    """Scatter clumps over lobes: big lobes around the crown's axis, clumps mostly near their surface."""
    base = TRUNK[kind]
    lobes = int(rng.integers(9, 15))
    turn, out = rng.uniform(0, 2 * np.pi, lobes), rng.uniform(0.15, 0.62, lobes)
    rise = rng.uniform(0.12, 0.85, lobes)
    spread = np.sqrt(np.clip(1 - (2 * rise - 0.9) ** 2, 0.2, 1))
    middle = np.stack([out * np.cos(turn) * spread, rise, out * np.sin(turn) * spread], axis=1)
    radius = rng.uniform(0.25, 0.42, lobes)
    which = rng.integers(lobes, size=CLUMPS[kind])
    direction = rng.standard_normal((CLUMPS[kind], 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    shell = rng.uniform(0.35, 1.0, CLUMPS[kind]) ** 0.4
    offset = direction * (radius[which] * shell)[:, None] * (1.0, 0.55, 1.0)
    centre = middle[which] + offset
    centre[:, 1] = base + (1 - base) * np.clip(0.06 + 0.88 * centre[:, 1], 0.01, 0.985)
    centre[:, 0] = np.clip(centre[:, 0], -0.95, 0.95)
    up = (centre[:, 1] - base) / (1 - base)
    # inner and lower leaves get less of the sky; leaves behind others in their lobe too
    shade = (0.42 + 0.5 * up) * (0.35 + 0.65 * shell**3) * rng.lognormal(0, 0.16, CLUMPS[kind])
    whole = np.stack([centre[:, 0], 2 * up - 0.9, centre[:, 2]], axis=1)
    normal = 0.65 * direction + 0.5 * whole + 0.25 * rng.standard_normal(direction.shape)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal[:, 2] *= -1  # depth grows towards the camera, z away from it
    order = np.argsort(centre[:, 2])
    return Clumps(
        centre[order].astype(np.float32), normal[order].astype(np.float32), shade[order].astype(np.float32)
    )


def _paint_branches(index: np.ndarray, kind: int, rng: np.random.Generator) -> int:
    """Paint trunk and branches with the value 1 and return how many values are taken."""
    rows, columns = index.shape
    if kind == 2:
        return 1
    foot = (columns // 2, rows - 1)
    fork = (columns // 2 + int(rng.integers(-6, 7)), int(rows * (0.98 - TRUNK[kind])))
    thick = max(5, int(columns * 0.032))
    cv2.line(index, foot, fork, 1.0, thick)
    for _ in range(9):
        end = (int(columns * rng.uniform(0.2, 0.8)), int(rows * rng.uniform(0.12, 0.5)))
        bend = (
            (fork[0] + end[0]) // 2 + int(rng.integers(-9, 10)),
            (fork[1] + end[1]) // 2 - int(rng.integers(0, 14)),
        )
        cv2.line(index, fork, bend, 1.0, max(2, thick // 2))
        cv2.line(index, bend, end, 1.0, max(1, thick // 4))
    return 1


def _paint_clumps(index: np.ndarray, clumps: Clumps, kind: int, rng: np.random.Generator) -> None:
    """Paint the number of each clump, plus 2, as a ragged patch of a few leaves; the nearest comes last."""
    rows, columns = index.shape
    number = len(clumps.shade)
    u = (clumps.centre[:, 0] * 0.5 + 0.5) * columns
    v = (1 - clumps.centre[:, 1]) * rows
    size = rng.uniform(2.6, 6.2, number) * rows / (320 if kind < 2 else 190)
    turn = rng.uniform(0, 2 * np.pi, (number, 1)) + np.linspace(0, 2 * np.pi, 8)[None, :-1]
    reach = size[:, None] * rng.uniform(0.35, 1.35, (number, 7))
    points = np.stack([u[:, None] + reach * np.cos(turn), v[:, None] + 0.75 * reach * np.sin(turn)], axis=2)
    fixed = np.round(points * 16).astype(np.int32)
    for position in range(number):
        cv2.fillPoly(index, [fixed[position]], float(position + 2), shift=4)


def _color_leaves(
    atlas: Atlas, leaf: np.ndarray, clumps: Clumps, tone: Color, mood: Mood, noise, rng
) -> None:
    """Give every painted texel its clump's colour, normal, warmth and relief; leaf 0 is wood."""
    is_leaf = leaf > 0
    clump = np.maximum(leaf - 1, 0)
    number = len(clumps.shade)
    hue = np.asarray(tone, np.float32) * rng.lognormal(0, (0.2, 0.13, 0.2), (number, 3)).astype(np.float32)
    grain = noise.patch(rng, atlas.size, texels=340.0, smooth=False)
    shade = clumps.shade[clump] * (1 + 0.22 * grain)
    atlas.color = np.where(is_leaf[..., None], np.clip(hue[clump] * shade[..., None], 0, 0.9), atlas.color)
    bark = np.where(is_leaf, 1.0, 1 + 0.25 * grain)
    atlas.color = np.clip(atlas.color * bark[..., None], 0.004, 0.9).astype(np.float32)
    warmth = (
        mood.air
        + (2.2 if mood.night else 0.4)
        + 2.6 * (clumps.shade - 0.5)
        + 0.5 * rng.standard_normal(number)
    )
    atlas.surface[..., 0] = np.where(is_leaf, warmth[clump] + 0.5 * grain, atlas.surface[..., 0])
    atlas.surface[..., 1] = np.where(is_leaf, 0.96, 0.94)
    normal = np.where(is_leaf[..., None], clumps.normal[clump], np.array([0.0, 0.2, -0.98], np.float32))
    relief = np.where(is_leaf, clumps.centre[:, 2][clump], 0.0)
    atlas.shape = np.concatenate([normal, relief[..., None]], axis=2).astype(np.float32)


def mirrored(sprite: Atlas) -> Atlas:
    """Return the sprite for a panel whose `across` points to the left: the same maps, normals turned."""
    if sprite.shape is None:
        raise ValueError("a tree sprite needs normals and relief")
    return Atlas(
        sprite.color, sprite.alpha, sprite.surface, sprite.shape * np.array([-1, 1, 1, 1], np.float32)
    )


def draw_tree(canvas: Canvas, tree: Tree, sprites: list[tuple[Atlas, Atlas]]) -> None:
    """Draw a tree from its kind's sprite or, second of the pair, the mirrored one."""
    sprite = sprites[tree.kind][tree.mirrored]
    half = tree.width / 2
    if tree.z - half < 2.0:
        return
    sign = -1.0 if tree.mirrored else 1.0
    panel = Panel(
        np.array([tree.x - sign * half, tree.height, tree.z]),
        np.array([sign * tree.width, 0.0, 0.0]),
        np.array([0.0, -tree.height, 0.0]),
    )
    if panel.visible(canvas.camera):
        draw_panel(canvas, panel, sprite, Label.FOLIAGE, relief=half)
