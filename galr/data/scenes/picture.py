"""A scene becomes a picture and the boxes of what is seen on it."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from galr.data.scenes.brush import HEIGHTS, Sprite, draw
from galr.data.scenes.ground import FINE, noise, paint, shadow_of
from galr.data.scenes.scene import Scene, Tree
from galr.data.scenes.shapes import SIDE, disc


def picture_of(
    scene: Scene, size: int, random: np.random.Generator
) -> tuple[np.ndarray, list[tuple[int, int, int, int]]]:
    """Draw a scene.

    Args:
        scene: what is there.
        size: side of the picture, pixels.
        random: what textures, leaves and grain are drawn from.

    Returns:
        The picture, (size, size, 3) uint8 RGB, and for each of `scene.things` its exact box
        (left, top, right, bottom), right and bottom exclusive: the pixels of which the thing
        covers at least half.
    """
    picture = paint(scene.landscape.layers, size, scene.sun, random)
    sprites = [draw(thing, size, scene.sun) for thing in scene.things]
    woods = [_tree(tree, size, random) for tree in scene.trees]
    heights = [HEIGHTS[thing.kind] for thing in scene.things] + [4 for _ in woods]
    shadow = shadow_of(
        [
            (sprite.mask, sprite.corner, height)
            for sprite, height in zip(sprites + woods, heights, strict=True)
            if height
        ],
        size,
        scene.sun,
    )
    picture *= 1 - 0.5 / 255 * np.asarray(shadow, np.float32)[..., None]
    for sprite in woods + sprites:
        _lay(sprite, picture)
    return _developed(picture, scene, random), [_seen(sprite) for sprite in sprites]


def _lay(sprite: Sprite, picture: np.ndarray) -> None:
    """Lay a sprite on the picture (size, size, 3), which changes; what juts out is cut off."""
    size = len(picture)
    left, top = sprite.corner
    rows = slice(max(0, -top), min(sprite.mask.height, size - top))
    columns = slice(max(0, -left), min(sprite.mask.width, size - left))
    share = np.asarray(sprite.mask, np.float32)[rows, columns, None] / 255
    below = picture[top + rows.start : top + rows.stop, left + columns.start : left + columns.stop]
    below += share * (sprite.colours[rows, columns] - below)


def _seen(sprite: Sprite) -> tuple[int, int, int, int]:
    """The box of the pixels that are at least half the thing's."""
    box = sprite.mask.point(lambda share: 255 * (share >= 128)).getbbox()
    assert box is not None, "every kind is larger than a pixel at any size that is allowed"
    left, top = sprite.corner
    return box[0] + left, box[1] + top, box[2] + left, box[3] + top


def _tree(tree: Tree, size: int, random: np.random.Generator) -> Sprite:
    """An uneven dark crown of overlapping clumps, lighter ones last."""
    scale = size / SIDE
    reach = int(np.ceil(1.5 * tree.radius * scale)) + 1
    corner = (round(tree.x * scale) - reach, round(tree.y * scale) - reach)
    green = np.array([56, 90, 46]) + random.normal(0, 9) + random.normal(0, 5, 3)
    colours = Image.new("RGB", (2 * reach * FINE, 2 * reach * FINE), tuple(green.astype(int)))
    mask = Image.new("L", colours.size)
    for light, spread, part in ((0, 0.55, 0.62), (18, 0.5, 0.36), (36, 0.45, 0.2)):
        for offset in random.normal(0, spread * 0.6, (6, 2)).clip(-0.7, 0.7):
            clump = disc(part * tree.radius, 14) + (offset * tree.radius)
            pixels = ((clump * scale + reach) * FINE).ravel().tolist()
            ImageDraw.Draw(mask).polygon(pixels, fill=255)
            ImageDraw.Draw(colours).polygon(pixels, fill=tuple((green + light).astype(int)))
    crown = colours.reduce(FINE).filter(ImageFilter.SMOOTH)
    return Sprite(np.asarray(crown, np.float32), mask.reduce(FINE), corner)


def _developed(picture: np.ndarray, scene: Scene, random: np.random.Generator) -> np.ndarray:
    """Give a picture its light, drifting thin clouds and the grain of a camera."""
    size = len(picture)
    haze = 1 + 0.025 * noise(random, size, 90)[..., None]
    grain = random.standard_normal((size, size, 1), np.float32) * 2
    developed = picture * haze * np.array(scene.light, np.float32) + grain
    return developed.clip(0, 255).round().astype(np.uint8)
