"""A scene from a seed: layout, surfaces, light, two cameras."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Float32, UInt8

from data_pipelines.scenes.camera import Camera, draw_camera
from data_pipelines.scenes.canvas import Canvas
from data_pipelines.scenes.facades import draw_building
from data_pipelines.scenes.foliage import draw_tree, mirrored, tree_sprite
from data_pipelines.scenes.furniture import draw_post, draw_railing, draw_wires
from data_pipelines.scenes.ground import draw_ground
from data_pipelines.scenes.layout import Street, draw_street
from data_pipelines.scenes.lighting import illuminate
from data_pipelines.scenes.mood import Mood, draw_mood
from data_pipelines.scenes.noise import NoiseTile
from data_pipelines.scenes.people import draw_person
from data_pipelines.scenes.sensors import infrared_image, visible_image
from data_pipelines.scenes.sky import draw_sky
from data_pipelines.scenes.skyline import draw_skyline
from data_pipelines.scenes.vehicles import draw_vehicle

SKY_DISTANCE = 650.0  # metres; stored for the sky and anything farther, fits 16 bits of centimetres
SMALLEST = 16  # pixels


@dataclass(frozen=True)
class Scene:
    """A registered pair: every pixel of all four images shows the same surface.

    `depth` is the distance in metres along the viewing ray (not along the optical axis), which is what light
    travels through haze; sky has SKY_DISTANCE. `label` holds values of `Label`.
    """

    name: str
    visible: UInt8[np.ndarray, "h w 3"]
    infrared: UInt8[np.ndarray, "h w"]
    depth: Float32[np.ndarray, "h w"]
    label: UInt8[np.ndarray, "h w"]
    camera: Camera
    night: bool


def render_scene(seed: int, *, height: int = 480, width: int = 640, night: bool | None = None) -> Scene:
    """Render the street number `seed` (any integer >= 0), by day or night (None: drawn, 30 % nights).

    The layout depends on the seed alone, so other sizes show the same street. Randomness comes from
    `np.random.default_rng` only: one seed and size gives one picture (float rounding of another processor or
    OpenCV version can move a value across a rounding step of one grey level).

    Raises:
        ValueError: if the seed is negative or a side is under 16 pixels.
    """
    if seed < 0:
        raise ValueError(f"the seed must be 0 or more, got {seed}")
    if min(height, width) < SMALLEST:
        raise ValueError(f"a scene needs at least {SMALLEST} pixels a side, got {height}x{width}")
    streams = [np.random.default_rng([seed, purpose]) for purpose in range(6)]
    mood = draw_mood(streams[0], night=night)
    camera = draw_camera(streams[1], height=height, width=width)
    street = draw_street(streams[2], camera)
    noise = NoiseTile(streams[3])
    canvas = _compose(camera, street, mood, noise, streams[4])
    radiance, sunlight = illuminate(canvas, street, mood, noise)
    distance = np.minimum(canvas.forward * camera.ray_length(), np.float32(SKY_DISTANCE))
    return Scene(
        name=f"scene_{seed}{'N' if mood.night else 'D'}",
        visible=visible_image(radiance, mood, streams[5]),
        infrared=infrared_image(canvas, mood, sunlight, streams[5]),
        depth=distance.astype(np.float32),
        label=canvas.label,
        camera=camera,
        night=mood.night,
    )


def _compose(
    camera: Camera, street: Street, mood: Mood, noise: NoiseTile, rng: np.random.Generator
) -> Canvas:
    """Draw everything: the background first, then houses, then what stands in the street, far to near."""
    canvas = Canvas.empty(camera)
    draw_sky(canvas, mood, noise, rng)
    draw_ground(canvas, street, mood, noise, rng)
    draw_skyline(canvas, mood, noise, rng)
    for house in sorted(street.buildings, key=lambda b: -b.near):
        draw_building(canvas, house, mood, noise, neighbours=street.buildings)
    draw_wires(canvas, street, mood)
    sprites = [tree_sprite(kind, mood, noise, rng, image_height=camera.height) for kind in range(3)]
    pairs = [(sprite, mirrored(sprite)) for sprite in sprites]
    things: list[tuple[float, Callable[[], None]]] = [(6.0, partial(draw_railing, canvas, street, mood))]
    things += [(tree.z, partial(draw_tree, canvas, tree, pairs)) for tree in street.trees]
    things += [(car.z, partial(draw_vehicle, canvas, car, mood, noise)) for car in street.vehicles]
    things += [(person.z, partial(draw_person, canvas, person, mood, noise)) for person in street.people]
    things += [(post.z, partial(draw_post, canvas, post, street, mood)) for post in street.posts]
    for _, draw in sorted(things, key=lambda thing: -thing[0]):
        draw()
    return canvas
