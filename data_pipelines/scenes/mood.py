"""Light and weather of a scene: where the sun is, how clear the sky, how warm the air."""

from dataclasses import dataclass

import numpy as np

from data_pipelines.scenes.atlas import Color
from data_pipelines.scenes.camera import Vector


@dataclass(frozen=True)
class Mood:
    """Radiances are relative to a white sheet in full sun (1); temperatures in degrees Celsius."""

    night: bool
    to_sun: Vector  # unit vector
    sun: Color  # radiance of a white sheet that faces the sun
    ambient: Color  # radiance of a white sheet under the open sky without sun
    horizon: Color
    zenith: Color
    clouds: float  # share of the sky covered
    air: float  # temperature
    sky_temperature: float  # apparent, at the zenith
    heating: float  # how much warmer a black surface in the sun is than in the shade
    lit_windows: float  # share
    exposure: float  # brightness of the picture; 1 is a well exposed day


def draw_mood(rng: np.random.Generator, *, night: bool | None = None) -> Mood:
    """Draw day (70 %) or night, or the one asked for."""
    at_night = bool(rng.random() < 0.3)
    return _night(rng) if (at_night if night is None else night) else _day(rng)


def _day(rng: np.random.Generator) -> Mood:
    overcast = rng.choice([0.0, 0.25, 0.75, 1.0], p=[0.35, 0.3, 0.2, 0.15])
    elevation, azimuth = np.radians(rng.uniform(22, 60)), np.radians(rng.uniform(-150, 150))
    to_sun = np.array(
        [np.cos(elevation) * np.sin(azimuth), np.sin(elevation), -np.cos(elevation) * np.cos(azimuth)]
    )
    warm = np.clip(1.2 - np.degrees(elevation) / 50, 0, 1)
    strength = 0.95 * (1 - overcast) ** 1.2
    grey = 0.3 + 0.25 * overcast
    blue = 1 - overcast
    return Mood(
        night=False,
        to_sun=to_sun,
        sun=(strength, strength * (0.96 - 0.1 * warm), strength * (0.88 - 0.28 * warm)),
        ambient=(grey * (1 - 0.14 * blue), grey, grey * (1 + 0.2 * blue)),
        horizon=(0.82 + 0.1 * warm * blue, 0.86, 0.9 - 0.05 * warm * blue),
        zenith=(0.72 - 0.5 * blue, 0.76 - 0.36 * blue, 0.82 - 0.1 * blue),
        clouds=float(np.clip(overcast + rng.uniform(0.1, 0.3), 0, 1)),
        air=rng.uniform(6, 22),
        sky_temperature=-30 + 22 * overcast,
        heating=14 * strength,
        lit_windows=0.05 + 0.1 * overcast,
        exposure=rng.uniform(0.75, 1.05),
    )


def _night(rng: np.random.Generator) -> Mood:
    glow = rng.uniform(0.5, 1.5)
    return Mood(
        night=True,
        to_sun=np.array([0.0, 1.0, 0.0]),
        sun=(0.0, 0.0, 0.0),
        ambient=(0.004 * glow, 0.005 * glow, 0.006 * glow),
        horizon=(0.006 * glow, 0.006 * glow, 0.007 * glow),
        zenith=(0.0008 * glow, 0.0012 * glow, 0.002 * glow),
        clouds=rng.uniform(0, 0.6),
        air=rng.uniform(2, 17),
        sky_temperature=rng.uniform(-32, -22),
        heating=0.0,
        lit_windows=rng.uniform(0.12, 0.4),
        exposure=rng.uniform(0.8, 1.3),
    )
