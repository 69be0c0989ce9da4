"""Arrangements of equal objects, as poses: (objects, 3) float of x, y (units) and heading (radians).

Most are built about the origin and moved to their position later. The axis-aligned boxes of their
objects keep `MIN_GAP` from one another in every direction.
"""

from dataclasses import replace

import numpy as np

from galr.demo.geometry import WORLD_SIZE
from galr.demo.objects import object_bounds
from galr.demo.scene import Landscape, LinearFeature, SceneObject

MIN_GAP = 4.0  # units between the axis-aligned boxes of two objects
BORDER = 5.0  # units between an object's box and the edge of the world
LANES = ("road", "track", "runway")  # narrow surfaces whose direction objects follow


def rotated_extent(length: float, width: float, angle: float) -> tuple[float, float]:
    """Return the extent in x and in y of a rectangle that is rotated by an angle, units."""
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    return float(length * cos + width * sin), float(length * sin + width * cos)


def min_spacing(length: float, width: float, heading: float, direction: float) -> float:
    """Return the smallest distance of two equal objects in a direction that keeps `MIN_GAP`."""
    extent_x, extent_y = rotated_extent(length, width, heading)
    cos, sin = abs(np.cos(direction)), abs(np.sin(direction))
    return float(min((extent_x + MIN_GAP) / max(cos, 1e-9), (extent_y + MIN_GAP) / max(sin, 1e-9)))


def too_close(boxes: np.ndarray, occupied: np.ndarray) -> bool:
    """Tell whether a box is nearer than `MIN_GAP` to another of `boxes` or to an occupied one.

    Args:
        boxes: (n, 4) float: left, top, right, bottom, units.
        occupied: (m, 4) float, likewise; m may be 0.
    """
    everything = np.concatenate([boxes, occupied])
    gap = MIN_GAP - 0.01  # arrangements keep exactly the gap; this allows for rounding
    apart = (boxes[:, None, :2] >= everything[None, :, 2:] + gap) | (
        boxes[:, None, 2:] + gap <= everything[None, :, :2]
    )
    near = np.logical_not(apart.any(axis=2))
    return int(near.sum()) > len(boxes)  # each box is near itself


def apply_poses(objects: list[SceneObject], poses: np.ndarray) -> list[SceneObject]:
    """Return the objects at poses (objects, 3)."""
    return [
        replace(item, x=float(x), y=float(y), angle=float(angle))
        for item, (x, y, angle) in zip(objects, poses, strict=True)
    ]


def random_direction(random: np.random.Generator, axis: float, surface: str | None) -> float:
    """Sample a direction: along the axis on a lane, elsewhere mostly along or across it, radians."""
    if surface in LANES:
        return axis + np.pi * random.integers(2)
    if random.random() < 0.75:
        return axis + np.pi / 2 * random.integers(4)
    return random.uniform(0, 2 * np.pi)


def row(
    count: int, length: float, width: float, heading: float, direction: float, slack: float = 1.1
) -> np.ndarray:
    """Arrange objects in a straight row about the origin.

    Args:
        count: number of objects.
        length: of an object, units.
        width: of an object, units.
        heading: of every object, radians.
        direction: of the row, radians.
        slack: factor on the smallest possible spacing, at least 1.

    Returns:
        Poses (count, 3).
    """
    spacing = slack * min_spacing(length, width, heading, direction)
    along = spacing * (np.arange(count) - (count - 1) / 2)
    return np.column_stack(
        [along * np.cos(direction), along * np.sin(direction), np.full(count, heading)]
    )


