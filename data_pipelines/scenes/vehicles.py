"""Cars, vans and small trucks: a lofted body of flat panels with glass, lights, plates and wheels.

Lengths are in metres; l runs from the end nearer to the camera to the far one. Metal has low emissivity and
mirrors the cold sky; engine, exhaust, tyres and the road beneath are warm when the vehicle is under way.
"""

from dataclasses import dataclass

import numpy as np

from data_pipelines.scenes.atlas import Atlas, Color, band, linear
from data_pipelines.scenes.canvas import Canvas, Panel, draw_panel
from data_pipelines.scenes.labels import Label
from data_pipelines.scenes.layout import Vehicle
from data_pipelines.scenes.mood import Mood
from data_pipelines.scenes.noise import NoiseTile

PAINTS = (
    linear(226, 226, 224),
    linear(176, 180, 184),
    linear(36, 38, 42),
    linear(96, 100, 106),
    linear(150, 34, 32),
    linear(38, 62, 116),
    linear(206, 202, 190),
    linear(60, 84, 74),
)
GLASS, RUBBER, TRIM = linear(40, 46, 52), linear(30, 30, 31), linear(44, 44, 46)
RED, LAMP, ORANGE = (0.55, 0.02, 0.02), (0.92, 0.92, 0.86), (0.8, 0.32, 0.03)


@dataclass(frozen=True)
class Shape:
    """Outline of one kind of vehicle: (l, y) of belt and roof at either end, seen from the rear."""

    length: float
    width: float
    belt: float  # height of the lower edge of the windows
    roof: float
    rear: tuple[float, float]  # l where the rear window begins and where the roof begins
    front: tuple[float, float]  # the same from the front: end of the bonnet, begin of the roof
    bonnet: float  # height of the front end
    taper: float  # width of the roof as a share of the width
    cargo: bool = False  # no side windows behind the cabin


SHAPES = {
    "hatchback": Shape(4.0, 1.72, 0.95, 1.5, (0.06, 0.5), (0.95, 1.65), 0.78, 0.8),
    "van": Shape(4.6, 1.84, 1.05, 1.95, (0.03, 0.16), (0.4, 1.0), 0.92, 0.9),
    "saloon": Shape(4.6, 1.78, 0.92, 1.44, (0.75, 1.45), (1.2, 1.95), 0.76, 0.76),
    "truck": Shape(5.4, 2.0, 1.15, 2.5, (0.02, 0.04), (0.25, 0.5), 1.0, 0.98, True),
}


def draw_vehicle(canvas: Canvas, vehicle: Vehicle, mood: Mood, noise: NoiseTile) -> None:
    """Draw the visible faces of a vehicle, far ones first."""
    rng = np.random.default_rng(vehicle.seed)
    shape = SHAPES[vehicle.kind]
    paint = PAINTS[rng.integers(len(PAINTS))]
    if shape.cargo and rng.random() < 0.6:
        paint = PAINTS[0]
    body = Body(canvas, vehicle, shape, paint, mood, noise, rng)
    faces = [(body.draw_side, side) for side in (-1, 1) if side * (vehicle.x + side * shape.width / 2) < 0]
    for draw, side in faces:
        draw(side)
    body.draw_roof()
    body.draw_end_glass()
    body.draw_end_deck()
    body.draw_end()


