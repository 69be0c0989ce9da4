"""How every kind of thing is drawn: crisp, shaded by the sun, in the colour that names it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from galr.data.scenes.ground import FINE
from galr.data.scenes.outline import STYLES, outline
from galr.data.scenes.scene import Thing
from galr.data.scenes.shapes import SIDE, band, box, disc, extent, turned

Colour = tuple[float, float, float]
PAINT: dict[str, Colour] = {
    "white": (238, 238, 234),
    "grey": (158, 162, 168),
    "black": (48, 50, 56),
    "red": (204, 52, 46),
    "orange": (232, 134, 40),
    "yellow": (238, 206, 62),
    "green": (66, 148, 84),
    "blue": (52, 104, 196),
    "brown": (146, 94, 62),
}
COLOURS = {
    "plane": ("white", "grey", "red", "yellow", "blue"),
    "ship": ("white", "red", "orange", "grey", "green", "black"),
    "court": ("green", "blue", "red", "orange"),
    "tank": ("white", "grey", "brown", "blue", "green"),
    "vehicle": ("white", "red", "blue", "yellow", "black", "orange"),
    "building": ("red", "brown", "grey", "white", "blue"),
}
HEIGHTS = {"plane": 5, "ship": 4, "court": 0, "tank": 8, "vehicle": 2.5, "building": 9}  # units
_GLASS = (44, 56, 74)
_LINES = (240, 242, 240)


@dataclass(frozen=True)
class Sprite:
    """A drawn thing, ready to be laid on the ground.

    Attributes:
        colours: (h, w, 3) float32, RGB in [0, 255].
        mask: how much of each pixel is the thing's, `L`, (h, w).
        corner: pixel (x, y) of the picture where the top left pixel lies.
    """

    colours: np.ndarray
    mask: Image.Image
    corner: tuple[int, int]


class Pen:
    """Draws in a thing's own frame: x ahead, y aside, in units about its centre."""

    def __init__(self, thing: Thing, size: int, sun: float) -> None:
        """Take a clean patch that holds the thing, `FINE` times as fine as the picture."""
        silhouette = [turned(part, thing.angle, thing.x, thing.y) for part in outline(thing)]
        left, top, right, bottom = extent(np.concatenate(silhouette) * size / SIDE)
        self.corner = (int(np.floor(left)) - 1, int(np.floor(top)) - 1)
        across, down = int(right) + 2 - self.corner[0], int(bottom) + 2 - self.corner[1]
        self._thing, self._scale = thing, size * FINE / SIDE
        self._sun = sun - thing.angle  # where shadows fall, seen from the thing
        self._colours = Image.new(
            "RGB", (across * FINE, down * FINE), _rounded(PAINT[thing.colour])
        )
        self._mask = Image.new("L", self._colours.size)
        self._draw = ImageDraw.Draw(self._colours)
        mask = ImageDraw.Draw(self._mask)
        for part in outline(thing):
            mask.polygon(self._pixels(part), fill=255)

    def polygon(self, points: np.ndarray, colour: Colour) -> None:
        """Fill a polygon (n, 2)."""
        self._draw.polygon(self._pixels(points), fill=_rounded(colour))

    def line(self, points: np.ndarray, width: float, colour: Colour) -> None:
        """Draw a stroke through points (n, 2)."""
        pixels = max(1, round(width * self._scale))
        self._draw.line(self._pixels(points), fill=_rounded(colour), width=pixels, joint="curve")

    def lit(self, colour: Colour, facing: float) -> Colour:
        """The colour of a slope that faces an angle of the thing's frame: light towards the sun."""
        return shaded(colour, 0.95 - 0.2 * float(np.cos(facing - self._sun)))

    def sunward(self, distance: float) -> np.ndarray:
        """The point (2,) a distance from the centre towards the sun."""
        return -distance * np.array([np.cos(self._sun), np.sin(self._sun)])

    def sprite(self) -> Sprite:
        """What has been drawn, at the picture's resolution."""
        colours = np.asarray(self._colours.reduce(FINE), np.float32)
        return Sprite(colours, self._mask.reduce(FINE), self.corner)

    def _pixels(self, points: np.ndarray) -> list[float]:
        """Carry points into the fine patch, flat as Pillow likes them."""
        world = turned(points, self._thing.angle, self._thing.x, self._thing.y) * self._scale
        return (world - np.array(self.corner) * FINE).ravel().tolist()


def draw(thing: Thing, size: int, sun: float) -> Sprite:
    """Draw one thing for a picture of a size in pixels, shadows falling towards `sun`."""
    pen = Pen(thing, size, sun)
    _DRAW[thing.kind](pen, thing)
    return pen.sprite()


