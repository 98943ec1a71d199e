"""People: jointed figures in clothes, rounded by their outline; skin and clothing are warm."""

from dataclasses import dataclass

import cv2
import numpy as np

from data_pipelines.scenes.atlas import Atlas, Color, linear
from data_pipelines.scenes.canvas import Canvas, Panel, draw_panel
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.layout import Person
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile

SHARE = 0.965  # of the sprite's height that the figure fills
ASPECT = 0.55  # width of the sprite by its height
FINEST, COARSEST = 352, 64  # rows of a sprite
SKINS = (linear(224, 182, 152), linear(196, 150, 118), linear(150, 108, 82), linear(110, 78, 60))
HAIRS = (linear(34, 28, 26), linear(60, 44, 34), linear(110, 104, 100), linear(84, 58, 38))
TOPS = (
    linear(42, 44, 52), linear(70, 74, 84), linear(34, 46, 76), linear(140, 44, 42), linear(206, 202, 194),
    linear(92, 96, 70), linear(150, 132, 104), linear(46, 84, 96), linear(190, 150, 60),
)  # fmt: skip
TROUSERS = (
    linear(34, 36, 44),
    linear(48, 62, 92),
    linear(88, 82, 74),
    linear(28, 28, 30),
    linear(120, 112, 98),
)


@dataclass(frozen=True)
class Part:
    """One garment or limb: a stroke through `points` (in heads, from the soles up) or a filled outline."""

    points: tuple[tuple[float, float], ...]
    thickness: float  # in heads; 0 fills the outline
    color: Color
    temperature: float


def draw_person(canvas: Canvas, person: Person, mood: Mood, noise: NoiseTile) -> None:
    """Draw a standing or walking person."""
    rng = np.random.default_rng(person.seed)
    height = person.height / SHARE
    width = ASPECT * height
    sign = -1.0 if person.mirrored else 1.0
    panel = Panel(
        np.array([person.x - sign * width / 2, person.ground + height * 0.99, person.z]),
        np.array([sign * width, 0.0, 0.0]),
        np.array([0.0, -height, 0.0]),
    )
    if not panel.visible(canvas.camera):
        return
    rows = int(np.clip(1.5 * canvas.camera.focal * height / person.z, COARSEST, FINEST))
    size = (rows, round(ASPECT * rows))
    atlas = Atlas.blank(size, color=(0, 0, 0), temperature=mood.air, emissivity=0.97, alpha=0.0)
    atlas.shape = np.zeros((*size, 4), np.float32)
    folds = noise.patch(rng, size, texels=150.0)
    for part in _parts(person, mood, rng):
        _paint_part(atlas, part, folds, sign)
    draw_panel(canvas, panel, atlas, Label.PERSON)


def _parts(person: Person, mood: Mood, rng: np.random.Generator) -> list[Part]:
    """Return the parts in painting order; lengths in heads (a person is 7.4 heads tall)."""
    skin, hair = SKINS[rng.integers(len(SKINS))], HAIRS[rng.integers(len(HAIRS))]
    top, legs = TOPS[rng.integers(len(TOPS))], TROUSERS[rng.integers(len(TROUSERS))]
    # thick clothing in the cold hides more of the body's warmth
    clothing = 22.5 + 0.28 * (mood.air - 10) + rng.uniform(-1.5, 1.5)
    side = person.pose == "side"
    swing = rng.uniform(0.45, 1.0) if side else rng.uniform(0.0, 0.16)
    shoulder, hip = (0.28, 0.2) if side else (0.78, 0.36)
    warm_legs = clothing + rng.uniform(-1, 1.2)
    parts = [*_leg(-hip, -swing, legs, warm_legs - 0.6, mood), *_leg(hip, swing, legs, warm_legs, mood)]
    far_arm = _arm(-shoulder, swing * 0.8, top, skin, clothing - 0.6, mood)
    near_arm = _arm(shoulder, -swing * 0.8, top, skin, clothing, mood)
    torso = _torso(side, top, clothing, skirt=rng.random() < 0.25, legs=legs)
    luggage = _luggage(person, rng, mood)
    parts += far_arm + ([*luggage, *torso] if person.pose != "back" else [*torso, *luggage]) + near_arm
    return parts + _head(person.pose, skin, hair, long_hair=rng.random() < 0.4)


def _leg(hip: float, swing: float, color: Color, temperature: float, mood: Mood) -> list[Part]:
    knee, foot = hip + 0.62 * swing, hip * 0.95 + swing
    toe = 0.28 if abs(swing) > 0.2 else 0.06
    shoe = linear(30, 28, 28)
    return [
        Part(((foot, 0.1), (foot + toe, 0.08)), 0.26, shoe, mood.air + 6),
        Part(((knee, 1.9), (foot, 0.3)), 0.42, color, temperature),
        Part(((hip * 0.8, 3.5), (knee, 1.9)), 0.56, color, temperature + 1.0),
    ]


def _arm(
    shoulder: float, swing: float, color: Color, skin: Color, temperature: float, mood: Mood
) -> list[Part]:
    elbow, hand = shoulder * 1.18 + 0.55 * swing, shoulder * 1.15 + swing
    return [
        Part(((hand, 3.15), (hand + 0.02, 2.95)), 0.26, skin, 29.5),
        Part(((elbow, 4.45), (hand, 3.25)), 0.32, color, temperature),
        Part(((shoulder, 5.85), (elbow, 4.45)), 0.38, color, temperature + 0.4),
    ]


