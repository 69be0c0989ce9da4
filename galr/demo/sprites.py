"""Sprites: every object and tree as a small image with a mask, ready to be laid on the ground."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from galr.demo.geometry import WORLD_SIZE, bounding_box, disc, rectangle, rotate, stroke
from galr.demo.objects import COLOUR_RGB, Colour, silhouette, world_silhouette
from galr.demo.scene import SceneObject, Tree
from galr.demo.textures import SUPERSAMPLING

_GLASS = (44, 56, 74)
_COURT_LINE = (240, 242, 240)
_NET = (60, 66, 70)
_HEAD_LAMP = (250, 244, 200)


@dataclass(frozen=True)
class Sprite:
    """A small image of one object.

    Attributes:
        colours: (y, x, 3) float32, RGB in [0, 255].
        mask: how much of each pixel the object covers, mode `L`, of the same size.
        corner: pixel (x, y) of the whole image where the top left pixel of the sprite lies.
    """

    colours: np.ndarray
    mask: Image.Image
    corner: tuple[int, int]

    @property
    def visible_box(self) -> tuple[int, int, int, int]:
        """Box (left, top, right, bottom) of the pixels that the object covers at least by half.

        In pixels of the whole image; right and bottom are exclusive.
        """
        box = self.mask.point(lambda value: 255 * (value >= 128)).getbbox()
        assert box is not None, "every object is larger than a pixel at any size that is allowed"
        x, y = self.corner
        return box[0] + x, box[1] + y, box[2] + x, box[3] + y

    def blend_into(self, image: np.ndarray) -> None:
        """Draw the sprite on an image (size, size, 3) float32 in place, cut off at its borders."""
        size = len(image)
        left, top = self.corner
        rows = slice(max(0, -top), min(self.mask.height, size - top))
        columns = slice(max(0, -left), min(self.mask.width, size - left))
        alpha = np.asarray(self.mask, np.float32)[rows, columns, None] / 255
        below = image[
            top + rows.start : top + rows.stop, left + columns.start : left + columns.stop
        ]
        below += alpha * (self.colours[rows, columns] - below)


class SpriteCanvas:
    """Draws in an object's own frame: x along its heading, in units about its centre.

    Attributes:
        corner: pixel (x, y) of the whole image where the top left pixel of the sprite lies.
        scale: (2,) float, the object's length and width, units.
    """

    def __init__(self, item: SceneObject, size: int, shadow_angle: float) -> None:
        """Start with the silhouette in the object's colour, supersampled.

        Args:
            item: the object.
            size: side of the whole image, pixels.
            shadow_angle: direction in which shadows fall, radians.
        """
        parts = np.concatenate(world_silhouette(item))
        left, top, right, bottom = bounding_box(parts * size / WORLD_SIZE)
        self.corner = (int(np.floor(left)) - 1, int(np.floor(top)) - 1)
        columns, rows = int(right) + 2 - self.corner[0], int(bottom) + 2 - self.corner[1]
        self._item, self._pixels_per_unit = item, size * SUPERSAMPLING / WORLD_SIZE
        self.scale = np.array([item.length, item.width])
        self._shadow_angle = shadow_angle - item.angle  # in the object's frame
        self._colours = Image.new(
            "RGB", (columns * SUPERSAMPLING, rows * SUPERSAMPLING), _to_rgb(COLOUR_RGB[item.colour])
        )
        self._mask = Image.new("L", self._colours.size)
        self._pen = ImageDraw.Draw(self._colours)
        mask = ImageDraw.Draw(self._mask)
        for part in silhouette(item):
            mask.polygon(self._to_pixels(part), fill=255)

    def fill(self, points: np.ndarray, colour: Colour, brightness: float = 1.0) -> None:
        """Fill a polygon (corners, 2) with a colour multiplied by a brightness."""
        self._pen.polygon(self._to_pixels(points), fill=_to_rgb(_scaled(colour, brightness)))

    def fill_rectangle(
        self, sides: tuple[float, float, float, float], colour: Colour, brightness: float = 1.0
    ) -> None:
        """Fill a rectangle: left, right, top, bottom as fractions of the object's length and width."""
        self.fill(rectangle(*sides) * self.scale, colour, brightness)

    def line(
        self, points: np.ndarray, width: float, colour: Colour, brightness: float = 1.0
    ) -> None:
        """Draw a line through points (n, 2), `width` units wide."""
        pixels = max(1, round(width * self._pixels_per_unit))
        fill = _to_rgb(_scaled(colour, brightness))
        self._pen.line(self._to_pixels(points), fill=fill, width=pixels, joint="curve")

    def slope_colour(self, colour: Colour, facing: float) -> Colour:
        """Return a colour on a roof that faces an angle of this frame: lighter towards the sun."""
        return _scaled(colour, 0.95 - 0.2 * float(np.cos(facing - self._shadow_angle)))

    def sunward(self, distance: float) -> np.ndarray:
        """Return the point (2,) at a distance from the centre towards the sun, units."""
        return -distance * np.array([np.cos(self._shadow_angle), np.sin(self._shadow_angle)])

    def finish(self) -> Sprite:
        """Return the drawing at the resolution of the image."""
        colours = np.asarray(self._colours.reduce(SUPERSAMPLING), np.float32)
        return Sprite(colours, self._mask.reduce(SUPERSAMPLING), self.corner)

    def _to_pixels(self, points: np.ndarray) -> list[float]:
        """Convert points (n, 2) to supersampled pixels, flat as Pillow takes them."""
        item = self._item
        world = rotate(points, item.angle, item.x, item.y) * self._pixels_per_unit
        return (world - np.array(self.corner) * SUPERSAMPLING).ravel().tolist()


