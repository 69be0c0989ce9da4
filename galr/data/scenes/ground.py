"""The ground of a picture: noise, materials, and layers painted over one another."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from galr.data.scenes.scene import Layer
from galr.data.scenes.shapes import SIDE

FINE = 4  # a mask is drawn this many times larger and averaged: smooth edges
Texture = Callable[[np.random.Generator, int, float], np.ndarray]


def noise(random: np.random.Generator, size: int, cell: float) -> np.ndarray:
    """Smooth noise of mean 0 and deviation about 1.

    Args:
        random: drawn from equally often whatever the size, so that sizes show the same ground.
        size: side of the picture, pixels.
        cell: distance of independent values, units.

    Returns:
        (size, size) float32.
    """
    cells = int(SIDE / cell) + 2
    coarse = random.standard_normal((cells, cells)).astype(np.float32)
    window = (0.5, 0.5, 0.5 + SIDE / cell, 0.5 + SIDE / cell)
    image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC, box=window)
    return 1.3 * np.asarray(image)


def along_and_across(size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (size, size) of every pixel along and across a direction, units."""
    steps = ((np.arange(size, dtype=np.float32) + 0.5) * SIDE / size)[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return steps.T * cos + steps * sin, steps * cos - steps.T * sin


def water(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Waves: long and short crests that noise bends, with glints on the highest."""
    along, across = along_and_across(size, angle)
    bend = noise(random, size, 40) * 5
    waves = np.zeros((size, size), np.float32)
    for length, height in ((13.0, 2.2), (7.1, 1.6)):
        tilt = random.uniform(-0.25, 0.25)
        crest = (across + tilt * along + bend) * (2 * np.pi / length) + random.uniform(0, 6.3)
        waves += height * np.sin(crest + noise(random, size, 18))
    waves += 1.5 * noise(random, size, 3) + 3.5 * noise(random, size, 70)
    return waves + 9 * np.clip(waves - 6, 0, 2)


def grass(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Meadow: patches of three sizes."""
    return 6 * noise(random, size, 50) + 4 * noise(random, size, 14) + 4 * noise(random, size, 3)


def lawn(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Mown grass: wide light and dark stripes."""
    _, across = along_and_across(size, angle)
    stripes = np.clip(4 * np.sin(across * (2 * np.pi / 26) + random.uniform(0, 6.3)), -1, 1)
    return 6 * stripes + 3 * noise(random, size, 20) + 3 * noise(random, size, 3)


def crop(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Crop rows, uneven in height, and the wheel marks of a tractor."""
    _, across = along_and_across(size, angle)
    period = random.uniform(5, 8)
    rows = np.sin((across + noise(random, size, 30)) * (2 * np.pi / period))
    marks = (np.abs((across + random.uniform(0, 60)) % 60 - 4) < 1.2) * -9.0
    return rows * (8 + 3 * noise(random, size, 12)) + 5 * noise(random, size, 45) + marks


def sand(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Dunes: wide shaded swells and fine ripples between them."""
    _, across = along_and_across(size, angle)
    bend = noise(random, size, 36)
    dunes = np.sin((across + 16 * bend) * (2 * np.pi / 62))
    ripples = np.sin((across + 3 * bend) * (2 * np.pi / 5.5)) * np.clip(
        noise(random, size, 30), 0, 1
    )
    return 7 * dunes * np.abs(dunes) + 4 * ripples + 2.5 * noise(random, size, 3)


def soil(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Earth and gravel: grainy, with darker spots."""
    return 4 * noise(random, size, 24) + 5 * noise(random, size, 2.5) + 2 * noise(random, size, 7)


def asphalt(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Asphalt: fine grain, and stains and repairs drawn out along the way."""
    stains = np.minimum(noise(random, size, 22) + 0.3, 0)
    return 3 * noise(random, size, 2.5) + 5 * stains + 2 * noise(random, size, 60)


def concrete(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Slabs of concrete: each of its own grey, dark joints between them."""
    along, across = along_and_across(size, angle)
    pitch = random.uniform(19, 25)
    column, row = along / pitch + 64, across / pitch + 64
    shades = random.normal(size=(128, 128)).astype(np.float32)
    joints = np.minimum(column % 1, row % 1) * pitch < 1.1
    slabs = shades[row.astype(int) % 128, column.astype(int) % 128]
    return 3 * slabs - 11 * joints + 3 * noise(random, size, 3) + 3 * noise(random, size, 40)


def flat(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Paint on the ground, a little worn."""
    return 4 * noise(random, size, 4)


MATERIALS: dict[str, Texture] = {
    "water": water,
    "grass": grass,
    "lawn": lawn,
    "crop": crop,
    "sand": sand,
    "soil": soil,
    "asphalt": asphalt,
    "concrete": concrete,
    "paint": flat,
}
# How strongly light and dark of a material show in red, green and blue.
_HUES = {"water": (0.8, 1.0, 1.0), "grass": (1.1, 1.0, 0.6), "crop": (1.0, 1.0, 0.6)}


def mask_of(polygons: tuple[np.ndarray, ...], size: int) -> Image.Image:
    """How much of each pixel some polygons of the world cover: `L`, 255 is all of it."""
    fine = Image.new("L", (size * FINE, size * FINE))
    pen = ImageDraw.Draw(fine)
    for polygon in polygons:
        pen.polygon((polygon * (size * FINE / SIDE)).ravel().tolist(), fill=255)
    return fine.reduce(FINE)


def places_of(layers: tuple[Layer, ...]) -> dict[str, np.ndarray]:
    """Where things may stand: for each place a (SIDE, SIDE) bool, indexed by y and x in units."""
    names = list(dict.fromkeys(layer.place for layer in layers if layer.place))
    side = int(SIDE)
    labels = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(labels)
    for layer in layers:
        if layer.place is None:
            continue
        fill = names.index(layer.place)
        for polygon in layer.polygons or (np.array([[0, 0], [side, 0], [side, side], [0, side]]),):
            pen.polygon(polygon.ravel().tolist(), fill=fill)
    grid = np.asarray(labels)
    return {name: grid == index for index, name in enumerate(names)}


def paint(
    layers: tuple[Layer, ...], size: int, sun: float, random: np.random.Generator
) -> np.ndarray:
    """Paint layers over one another, each with its texture, its rim and its shadow.

    Args:
        layers: from the lowest; the first should be everywhere.
        size: side of the picture, pixels.
        sun: direction in which shadows fall, radians.
        random: what the textures are drawn from.

    Returns:
        (size, size, 3) float32, RGB about [0, 255].
    """
    picture: np.ndarray = np.zeros((size, size, 3), np.float32)
    for layer in layers:
        shade = MATERIALS[layer.material](random, size, layer.angle)[..., None]
        hues = np.array(_HUES.get(layer.material, (1, 1, 1)), np.float32)
        coat = np.array(layer.colour, np.float32) + shade * hues
        if layer.polygons is None:
            picture = coat
            continue
        mask = mask_of(layer.polygons, size)
        if layer.height:
            cover = _share(shadow_of([(mask, (0, 0), layer.height)], size, sun))
            picture *= 1 - 0.4 * cover
        if layer.rim:
            edge = mask.filter(ImageFilter.GaussianBlur(layer.rim * size / SIDE))
            coat += 40 * (4 * _share(edge) * (1 - _share(edge))) ** 2
        picture += _share(mask) * (coat - picture)
    return picture


def shadow_of(
    masks: list[tuple[Image.Image, tuple[int, int], float]], size: int, sun: float
) -> Image.Image:
    """The soft shadow of upright things.

    Args:
        masks: of each thing its silhouette (`L`), the pixel of its corner, and its height in units.
        size: side of the picture, pixels.
        sun: direction in which shadows fall, radians.

    Returns:
        A picture `L`, 255 in full shadow; the ground under the things counts as shadow too.
    """
    shadow = Image.new("L", (size, size))
    for mask, (left, top), height in masks:
        reach = height * size / SIDE
        steps = max(1, round(reach / 2))
        for step in range(1, steps + 1):
            far = reach * step / steps
            x, y = left + round(far * np.cos(sun)), top + round(far * np.sin(sun))
            shadow.paste(255, (x, y), mask)
    return shadow.filter(ImageFilter.GaussianBlur(0.8 * size / SIDE))


def _share(mask: Image.Image) -> np.ndarray:
    """A mask as (size, size, 1) float32 in [0, 1]."""
    return np.asarray(mask, np.float32)[..., None] / 255