def _torso(side: bool, color: Color, temperature: float, *, skirt: bool, legs: Color) -> list[Part]:
    chest, waist, hem = (0.5, 0.42, 0.46) if side else (0.86, 0.62, 0.68)
    right = ((0.2, 6.25), (chest * 0.86, 6.02), (chest, 5.5), (waist, 4.3), (hem, 3.2))
    outline = [*right, *((-x, y) for x, y in reversed(right))]
    parts = [Part(tuple(outline), 0.0, color, temperature + 0.8)]
    if skirt:
        flare = ((-hem, 3.9), (hem, 3.9), (hem * 1.35, 2.1), (-hem * 1.35, 2.1))
        parts.insert(0, Part(flare, 0.0, legs, temperature - 0.8))
    return parts


def _head(pose: str, skin: Color, hair: Color, *, long_hair: bool) -> list[Part]:
    parts = [Part(((0.0, 6.2), (0.02, 6.6)), 0.36, skin, 33.5)]
    parts.append(Part(_ellipse(0.02, 6.86, 0.36, 0.48), 0.0, skin, 33.0))
    if pose == "back":
        parts.append(Part(_ellipse(0.02, 6.93, 0.4, 0.48), 0.0, hair, 28.5))
    elif pose == "side":
        parts.append(Part(_ellipse(-0.12, 7.02, 0.36, 0.38), 0.0, hair, 28.5))
    else:
        parts.append(Part(((-0.3, 7.12), (0.0, 7.24), (0.3, 7.12)), 0.3, hair, 28.5))
    if long_hair:
        parts.append(Part(((-0.3, 6.9), (-0.32, 6.3)), 0.22, hair, 27.5))
        parts += [] if pose == "side" else [Part(((0.32, 6.9), (0.34, 6.3)), 0.22, hair, 27.5)]
    return parts


def _luggage(person: Person, rng: np.random.Generator, mood: Mood) -> list[Part]:
    """Half of the people carry something that has the air's temperature: a backpack or a bag."""
    tone = TOPS[rng.integers(len(TOPS))]
    choice = rng.random()
    if choice < 0.3 and person.pose != "front":
        middle, half = (-0.62, 0.34) if person.pose == "side" else (0.0, 0.56)
        corners = (
            (-half, 4.2),
            (-half, 5.6),
            (-half * 0.7, 5.95),
            (half * 0.7, 5.95),
            (half, 5.6),
            (half, 4.2),
        )
        return [Part(tuple((middle + x, y) for x, y in corners), 0.0, tone, mood.air + 4)]
    if choice < 0.5:
        return [Part(((0.95, 3.0), (0.95, 2.5)), 0.5, tone, mood.air + 2.5)]
    return []


def _ellipse(x: float, y: float, across: float, up: float) -> tuple[tuple[float, float], ...]:
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    return tuple((float(x + across * np.cos(t)), float(y + up * np.sin(t))) for t in turn)


def _paint_part(atlas: Atlas, part: Part, folds: np.ndarray, sign: float) -> None:
    """Paint one part with creases, rounded normals and the relief of a body."""
    rows, columns = atlas.size
    head = SHARE * rows / 7.4
    pixels = np.array([(columns / 2 + x * head, rows * 0.99 - y * head) for x, y in part.points])
    fixed = np.round(pixels * 16).astype(np.int32)
    mask = np.zeros((rows, columns), np.uint8)
    if part.thickness:
        cv2.polylines(mask, [fixed], False, 255, max(1, round(part.thickness * head)), cv2.LINE_AA, shift=4)
    else:
        cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, shift=4)
    left, top, wide, high = cv2.boundingRect(mask)
    if not wide:
        return
    # one texel of air all round, so that the distance to the outline starts from zero
    box = (slice(max(top - 1, 0), top + high + 1), slice(max(left - 1, 0), left + wide + 1))
    cover = mask[box].astype(np.float32) * np.float32(1 / 255)
    normal, rounded = _rounding(mask[box])
    crease = folds[box]
    shade = (0.62 + 0.38 * rounded) * (1 + 0.13 * crease)
    over = cover[..., None]
    color = np.clip(np.asarray(part.color, np.float32) * shade[..., None], 0.003, 0.9)
    atlas.color[box] += over * (color - atlas.color[box])
    warmth = part.temperature + 1.5 * crease + 3.0 * (rounded - 0.6)
    atlas.surface[box][..., 0] += cover * (warmth - atlas.surface[box][..., 0])
    atlas.alpha[box] = np.maximum(atlas.alpha[box], cover)
    if atlas.shape is not None:
        facing = np.dstack([normal * np.array([sign, 1, 1], np.float32), 0.12 * rounded])
        atlas.shape[box] += over * (facing - atlas.shape[box])


def _rounding(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return world normals and relative height of a shape that bulges like a cushion."""
    inside = cv2.distanceTransform((mask > 127).astype(np.uint8), cv2.DIST_L2, 3)
    depth = np.clip(inside / max(float(inside.max()), 1.0), 0, 1)
    rounded = np.sqrt(np.clip(1 - (1 - depth) ** 2, 0, 1)).astype(np.float32)
    bulge = cv2.GaussianBlur(rounded, (0, 0), 1.2) * max(float(inside.max()), 1.0)
    across, down = (
        cv2.Sobel(bulge, cv2.CV_32F, 1, 0, scale=0.125),
        cv2.Sobel(bulge, cv2.CV_32F, 0, 1, scale=0.125),
    )
    normal = np.dstack([-across, down, -np.ones_like(across)])
    return (normal / np.linalg.norm(normal, axis=2, keepdims=True)).astype(np.float32), rounded
