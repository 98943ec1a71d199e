"""The sky: gradient, clouds seen in perspective, the glow round the sun; cold in infrared."""

import numpy as np

from data_pipelines.scenes.canvas import Canvas
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile


def draw_sky(canvas: Canvas, mood: Mood, noise: NoiseTile, rng: np.random.Generator) -> None:
    """Fill everything above the horizon; the sky only gives off light."""
    right, up = canvas.camera.slopes()
    rows = int(np.clip(np.ceil(canvas.camera.centre_v) + 1, 0, canvas.camera.height))
    up = np.maximum(up[:rows], 0)
    elevation = up / np.sqrt(1 + up**2 + right**2)
    climb = (1 - np.exp(-4.5 * elevation))[..., None]
    radiance = np.asarray(mood.horizon) * (1 - climb) + np.asarray(mood.zenith) * climb
    cover = _clouds(right, up, mood, noise, rng)
    tint = 0.06 * (cover - 0.6)[..., None]
    cloud_color = np.asarray(mood.horizon) * (0.9 if mood.night else 1.04)
    radiance = radiance * (1 - cover[..., None]) + cloud_color * (1 - tint) * cover[..., None]
    radiance += _sun_glow(right, up, mood)[..., None] * np.asarray(mood.sun)
    warmth = np.exp(-7 * elevation)
    base = mood.sky_temperature + (mood.air - 9 - mood.sky_temperature) * warmth
    canvas.glow[:rows] = radiance
    canvas.surface[:rows, :, 0] = base + 9 * cover * (1 - warmth)
    canvas.surface[:rows, :, 1] = 1.0


def _clouds(right, up, mood: Mood, noise: NoiseTile, rng: np.random.Generator):
    """Return how much of the sky clouds cover, from noise on a layer 1 km up."""
    height = up + 0.12
    drift = rng.uniform(0, 512, size=2)
    x = (right / height * 26 + np.float32(drift[0])).astype(np.float32)
    y = np.broadcast_to(26 / height + np.float32(drift[1]), x.shape).astype(np.float32)
    density = noise.at(x, y) + 2.6 * (mood.clouds - 0.55)
    cover = np.clip(density * 0.8 + 0.25, 0, 1) * np.clip(up / 0.08, 0.25, 1)
    return (0.92 * cover).astype(np.float32)


def _sun_glow(right, up, mood: Mood):
    length = np.sqrt(1 + right**2 + up**2)
    towards = (right * mood.to_sun[0] + up * mood.to_sun[1] + mood.to_sun[2]) / length
    near = np.clip(towards, 0, 1)
    return (0.5 * near**10 + 2.0 * near**120).astype(np.float32)