def shaded(colour: Colour, light: float) -> Colour:
    """A colour in more or less light; 1 leaves it as it is."""
    red, green, blue = (min(255.0, part * light) for part in colour)
    return red, green, blue


def weathered(colour: Colour) -> Colour:
    """A colour after years of rain: nearer to grey, still called the same."""
    mean = sum(colour) / 3
    red, green, blue = (0.75 * part + 0.25 * mean for part in colour)
    return red, green, blue


def _plane(pen: Pen, thing: Thing) -> None:
    """Wings a shade darker than the body, a stripe, a windscreen, engines or a propeller."""
    colour, scale = PAINT[thing.colour], np.array([thing.length, thing.width])
    body, wings, tail, *engines = (part * scale for part in STYLES["plane"][thing.style])
    for engine in engines:
        pen.polygon(engine, shaded(colour, 0.55))
    pen.polygon(wings, shaded(colour, 0.9))
    pen.polygon(tail, shaded(colour, 0.8))
    flap = np.array([[-0.1, -0.4], [-0.09, 0], [-0.1, 0.4]]) if thing.style == 0 else None
    if flap is not None:
        pen.line(flap * scale, 0.7, shaded(colour, 0.7))
    pen.polygon(body, shaded(colour, 1.06))
    pen.line(np.array([[-0.45, 0.0], [0.3, 0.0]]) * scale, 0.8, shaded(colour, 0.86))
    pen.polygon(box(0.36, 0.42, -0.035, 0.035) * scale, _GLASS)


def _ship(pen: Pen, thing: Thing) -> None:
    """A freighter with hatches and a bridge, or a yacht with a cabin and a pale deck."""
    colour, scale = PAINT[thing.colour], np.array([thing.length, thing.width])
    hull = outline(thing)[0]
    pen.polygon(hull, shaded(colour, 0.62))
    pen.polygon(hull * 0.9, colour)
    if thing.style == 0:
        for left in (-0.14, 0.04, 0.22):
            pen.polygon(box(left, left + 0.13, -0.3, 0.3) * scale, shaded(colour, 0.72))
        pen.polygon(box(-0.4, -0.22, -0.4, 0.4) * scale, shaded(PAINT["white"], 0.97))
        pen.polygon(box(-0.27, -0.235, -0.33, 0.33) * scale, _GLASS)
    else:
        pen.polygon(box(-0.3, 0.12, -0.26, 0.26) * scale, shaded(PAINT["white"], 0.98))
        pen.polygon(box(0.03, 0.12, -0.22, 0.22) * scale, _GLASS)
        pen.polygon(box(-0.42, -0.34, -0.3, 0.3) * scale, shaded(PAINT["brown"], 1.15))


def _court(pen: Pen, thing: Thing) -> None:
    """A tennis court: a darker surround, the field, its white lines, the net."""
    colour, scale = PAINT[thing.colour], np.array([thing.length, thing.width])
    pen.polygon(outline(thing)[0], shaded(colour, 0.72))
    pen.polygon(box(-0.39, 0.39, -0.36, 0.36) * scale, shaded(colour, 1.08))
    closed = [0, 1, 2, 3, 0]
    strokes = [
        box(-0.39, 0.39, -0.36, 0.36)[closed],
        box(-0.39, 0.39, -0.26, 0.26)[closed],
        box(-0.21, 0.21, -0.26, 0.26)[closed],
        np.array([[-0.21, 0], [0.21, 0]]),
    ]
    for stroke in strokes:
        pen.line(stroke * scale, 0.75, _LINES)
    pen.line(np.array([[0, -0.42], [0, 0.42]]) * scale, 0.9, (60, 66, 70))


def _tank(pen: Pen, thing: Thing) -> None:
    """A storage tank: a rim, a roof that is lighter towards the sun, a stair or a sunken roof."""
    colour, radius = PAINT[thing.colour], thing.length / 2
    pen.polygon(disc(radius), shaded(colour, 0.6))
    pen.polygon(disc(radius * 0.9), shaded(colour, 0.95))
    if thing.style == 0:
        for part in (0.75, 0.55, 0.35):
            roof = disc(radius * part) + pen.sunward(radius * 0.9 * (0.8 - part) / 2)
            pen.polygon(roof, shaded(colour, 1.13 - 0.2 * part))
        pen.polygon(disc(radius * 0.1, 12), shaded(colour, 0.6))
        for angle in np.arange(0, np.pi, np.pi / 4):
            spoke = turned(np.array([[-0.86, 0], [0.86, 0]]) * radius, float(angle))
            pen.line(spoke, 0.3, shaded(colour, 0.86))
    else:
        pen.polygon(disc(radius * 0.78) + pen.sunward(radius * 0.1), shaded(colour, 0.72))
        pen.polygon(disc(radius * 0.7) - pen.sunward(radius * 0.02), shaded(colour, 1.05))
        pen.line(np.array([[0.0, 0.0], [0.84, 0.0]]) * radius, 0.9, shaded(colour, 0.62))


