"""Put groups of things on a site: in a row, in a ring, along a pier, around something else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from galr.data.scenes import formation
from galr.data.scenes.models import models
from galr.data.scenes.outline import bounds
from galr.data.scenes.scene import Group, Landscape, Thing
from galr.data.scenes.shapes import SIDE
from galr.data.scenes.site import BORDER, Site, crowded

_TRIES = 30
_WAYS = ("road", "track", "runway")  # narrow places, on which things follow the way
_SQUARE = ("court", "building")  # kinds that follow the landscape's axis
Posing = Callable[[], np.ndarray | None]


def settle(random: np.random.Generator, site: Site, kind: str, count: int) -> Group | None:
    """Put things of a kind on the site: in some manner, or anyhow, or fewer of them.

    Returns:
        The group as it stands, or None when not even one thing finds room.
    """
    homes = site.landscape.homes[kind]
    first = homes[random.integers(len(homes))]
    places = [first, *(home for home in dict.fromkeys(homes) if home != first)]
    for place in places:
        for shrink in (1.0, 0.88):
            things = models(random, kind, count, place, shrink)
            for manner, other in _manners(random, site.landscape, kind, count, place):
                group = _stand(random, site, things, place, manner, other)
                if group:
                    return group
    for place in places:
        stood = _one_by_one(random, site, models(random, kind, count, place, 0.88), place)
        if stood:
            return Group(kind, tuple(stood), place)
    return None


def settle_related(
    random: np.random.Generator, site: Site, main: tuple[str, int], anchor: str
) -> list[Group]:
    """Put a group around one thing of another kind, between two of them, or beside one.

    Args:
        random: what is drawn from.
        site: where to; it takes what is put.
        main: the kind and number of the group.
        anchor: the other kind.

    Returns:
        The group and the thing or things it stands by; empty when there is no room.
    """
    kind, count = main
    homes = site.landscape.homes
    shared = [place for place in homes[kind] if place in homes[anchor] and place not in _WAYS]
    if not shared:
        return []
    place = shared[random.integers(len(shared))]
    manner = "around" if count > 4 else ("between", "beside")[random.integers(2)]
    things = models(random, kind, count, place, 0.9)
    anchors = models(random, anchor, 2 if manner == "between" else 1, place, 0.9)

    def poses() -> np.ndarray | None:
        return _related_poses(random, manner, things, anchors, site.landscape.axis)

    stood = _try(random, site, things + anchors, place, poses)
    if not stood:
        return []
    return [
        Group(kind, tuple(stood[:count]), place, manner, anchor),
        Group(anchor, tuple(stood[count:]), place),
    ]


def _manners(
    random: np.random.Generator, landscape: Landscape, kind: str, count: int, place: str
) -> list[tuple[str, str | None]]:
    """The manners in which so many of a kind may stand on a place, in a random order."""
    lines = [line.name for line in landscape.lines if line.place == place]
    if kind == "vehicle" and place == "asphalt":
        plain = ["parked"] + ["parked row"] * 2 * (count > 2)
    elif place in _WAYS:
        plain = ["free"] + ["row"] * 2 * (count > 2)
    else:
        plain = ["free"] * (count < 3) + ["together"] * (count > 1)
        plain += ["row", "row", "scattered"] * (count > 2)
        plain += ["rows"] * (count > 3 and count % 2 == 0)
        plain += ["ring"] * 2 * (count > 4 and kind != "court")
    options: list[tuple[str, str | None]] = [(manner, None) for manner in plain]
    options += [("along", line) for line in lines] * 2
    return [options[i] for i in random.permutation(len(options))]


def _stand(
    random: np.random.Generator,
    site: Site,
    things: list[Thing],
    place: str,
    manner: str,
    other: str | None,
) -> Group | None:
    """Try to let things stand in one manner."""
    kind, count = things[0].kind, len(things)
    length, width, axis = things[0].length, things[0].width, site.landscape.axis
    if manner in ("free", "scattered"):
        apart = 1.5 * float(np.hypot(length, width)) if manner == "scattered" else 0.0
        stood = _one_by_one(random, site, things, place, apart, every=True)
        return Group(kind, tuple(stood), place, manner) if stood else None

    def poses() -> np.ndarray | None:
        direction = _direction(random, axis, place)
        heading = direction + np.pi / 2 * random.integers(2) * (place not in _WAYS)
        slack = random.uniform(1.05, 1.25)
        if manner == "row":
            return formation.row(count, length, width, heading, direction, slack)
        if manner == "rows":
            return formation.two_rows(count, length, width, heading, direction, slack)
        if manner == "ring":
            turn = (0, np.pi / 2, np.pi)[random.integers(3)]
            return formation.ring(count, length, width, turn, random.uniform(0, 6.3))
        if manner == "together":
            return formation.together(random, count, length, width, heading)
        if manner == "along":
            lines = [line for line in site.landscape.lines if line.name == other]
            line = lines[random.integers(len(lines))]
            return formation.along(random, line, count, length, width)
        return _parked(random, site.landscape, count, in_a_row=manner == "parked row")

    fixed = manner in ("along", "parked", "parked row")
    stood = _try(random, site, things, place, poses, fixed=fixed)
    spoken = {"parked": "free", "parked row": "row"}.get(manner, manner)
    return Group(kind, tuple(stood), place, spoken, other) if stood else None


def _try(
    random: np.random.Generator,
    site: Site,
    things: list[Thing],
    place: str,
    poses: Posing,
    *,
    fixed: bool = False,
) -> list[Thing]:
    """Pose things until the site allows them, and take the room; empty when it never does."""
    for _ in range(_TRIES):
        found = poses()
        spot = np.zeros(2) if fixed else site.spot(random, place)
        if found is None or spot is None:
            continue
        found = found + np.append(spot, 0.0)
        if not site.covers(found[:, :2], place):
            continue  # most tries end here, before the dear questions
        posed = _posed(things, found)
        if site.allows(posed, place):
            site.take(posed)
            return posed
    return []


def _one_by_one(
    random: np.random.Generator,
    site: Site,
    things: list[Thing],
    place: str,
    apart: float = 0.0,
    *,
    every: bool = False,
) -> list[Thing]:
    """Put things on spots of their own, their middles at least `apart` units from each other.

    With `every`, all of them or none at all.
    """
    stood: list[Thing] = []
    for _ in range(3 * _TRIES):
        spot = site.spot(random, place)
        if spot is None or len(stood) == len(things):
            break
        near = [thing for thing in stood if np.hypot(*(spot - (thing.x, thing.y))) < apart]
        thing = things[len(stood)]
        square = thing.kind in _SQUARE or place in _WAYS
        angle = _direction(random, site.landscape.axis, place) if square else random.uniform(0, 6.3)
        posed = _posed([thing], np.array([[*spot, angle]]))
        boxes = np.array([bounds(each) for each in stood + posed])
        if not near and site.allows(posed, place) and not crowded(boxes, np.empty((0, 4))):
            stood += posed
    if not stood or (every and len(stood) < len(things)):
        return []
    site.take(stood)
    return stood


def _direction(random: np.random.Generator, axis: float, place: str) -> float:
    """A direction to follow: on a way its own, elsewhere mostly along or across the axis."""
    if place in _WAYS:
        return axis + np.pi * random.integers(2)
    if random.random() < 0.75:
        return axis + np.pi / 2 * random.integers(4)
    return random.uniform(0, 2 * np.pi)


def _parked(
    random: np.random.Generator, landscape: Landscape, count: int, *, in_a_row: bool
) -> np.ndarray | None:
    """Poses in marked bays: next to one another in a row of bays, or wherever."""
    if in_a_row:
        bays = landscape.bays[random.integers(len(landscape.bays))]
        first = random.integers(len(bays) - count + 1)
        return bays[first : first + count]
    bays = np.concatenate(landscape.bays)
    off = np.abs(bays[:, :2] - SIDE / 2).max(axis=1)  # units from the middle of the world
    inside = bays[off < SIDE / 2 - BORDER - 8]  # 8 units: half a car
    return inside[random.permutation(len(inside))[:count]] if len(inside) >= count else None


def _related_poses(
    random: np.random.Generator,
    manner: str,
    things: list[Thing],
    anchors: list[Thing],
    axis: float,
) -> np.ndarray | None:
    """Poses of a group and then of its anchors about the origin, or None if they would crowd."""
    count, length, width = len(things), things[0].length, things[0].width
    anchor = anchors[0]
    direction = _direction(random, axis, "")
    if manner == "around":
        free = float(np.hypot(anchor.length, anchor.width)) / 2
        turn = (0, np.pi / 2, np.pi)[random.integers(3)]
        circle = formation.ring(count, length, width, turn, random.uniform(0, 6.3), free)
        return np.concatenate([circle, [[0, 0, direction]]])
    crosswise = bool(random.integers(2))
    heading = direction + np.pi / 2 * crosswise
    line = formation.row(count, length, width, heading, direction)
    deep = length if crosswise else width
    if manner == "beside":
        sides, distance = [direction + np.pi / 2], (anchor.width + deep) / 2
    else:
        sides = [direction, direction + np.pi]
        distance = float(np.hypot(*(line[-1] - line[0])[:2])) / 2 + (anchor.length + length) / 2
    for slack in (1.1, 1.25, 1.4):
        away = [
            [np.cos(side) * distance * slack, np.sin(side) * distance * slack] for side in sides
        ]
        beside = np.array([[*point, direction] for point in away])
        poses = np.concatenate([line, beside])
        boxes = np.array([bounds(thing) for thing in _posed(things + anchors, poses)])
        if not crowded(boxes, np.empty((0, 4))):
            return poses
    return None


def _posed(things: list[Thing], poses: np.ndarray) -> list[Thing]:
    """Things at poses (things, 3)."""
    return [
        replace(thing, x=float(x), y=float(y), angle=float(angle))
        for thing, (x, y, angle) in zip(things, poses, strict=True)
    ]
