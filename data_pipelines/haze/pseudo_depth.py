"""Depth for pictures that come without it: plausible, not true.

Every kind places each pixel on a logarithmic scale between a nearest and a farthest distance:

  plane      flat ground up to a slightly tilted, soft horizon, everything above it is far
  radial     farthest at a vanishing point, nearer all around
  noise      smooth noise in four octaves
  luminance  the plane, pushed away where the picture is bright and bent along its edges by a guided filter
  mixed      a weighted mean of the four with random weights
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from data_pipelines.haze.draws import Draw, LogUniform, Uniform, purpose_keys, uniforms
from data_pipelines.haze.frames import Frame
from data_pipelines.haze.noise import smooth_noise
from iassf_jax.ops import box_mean, guided_filter, rgb_to_gray
from iassf_jax.ops.arguments import check_choice

Kind = Literal["mixed", "plane", "radial", "noise", "luminance"]
KINDS: tuple[Kind, ...] = ("mixed", "plane", "radial", "noise", "luminance")

_SHAPE: dict[str, Draw] = {
    "nearest": LogUniform(2.0, 8.0),  # metres
    "farthest": LogUniform(80.0, 500.0),  # metres
    "horizon": Uniform(0.2, 0.55),  # plane: share of the height
    "tilt": Uniform(-0.12, 0.12),  # plane: rise of the horizon over the width, share of the height
    "softness": Uniform(0.05, 0.3),  # plane: how gradual the horizon is, share of the ground's height
    "row": Uniform(0.2, 0.6),  # radial: vanishing point, share of the height
    "column": Uniform(0.2, 0.8),  # and of the width
    "reach": Uniform(0.7, 1.3),  # radial: radius at which it is nearest, over the height
}
_WEIGHTS = {"plane": 2.0, "radial": 1.0, "noise": 0.7, "luminance": 2.0}  # typical share in a mean
_Drawn = dict[str, Float[Array, "b 1 1 1"]]


class PseudoDepth(NamedTuple):
    """Distances nearest * (farthest / nearest) ** position, in metres."""

    position: Float[Array, "b h w 1"]  # in [0,1]
    nearest: Float[Array, "b 1 1 1"]
    farthest: Float[Array, "b 1 1 1"]

    def metres(self, limit: float) -> Float[Array, "b h w 1"]:
        """Return the distances of a scene whose farthest point is at `limit` at most.

        The scale is shortened, not cut: a depth source of a small range still tells near from far.
        """
        farthest = jnp.minimum(self.farthest, limit)
        return self.nearest * jnp.exp(jnp.log(farthest / self.nearest) * self.position)


def invent_depth(
    keys: Key[Array, " b"], clear: Float[Array, "b h w 3"], frame: Frame, *, kind: Kind = "mixed"
) -> PseudoDepth:
    """Return pseudo-depth for every pixel of `clear`, between 2 and 500 metres.

    Raises:
      InputError: an unknown kind.
    """
    check_choice(KINDS, pseudo_depth=kind)
    numbers = uniforms(keys, (*_SHAPE, *(f"share of {name}" for name in _WEIGHTS)))
    drawn = {name: draw(numbers[name])[:, None, None, None] for name, draw in _SHAPE.items()}
    plane = _plane(drawn, frame)
    positions: dict[str, Callable[[], Float[Array, "b h w 1"]]] = {
        "plane": lambda: plane,
        "radial": lambda: _radial(drawn, frame),
        "noise": lambda: _noise(purpose_keys(keys, "noise"), frame),
        "luminance": lambda: _luminance(clear, plane),
    }
    if kind == "mixed":
        # Exponential weights over their sum: every mixture of the kinds occurs.
        weights = {name: -mean * jnp.log1p(-numbers[f"share of {name}"]) for name, mean in _WEIGHTS.items()}
        total = jnp.maximum(sum(weights.values(), start=jnp.zeros(keys.shape)), 1e-6)
        parts = [(weights[name] / total)[:, None, None, None] * positions[name]() for name in _WEIGHTS]
        position = sum(parts[1:], start=parts[0])
    else:
        position = positions[kind]()
    return PseudoDepth(position, drawn["nearest"], drawn["farthest"])


def _plane(drawn: _Drawn, frame: Frame) -> Float[Array, "b h w 1"]:
    """Distance on the ground is inverse to the angle below the horizon; the lowest row is nearest."""
    rows, columns = _axes(frame)
    line = drawn["horizon"] + drawn["tilt"] * (columns - 0.5)
    below = (rows - line) / (1.0 - line)
    soft = 0.5 * (below + jnp.sqrt(below**2 + drawn["softness"] ** 2))
    ratio = jnp.log(drawn["farthest"] / drawn["nearest"])
    return jnp.clip(-jnp.log(soft) / ratio, 0.0, 1.0)


def _radial(drawn: _Drawn, frame: Frame) -> Float[Array, "b h w 1"]:
    rows, columns = _axes(frame)
    aspect = frame.size[1] / frame.size[0]
    radius = jnp.sqrt((rows - drawn["row"]) ** 2 + ((columns - drawn["column"]) * aspect) ** 2)
    return jnp.maximum(1.0 - radius / drawn["reach"], 0.0)


def _noise(keys: Key[Array, " b"], frame: Frame) -> Float[Array, "b h w 1"]:
    return jnp.clip(0.5 + 0.25 * smooth_noise(keys, *frame.shares()), 0.0, 1.0)


def _luminance(clear: Float[Array, "b h w 3"], plane: Float[Array, "b h w 1"]) -> Float[Array, "b h w 1"]:
    gray = rgb_to_gray(clear)
    side = max(3, min(clear.shape[1:3]) // 8)
    # Brightness relative to the image's own, so that pictures taken at night spread over the scale as well.
    level = jnp.mean(gray, axis=(1, 2), keepdims=True) + 1e-3
    bright = gray / (gray + level)
    bent = guided_filter(
        bright, 0.6 * plane + 0.4 * box_mean(bright, max(3, side // 4)), size=side, epsilon=1e-2
    )
    return jnp.clip(bent, 0.0, 1.0)


def _axes(frame: Frame) -> tuple[Float[Array, "b h 1 1"], Float[Array, "b 1 w 1"]]:
    rows, columns = frame.shares()
    return rows[:, :, None, None], columns[:, None, :, None]
