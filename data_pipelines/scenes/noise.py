"""Multi-octave noise that repeats seamlessly, made once a scene and sampled by every texture."""

import cv2
import numpy as np
from jaxtyping import Float

TILE = 512  # side in texels; a power of two, so that every octave divides it


class NoiseTile:
    """A square of fractal noise, zero mean and unit deviation, that continues seamlessly at its borders."""

    def __init__(self, rng: np.random.Generator):
        self._fine = _fractal_tile(rng, octaves=(32, 64, 128, 256), gain=1.2)
        self._smooth = _fractal_tile(rng, octaves=(4, 8, 16, 32, 64, 128), gain=0.6)

    def at(
        self, x: Float[np.ndarray, "h w"], y: Float[np.ndarray, "h w"], *, smooth: bool = True
    ) -> Float[np.ndarray, "h w"]:
        """Sample at texel coordinates of any size (one texel is the finest detail)."""
        tile = self._smooth if smooth else self._fine
        return cv2.remap(tile, _wrapped(x), _wrapped(y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)

    def patch(
        self, rng: np.random.Generator, shape: tuple[int, int], *, texels: float, smooth: bool = True
    ) -> Float[np.ndarray, "h w"]:
        """Return a random piece of `shape` pixels whose longer side spans `texels` texels."""
        step = texels / max(shape)
        x0, y0 = rng.uniform(0, TILE, size=2)
        x = np.float32(x0) + np.arange(shape[1], dtype=np.float32) * np.float32(step)
        y = np.float32(y0) + np.arange(shape[0], dtype=np.float32) * np.float32(step)
        return self.at(*np.meshgrid(x, y), smooth=smooth)


def _wrapped(coordinate: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Fold coordinates into the tile: OpenCV stores them in 16 bits."""
    folded = coordinate - np.floor(coordinate * np.float32(1 / TILE)) * np.float32(TILE)
    return np.ascontiguousarray(folded, dtype=np.float32)


def _fractal_tile(
    rng: np.random.Generator, *, octaves: tuple[int, ...], gain: float
) -> Float[np.ndarray, "n n"]:
    total = np.zeros((TILE, TILE), np.float32)
    for level, cells in enumerate(octaves):
        margin, zoom = 2, TILE // cells
        grid = np.pad(rng.standard_normal((cells, cells)).astype(np.float32), margin, mode="wrap")
        side = (cells + 2 * margin) * zoom
        octave = cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        total += np.float32(gain**level) * octave[margin * zoom :, margin * zoom :][:TILE, :TILE]
    total -= total.mean()
    return total / total.std()
