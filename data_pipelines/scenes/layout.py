"""What stands where in a street: drawn from a seed, in metres, without regard to the image size."""

from dataclasses import dataclass

import numpy as np

from data_pipelines.scenes.camera import Camera

STREET_END = 150.0  # metres; beyond it only the skyline
BEHIND = -40.0  # buildings reach behind the camera, where they cast shadows into the picture


@dataclass(frozen=True)
class Building:
    """A box beside the street: `side` -1 left, +1 right; `front` is the x of its street face."""

    side: int
    front: float
    near: float
    far: float
    height: float
    depth: float
    seed: int


@dataclass(frozen=True)
class Tree:
    """Crown over a trunk; `kind` 0 is a street tree, 1 a tall tree, 2 a bush."""

    x: float
    z: float
    height: float
    width: float
    kind: int
    mirrored: bool


@dataclass(frozen=True)
class Vehicle:
    """`x`, `z`: centre of the end nearer to the camera; `shows` is that end; `running` means warm and lit."""

    x: float
    z: float
    kind: str  # "hatchback", "van", "saloon" or "truck"
    shows: str  # "rear" or "front"
    running: bool
    seed: int


@dataclass(frozen=True)
class Person:
    """`pose` is "front", "back" or "side" (walking): what we see of the person."""

    x: float
    z: float
    ground: float
    height: float
    pose: str
    mirrored: bool
    seed: int


@dataclass(frozen=True)
class Post:
    """A slender thing at the roadside."""

    x: float
    z: float
    kind: str  # "lamp", "pole", "sign", "cone" or "bollard"
    seed: int


@dataclass(frozen=True)
class Street:
    """The whole layout; x of the road's centre line, half widths of road and of road with pavement."""

    centre: float
    road: float
    pavement: float
    kerb: float
    buildings: tuple[Building, ...]
    trees: tuple[Tree, ...]
    vehicles: tuple[Vehicle, ...]
    people: tuple[Person, ...]
    posts: tuple[Post, ...]
    railing: int  # side of the railing between pavement and road, 0 for none
    markings: int  # style of the lane markings
    crosswalk: float  # forward distance, negative for none


def draw_street(rng: np.random.Generator, camera: Camera) -> Street:
    """Draw a street; the camera only decides where people must stand to be seen."""
    road, pavement = rng.uniform(3.0, 4.8), rng.uniform(1.6, 3.4)
    centre = rng.uniform(-0.45, 0.45) * road
    edge = road + pavement
    buildings = tuple(b for side in (-1, 1) for b in _buildings(rng, side, centre, edge))
    vehicles = _vehicles(rng, centre, road)
    return Street(
        centre=centre,
        road=road,
        pavement=edge,
        kerb=rng.uniform(0.1, 0.18),
        buildings=buildings,
        trees=tuple(t for side in (-1, 1) for t in _trees(rng, side, centre, road, edge, buildings)),
        vehicles=vehicles,
        people=_people(rng, camera, centre, road, edge, vehicles),
        posts=_posts(rng, centre, road, edge),
        railing=int(rng.choice([-1, 0, 1], p=[0.25, 0.5, 0.25])),
        markings=int(rng.integers(0, 3)),
        crosswalk=rng.uniform(12, 32) if rng.random() < 0.45 else -100.0,
    )


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 2**31))


def _buildings(rng: np.random.Generator, side: int, centre: float, edge: float) -> list[Building]:
    """Rows of houses with gaps; a side may instead be a park with few houses."""
    built = rng.choice([0.95, 0.8, 0.3], p=[0.5, 0.3, 0.2])
    typical = rng.uniform(7, 19)
    z, buildings = BEHIND, []
    while z < STREET_END:
        length = rng.uniform(8, 20)
        if rng.random() < built:
            height = float(np.clip(typical * rng.lognormal(0, 0.35), 4.5, 34))
            front = centre + side * (edge + rng.choice([0.1, 0.1, 1.2, 2.5]))
            buildings.append(Building(side, front, z, z + length, height, rng.uniform(9, 14), _seed(rng)))
        z += length + (rng.uniform(2, 5) if rng.random() < 0.3 else 0.0)
    return buildings


def _trees(rng, side, centre, road, edge, buildings) -> list[Tree]:
    """A row along the kerb, and trees and bushes wherever no house stands."""
    trees = []
    if rng.random() < 0.55:
        spacing, height = rng.uniform(8, 14), rng.uniform(4.5, 8)
        for z in np.arange(rng.uniform(7, 16), 95, spacing):
            size = height * rng.uniform(0.85, 1.15)
            x = centre + side * (road + rng.uniform(0.6, 1.0))
            trees.append(Tree(x, float(z), size, size * rng.uniform(0.6, 0.8), 0, bool(rng.random() < 0.5)))
    built = [(b.near - 1, b.far + 1) for b in buildings if b.side == side]
    for z in np.arange(6, 140, 3.5):
        place = float(z) + rng.uniform(-1, 1)
        if any(near < place < far for near, far in built):
            continue
        if z > 45 and rng.random() < 0.5:
            continue
        size, x = rng.uniform(6, 14), centre + side * (edge + rng.uniform(2.5, 8))
        trees.append(Tree(x, place, size, size * rng.uniform(0.6, 0.95), 1, bool(rng.random() < 0.5)))
        size, x = rng.uniform(0.9, 1.8), centre + side * (edge + rng.uniform(0.8, 1.8))
        trees.append(Tree(x, place, size, size * rng.uniform(1.8, 3), 2, bool(rng.random() < 0.5)))
    return trees


