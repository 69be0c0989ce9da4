"""The outline of every kind of thing: what of the picture is its own, and so its box."""

import numpy as np

from galr.data.scenes.scene import Thing
from galr.data.scenes.shapes import box, disc, extent, turned


def _both_sides(half: list[tuple[float, float]]) -> np.ndarray:
    """Complete a half outline (y at least 0, from front to back) by its mirror image."""
    there = np.array(half)
    return np.concatenate([there, there[::-1] * (1, -1)])


# In parts of length and width, nose ahead: body, wings, tail.
_JET = (
    _both_sides([(0.5, 0.012), (0.45, 0.045), (0.36, 0.062), (-0.3, 0.055), (-0.5, 0.015)]),
    _both_sides([(0.17, 0.04), (-0.1, 0.5), (-0.18, 0.5), (-0.12, 0.04)]),
    _both_sides([(-0.34, 0.03), (-0.46, 0.2), (-0.5, 0.2), (-0.46, 0.03)]),
    _both_sides([(0.13, 0.2), (0.13, 0.255), (-0.01, 0.255), (-0.01, 0.2)]),  # engines
)
_PROPELLER = (
    _both_sides([(0.5, 0.02), (0.44, 0.06), (0.1, 0.07), (-0.45, 0.02), (-0.5, 0.02)]),
    _both_sides([(0.26, 0.05), (0.24, 0.48), (0.2, 0.5), (0.07, 0.5), (0.04, 0.05)]),
    _both_sides([(-0.36, 0.02), (-0.38, 0.21), (-0.49, 0.21), (-0.49, 0.02)]),
)
_FREIGHTER = (_both_sides([(0.5, 0.02), (0.42, 0.3), (0.3, 0.5), (-0.44, 0.5), (-0.5, 0.36)]),)
_YACHT = (
    _both_sides([(0.5, 0.01), (0.34, 0.2), (0.12, 0.42), (-0.1, 0.5), (-0.42, 0.45), (-0.5, 0.34)]),
)
_CAR = (_both_sides([(0.46, 0.36), (0.4, 0.5), (-0.42, 0.5), (-0.5, 0.4)]),)
_CAR_NOSE = (_both_sides([(0.5, 0.26), (0.4, 0.46), (-0.4, 0.46), (-0.46, 0.3)]),)
_BLOCK = (box(-0.5, 0.5, -0.5, 0.5),)
_L_SHAPE = (box(-0.5, 0.5, -0.5, 0.08), box(-0.5, 0.0, -0.5, 0.5))

STYLES: dict[str, tuple[tuple[np.ndarray, ...], ...]] = {
    "plane": (_JET, _PROPELLER),
    "ship": (_FREIGHTER, _YACHT),
    "court": (_BLOCK,),
    "tank": ((disc(0.5),), (disc(0.5),)),  # fixed roof, floating roof
    "vehicle": (_CAR + _CAR_NOSE,),
    "building": (_BLOCK, _BLOCK, _L_SHAPE),  # gabled, hipped, flat
}


def outline(thing: Thing) -> list[np.ndarray]:
    """The polygons, in the thing's own frame and in units, whose union is its silhouette."""
    return [part * (thing.length, thing.width) for part in STYLES[thing.kind][thing.style]]


def bounds(thing: Thing) -> tuple[float, float, float, float]:
    """The exact axis-aligned box (left, top, right, bottom) of a thing in the world, units."""
    return extent(turned(np.concatenate(outline(thing)), thing.angle, thing.x, thing.y))
