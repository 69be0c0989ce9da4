"""The ground of an image: materials, the layers of a landscape, and shadows.

Images here are (y, x) arrays of `size` pixels a side that show the whole world. The random draws do
not depend on the size, so every size shows the same ground.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from galr.demo.geometry import WORLD_SIZE
from galr.demo.scene import Layer

SUPERSAMPLING = 4  # masks are drawn this many times larger and averaged, for smooth edges
Texture = Callable[[np.random.Generator, int, float], np.ndarray]


def smooth_noise(random: np.random.Generator, size: int, cell: float) -> np.ndarray:
    """Sample smooth noise of mean 0 and standard deviation about 1.

    Args:
        random: source of the noise.
        size: side of the image, pixels.
        cell: distance of independent values, units.

    Returns:
        (size, size) float32.
    """
    cells = int(WORLD_SIZE / cell) + 2
    coarse = random.standard_normal((cells, cells)).astype(np.float32)
    window = (0.5, 0.5, 0.5 + WORLD_SIZE / cell, 0.5 + WORLD_SIZE / cell)
    image = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC, box=window)
    return 1.3 * np.asarray(image)


def rotated_coordinates(size: int, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Return every pixel's coordinates along and across a direction.

    Args:
        size: side of the image, pixels.
        angle: the direction, radians.

    Returns:
        Two (size, size) float32 arrays, units.
    """
    steps = ((np.arange(size, dtype=np.float32) + 0.5) * WORLD_SIZE / size)[:, None]
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return steps.T * cos + steps * sin, steps * cos - steps.T * sin


# A texture takes (random, size, angle) and returns the deviation from the layer's mean colour,
# (size, size) float32 in grey levels. Its rows, waves or slabs follow the angle, in radians.