def _vehicles(rng: np.random.Generator, centre: float, road: float) -> tuple[Vehicle, ...]:
    """Cars parked along the kerbs and a few under way; the near end of each is the one we see."""
    left_hand = rng.random() < 0.5
    vehicles = []
    for side in (-1, 1):
        shows = "rear" if (side < 0) == left_hand else "front"
        if rng.random() < 0.65:
            z = rng.uniform(4.5, 16)
            while z < 70:
                if rng.random() < 0.7:
                    kind = rng.choice(["hatchback", "van", "saloon", "truck"], p=[0.4, 0.22, 0.28, 0.1])
                    x = centre + side * (road - 1.1 + rng.uniform(-0.1, 0.1))
                    vehicles.append(Vehicle(x, z, str(kind), shows, False, _seed(rng)))
                z += rng.uniform(6.3, 9)
        if rng.random() < 0.6:
            kind = rng.choice(["hatchback", "van", "saloon", "truck"], p=[0.4, 0.2, 0.3, 0.1])
            x = centre + side * max(road - 3.3, 0.95)
            vehicles.append(Vehicle(x, rng.uniform(14, 60), str(kind), shows, True, _seed(rng)))
    return tuple(vehicles)


def _people(rng, camera, centre, road, edge, vehicles) -> tuple[Person, ...]:
    """Two to seven people within the view: most on the pavements, some on the road, none inside a car."""
    people: list[Person] = []
    wanted = int(rng.integers(2, 8))
    for _ in range(60):
        z = rng.uniform(6, 17) if not people else rng.uniform(6, 45)
        side, crossing = int(rng.choice([-1, 1])), rng.random() < 0.3
        x = centre + (
            rng.uniform(-0.9, 0.9) * road if crossing else side * rng.uniform(road + 0.4, edge - 0.3)
        )
        u = camera.centre_u + camera.focal * x / z
        if not 0.04 * camera.width < u < 0.96 * camera.width or _blocked(x, z, vehicles, people):
            continue
        pose = str(
            rng.choice(["front", "back", "side"], p=[0.3, 0.4, 0.3] if not crossing else [0.15, 0.15, 0.7])
        )
        on_pavement = abs(x - centre) > road
        height = float(np.clip(rng.normal(1.68, 0.1), 1.2, 1.92))
        mirrored = bool(rng.random() < 0.5)
        people.append(Person(x, z, 0.14 if on_pavement else 0.0, height, pose, mirrored, _seed(rng)))
        if len(people) == wanted:
            break
    return tuple(people)


def _blocked(x: float, z: float, vehicles, people) -> bool:
    """Whether a person at (x, z) would stand in, or be hidden right behind, something nearer."""
    in_car = any(abs(x - v.x) < 1.3 and v.z - 0.6 < z < v.z + 6.5 for v in vehicles)
    hidden = any(v.z < z and abs(x / z - v.x / v.z) < 1.0 / v.z for v in vehicles)
    return in_car or hidden or any(abs(x - p.x) < 0.5 and abs(z - p.z) < 1 for p in people)


def _posts(rng: np.random.Generator, centre: float, road: float, edge: float) -> tuple[Post, ...]:
    """Lamps at even distances, poles on one side, signs, cones and bollards here and there."""
    posts, lamp_side = [], int(rng.choice([-1, 1]))
    for index, z in enumerate(np.arange(rng.uniform(7, 20), 120, rng.uniform(18, 28))):
        side = lamp_side if rng.random() < 0.5 else (-1) ** index
        posts.append(Post(centre + side * (road + 0.35), float(z), "lamp", _seed(rng)))
    if rng.random() < 0.5:
        for z in np.arange(rng.uniform(5, 15), 130, 26.0):
            posts.append(Post(centre - lamp_side * (edge - 0.3), float(z), "pole", _seed(rng)))
    for kind, number in (("sign", 2), ("cone", 2), ("bollard", 3)):
        for _ in range(int(rng.integers(0, number + 1))):
            side, offset = int(rng.choice([-1, 1])), (-0.4 if kind == "cone" else 0.3)
            posts.append(Post(centre + side * (road + offset), rng.uniform(6, 40), kind, _seed(rng)))
    return tuple(posts)