def render_object(item: SceneObject, size: int, shadow_angle: float) -> Sprite:
    """Render an object.

    Args:
        item: the object.
        size: side of the whole image, pixels.
        shadow_angle: direction in which shadows fall, radians.
    """
    canvas = SpriteCanvas(item, size, shadow_angle)
    _PAINTERS[item.kind](canvas, item)
    return canvas.finish()


def render_tree(tree: Tree, size: int, random: np.random.Generator) -> Sprite:
    """Render an uneven dark crown of overlapping clumps, lighter ones on top.

    Args:
        tree: the tree.
        size: side of the whole image, pixels.
        random: source of its colour and clumps.
    """
    scale = size / WORLD_SIZE
    reach = int(np.ceil(1.5 * tree.radius * scale)) + 1
    corner = (round(tree.x * scale) - reach, round(tree.y * scale) - reach)
    green = np.array([56, 90, 46]) + random.normal(0, 9) + random.normal(0, 5, 3)
    side = 2 * reach * SUPERSAMPLING
    colours = Image.new("RGB", (side, side), tuple(green.astype(int)))
    mask = Image.new("L", colours.size)
    for light, spread, radius in ((0, 0.55, 0.62), (18, 0.5, 0.36), (36, 0.45, 0.2)):
        for offset in random.normal(0, spread * 0.6, (6, 2)).clip(-0.7, 0.7):
            clump = disc(radius * tree.radius, 14) + (offset * tree.radius)
            pixels = ((clump * scale + reach) * SUPERSAMPLING).ravel().tolist()
            ImageDraw.Draw(mask).polygon(pixels, fill=255)
            ImageDraw.Draw(colours).polygon(pixels, fill=tuple((green + light).astype(int)))
    crown = colours.reduce(SUPERSAMPLING).filter(ImageFilter.SMOOTH)
    return Sprite(np.asarray(crown, np.float32), mask.reduce(SUPERSAMPLING), corner)


def _scaled(colour: Colour, brightness: float) -> Colour:
    """Return a colour with its brightness multiplied."""
    red, green, blue = (min(255.0, channel * brightness) for channel in colour)
    return red, green, blue


def _faded(colour: Colour) -> Colour:
    """Return a colour nearer to grey that still has the same name."""
    mean = sum(colour) / 3
    red, green, blue = (0.75 * channel + 0.25 * mean for channel in colour)
    return red, green, blue


def _to_rgb(colour: Colour) -> tuple[int, int, int]:
    """Round a colour to what Pillow takes."""
    red, green, blue = (min(255, max(0, round(channel))) for channel in colour)
    return red, green, blue