def _water(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of long and short waves that noise bends, with glints on the highest crests."""
    along, across = rotated_coordinates(size, angle)
    bend = smooth_noise(random, size, 40) * 5
    waves = np.zeros((size, size), np.float32)
    for length, height in ((13.0, 2.2), (7.1, 1.6)):
        tilt = random.uniform(-0.25, 0.25)
        crest = (across + tilt * along + bend) * (2 * np.pi / length) + random.uniform(0, 6.3)
        waves += height * np.sin(crest + smooth_noise(random, size, 18))
    waves += 1.5 * smooth_noise(random, size, 3) + 3.5 * smooth_noise(random, size, 70)
    return waves + 9 * np.clip(waves - 6, 0, 2)


def _grass(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of a meadow: patches of three sizes."""
    patches = 6 * smooth_noise(random, size, 50) + 4 * smooth_noise(random, size, 14)
    return patches + 4 * smooth_noise(random, size, 3)


def _lawn(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of mown grass: wide light and dark stripes."""
    _, across = rotated_coordinates(size, angle)
    stripes = np.clip(4 * np.sin(across * (2 * np.pi / 26) + random.uniform(0, 6.3)), -1, 1)
    return 6 * stripes + 3 * smooth_noise(random, size, 20) + 3 * smooth_noise(random, size, 3)


def _crop(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of crop rows, uneven in height, with the wheel marks of a tractor."""
    _, across = rotated_coordinates(size, angle)
    period = random.uniform(5, 8)
    rows = np.sin((across + smooth_noise(random, size, 30)) * (2 * np.pi / period))
    marks = (np.abs((across + random.uniform(0, 60)) % 60 - 4) < 1.2) * -9.0
    heights = 8 + 3 * smooth_noise(random, size, 12)
    return rows * heights + 5 * smooth_noise(random, size, 45) + marks


def _sand(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of dunes: wide shaded swells and fine ripples between them."""
    _, across = rotated_coordinates(size, angle)
    bend = smooth_noise(random, size, 36)
    dunes = np.sin((across + 16 * bend) * (2 * np.pi / 62))
    ripples = np.sin((across + 3 * bend) * (2 * np.pi / 5.5))
    ripples = ripples * np.clip(smooth_noise(random, size, 30), 0, 1)
    return 7 * dunes * np.abs(dunes) + 4 * ripples + 2.5 * smooth_noise(random, size, 3)


def _soil(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of earth and gravel: grainy, with darker spots."""
    grain = 4 * smooth_noise(random, size, 24) + 5 * smooth_noise(random, size, 2.5)
    return grain + 2 * smooth_noise(random, size, 7)


def _asphalt(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of asphalt: fine grain, stains and repairs."""
    stains = np.minimum(smooth_noise(random, size, 22) + 0.3, 0)
    return 3 * smooth_noise(random, size, 2.5) + 5 * stains + 2 * smooth_noise(random, size, 60)


def _concrete(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of concrete slabs in different greys, with dark joints between them."""
    along, across = rotated_coordinates(size, angle)
    pitch = random.uniform(19, 25)
    column, row = along / pitch + 64, across / pitch + 64
    shades = random.normal(size=(128, 128)).astype(np.float32)
    joints = np.minimum(column % 1, row % 1) * pitch < 1.1
    slabs = 3 * shades[row.astype(int) % 128, column.astype(int) % 128] - 11 * joints
    return slabs + 3 * smooth_noise(random, size, 3) + 3 * smooth_noise(random, size, 40)


def _paint(random: np.random.Generator, size: int, angle: float) -> np.ndarray:
    """Texture of slightly worn paint."""
    return 4 * smooth_noise(random, size, 4)


MATERIALS: dict[str, Texture] = {
    "water": _water,
    "grass": _grass,
    "lawn": _lawn,
    "crop": _crop,
    "sand": _sand,
    "soil": _soil,
    "asphalt": _asphalt,
    "concrete": _concrete,
    "paint": _paint,
}
# Factors on a texture in red, green and blue; 1 where nothing is given.
_CHANNEL_WEIGHTS = {"water": (0.8, 1.0, 1.0), "grass": (1.1, 1.0, 0.6), "crop": (1.0, 1.0, 0.6)}


def render_layers(
    layers: tuple[Layer, ...], size: int, shadow_angle: float, random: np.random.Generator
) -> np.ndarray:
    """Render layers over one another, each with its texture, its edge and its shadow.

    Args:
        layers: from the lowest to the highest; the lowest should cover the whole world.
        size: side of the image, pixels.
        shadow_angle: direction in which shadows fall, radians.
        random: source of the textures.

    Returns:
        (size, size, 3) float32, RGB about [0, 255].
    """
    image: np.ndarray = np.zeros((size, size, 3), np.float32)
    for layer in layers:
        texture = MATERIALS[layer.material](random, size, layer.angle)[..., None]
        weights = np.array(_CHANNEL_WEIGHTS.get(layer.material, (1, 1, 1)), np.float32)
        coat = np.array(layer.colour, np.float32) + texture * weights
        if layer.polygons is None:
            image = coat
            continue
        mask = _coverage(layer.polygons, size)
        if layer.height:
            shadow = cast_shadows([(mask, (0, 0), layer.height)], size, shadow_angle)
            image *= 1 - 0.4 * _fraction(shadow)
        if layer.edge_width:
            edge = _fraction(
                mask.filter(ImageFilter.GaussianBlur(layer.edge_width * size / WORLD_SIZE))
            )
            coat += 40 * (4 * edge * (1 - edge)) ** 2
        image += _fraction(mask) * (coat - image)
    return image


def cast_shadows(
    masks: list[tuple[Image.Image, tuple[int, int], float]], size: int, shadow_angle: float
) -> Image.Image:
    """Return the soft shadow of upright objects.

    Args:
        masks: of each object its mask (mode `L`), the image pixel (x, y) of the mask's top left
            corner, and its height in units.
        size: side of the image, pixels.
        shadow_angle: direction in which shadows fall, radians.

    Returns:
        An image of mode `L`, 255 in full shadow; the ground below the objects is in shadow too.
    """
    shadow = Image.new("L", (size, size))
    for mask, (left, top), height in masks:
        reach = height * size / WORLD_SIZE
        steps = max(1, round(reach / 2))
        for step in range(1, steps + 1):
            distance = reach * step / steps
            x = left + round(distance * np.cos(shadow_angle))
            y = top + round(distance * np.sin(shadow_angle))
            shadow.paste(255, (x, y), mask)
    return shadow.filter(ImageFilter.GaussianBlur(0.8 * size / WORLD_SIZE))


def _coverage(polygons: tuple[np.ndarray, ...], size: int) -> Image.Image:
    """Return how much of each pixel polygons of the world cover: mode `L`, 255 is all of it."""
    fine = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    pen = ImageDraw.Draw(fine)
    for polygon in polygons:
        pen.polygon((polygon * (size * SUPERSAMPLING / WORLD_SIZE)).ravel().tolist(), fill=255)
    return fine.reduce(SUPERSAMPLING)


def _fraction(mask: Image.Image) -> np.ndarray:
    """Return a mask of mode `L` as (size, size, 1) float32 in [0, 1]."""
    return np.asarray(mask, np.float32)[..., None] / 255
