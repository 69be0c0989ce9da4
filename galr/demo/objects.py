"""The object classes: silhouettes, sizes, heights and colours, and objects sampled from them."""

import numpy as np

from galr.demo.geometry import bounding_box, disc, rectangle, rotate
from galr.demo.scene import SceneObject

Colour = tuple[float, float, float]  # RGB in [0, 255]
MAX_PER_KIND = 8  # objects of a kind in a scene
COLOUR_RGB: dict[str, Colour] = {
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
OBJECT_COLOURS = {
    "plane": ("white", "grey", "red", "yellow", "blue"),
    "ship": ("white", "red", "orange", "grey", "green", "black"),
    "court": ("green", "blue", "red", "orange"),
    "tank": ("white", "grey", "brown", "blue", "green"),
    "vehicle": ("white", "red", "blue", "yellow", "black", "orange"),
    "building": ("red", "brown", "grey", "white", "blue"),
}
OBJECT_HEIGHTS = {  # units; they give the length of the shadow
    "plane": 5,
    "ship": 4,
    "court": 0,
    "tank": 8,
    "vehicle": 2.5,
    "building": 9,
}
OBJECT_SIZES = {  # smallest and largest length (units), and width (as a fraction of the length)
    "plane": (28, 46, 0.86, 1.08),
    "ship": (28, 52, 0.29, 0.36),
    "court": (34, 46, 0.52, 0.56),
    "tank": (15, 30, 1.0, 1.0),
    "vehicle": (17, 23, 0.47, 0.52),
    "building": (27, 46, 0.58, 0.8),
}
_LOW_CONTRAST = {  # colours that are hard to tell from the surface below
    "water": {"blue", "grey", "green", "black"},
    "grass": {"green"},
    "field": {"green", "brown"},
    "bank": {"green"},
    "island": {"green"},
    "infield": {"green"},
    "sand": {"brown", "orange"},
    "beach": {"brown", "orange", "white"},
    "asphalt": {"black", "grey"},
    "road": {"black", "grey"},
    "runway": {"black", "grey"},
    "apron": {"grey"},
    "quay": {"grey"},
    "yard": {"grey", "brown"},
    "track": {"brown", "orange"},
}


def _mirrored(half: list[tuple[float, float]]) -> np.ndarray:
    """Complete a half outline (y at least 0, from front to back) by its mirror image."""
    points = np.array(half)
    return np.concatenate([points, points[::-1] * (1, -1)])


# As fractions of length and width, front ahead: body, wings, tail.
_JET = (
    _mirrored([(0.5, 0.012), (0.45, 0.045), (0.36, 0.062), (-0.3, 0.055), (-0.5, 0.015)]),
    _mirrored([(0.17, 0.04), (-0.1, 0.5), (-0.18, 0.5), (-0.12, 0.04)]),
    _mirrored([(-0.34, 0.03), (-0.46, 0.2), (-0.5, 0.2), (-0.46, 0.03)]),
    _mirrored([(0.13, 0.2), (0.13, 0.255), (-0.01, 0.255), (-0.01, 0.2)]),  # engines
)
_PROPELLER = (
    _mirrored([(0.5, 0.02), (0.44, 0.06), (0.1, 0.07), (-0.45, 0.02), (-0.5, 0.02)]),
    _mirrored([(0.26, 0.05), (0.24, 0.48), (0.2, 0.5), (0.07, 0.5), (0.04, 0.05)]),
    _mirrored([(-0.36, 0.02), (-0.38, 0.21), (-0.49, 0.21), (-0.49, 0.02)]),
)
_FREIGHTER = (_mirrored([(0.5, 0.02), (0.42, 0.3), (0.3, 0.5), (-0.44, 0.5), (-0.5, 0.36)]),)
_YACHT = (
    _mirrored([(0.5, 0.01), (0.34, 0.2), (0.12, 0.42), (-0.1, 0.5), (-0.42, 0.45), (-0.5, 0.34)]),
)
_CAR = (
    _mirrored([(0.46, 0.36), (0.4, 0.5), (-0.42, 0.5), (-0.5, 0.4)]),
    _mirrored([(0.5, 0.26), (0.4, 0.46), (-0.4, 0.46), (-0.46, 0.3)]),  # bonnet
)
_BLOCK = (rectangle(-0.5, 0.5, -0.5, 0.5),)
_L_SHAPE = (rectangle(-0.5, 0.5, -0.5, 0.08), rectangle(-0.5, 0.0, -0.5, 0.5))

# The parts of each style of each kind.
SILHOUETTES: dict[str, tuple[tuple[np.ndarray, ...], ...]] = {
    "plane": (_JET, _PROPELLER),
    "ship": (_FREIGHTER, _YACHT),
    "court": (_BLOCK,),
    "tank": ((disc(0.5),), (disc(0.5),)),  # fixed roof, floating roof
    "vehicle": (_CAR,),
    "building": (_BLOCK, _BLOCK, _L_SHAPE),  # gabled, hipped, flat
}


def silhouette(item: SceneObject) -> list[np.ndarray]:
    """Return the polygons that together cover an object.

    Returns:
        Polygons (corners, 2) float in units, about the object's centre, its heading along x.
    """
    return [part * (item.length, item.width) for part in SILHOUETTES[item.kind][item.style]]


def world_silhouette(item: SceneObject) -> list[np.ndarray]:
    """Return the polygons (corners, 2) that together cover an object, in world coordinates."""
    return [rotate(part, item.angle, item.x, item.y) for part in silhouette(item)]


def object_bounds(item: SceneObject) -> tuple[float, float, float, float]:
    """Return the exact axis-aligned box (left, top, right, bottom) of an object, units."""
    return bounding_box(np.concatenate(world_silhouette(item)))


def make_objects(
    random: np.random.Generator, kind: str, count: int, surface: str, scale: float = 1.0
) -> list[SceneObject]:
    """Sample equal objects of a kind in one or two colours, all at the origin.

    Args:
        random: source of size, colours and style.
        kind: one of `KINDS`.
        count: from 1 to `MAX_PER_KIND`; objects of large groups are smaller.
        surface: what they will stand on; their colours differ from it.
        scale: factor on their size, below 1 where space is scarce.

    Returns:
        `count` objects that differ in colour only.
    """
    shortest, longest, slimmest, widest = OBJECT_SIZES[kind]
    crowd = (count - 1) / (MAX_PER_KIND - 1)
    length = scale * random.uniform(shortest, longest - 0.5 * (longest - shortest) * crowd)
    width = length * random.uniform(slimmest, widest)
    visible = [name for name in OBJECT_COLOURS[kind] if name not in _LOW_CONTRAST[surface]]
    colours = random.permutation(visible)[:2]
    in_second = int(random.integers(1, count)) if count > 1 and random.random() < 0.35 else 0
    style = int(random.integers(len(SILHOUETTES[kind])))
    return [
        SceneObject(kind, 0, 0, 0, length, width, str(colours[int(index < in_second)]), style)
        for index in random.permutation(count)
    ]
