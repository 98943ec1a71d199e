"""Two cameras: a visible one with exposure, tone curve, glare and noise, and a thermal one."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from data_pipelines.scenes.canvas import Canvas
from data_pipelines.scenes.mood import Mood

HOTTEST = 40.0  # degrees Celsius at the top of the thermal range
COLDEST = 9.0  # degrees below the air at its bottom


def visible_image(
    radiance: Float[np.ndarray, "h w 3"], mood: Mood, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w 3"]:
    """Expose, add glare round bright lights, apply the tone curve, blur slightly, add noise; RGB."""
    exposed = radiance * np.float32(_exposure(radiance, mood))
    scale = radiance.shape[1] / 640
    bright = np.clip(exposed - 1.2, 0, 8)
    glare = sum(
        share * cv2.GaussianBlur(bright, (0, 0), max(0.5, sigma * scale))
        for share, sigma in ((0.10, 3), (0.06, 14))
    )
    exposed = cv2.GaussianBlur(exposed, (0, 0), max(0.3, 0.55 * scale)) + glare
    white = 3.0
    toned = exposed * (1 + exposed / white**2) / (1 + exposed)
    image = np.clip(toned * np.float32(1.18), 0, 1) ** np.float32(1 / 2.0)
    balance = (
        np.array([0.86, 1.0, 0.9], np.float32) if mood.night else np.array([1.0, 1.0, 0.985], np.float32)
    )
    noise = rng.standard_normal(image.shape, dtype=np.float32) * (0.014 if mood.night else 0.006)
    return _to_bytes(image * balance + noise)


def _exposure(radiance, mood: Mood) -> float:
    """Return the gain of a meter that looks at the lower part of the picture and at the whole."""
    luminance = radiance @ np.array([0.3, 0.59, 0.11], np.float32)
    lower = luminance[luminance.shape[0] // 3 :]
    level = float(np.exp(np.mean(np.log(lower + 1e-3))))
    key = 0.028 if mood.night else 0.125
    limit = 4.0 if mood.night else 6.0
    return mood.exposure * min(limit, key / level)


def infrared_image(
    canvas: Canvas, mood: Mood, sunlight: Float[np.ndarray, "h w"], rng: np.random.Generator
) -> UInt8[np.ndarray, "h w"]:
    """Turn temperatures into the grey levels of a thermal camera: apparent temperature on a fixed scale."""
    temperature = apparent_temperature(canvas, mood, sunlight)
    coldest = mood.air - COLDEST
    level = np.clip((temperature - coldest) / (HOTTEST - coldest), 0, 1.1) ** np.float32(1.35)
    scale = canvas.camera.width / 640
    blurred = cv2.GaussianBlur(level.astype(np.float32), (0, 0), max(0.3, 0.8 * scale))
    columns = rng.standard_normal((1, level.shape[1]), dtype=np.float32)
    noise = rng.standard_normal(level.shape, dtype=np.float32)
    return _to_bytes(blurred + 0.0045 * noise + 0.0016 * columns)


def apparent_temperature(
    canvas: Canvas, mood: Mood, sunlight: Float[np.ndarray, "h w"]
) -> Float[np.ndarray, "h w"]:
    """Return what a thermal camera sees: own warmth by emissivity, mirrored surroundings for the rest."""
    own, emissivity = canvas.surface[..., 0], canvas.surface[..., 1]
    absorbed = 1 - canvas.color @ np.full(3, 1 / 3, np.float32)
    own = own + np.float32(mood.heating) * sunlight * absorbed
    upward = np.clip(0.5 + 0.5 * canvas.normal[..., 1], 0, 1)
    mirrored = upward * np.float32(mood.sky_temperature) + (1 - upward) * np.float32(mood.air)
    return emissivity * own + (1 - emissivity) * mirrored


def _to_bytes(image: np.ndarray) -> np.ndarray:
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
