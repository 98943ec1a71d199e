"""Generated street scenes: registered visible and infrared pairs with true distance, and haze made from it.

    scene = render_scene(7)                       # uint8 visible, uint8 infrared, float32 distance in metres
    hazy = add_haze(scene.visible, scene.depth, parameters=draw_haze(7, night=scene.night))

Host side only (NumPy and OpenCV): data loading workers can import it without starting an accelerator.
"""

from data_pipelines.scenes.haze import HazeParameters, add_haze, draw_haze, transmission
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.render import SKY_DISTANCE, Scene, render_scene
from data_pipelines.scenes.write import scene_parameters, scene_seed, write_scenes

__all__ = [
    "SKY_DISTANCE",
    "HazeParameters",
    "Label",
    "Scene",
    "add_haze",
    "draw_haze",
    "render_scene",
    "scene_parameters",
    "scene_seed",
    "transmission",
    "write_scenes",
]