def two_rows(
    count: int, length: float, width: float, heading: float, direction: float, slack: float = 1.1
) -> np.ndarray:
    """Arrange an even number of objects in two rows side by side; arguments as of `row`."""
    half = row(count // 2, length, width, heading, direction, slack)
    across = direction + np.pi / 2
    distance = 1.15 * min_spacing(length, width, heading, across) / 2
    offset = np.array([np.cos(across), np.sin(across), 0.0]) * distance
    return np.concatenate([half - offset, half + offset])


def ring(
    random: np.random.Generator, count: int, length: float, width: float, inner: float = 0.0
) -> np.ndarray:
    """Arrange objects at equal angles on a circle about the origin.

    They all face outwards, or all inwards, or all along the circle.

    Args:
        random: source of the heading and of the first angle.
        count: at least 3.
        length: of an object, units.
        width: of an object, units.
        inner: radius that is kept free about the origin, units; 0 keeps none.

    Returns:
        Poses (count, 3).
    """
    turn = (0, np.pi / 2, np.pi)[random.integers(3)]
    angles = random.uniform(0, 6.3) + np.arange(count) * 2 * np.pi / count
    extents = np.array([rotated_extent(length, width, angle + turn) for angle in angles])
    unit = np.column_stack([np.cos(angles), np.sin(angles)])
    needed = (extents + np.roll(extents, 1, 0)) / 2 + MIN_GAP
    apart = np.abs(unit - np.roll(unit, 1, 0))  # of neighbours, on a circle of radius 1
    smallest = float((needed / np.maximum(apart, 1e-9)).min(1).max())
    reach = float(np.hypot(length, width)) / 2
    radius = max(smallest, inner + reach + MIN_GAP if inner else 1.2 * reach)
    return np.column_stack([unit * radius, angles + turn])


def together(
    random: np.random.Generator, count: int, length: float, width: float, heading: float
) -> np.ndarray:
    """Pack objects like bricks in a wall, as close as `MIN_GAP` allows; poses (count, 3)."""
    cell = np.array(rotated_extent(length, width, heading)) + MIN_GAP
    steps = np.array([(x + 0.5 * (y % 2), y) for y in range(-3, 4) for x in range(-3, 4)])
    if random.random() < 0.5:
        steps = steps[:, ::-1]
    centres = steps * cell * 1.02
    middle = random.uniform(-0.5, 0.5, 2) * cell
    nearest = np.argsort(np.hypot(*(centres - middle).T), kind="stable")[:count]
    return np.column_stack([centres[nearest], np.full(count, heading)])


def along_feature(
    random: np.random.Generator, feature: LinearFeature, count: int, length: float, width: float
) -> np.ndarray | None:
    """Arrange objects beside a feature, on one side or on both, all parallel to it or all across.

    Args:
        random: source of heading, spacing, sides and position.
        feature: what they stand along.
        count: number of objects.
        length: of an object, units.
        width: of an object, units.

    Returns:
        Poses (count, 3) in the world, or None when the feature is too short.
    """
    way = feature.end - feature.start
    reach, direction = float(np.hypot(*way)), float(np.arctan2(way[1], way[0]))
    parallel = random.random() < 0.6
    heading = direction if parallel else direction + np.pi / 2
    spacing = min_spacing(length, width, heading, direction) * random.uniform(1.02, 1.3)
    sides = random.permutation([-1, 1])[: random.integers(1, 3)]
    columns = -(-count // len(sides))
    if (columns - 1) * spacing > reach - spacing:
        return None
    start = random.uniform(0.5 * spacing, reach - (columns - 0.5) * spacing)
    offset = (feature.width + (width if parallel else length)) / 2 + MIN_GAP
    positions = [
        (start + spacing * (i // len(sides)), offset * sides[i % len(sides)]) for i in range(count)
    ]
    ahead = way / reach
    normal = np.array([-ahead[1], ahead[0]])
    centres = np.array([feature.start + x * ahead + y * normal for x, y in positions])
    return np.column_stack([centres, np.full(count, heading)])


def parked(
    random: np.random.Generator, landscape: Landscape, count: int, *, in_a_row: bool
) -> np.ndarray | None:
    """Arrange vehicles in marked bays.

    Args:
        random: source of the bays.
        landscape: with at least one parking row.
        count: number of vehicles.
        in_a_row: use neighbouring bays of one row; otherwise any bays inside the world.

    Returns:
        Poses (count, 3) in the world, or None when there are too few bays.
    """
    if in_a_row:
        bays = landscape.parking_rows[random.integers(len(landscape.parking_rows))]
        first = random.integers(len(bays) - count + 1)
        return bays[first : first + count]
    bays = np.concatenate(landscape.parking_rows)
    off_centre = np.abs(bays[:, :2] - WORLD_SIZE / 2).max(axis=1)
    inside = bays[off_centre < WORLD_SIZE / 2 - BORDER - 8]  # 8 units: half a car
    return inside[random.permutation(len(inside))[:count]] if len(inside) >= count else None


def relative_to_anchors(
    random: np.random.Generator,
    objects: list[SceneObject],
    anchors: list[SceneObject],
    arrangement: str,
    axis: float,
) -> np.ndarray | None:
    """Arrange a group about the origin together with the one or two objects it relates to.

    Args:
        random: source of directions.
        objects: the group.
        anchors: two for `between`, one otherwise.
        arrangement: `around`, `between` or `beside`.
        axis: direction of the landscape, radians.

    Returns:
        Poses (objects + anchors, 3), or None when the boxes would be too close.
    """
    count, length, width = len(objects), objects[0].length, objects[0].width
    anchor = anchors[0]
    direction = random_direction(random, axis, None)
    if arrangement == "around":
        inner = float(np.hypot(anchor.length, anchor.width)) / 2
        circle = ring(random, count, length, width, inner)
        return np.concatenate([circle, [[0, 0, direction]]])
    across = bool(random.integers(2))
    heading = direction + np.pi / 2 * across
    line = row(count, length, width, heading, direction)
    if arrangement == "beside":
        sides = [direction + np.pi / 2]
        distance = (anchor.width + (length if across else width)) / 2
    else:
        sides = [direction, direction + np.pi]
        distance = float(np.hypot(*(line[-1] - line[0])[:2])) / 2 + (anchor.length + length) / 2
    for slack in (1.1, 1.25, 1.4):
        beside = [
            [np.cos(side) * distance * slack, np.sin(side) * distance * slack, direction]
            for side in sides
        ]
        poses = np.concatenate([line, beside])
        boxes = np.array([object_bounds(item) for item in apply_poses(objects + anchors, poses)])
        if not too_close(boxes, np.empty((0, 4))):
            return poses
    return None
