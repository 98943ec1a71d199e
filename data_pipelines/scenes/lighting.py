"""Light on the composed surfaces: sun with shadows of houses, trees and things, sky, lamps, reflections."""

import numpy as np
from jaxtyping import Bool, Float

from data_pipelines.scenes.canvas import Canvas
from data_pipelines.scenes.furniture import lamp_position
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.layout import BEHIND, STREET_END, Street
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile
from data_pipelines.scenes.vehicles import SHAPES

LAMPLIGHT = np.array([1.0, 0.80, 0.52], np.float32)
HEADLIGHT = np.array([0.92, 1.0, 0.90], np.float32)
PROFILE_STEP = 0.5  # metres between samples of the roof line


class Lighting:
    """Positions and unit normals of all pixels, from which the light is computed."""

    def __init__(self, canvas: Canvas, street: Street, mood: Mood, noise: NoiseTile):
        camera = canvas.camera
        right, up = camera.slopes()
        # the sky lights itself; a finite stand-in distance keeps the arithmetic finite
        self.z = np.where(np.isfinite(canvas.forward), canvas.forward, np.float32(1e3)).astype(np.float32)
        self.x = right * self.z
        self.y = np.float32(camera.elevation) + up * self.z
        length = np.sqrt(np.sum(canvas.normal**2, axis=2))
        self.normal = canvas.normal / np.maximum(length, 1e-3)[..., None]
        self.ray = (right, up, camera.ray_length())
        self.canvas, self.street, self.mood, self.noise = canvas, street, mood, noise

    def sunlight(self) -> Float[np.ndarray, "h w"]:
        """Return the share of the sun's full light that each pixel gets, 0 in the shade."""
        if not any(self.mood.sun):
            return np.zeros_like(self.z)
        facing = np.clip(self.normal @ self.mood.to_sun.astype(np.float32), 0, 1)
        leaves = self.canvas.label == Label.FOLIAGE
        # light shines through leaves and comes round their curled edges
        facing = np.where(leaves, 0.25 + 0.75 * facing, facing)
        return (facing * self._house_shadow() * self._tree_shadow() * self._thing_shadow()).astype(np.float32)

    def _house_shadow(self):
        """Follow the ray to the sun to the row of houses on that side and compare with their roof line."""
        lx, ly, lz = (float(c) for c in self.mood.to_sun)
        if abs(lx) < 0.05:
            return np.float32(1.0)
        side = 1 if lx > 0 else -1
        reach = (np.float32(self.street.centre + side * self.street.pavement) - self.x) / np.float32(lx)
        height, place = self.y + reach * np.float32(ly), self.z + reach * np.float32(lz)
        roofs = roof_line(self.street, side)
        index = np.clip((place - BEHIND) / PROFILE_STEP, 0, len(roofs) - 1).astype(np.int32)
        soft = 0.15 + 0.02 * np.abs(reach)
        above = np.clip((height - roofs[index]) / soft + 0.5, 0, 1)
        return np.where(reach > 0.05, above, 1.0).astype(np.float32)

    def _tree_shadow(self):
        """Dapple the ground and whatever else stands in the shade of a crown."""
        light = np.ones_like(self.z)
        gaps = 0.16 * self.noise.at(self.x * 22, self.z * 22 + self.y * 22)
        sun = [float(c) for c in self.mood.to_sun]
        for tree in self.street.trees:
            if tree.kind == 2 or tree.z > 45:
                continue
            middle, radius = 0.62 * tree.height, 0.5 * tree.width
            rows = self._rows_near(tree.x, tree.z, radius + tree.height / max(sun[1], 0.3))
            if rows is None:
                continue
            dx, dy, dz = tree.x - self.x[rows], middle - self.y[rows], tree.z - self.z[rows]
            along = dx * sun[0] + dy * sun[1] + dz * sun[2]
            miss = np.sqrt(np.maximum(dx**2 + dy**2 + dz**2 - along**2, 0)) / radius
            crown = np.clip((1.0 - miss + gaps[rows]) / 0.22, 0, 1) * (along > 0.3 * radius)
            light[rows] *= (1 - 0.88 * crown).astype(np.float32)
        return light

    def _rows_near(self, x: float, z: float, reach: float) -> slice | None:
        """Return the rows in which the ground within `reach` metres of (x, z) can appear."""
        camera = self.canvas.camera
        near, far = max(z - reach, 1.0), z + reach
        bottom = camera.centre_v + camera.focal * camera.elevation / near
        top = camera.centre_v + camera.focal * camera.elevation / far - 4
        top = 0 if z < 25 else max(0, int(top) - int(camera.focal * 6 / z))
        rows = slice(max(0, top), min(camera.height, int(bottom) + 2))
        return rows if rows.stop > rows.start else None

    def _boxes(self):
        """Return (x, z, half width, length, height) of everything that casts a shadow on the ground."""
        for vehicle in self.street.vehicles:
            shape = SHAPES[vehicle.kind]
            yield vehicle.x, vehicle.z, shape.width / 2, shape.length, shape.roof
        for person in self.street.people:
            yield person.x, person.z - 0.14, 0.24, 0.28, person.height
        for post in self.street.posts:
            half, tall = {"lamp": (0.07, 5.6), "pole": (0.15, 8.5), "sign": (0.05, 2.6)}.get(
                post.kind, (0.15, 0.75)
            )
            yield post.x, post.z - half, half, 2 * half, tall

    def _on_ground(self, rows: slice):
        return (self.canvas.label[rows] == Label.ROAD) | (self.canvas.label[rows] == Label.PAVEMENT)

    def _thing_shadow(self):
        """Cast each box along the sun's direction onto the ground, softened with distance."""
        light = np.ones_like(self.z)
        lx, ly, lz = (float(c) for c in self.mood.to_sun)
        for x, z, half, length, height in self._boxes():
            throw = height / ly
            near, far = z + min(0, -lz * throw), z + length + max(0, -lz * throw)
            rows = self._ground_rows(near, far)
            if rows is None or z > 60:
                continue
            light[rows] *= np.where(
                self._on_ground(rows), self._box_light(rows, x, z, half, length, height), 1.0
            )
        return light

    def _box_light(self, rows, x, z, half, length, height):
        """Return the light left by one box: how far the ray to the sun passes inside of its footprint."""
        lx, ly, lz = (float(c) for c in self.mood.to_sun)
        px, pz = self.x[rows] - x, self.z[rows] - (z + length / 2)
        depth = np.full(px.shape, -np.inf, np.float32)
        for share in (0.05, 0.3, 0.55, 0.8, 0.97):
            ahead = share * height / ly
            taper = 1.0 if share < 0.6 else 0.8
            inside = np.minimum(
                taper * half - np.abs(px + ahead * lx), taper * length / 2 - np.abs(pz + ahead * lz)
            )
            depth = np.maximum(depth, inside)
        soft = 0.05 + 0.04 * height
        return 1 - np.clip(depth / soft + 0.5, 0, 1)

    def _ground_rows(self, near: float, far: float) -> slice | None:
        camera = self.canvas.camera
        top = camera.centre_v + camera.focal * camera.elevation / max(far + 1, 1.5) - 2
        bottom = camera.centre_v + camera.focal * camera.elevation / max(near - 1, 1.0) + 2
        rows = slice(max(0, int(top)), min(camera.height, int(bottom)))
        return rows if rows.stop > rows.start else None

    def occlusion(self) -> Float[np.ndarray, "h w"]:
        """Return the share of the sky's light: less under vehicles, at feet and deep in the street."""
        share = np.ones_like(self.z)
        for x, z, half, length, height in self._boxes():
            rows = self._ground_rows(z - 0.8, z + length + 0.8)
            if rows is None or z > 60:
                continue
            dx = np.maximum(np.abs(self.x[rows] - x) - half * 0.9, 0)
            dz = np.maximum(np.abs(self.z[rows] - (z + length / 2)) - length * 0.47, 0)
            reach = 0.12 + 0.14 * min(height, 1.5) * min(1.0, 2 * half)
            under = np.exp(-np.sqrt(dx**2 + dz**2) / reach)
            share[rows] *= np.where(self._on_ground(rows), 1 - 0.82 * under, 1.0)
        return share

    def lamps(self) -> Float[np.ndarray, "h w 3"]:
        """Return the light of the street lamps that burn and of the camera vehicle's headlights."""
        light = np.zeros((*self.z.shape, 3), np.float32)
        if not self.mood.night:
            return light
        burning = [post for post in self.street.posts if post.kind == "lamp"][:5]
        for post in burning:
            light += self._point_light(lamp_position(post, self.street), 4.5)[..., None] * LAMPLIGHT
        return light + self._headlights()[..., None] * HEADLIGHT

    def _point_light(self, position: tuple[float, float, float], power: float):
        dx, dy, dz = position[0] - self.x, position[1] - self.y, position[2] - self.z
        square = dx**2 + dy**2 + dz**2
        distance = np.sqrt(square)
        facing = (self.normal[..., 0] * dx + self.normal[..., 1] * dy + self.normal[..., 2] * dz) / distance
        spread = np.clip(0.25 + 0.9 * dy / distance, 0.04, 1)  # a hood above: little light goes upwards
        return power * np.clip(0.85 * facing + 0.15, 0, 1) * spread / (square + 3.0)

    def _headlights(self):
        """Dipped beams: bright on the road ahead, a soft cut-off at the height of the lamps."""
        right, up, length = self.ray
        facing = np.clip(
            -(self.normal[..., 0] * right + self.normal[..., 1] * up + self.normal[..., 2]) / length, 0, 1
        )
        cut = np.clip((0.004 - (self.y - 0.7) / self.z) / 0.05, 0.03, 1)
        beam = np.exp(-((right / 0.42) ** 2))
        return 9.0 * beam * cut * (0.1 + facing) / (12.0 + self.z**1.75)

    def reflection(self, where: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "n 3"]:
        """Return what a mirror in place of each chosen pixel would show: sky above, street below."""
        right, up, length = (np.broadcast_to(part, where.shape)[where] for part in self.ray)
        normal = self.normal[where]
        along = (normal[:, 0] * right + normal[:, 1] * up + normal[:, 2]) / length
        rise = up / length - 2 * along * normal[:, 1]
        wave = 0.10 * self.noise.at(self.x * 9 + self.z * 4, self.y * 14)[where]
        open_sky = np.clip((rise + wave - 0.12) / 0.3, 0, 1)[..., None]
        high = np.clip(rise, 0, 1)[..., None]
        sky = (
            np.array(self.mood.horizon, np.float32) * (1 - high)
            + np.array(self.mood.zenith, np.float32) * high
        )
        ground = 0.22 * np.array(self.mood.ambient, np.float32) + 0.05 * np.array(self.mood.sun, np.float32)
        grazing = 0.28 + 0.72 * (1 - np.clip(np.abs(along), 0, 1)) ** 3
        return (sky * open_sky + ground * (1 - open_sky)) * grazing[..., None]


