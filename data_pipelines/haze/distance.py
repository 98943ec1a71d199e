"""What a recipe takes as the distance d of its law exp(-beta d)."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from data_pipelines.haze.frames import Frame
from data_pipelines.haze.presets import Preset
from data_pipelines.haze.released import wave_distance
from iassf_jax.ops import box_mean

Metres = Callable[[float], Float[Array, "b h w 1"]]
"""Largest distance of the depth source -> distances in metres."""

# EMS: d = 17 - 0.04 r with r in pixels from row 100 and column 300, counted from 1.
_AROUND = {"peak": 17.0, "slope": 0.04, "row": 99.0, "column": 299.0}


def preset_distance(
    preset: Preset, metres: Metres | None, frame: Frame, modulation: Float[Array, " b"]
) -> Float[Array, "b h w 1"]:
    """Return the distance map of `preset`, in the unit that its beta is for.

    Args:
      preset: the recipe.
      metres: the scene's depth; may be None where the recipe takes none.
      frame: the pixels' coordinates.
      modulation: c of the wave.
    """
    distance = _raw(preset, metres, frame, modulation)
    if preset.blur > 1:
        distance = box_mean(distance, preset.blur)
    return jnp.minimum(distance, preset.most)


def _raw(
    preset: Preset, metres: Metres | None, frame: Frame, modulation: Float[Array, " b"]
) -> Float[Array, "b h w 1"]:
    rows, columns = frame.rows[:, :, None, None], frame.columns[:, None, :, None]
    if preset.distance == "wave":
        return wave_distance(rows, columns, modulation[:, None, None, None], frame=frame.size)
    if preset.distance == "around":
        radius = jnp.sqrt((rows - _AROUND["row"]) ** 2 + (columns - _AROUND["column"]) ** 2)
        return _AROUND["peak"] - _AROUND["slope"] * radius
    if preset.distance == "flat":
        return jnp.ones((rows.shape[0], rows.shape[1], columns.shape[2], 1), jnp.float32)
    assert metres is not None
    depth = metres(preset.farthest)
    if preset.distance == "metres":
        return depth
    if preset.distance == "relative":
        return depth / jnp.maximum(jnp.max(depth, axis=(1, 2), keepdims=True), 1e-6)
    inverse = 1.0 / jnp.maximum(depth, 1e-3)
    low, high = (f(inverse, axis=(1, 2), keepdims=True) for f in (jnp.min, jnp.max))
    return 1.0 - (inverse - low) / jnp.maximum(high - low, 1e-9)