@dataclass
class Body:
    """One vehicle being drawn."""

    canvas: Canvas
    vehicle: Vehicle
    shape: Shape
    paint: Color
    mood: Mood
    noise: NoiseTile
    rng: np.random.Generator

    def __post_init__(self):
        self.rear = self.vehicle.shows == "rear"
        self.glass_from, self.roof_from = self.shape.rear if self.rear else self.shape.front
        far = self.shape.front if self.rear else self.shape.rear
        self.glass_to, self.roof_to = self.shape.length - far[0], self.shape.length - far[1]
        saloon_boot = self.shape.belt - 0.02
        self.near_edge = saloon_boot if self.rear else self.shape.bonnet
        self.far_edge = self.shape.bonnet if self.rear else saloon_boot

    def _panel(self, left: float, top: float, start: float, across, down) -> Panel:
        origin = np.array([self.vehicle.x + left, top, self.vehicle.z + start])
        return Panel(origin, np.asarray(across, float), np.asarray(down, float))

    def _sheet(self, panel: Panel, *, limit: int = 240) -> Atlas | None:
        """Return painted metal for a panel, or None where it cannot be seen."""
        if not panel.visible(self.canvas.camera):
            return None
        rows, columns = panel.texels(self.canvas.camera, limit=limit)
        size = (max(8, rows), max(8, columns))
        warm = 4.0 if self.vehicle.running else 1.0
        atlas = Atlas.blank(
            size, color=self.paint, temperature=self.mood.air + warm, emissivity=0.86, gloss=0.35
        )
        dust = self.noise.patch(self.rng, size, texels=80.0)
        atlas.scale_color(1 + 0.03 * dust)
        atlas.surface[..., 0] += 0.5 * dust
        return atlas

    def _glaze(self, atlas: Atlas, mask: np.ndarray) -> None:
        atlas.paint(mask, color=GLASS, temperature=self.mood.air - 0.5, emissivity=0.84, gloss=0.9)

    def _bend(self, atlas: Atlas, panel: Panel, *, across: float, down: float) -> None:
        """Round the panel off: tilt the normals outwards at its edges."""
        rows, columns = atlas.size
        normal = panel.normal(self.canvas.camera)
        s = (2 * (np.arange(columns) + 0.5) / columns - 1) ** 5
        t = (1 - 2 * (np.arange(rows) + 0.5) / rows) ** 3
        right, up = panel.across / np.linalg.norm(panel.across), -panel.down / np.linalg.norm(panel.down)
        bent = normal + across * s[None, :, None] * right + down * t[:, None, None] * up
        bent /= np.linalg.norm(bent, axis=2, keepdims=True)
        atlas.shape = np.dstack([bent, np.zeros(atlas.size)]).astype(np.float32)

    def draw_side(self, side: int) -> None:
        """Draw the long side: windows above the belt, doors and wheels below it."""
        shape, inner = self.shape, self.shape.width / 2 * (1 - self.shape.taper)
        top = self._panel(
            side * shape.width / 2 * shape.taper, shape.roof, 0.0, (0, 0, shape.length),
            (side * inner, shape.belt - shape.roof, 0),
        )  # fmt: skip
        atlas = self._sheet(top)
        if atlas is not None:
            self._paint_windows(atlas)
            self._bend(atlas, top, across=0.0, down=0.5)
            draw_panel(self.canvas, top, atlas, Label.VEHICLE)
        low = self._panel(side * shape.width / 2, shape.belt, 0.0, (0, 0, shape.length), (0, -shape.belt, 0))
        atlas = self._sheet(low)
        if atlas is not None:
            self._paint_doors(atlas)
            self._bend(atlas, low, across=0.3, down=0.4)
            draw_panel(self.canvas, low, atlas, Label.VEHICLE)

    def _paint_windows(self, atlas: Atlas) -> None:
        length = self.shape.length
        a, b, c, d = (
            place / length for place in (self.glass_from, self.roof_from, self.roof_to, self.glass_to)
        )
        atlas.alpha = atlas.polygon(np.array([[a, 1], [b, 0], [c, 0], [d, 1]]))
        if self.shape.cargo:
            cabin = (0.72, 1.0) if self.rear else (0.0, 0.28)
            self._glaze(atlas, atlas.rectangle(max(cabin[0], a) + 0.03, min(cabin[1], d) - 0.03, 0.5, 0.95))
            return
        inset, top = 0.22 / length, 0.14
        glass = atlas.polygon(
            np.array([[a + inset, 0.96], [b + 0.4 * inset, top], [c - 0.4 * inset, top], [d - inset, 0.96]])
        )
        pillars = [a + (d - a) * share for share in (0.36, 0.62)]
        for pillar in pillars:
            glass = glass * (1 - atlas.rectangle(pillar - 0.012, pillar + 0.012, 0, 1))
        self._glaze(atlas, glass)

    def _paint_doors(self, atlas: Atlas) -> None:
        shape, length, belt = self.shape, self.shape.length, self.shape.belt
        rows, columns = atlas.size
        near, far = 1 - self.near_edge / belt, 1 - self.far_edge / belt
        a, d = self.glass_from / length, self.glass_to / length
        floor, nose = 1 - 0.19 / belt, 0.05 / length
        outline = np.array(
            [[nose, near], [a, 0], [d, 0], [1 - nose, far], [1, 0.5], [1, floor], [0, floor], [0, 0.5]]
        )
        atlas.alpha = atlas.polygon(outline)
        atlas.paint(atlas.rectangle(0, 1, 1 - 0.3 / belt, 1), color=TRIM, gloss=0.1, emissivity=0.92)
        down = ((np.arange(rows) + 0.5) / rows)[:, None]
        atlas.scale_color((1.04 - 0.3 * down**2) * np.ones((1, columns)))
        for seam in (0.36, 0.62) if not shape.cargo else (0.7,):
            place = a + (d - a) * seam
            atlas.scale_color(1 - 0.55 * atlas.rectangle(place - 0.003, place + 0.003, 0.06, floor))
            atlas.paint(atlas.rectangle(place + 0.02, place + 0.06, 0.17, 0.21), color=TRIM)
        for wheel in (0.19 if not shape.cargo else 0.15, 0.81):
            self._paint_wheel(atlas, wheel)

    def _paint_wheel(self, atlas: Atlas, along: float) -> None:
        length, belt = self.shape.length, self.shape.belt
        radius, hot = 0.32, 9.0 if self.vehicle.running else 0.5
        for share, color, warm, emissivity in (
            (1.2, linear(14, 14, 14), 2.0, 0.95),
            (1.0, RUBBER, hot, 0.95),
            (0.66, linear(150, 152, 154), hot * 0.8, 0.7),
            (0.56, linear(92, 94, 96), hot * 1.2, 0.8),
            (0.2, linear(168, 170, 172), hot * 0.8, 0.7),
        ):
            disc = atlas.disc(along, 1 - radius / belt, share * radius / length, share * radius / belt)
            if share > 1.1:  # the arch does not reach below the body
                disc = disc * atlas.alpha
            atlas.paint(
                disc,
                color=color,
                temperature=self.mood.air + warm,
                emissivity=emissivity,
                gloss=0.1,
                opaque=True,
            )

    def draw_roof(self) -> None:
        """Draw the roof, which a high camera sees at a glancing angle."""
        half = self.shape.width / 2 * self.shape.taper
        start, stop = self.roof_from, self.roof_to
        panel = self._panel(-half, self.shape.roof, stop, (2 * half, 0, 0), (0, 0, start - stop))
        atlas = self._sheet(panel)
        if atlas is not None and self.canvas.camera.elevation > self.shape.roof:
            draw_panel(self.canvas, panel, atlas, Label.VEHICLE)

    def draw_end_glass(self) -> None:
        """Draw the window at the near end, between belt and roof."""
        shape = self.shape
        half = shape.width / 2
        rise, run = shape.roof - shape.belt, self.roof_from - self.glass_from
        panel = self._panel(-half, shape.roof, self.roof_from, (2 * half, 0, 0), (0, -rise, -run))
        atlas = self._sheet(panel)
        if atlas is None:
            return
        edge = (1 - shape.taper) / 2
        atlas.alpha = atlas.polygon(np.array([[edge, 0], [1 - edge, 0], [1, 1], [0, 1]]))
        if shape.cargo and self.rear:
            doors = atlas.rectangle(0.495, 0.505, 0, 1) + atlas.rectangle(0, 1, 0, 0.03)
            atlas.scale_color(1 - 0.5 * np.clip(doors, 0, 1))
        else:
            low = 0.97 if not shape.cargo else 0.9
            high = 0.14 if not shape.cargo else 0.45
            corners = [[edge + 0.06, high], [1 - edge - 0.06, high], [0.945, low], [0.055, low]]
            glass = atlas.polygon(np.array(corners))
            self._glaze(atlas, glass)
            self._paint_cabin(atlas, glass, high)
        self._bend(atlas, panel, across=0.5, down=0.4)
        draw_panel(self.canvas, panel, atlas, Label.VEHICLE)

    def _paint_cabin(self, atlas: Atlas, glass: np.ndarray, high: float) -> None:
        """Head rests behind the glass; the driver of a vehicle under way is a warm patch."""
        for across in (0.3, 0.7):
            rest = atlas.disc(across, 0.72, 0.07, 0.17) * glass
            atlas.paint(rest, color=linear(30, 32, 36), gloss=0.8)
            if self.vehicle.running and (across > 0.5) == self.rear:
                atlas.paint(rest * 0.6, temperature=self.mood.air + 7)

    def draw_end_deck(self) -> None:
        """Draw the bonnet or boot lid: from the top of the near end to the lower edge of its window."""
        half, run = self.shape.width / 2, self.glass_from
        if run < 0.2:
            return
        rise = self.shape.belt - self.near_edge
        panel = self._panel(-half, self.shape.belt, run, (2 * half, 0, 0), (0, -rise, -run))
        atlas = self._sheet(panel)
        if atlas is None:
            return
        if self.vehicle.running and not self.rear:
            atlas.paint(atlas.disc(0.5, 0.6, 0.45, 0.5), temperature=self.mood.air + 14)
        self._bend(atlas, panel, across=0.5, down=0.2)
        draw_panel(self.canvas, panel, atlas, Label.VEHICLE)

    def draw_end(self) -> None:
        """Draw the upright near end with bumper, lights, plate and the tyres below."""
        half, top = self.shape.width / 2, self.near_edge
        panel = self._panel(-half, top, 0.0, (2 * half, 0, 0), (0, -top, 0))
        atlas = self._sheet(panel)
        if atlas is None:
            return
        low = 1 - 0.19 / top
        corners = [
            [0.03, 0],
            [0.97, 0],
            [1, 0.12],
            [1, low - 0.05],
            [0.98, low],
            [0.02, low],
            [0, low - 0.05],
            [0, 0.12],
        ]
        atlas.alpha = atlas.polygon(np.array(corners))
        rows, columns = atlas.size
        down = (np.arange(rows) + 0.5) / rows
        atlas.scale_color((1.05 - 0.3 * down[:, None] ** 2) * np.ones((1, columns)))
        bumper = 1 - 0.52 / top
        atlas.scale_color(1 - 0.45 * atlas.rectangle(0.02, 0.98, bumper - 0.008, bumper + 0.008))
        atlas.paint(atlas.rectangle(0, 1, 1 - 0.3 / top, low), color=TRIM, gloss=0.1, emissivity=0.92)
        (self._paint_rear if self.rear else self._paint_front)(atlas, top)
        for left in (0.05, 0.82):
            tyre = atlas.rectangle(left, left + 0.13, low - 0.02, 1)
            warm = 9.0 if self.vehicle.running else 0.5
            atlas.paint(
                tyre, color=RUBBER, temperature=self.mood.air + warm, emissivity=0.95, gloss=0, opaque=True
            )
        self._bend(atlas, panel, across=0.8, down=0.35)
        draw_panel(self.canvas, panel, atlas, Label.VEHICLE)

    def _paint_plate(self, atlas: Atlas, middle: float) -> None:
        plate = atlas.rectangle(0.4, 0.6, middle - 0.08, middle + 0.08)
        yellow = self.rng.random() < 0.3
        atlas.paint(
            plate, color=(0.75, 0.62, 0.06) if yellow else (0.8, 0.8, 0.78), gloss=0.0, emissivity=0.9
        )
        columns = atlas.size[1]
        across = (np.arange(columns) + 0.5) / columns
        letters = (
            band(np.mod(across, 0.032), 0.008, 0.026, 1 / columns)[None, :]
            * (across > 0.42)
            * (across < 0.58)
        )
        ink = atlas.rectangle(0.42, 0.58, middle - 0.05, middle + 0.05) * letters
        atlas.paint(ink.astype(np.float32), color=linear(40, 44, 60))

    def _paint_rear(self, atlas: Atlas, top: float) -> None:
        tall = self.vehicle.kind in ("van", "truck")
        high, low = (0.1, 0.45) if tall else (0.12, 0.32)
        on = self.vehicle.running and self.mood.night
        for left, right in ((0.02, 0.13 if tall else 0.24), (0.87 if tall else 0.76, 0.98)):
            lamp = atlas.rectangle(left, right, high, low)
            atlas.paint(
                lamp, color=RED, emission=3.0 if on else 0.0, gloss=0.3, temperature=self.mood.air + 3 * on
            )
            corner = atlas.rectangle(left, right, low - 0.08, low)
            atlas.paint(corner, color=ORANGE if not on else RED)
        self._paint_plate(atlas, 0.42 if not tall else 0.62)
        if self.vehicle.running:
            pipe = atlas.disc(0.2, 1 - 0.3 / top, 0.09, 0.1)
            atlas.paint(pipe, temperature=self.mood.air + 22, emissivity=0.95)

    def _paint_front(self, atlas: Atlas, top: float) -> None:
        on = self.vehicle.running and self.mood.night
        grille = atlas.rectangle(0.28, 0.72, 0.14, 0.34)
        warm = 19.0 if self.vehicle.running else 1.0
        atlas.paint(grille, color=TRIM, temperature=self.mood.air + warm, emissivity=0.92, gloss=0.1)
        rows = atlas.size[0]
        slats = band(np.mod((np.arange(rows) + 0.5) / rows, 0.06), -1, 0.02, 1 / rows)[:, None] * grille
        atlas.paint(slats, color=linear(130, 132, 134), gloss=0.4)
        for left, right in ((0.03, 0.24), (0.76, 0.97)):
            lamp = atlas.polygon(np.array([[left, 0.16], [right, 0.2], [right, 0.36], [left, 0.34]]))
            atlas.paint(
                lamp, color=LAMP, emission=4.0 if on else 0.0, gloss=0.5, temperature=self.mood.air + 4 * on
            )
        intake = atlas.rectangle(0.2, 0.8, 1 - 0.46 / top, 1 - 0.3 / top)
        atlas.paint(
            intake, color=linear(20, 20, 22), temperature=self.mood.air + 0.7 * warm, emissivity=0.95, gloss=0
        )
        self._paint_plate(atlas, 0.5)
