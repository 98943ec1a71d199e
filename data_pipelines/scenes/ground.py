"""The ground: asphalt with markings, kerb, paved footpath and the grass or soil behind it.

All detail fades with the size of a pixel on the ground, so that nothing flickers near the horizon.
"""

import numpy as np

from data_pipelines.scenes.atlas import band, linear
from data_pipelines.scenes.canvas import Canvas
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.layout import Street
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile

ASPHALTS = (linear(88, 90, 92), linear(74, 76, 80), linear(104, 103, 100))
PAVINGS = (linear(150, 145, 138), linear(128, 124, 120), linear(150, 124, 108), linear(116, 116, 118))
WHITE, YELLOW = linear(226, 226, 220), linear(206, 168, 62)


def draw_ground(
    canvas: Canvas, street: Street, mood: Mood, noise: NoiseTile, rng: np.random.Generator
) -> None:
    """Fill everything below the horizon: the road at y = 0, the footpath `kerb` metres higher."""
    camera = canvas.camera
    top = int(np.clip(np.floor(camera.centre_v) + 1, 0, camera.height))
    right, up = camera.slopes()
    up = up[top:]
    if not up.size:
        return
    z_road = -camera.elevation / up + 0 * right
    z_path = (street.kerb - camera.elevation) / up + 0 * right
    aside_road, aside_path = np.abs(right * z_road - street.centre), np.abs(right * z_path - street.centre)
    on_path = aside_path >= street.road
    on_kerb = ~on_path & (aside_road >= street.road)
    kerb_x = street.centre + np.sign(right) * street.road
    z_kerb = np.clip(kerb_x / np.where(np.abs(right) < 1e-3, 1e-3, right), 0.3, 600)
    z = np.where(on_path, z_path, np.where(on_kerb, z_kerb, z_road)).astype(np.float32)
    x = (right * z).astype(np.float32)
    # metres that a pixel spans along the street and across it
    along = np.maximum(z * z / np.float32(camera.focal * camera.elevation), 1e-3)
    across = z / np.float32(camera.focal)

    road, road_heat = _road(street, noise, rng, x - np.float32(street.centre), z, along, across)
    path, path_heat = _path(street, noise, rng, x - np.float32(street.centre), z, along, across)
    kerb = np.asarray(linear(168, 166, 160), np.float32) * (0.75 + 0 * z[..., None])
    color = np.where(on_path[..., None], path, np.where(on_kerb[..., None], kerb, road))
    region = slice(top, None)
    canvas.color[region] = np.clip(color, 0.005, 0.9)
    canvas.normal[region] = (0, 1, 0)
    canvas.normal[region][on_kerb] = (0, 0.5, -0.5)
    base = mood.air + (2.5 if mood.night else 1.0)
    heat = np.where(on_path, path_heat, np.where(on_kerb, 0.8, road_heat))
    canvas.surface[region] = (0, 0.94, 0, 0)
    canvas.surface[region][..., 0] = base + heat
    canvas.forward[region] = z
    canvas.label[region] = np.where(on_path | on_kerb, Label.PAVEMENT, Label.ROAD)


def _fade(texels_per_metre: float, footprint):
    """Return how much of a noise with that resolution a pixel can still show."""
    return np.clip(1.6 - footprint * np.float32(texels_per_metre), 0, 1).astype(np.float32)


def _grain(noise: NoiseTile, rng, x, z, footprint, *, texels_per_metre: float, smooth: bool = True):
    """Return world-space noise that fades where its texels are smaller than a pixel."""
    x0, z0 = rng.uniform(0, 512, size=2)
    scale = np.float32(texels_per_metre)
    field = noise.at(x * scale + np.float32(x0), z * scale + np.float32(z0), smooth=smooth)
    return field * _fade(0.5 * texels_per_metre, footprint)


def _road(street: Street, noise: NoiseTile, rng, x, z, along, across):
    """Return albedo and warmth of the carriageway; x is measured from its centre line."""
    color = np.asarray(ASPHALTS[rng.integers(len(ASPHALTS))], np.float32)
    stones = _grain(noise, rng, x, z, 0.5 * along, texels_per_metre=60.0, smooth=False)
    blotches = _grain(noise, rng, x, z, along, texels_per_metre=9.0)
    stains = _grain(noise, rng, x, 0.35 * z, along, texels_per_metre=5.0)
    lane = street.road / 2
    wheels = np.exp(-(((np.abs(np.abs(x) - lane) - 0.8) / 0.35) ** 2))
    cracks = np.clip(1 - np.abs(blotches + 0.6 * stains) / 0.06, 0, 1) * _fade(9.0, along) * (stains > 0.3)
    factor = (1 + 0.19 * stones + 0.06 * blotches + 0.05 * stains) * (1 - 0.12 * wheels) * (1 - 0.5 * cracks)
    gutter = 1 - 0.3 * np.exp(-np.maximum(street.road - np.abs(x), 0) / 0.25)
    albedo = color * (factor * gutter)[..., None]
    paint = _markings(street, rng, x, z, along, across)
    worn = np.clip(0.92 + 0.25 * stains - 0.35 * np.clip(stones - 0.8, 0, 1), 0.25, 1)
    yellow = street.markings == 1
    marking = np.asarray(YELLOW if yellow else WHITE, np.float32) * (0.95 + 0.06 * stones)[..., None]
    albedo = albedo * (1 - (paint * worn)[..., None]) + marking * (paint * worn)[..., None]
    lid = _manholes(street, rng, x, z, along, across)
    albedo = albedo * (1 - 0.45 * lid)[..., None]
    heat = 0.5 * stains + 0.35 * stones + 0.9 * wheels - 0.7 * paint + 3.0 * lid - 0.5 * cracks
    return albedo, heat


