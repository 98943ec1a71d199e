"""Pinhole camera with a shifted principal point, so that vertical edges stay vertical.

World axes in metres: x to the right, y up from the road, z forward along the street. The camera stands at
(0, elevation, 0) and looks along z. A point projects to

    u = centre_u + focal * x / z,    v = centre_v - focal * (y - elevation) / z

with pixel centres at whole u, v. `centre_v` is the row of the horizon.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

Vector = Float[np.ndarray, "3"]


@dataclass(frozen=True)
class Camera:
    """Image size and focal length in pixels, elevation above the road in metres."""

    height: int
    width: int
    focal: float
    centre_u: float
    centre_v: float
    elevation: float

    def slopes(self) -> tuple[Float[np.ndarray, "1 w"], Float[np.ndarray, "h 1"]]:
        """Return x/z of every column and (y - elevation)/z of every row of pixels."""
        right = (np.arange(self.width, dtype=np.float32) - np.float32(self.centre_u)) / np.float32(self.focal)
        up = (np.float32(self.centre_v) - np.arange(self.height, dtype=np.float32)) / np.float32(self.focal)
        return right[None, :], up[:, None]

    def ray_length(self) -> Float[np.ndarray, "h w"]:
        """Return the length of each pixel's viewing ray per metre of forward distance z."""
        right, up = self.slopes()
        return np.sqrt(1.0 + right**2 + up**2)

    def plane_to_image(self, origin: Vector, across: Vector, down: Vector) -> Float[np.ndarray, "3 3"]:
        """Return M with M (s, t, 1) = z (u, v, 1) for the points origin + s across + t down of a plane."""
        intrinsic = np.array([[self.focal, 0, self.centre_u], [0, -self.focal, self.centre_v], [0, 0, 1.0]])
        eye = np.array([0.0, self.elevation, 0.0])
        return intrinsic @ np.stack([across, down, origin - eye], axis=1)

    def project(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Return the pixel coordinates (u, v) of points in front of the camera."""
        x, y, z = points.T
        return np.stack(
            [self.centre_u + self.focal * x / z, self.centre_v - self.focal * (y - self.elevation) / z],
            axis=1,
        )


def draw_camera(rng: np.random.Generator, *, height: int, width: int) -> Camera:
    """Draw a camera as in a car or in a hand: 50 to 62 degrees wide, 1.3 to 2 m above the road."""
    return Camera(
        height=height,
        width=width,
        focal=width * rng.uniform(0.84, 1.08),
        centre_u=width * rng.uniform(0.4, 0.6),
        centre_v=height * rng.uniform(0.46, 0.6),
        elevation=rng.uniform(1.3, 2.0),
    )
