"""Where something can still stand: on its own place, inside the picture, clear of all others."""

import numpy as np

from galr.data.scenes.formation import GAP
from galr.data.scenes.ground import places_of
from galr.data.scenes.outline import bounds
from galr.data.scenes.scene import Landscape, Thing
from galr.data.scenes.shapes import SIDE, box, turned

BORDER = 5.0  # units between a thing and the end of the world


class Site:
    """A landscape on which things are put down one group after another."""

    def __init__(self, landscape: Landscape) -> None:
        """Take a landscape with nothing on it."""
        self.landscape = landscape
        self._places = places_of(landscape.layers)
        self._cells = {name: np.flatnonzero(grid) for name, grid in self._places.items()}
        self._taken = np.empty((0, 4))

    def spot(self, random: np.random.Generator, place: str) -> np.ndarray | None:
        """Any point (2,) of a place, or None where the picture shows nothing of it."""
        cells = self._cells[place]
        if not len(cells):
            return None
        y, x = divmod(int(cells[random.integers(len(cells))]), int(SIDE))
        return np.array([x + 0.5, y + 0.5])

    def allows(self, things: list[Thing], place: str) -> bool:
        """Whether things may stand as they do."""
        boxes = np.array([bounds(thing) for thing in things])
        if boxes[:, :2].min() < BORDER or boxes[:, 2:].max() > SIDE - BORDER:
            return False
        footprints = np.concatenate([_footprint(thing) for thing in things])
        return self.covers(footprints, place) and not crowded(boxes, self._taken)

    def take(self, things: list[Thing]) -> None:
        """Let things stand: nothing else may come near them."""
        self._taken = np.concatenate([self._taken, [bounds(thing) for thing in things]])

    def clear(self, x: float, y: float, radius: float, places: tuple[str, ...]) -> bool:
        """Whether a disc lies in one of some places, away from all things."""
        rim = np.array([[x, y], [x - radius, y], [x + radius, y], [x, y - radius], [x, y + radius]])
        if not any(self.covers(rim, place) for place in places):
            return False
        disc = np.array([[x, y, x, y]]) + np.array([-1, -1, 1, 1]) * radius
        return not crowded(disc, self._taken)

    def covers(self, points: np.ndarray, place: str) -> bool:
        """Whether all points (n, 2) lie in a place."""
        cells = np.floor(points).astype(int)
        if cells.min() < 0 or cells.max() >= SIDE:
            return False
        return bool(self._places[place][cells[:, 1], cells[:, 0]].all())


def crowded(boxes: np.ndarray, taken: np.ndarray) -> bool:
    """Whether an upright box is nearer than the gap to another, or to one that is there already.

    Args:
        boxes: (n, 4) left, top, right, bottom, units.
        taken: (m, 4) as well.
    """
    everything = np.concatenate([boxes, taken])
    gap = GAP - 0.01  # formations keep just the gap; this is for rounding
    apart = (boxes[:, None, :2] >= everything[None, :, 2:] + gap) | (
        boxes[:, None, 2:] + gap <= everything[None, :, :2]
    )
    near = np.logical_not(apart.any(axis=2))
    return int(near.sum()) > len(boxes)  # each is near itself


def _footprint(thing: Thing) -> np.ndarray:
    """Points (8, 2) round a thing: corners and middles of a rectangle a little larger than it."""
    corners = box(-0.5, 0.5, -0.5, 0.5) * (thing.length + 2, thing.width + 2)
    rim = np.concatenate([corners, (corners + np.roll(corners, 1, 0)) / 2])
    return turned(rim, thing.angle, thing.x, thing.y)