def _markings(street: Street, rng, x, z, along, across):
    """Return the painted share of every pixel."""
    edge = street.road - 0.45
    lines = band(np.abs(x), edge - 0.07, edge + 0.07, across)
    phase = np.mod(z + np.float32(rng.uniform(0, 8)), 8)
    dashes = band(phase, 0.0, 4.0, np.minimum(along, 8.0)) if street.markings != 1 else 1.0
    lines = lines + band(np.abs(x), -0.07, 0.075, across) * dashes
    if street.markings == 2:  # parking bays along one kerb
        bay = np.mod(z + np.float32(rng.uniform(0, 6)), 6)
        inside = band(x * rng.choice([-1, 1]), edge - 1.9, edge, across)
        lines = lines + band(bay, 0, 0.14, along) * inside
    if street.crosswalk > 0:
        over = band(z, street.crosswalk, street.crosswalk + 3.2, along)
        bars = band(np.mod(x, np.float32(0.95)), 0.2, 0.68, across) * band(np.abs(x), -1, edge, across)
        lines = lines * (1 - over) + bars * over
        lines = lines + band(z, street.crosswalk - 2.0, street.crosswalk - 1.6, along) * band(
            x, -edge, 0, across
        )
    return np.clip(lines, 0, 1).astype(np.float32)


def _manholes(street: Street, rng, x, z, along, across):
    lids = np.zeros_like(z)
    for _ in range(int(rng.integers(1, 4))):
        x0, z0 = rng.uniform(-0.7, 0.7) * street.road, rng.uniform(5, 22)
        radius = np.sqrt((x - np.float32(x0)) ** 2 + (z - np.float32(z0)) ** 2)
        ring = 1 - 0.4 * band(np.abs(radius - 0.25), -1, 0.03, along)
        lids = np.maximum(lids, band(radius, -1, 0.34, along) * ring)
    return lids


def _path(street: Street, noise: NoiseTile, rng, x, z, along, across):
    """Return albedo and warmth of the paved footpath, and of the grass or soil beyond it."""
    size = rng.choice([0.3, 0.45, 0.6])
    column, row = np.floor(x / np.float32(size)), np.floor(z / np.float32(size))
    joint_x = band(np.mod(x, np.float32(size)), -1, 0.018, across) * np.clip(0.03 / across, 0, 1)
    joint_z = band(np.mod(z, np.float32(size)), -1, 0.018, along) * np.clip(0.05 / along, 0, 1)
    tint = rng.standard_normal(1021).astype(np.float32)
    stone = tint[np.mod(column * 57 + row * 131, 1021).astype(np.int32)] * np.clip(size / along, 0, 1)
    stains = _grain(noise, rng, x, z, along, texels_per_metre=6.0)
    specks = _grain(noise, rng, x, z, 0.5 * along, texels_per_metre=50.0, smooth=False)
    shade = (1 + 0.06 * stone + 0.10 * stains + 0.07 * specks) * (1 - 0.4 * np.maximum(joint_x, joint_z))
    albedo = np.asarray(PAVINGS[rng.integers(len(PAVINGS))], np.float32) * shade[..., None]
    kerbstone = band(np.abs(x), street.road - 1, street.road + 0.16, across)
    stone_joint = 1 - 0.4 * band(np.mod(z, np.float32(1.0)), -1, 0.02, along) * np.clip(0.05 / along, 0, 1)
    grey = np.asarray(linear(172, 170, 164), np.float32) * ((1 + 0.08 * specks) * stone_joint)[..., None]
    albedo = albedo * (1 - kerbstone[..., None]) + grey * kerbstone[..., None]
    beyond = band(np.abs(x), street.pavement, 1e6, across)
    grass = np.asarray(linear(92, 98, 62), np.float32) * (1 + 0.35 * specks + 0.25 * stains)[..., None]
    albedo = albedo * (1 - beyond[..., None]) + grass * beyond[..., None]
    heat = 0.6 * stains + 0.3 * stone + 0.3 * specks - 2.0 * beyond
    return albedo, heat
