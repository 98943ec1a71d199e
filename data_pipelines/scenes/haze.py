"""Haze by Koschmieder's law: hazy = clear * t + airlight * (1 - t) with t = exp(-beta * distance)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, UInt8

VISIBILITY = (35.0, 350.0)  # metres; drawn evenly in the logarithm
CONTRAST = -np.log(0.02)  # optical depth at which a black object keeps 2 % contrast: the visibility


@dataclass(frozen=True)
class HazeParameters:
    """Scattering coefficient per metre and the colour of infinitely thick haze, RGB in [0, 1]."""

    beta: float
    airlight: tuple[float, float, float]

    @property
    def visibility(self) -> float:
        """Distance in metres at which contrast has fallen to 2 %."""
        return float(CONTRAST / self.beta)


def draw_haze(seed: int, *, night: bool = False) -> HazeParameters:
    """Draw visibility (35 to 350 m) and nearly grey airlight (0.72 to 0.95 by day, 0.4 to 0.7 by night)."""
    rng = np.random.default_rng([seed, 77])
    visibility = np.exp(rng.uniform(*np.log(VISIBILITY)))
    level = rng.uniform(0.4, 0.7) if night else rng.uniform(0.72, 0.95)
    warm, green = rng.uniform(-0.025, 0.025), rng.uniform(-0.01, 0.01)
    colour = (level + warm, level + green, level - warm)
    return HazeParameters(beta=float(CONTRAST / visibility), airlight=colour)


def transmission(depth: Float32[np.ndarray, "h w"], *, beta: float) -> Float32[np.ndarray, "h w"]:
    """Return the share of light that survives `depth` metres: exp(-beta * depth)."""
    return np.exp(-np.float32(beta) * depth)


def add_haze(
    visible: UInt8[np.ndarray, "h w 3"], depth: Float32[np.ndarray, "hd wd"], *, parameters: HazeParameters
) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture seen through haze: the law applied to image values / 255, rounded once at the end.

    Raises:
        ValueError: if picture and depth differ in size, or beta or airlight are out of range.
    """
    if visible.shape[:2] != depth.shape:
        raise ValueError(
            f"the picture is {visible.shape[:2]} but the depth {depth.shape}: they must be equal"
        )
    if not parameters.beta >= 0 or not all(0 <= c <= 1 for c in parameters.airlight):
        raise ValueError(f"beta must be 0 or more and airlight in [0, 1], got {parameters}")
    kept = transmission(depth, beta=parameters.beta)[..., None]
    clear: Float[np.ndarray, "h w 3"] = visible.astype(np.float32) / np.float32(255)
    hazy = clear * kept + np.array(parameters.airlight, np.float32) * (1 - kept)
    return np.round(np.clip(hazy, 0, 1) * 255).astype(np.uint8)
