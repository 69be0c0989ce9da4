"""Put groups of objects on a landscape: on a surface they may stand on, clear of everything else."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from galr.demo import arrangements
from galr.demo.arrangements import (
    BORDER,
    LANES,
    apply_poses,
    random_direction,
    relative_to_anchors,
    too_close,
)
from galr.demo.geometry import WORLD_SIZE, rectangle, rotate
from galr.demo.objects import make_objects, object_bounds
from galr.demo.scene import Landscape, Layer, ObjectGroup, SceneObject

_ATTEMPTS = 30  # for one arrangement
_ALIGNED = ("court", "building")  # kinds that follow the landscape's axis when they stand alone
PoseSampler = Callable[[], np.ndarray | None]


class Site:
    """A landscape and the places on it that are already occupied."""

    def __init__(self, landscape: Landscape) -> None:
        """Start with an empty landscape."""
        self.landscape = landscape
        self._masks = surface_masks(landscape.layers)
        self._cells = {name: np.flatnonzero(mask) for name, mask in self._masks.items()}
        self._occupied = np.empty((0, 4))

    def sample_point(self, random: np.random.Generator, surface: str) -> np.ndarray | None:
        """Sample a point (2,) of a surface in units, or None where none of it is in the world."""
        cells = self._cells[surface]
        if not len(cells):
            return None
        y, x = divmod(int(cells[random.integers(len(cells))]), int(WORLD_SIZE))
        return np.array([x + 0.5, y + 0.5])

    def contains(self, points: np.ndarray, surface: str) -> bool:
        """Tell whether all points (n, 2) lie in the world and on a surface."""
        cells = np.floor(points).astype(int)
        if cells.min() < 0 or cells.max() >= WORLD_SIZE:
            return False
        return bool(self._masks[surface][cells[:, 1], cells[:, 0]].all())

    def is_free(self, objects: list[SceneObject], surface: str) -> bool:
        """Tell whether objects would stand inside the world, on a surface and clear of others."""
        boxes = np.array([object_bounds(item) for item in objects])
        if boxes[:, :2].min() < BORDER or boxes[:, 2:].max() > WORLD_SIZE - BORDER:
            return False
        footprints = np.concatenate([_footprint(item) for item in objects])
        return self.contains(footprints, surface) and not too_close(boxes, self._occupied)

    def is_clear(self, x: float, y: float, radius: float, surfaces: tuple[str, ...]) -> bool:
        """Tell whether a disc lies on one of some surfaces, clear of all objects."""
        rim = np.array([[x, y], [x - radius, y], [x + radius, y], [x, y - radius], [x, y + radius]])
        if not any(self.contains(rim, surface) for surface in surfaces):
            return False
        box = np.array([[x, y, x, y]]) + np.array([-1, -1, 1, 1]) * radius
        return not too_close(box, self._occupied)

    def occupy(self, objects: list[SceneObject]) -> None:
        """Keep others away from objects from now on."""
        self._occupied = np.concatenate([self._occupied, [object_bounds(item) for item in objects]])


def surface_masks(layers: tuple[Layer, ...]) -> dict[str, np.ndarray]:
    """Rasterise where each surface is visible.

    Args:
        layers: from the lowest to the highest.

    Returns:
        For each surface (y, x) bool, a cell a unit, `WORLD_SIZE` cells a side.
    """
    names = list(dict.fromkeys(layer.surface for layer in layers if layer.surface))
    side = int(WORLD_SIZE)
    labels = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(labels)
    for layer in layers:
        if layer.surface is None:
            continue
        fill = names.index(layer.surface)
        for polygon in layer.polygons or (rectangle(0, side, 0, side),):
            pen.polygon(polygon.ravel().tolist(), fill=fill)
    grid = np.asarray(labels)
    return {name: grid == index for index, name in enumerate(names)}


def place_group(
    random: np.random.Generator, site: Site, kind: str, count: int
) -> ObjectGroup | None:
    """Place objects of a kind: in an arrangement if one fits, else one by one and perhaps fewer.

    Args:
        random: source of all choices.
        site: occupied by the objects afterwards.
        kind: one of `KINDS`, with a surface in the landscape.
        count: the number of objects that is wanted.

    Returns:
        The group, or None when not even one object fits.
    """
    allowed = site.landscape.allowed_surfaces[kind]
    first = allowed[random.integers(len(allowed))]
    surfaces = [first, *(surface for surface in dict.fromkeys(allowed) if surface != first)]
    for surface in surfaces:
        for scale in (1.0, 0.88):
            objects = make_objects(random, kind, count, surface, scale)
            for name, anchor in _candidate_arrangements(
                random, site.landscape, kind, count, surface
            ):
                group = _try_arrangement(random, site, objects, surface, name, anchor)
                if group:
                    return group
    for surface in surfaces:
        objects = make_objects(random, kind, count, surface, 0.88)
        placed = _place_one_by_one(random, site, objects, surface)
        if placed:
            return ObjectGroup(kind, tuple(placed), surface)
    return None


def place_related(
    random: np.random.Generator, site: Site, main: tuple[str, int], anchor: str
) -> list[ObjectGroup]:
    """Place a group around one object of another kind, between two of them, or beside one.

    Args:
        random: source of all choices.
        site: occupied by the objects afterwards.
        main: kind and number of the group.
        anchor: the other kind.

    Returns:
        The group and that of its one or two anchors; empty when they do not fit.
    """
    kind, count = main
    allowed = site.landscape.allowed_surfaces
    shared = [name for name in allowed[kind] if name in allowed[anchor] and name not in LANES]
    if not shared:
        return []
    surface = shared[random.integers(len(shared))]
    arrangement = "around" if count > 4 else ("between", "beside")[random.integers(2)]
    objects = make_objects(random, kind, count, surface, 0.9)
    anchors = make_objects(random, anchor, 2 if arrangement == "between" else 1, surface, 0.9)

    def sampler() -> np.ndarray | None:
        return relative_to_anchors(random, objects, anchors, arrangement, site.landscape.axis)

    placed = _sample_poses(random, site, objects + anchors, surface, sampler)
    if not placed:
        return []
    return [
        ObjectGroup(kind, tuple(placed[:count]), surface, arrangement, anchor),
        ObjectGroup(anchor, tuple(placed[count:]), surface),
    ]


def _footprint(item: SceneObject) -> np.ndarray:
    """Return corners and edge midpoints (8, 2) of a rectangle slightly larger than an object."""
    corners = rectangle(-0.5, 0.5, -0.5, 0.5) * (item.length + 2, item.width + 2)
    rim = np.concatenate([corners, (corners + np.roll(corners, 1, 0)) / 2])
    return rotate(rim, item.angle, item.x, item.y)


def _candidate_arrangements(
    random: np.random.Generator, landscape: Landscape, kind: str, count: int, surface: str
) -> list[tuple[str, str | None]]:
    """Return arrangements that suit a group, with their linear feature, in a random order."""
    features = [feature.name for feature in landscape.features if feature.surface == surface]
    if kind == "vehicle" and surface == "asphalt":
        plain = ["parked"] + ["parked row"] * 2 * (count > 2)
    elif surface in LANES:
        plain = ["free"] + ["row"] * 2 * (count > 2)
    else:
        plain = ["free"] * (count < 3) + ["together"] * (count > 1)
        plain += ["row", "row", "scattered"] * (count > 2)
        plain += ["rows"] * (count > 3 and count % 2 == 0)
        plain += ["ring"] * 2 * (count > 4 and kind != "court")
    options: list[tuple[str, str | None]] = [(name, None) for name in plain]
    options += [("along", feature) for feature in features] * 2
    return [options[index] for index in random.permutation(len(options))]


def _try_arrangement(
    random: np.random.Generator,
    site: Site,
    objects: list[SceneObject],
    surface: str,
    arrangement: str,
    anchor: str | None,
) -> ObjectGroup | None:
    """Place objects in one arrangement; None when it does not fit."""
    kind, count = objects[0].kind, len(objects)
    length, width, landscape = objects[0].length, objects[0].width, site.landscape
    if arrangement in ("free", "scattered"):
        spread = 1.5 * float(np.hypot(length, width)) if arrangement == "scattered" else 0.0
        placed = _place_one_by_one(random, site, objects, surface, spread, all_or_none=True)
        return ObjectGroup(kind, tuple(placed), surface, arrangement) if placed else None

    def sampler() -> np.ndarray | None:
        direction = random_direction(random, landscape.axis, surface)
        heading = direction + np.pi / 2 * random.integers(2) * (surface not in LANES)
        slack = random.uniform(1.05, 1.25)
        if arrangement == "row":
            return arrangements.row(count, length, width, heading, direction, slack)
        if arrangement == "rows":
            return arrangements.two_rows(count, length, width, heading, direction, slack)
        if arrangement == "ring":
            return arrangements.ring(random, count, length, width)
        if arrangement == "together":
            return arrangements.together(random, count, length, width, heading)
        if arrangement == "along":
            features = [feature for feature in landscape.features if feature.name == anchor]
            feature = features[random.integers(len(features))]
            return arrangements.along_feature(random, feature, count, length, width)
        return arrangements.parked(random, landscape, count, in_a_row=arrangement == "parked row")

    fixed = arrangement in ("along", "parked", "parked row")
    placed = _sample_poses(random, site, objects, surface, sampler, fixed=fixed)
    described = {"parked": "free", "parked row": "row"}.get(arrangement, arrangement)
    return ObjectGroup(kind, tuple(placed), surface, described, anchor) if placed else None


def _sample_poses(
    random: np.random.Generator,
    site: Site,
    objects: list[SceneObject],
    surface: str,
    sampler: PoseSampler,
    *,
    fixed: bool = False,
) -> list[SceneObject]:
    """Sample poses until they fit and occupy them; empty when none fits.

    With `fixed`, poses are in the world already; otherwise they are moved to a random point.
    """
    for _ in range(_ATTEMPTS):
        poses = sampler()
        point = np.zeros(2) if fixed else site.sample_point(random, surface)
        if poses is None or point is None:
            continue
        poses = poses + np.append(point, 0.0)
        if not site.contains(poses[:, :2], surface):
            continue  # most attempts end here, before the slower check
        placed = apply_poses(objects, poses)
        if site.is_free(placed, surface):
            site.occupy(placed)
            return placed
    return []


def _place_one_by_one(
    random: np.random.Generator,
    site: Site,
    objects: list[SceneObject],
    surface: str,
    spread: float = 0.0,
    *,
    all_or_none: bool = False,
) -> list[SceneObject]:
    """Place objects at independent points, their centres at least `spread` units apart."""
    placed: list[SceneObject] = []
    for _ in range(3 * _ATTEMPTS):
        point = site.sample_point(random, surface)
        if point is None or len(placed) == len(objects):
            break
        near = [item for item in placed if np.hypot(*(point - (item.x, item.y))) < spread]
        item = objects[len(placed)]
        if item.kind in _ALIGNED or surface in LANES:
            angle = random_direction(random, site.landscape.axis, surface)
        else:
            angle = random.uniform(0, 6.3)
        posed = apply_poses([item], np.array([[*point, angle]]))
        boxes = np.array([object_bounds(item) for item in placed + posed])
        if not near and site.is_free(posed, surface) and not too_close(boxes, np.empty((0, 4))):
            placed += posed
    if not placed or (all_or_none and len(placed) < len(objects)):
        return []
    site.occupy(placed)
    return placed