def _plane(canvas: SpriteCanvas, item: SceneObject) -> None:
    """Draw wings darker than the body, a stripe, a windscreen, and engines or a propeller."""
    colour = COLOUR_RGB[item.colour]
    body, wings, tail, *engines = silhouette(item)
    for engine in engines:
        canvas.fill(engine, colour, 0.55)
    canvas.fill(wings, colour, 0.9)
    canvas.fill(tail, colour, 0.8)
    if item.style == 0:
        flaps = np.array([[-0.1, -0.4], [-0.09, 0], [-0.1, 0.4]])
        canvas.line(flaps * canvas.scale, 0.7, colour, 0.7)
    canvas.fill(body, colour, 1.06)
    canvas.line(np.array([[-0.45, 0.0], [0.3, 0.0]]) * canvas.scale, 0.8, colour, 0.86)
    canvas.fill_rectangle((0.36, 0.42, -0.035, 0.035), _GLASS)


def _ship(canvas: SpriteCanvas, item: SceneObject) -> None:
    """Draw a freighter with hatches and a bridge, or a yacht with a cabin and a pale deck."""
    colour = COLOUR_RGB[item.colour]
    hull = silhouette(item)[0]
    canvas.fill(hull, colour, 0.62)
    canvas.fill(hull * 0.9, colour)
    if item.style == 0:
        for left in (-0.14, 0.04, 0.22):
            canvas.fill_rectangle((left, left + 0.13, -0.3, 0.3), colour, 0.72)
        canvas.fill_rectangle((-0.4, -0.22, -0.4, 0.4), COLOUR_RGB["white"], 0.97)
        canvas.fill_rectangle((-0.27, -0.235, -0.33, 0.33), _GLASS)
    else:
        canvas.fill_rectangle((-0.3, 0.12, -0.26, 0.26), COLOUR_RGB["white"], 0.98)
        canvas.fill_rectangle((0.03, 0.12, -0.22, 0.22), _GLASS)
        canvas.fill_rectangle((-0.42, -0.34, -0.3, 0.3), COLOUR_RGB["brown"], 1.15)


def _court(canvas: SpriteCanvas, item: SceneObject) -> None:
    """Draw a tennis court: a dark surround, the field, its white lines and the net."""
    colour = COLOUR_RGB[item.colour]
    canvas.fill(silhouette(item)[0], colour, 0.72)
    canvas.fill_rectangle((-0.39, 0.39, -0.36, 0.36), colour, 1.08)
    closed = [0, 1, 2, 3, 0]
    lines = [
        rectangle(-0.39, 0.39, -0.36, 0.36)[closed],
        rectangle(-0.39, 0.39, -0.26, 0.26)[closed],
        rectangle(-0.21, 0.21, -0.26, 0.26)[closed],
        np.array([[-0.21, 0], [0.21, 0]]),
    ]
    for points in lines:
        canvas.line(points * canvas.scale, 0.75, _COURT_LINE)
    canvas.line(np.array([[0, -0.42], [0, 0.42]]) * canvas.scale, 0.9, _NET)


def _tank(canvas: SpriteCanvas, item: SceneObject) -> None:
    """Draw a storage tank with a domed roof, lighter towards the sun, or with a floating roof."""
    colour, radius = COLOUR_RGB[item.colour], item.length / 2
    canvas.fill(disc(radius), colour, 0.6)
    canvas.fill(disc(radius * 0.9), colour, 0.95)
    if item.style == 0:
        for size in (0.75, 0.55, 0.35):
            roof = disc(radius * size) + canvas.sunward(radius * 0.9 * (0.8 - size) / 2)
            canvas.fill(roof, colour, 1.13 - 0.2 * size)
        canvas.fill(disc(radius * 0.1, 12), colour, 0.6)
        for angle in np.arange(0, np.pi, np.pi / 4):
            spoke = rotate(np.array([[-0.86, 0], [0.86, 0]]) * radius, float(angle))
            canvas.line(spoke, 0.3, colour, 0.86)
    else:
        canvas.fill(disc(radius * 0.78) + canvas.sunward(radius * 0.1), colour, 0.72)
        canvas.fill(disc(radius * 0.7) - canvas.sunward(radius * 0.02), colour, 1.05)
        canvas.line(np.array([[0.0, 0.0], [0.84, 0.0]]) * radius, 0.9, colour, 0.62)