def roof_line(street: Street, side: int) -> Float[np.ndarray, "n"]:
    """Return the height of the houses on one side every PROFILE_STEP metres from BEHIND on, 0 in gaps."""
    place = np.arange(BEHIND, STREET_END + 30, PROFILE_STEP)
    heights = np.zeros(len(place), np.float32)
    for house in street.buildings:
        if house.side == side:
            heights[(place >= house.near) & (place < house.far)] = house.height
    return heights


def illuminate(
    canvas: Canvas, street: Street, mood: Mood, noise: NoiseTile
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """Return the radiance of every pixel, and the share of sunlight it gets (which also warms it)."""
    light = Lighting(canvas, street, mood, noise)
    sunlight = light.sunlight()
    share = light.occlusion()
    upward = light.normal[..., 1]
    bounce = 0.10 * np.array(mood.sun, np.float32) + 0.12 * np.array(mood.ambient, np.float32)
    ambient = (share * (0.62 + 0.38 * upward))[..., None] * np.array(mood.ambient, np.float32)
    ambient = ambient + (share * (0.5 - 0.5 * upward))[..., None] * bounce
    incoming = (
        ambient
        + sunlight[..., None] * np.array(mood.sun, np.float32)
        + light.lamps() * (0.25 + 0.75 * share[..., None])
    )
    gloss = canvas.surface[..., 3:4]
    shown = canvas.color * incoming * (1 - 0.5 * gloss) + canvas.glow
    mirrors = gloss[..., 0] > 0.01
    shown[mirrors] += gloss[mirrors] * light.reflection(mirrors)
    return shown.astype(np.float32), sunlight