def _vehicle(pen: Pen, thing: Thing) -> None:
    """A car: body, windscreen, side and rear windows round a lighter roof, head lamps."""
    colour, scale = PAINT[thing.colour], np.array([thing.length, thing.width])
    for part in outline(thing):
        pen.polygon(part, shaded(colour, 0.78))
    pen.polygon(box(-0.45, 0.45, -0.38, 0.38) * scale, shaded(colour, 1.02))
    cabin = np.array([[0.22, -0.37], [0.22, 0.37], [-0.36, 0.37], [-0.36, -0.37]])
    pen.polygon(cabin * scale, _GLASS)
    pen.polygon(box(-0.25, 0.08, -0.3, 0.3) * scale, shaded(colour, 1.12))
    for side in (-0.3, 0.3):
        pen.polygon(box(0.43, 0.48, side - 0.09, side + 0.09) * scale, (250, 244, 200))


def _building(pen: Pen, thing: Thing) -> None:
    """A gabled, a hipped or a flat roof; slopes towards the sun are lighter."""
    colour, scale = weathered(PAINT[thing.colour]), np.array([thing.length, thing.width])
    if thing.style == 2:
        _flat_roof(pen, thing)
        return
    ridge = 0.5 if thing.style == 0 else 0.5 - 0.5 * thing.width / thing.length
    tips = np.array([[-ridge, 0.0], [ridge, 0.0]])
    corners = box(-0.5, 0.5, -0.5, 0.5)
    slopes = {
        -np.pi / 2: np.array([corners[0], corners[1], tips[1], tips[0]]),
        0.0: np.array([corners[1], corners[2], tips[1]]),
        np.pi / 2: np.array([corners[2], corners[3], tips[0], tips[1]]),
        np.pi: np.array([corners[3], corners[0], tips[0]]),
    }
    for facing, slope in slopes.items():
        pen.polygon(slope * scale, pen.lit(colour, facing))
    for row in (-0.38, -0.26, -0.14, 0.14, 0.26, 0.38):
        reach = 0.5 - (0.5 - ridge) * (1 - 2 * abs(row))
        tiles = np.array([[-reach, row], [reach, row]]) * scale
        pen.line(tiles, 0.4, shaded(pen.lit(colour, np.pi / 2 * np.sign(row)), 0.92))
    pen.line(tips * scale, 0.9, shaded(colour, 1.12))
    if ridge < 0.5:
        for corner, tip in zip(corners, tips[[0, 1, 1, 0]], strict=True):
            pen.line(np.array([corner, tip]) * scale, 0.6, shaded(colour, 1.06))
    chimney = box(0.2, 0.2, 0.16, 0.16) * scale
    pen.polygon(chimney + box(-1.6, 1.6, -1.6, 1.6), shaded(PAINT["brown"], 0.6))


def _flat_roof(pen: Pen, thing: Thing) -> None:
    """An L-shaped flat roof: a light parapet, plant rooms and skylights."""
    colour, scale = weathered(PAINT[thing.colour]), np.array([thing.length, thing.width])
    for part in outline(thing):
        pen.polygon(part, shaded(colour, 1.1))
    inner = (
        np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.08], [0.0, 0.08], [0.0, 0.5], [-0.5, 0.5]])
        * scale
    )
    inset = np.array([[1, 1], [-1, 1], [-1, -1], [-1, -1], [-1, -1], [1, -1]]) * 1.8
    pen.polygon(inner + inset, shaded(colour, 0.86))
    unit = box(-2.4, 2.4, -2.0, 2.0)
    for place in ((-0.3, -0.25), (0.28, -0.2), (-0.25, 0.25)):
        pen.polygon(unit + np.array(place) * scale, shaded(PAINT["grey"], 0.7))
        pen.polygon(unit * 0.7 + np.array(place) * scale, shaded(PAINT["grey"], 1.15))
    seam = np.array([[-0.5, -0.02], [0.0, -0.02]]) * scale
    pen.polygon(band(seam[0] + (2, 0), seam[1], 0.7), shaded(colour, 0.75))


def _rounded(colour: Colour) -> tuple[int, int, int]:
    """A colour as Pillow wants it."""
    red, green, blue = (min(255, max(0, round(part))) for part in colour)
    return red, green, blue


_DRAW: dict[str, Callable[[Pen, Thing], None]] = {
    "plane": _plane,
    "ship": _ship,
    "court": _court,
    "tank": _tank,
    "vehicle": _vehicle,
    "building": _building,
}