def _vehicle(canvas: SpriteCanvas, item: SceneObject) -> None:
    """Draw a car: its body, windows around a lighter roof, and head lamps."""
    colour = COLOUR_RGB[item.colour]
    for part in silhouette(item):
        canvas.fill(part, colour, 0.78)
    canvas.fill_rectangle((-0.45, 0.45, -0.38, 0.38), colour, 1.02)
    windows = np.array([[0.22, -0.37], [0.22, 0.37], [-0.36, 0.37], [-0.36, -0.37]])
    canvas.fill(windows * canvas.scale, _GLASS)
    canvas.fill_rectangle((-0.25, 0.08, -0.3, 0.3), colour, 1.12)
    for side in (-0.3, 0.3):
        canvas.fill_rectangle((0.43, 0.48, side - 0.09, side + 0.09), _HEAD_LAMP)


def _building(canvas: SpriteCanvas, item: SceneObject) -> None:
    """Draw a gabled, hipped or flat roof; slopes towards the sun are lighter."""
    if item.style == 2:
        _flat_roof(canvas, item)
        return
    colour = _faded(COLOUR_RGB[item.colour])
    ridge = 0.5 if item.style == 0 else 0.5 - 0.5 * item.width / item.length
    tips = np.array([[-ridge, 0.0], [ridge, 0.0]])
    corners = rectangle(-0.5, 0.5, -0.5, 0.5)
    slopes = {
        -np.pi / 2: np.array([corners[0], corners[1], tips[1], tips[0]]),
        0.0: np.array([corners[1], corners[2], tips[1]]),
        np.pi / 2: np.array([corners[2], corners[3], tips[0], tips[1]]),
        np.pi: np.array([corners[3], corners[0], tips[0]]),
    }
    for facing, slope in slopes.items():
        canvas.fill(slope * canvas.scale, canvas.slope_colour(colour, facing))
    for y in (-0.38, -0.26, -0.14, 0.14, 0.26, 0.38):
        reach = 0.5 - (0.5 - ridge) * (1 - 2 * abs(y))
        tiles = np.array([[-reach, y], [reach, y]]) * canvas.scale
        canvas.line(tiles, 0.4, canvas.slope_colour(colour, np.pi / 2 * np.sign(y)), 0.92)
    canvas.line(tips * canvas.scale, 0.9, colour, 1.12)
    if ridge < 0.5:
        for corner, tip in zip(corners, tips[[0, 1, 1, 0]], strict=True):
            canvas.line(np.array([corner, tip]) * canvas.scale, 0.6, colour, 1.06)
    chimney = rectangle(0.2, 0.2, 0.16, 0.16) * canvas.scale + rectangle(-1.6, 1.6, -1.6, 1.6)
    canvas.fill(chimney, COLOUR_RGB["brown"], 0.6)


def _flat_roof(canvas: SpriteCanvas, item: SceneObject) -> None:
    """Draw an L-shaped flat roof with a light parapet, plant rooms and skylights."""
    colour, grey = _faded(COLOUR_RGB[item.colour]), COLOUR_RGB["grey"]
    for part in silhouette(item):
        canvas.fill(part, colour, 1.1)
    outline = np.array(
        [[-0.5, -0.5], [0.5, -0.5], [0.5, 0.08], [0.0, 0.08], [0.0, 0.5], [-0.5, 0.5]]
    )
    inset = np.array([[1, 1], [-1, 1], [-1, -1], [-1, -1], [-1, -1], [1, -1]]) * 1.8
    canvas.fill(outline * canvas.scale + inset, colour, 0.86)
    plant_room = rectangle(-2.4, 2.4, -2.0, 2.0)
    for centre in np.array([(-0.3, -0.25), (0.28, -0.2), (-0.25, 0.25)]) * canvas.scale:
        canvas.fill(plant_room + centre, grey, 0.7)
        canvas.fill(plant_room * 0.7 + centre, grey, 1.15)
    seam = np.array([[-0.5, -0.02], [0.0, -0.02]]) * canvas.scale
    canvas.fill(stroke(seam[0] + (2, 0), seam[1], 0.7), colour, 0.75)


_PAINTERS: dict[str, Callable[[SpriteCanvas, SceneObject], None]] = {
    "plane": _plane,
    "ship": _ship,
    "court": _court,
    "tank": _tank,
    "vehicle": _vehicle,
    "building": _building,
}
