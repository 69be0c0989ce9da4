"""Plane geometry of the drawn world.

The world is a square of `SIDE` units, whatever its size in pixels; x grows to one side, y to the
other, angles are radians from x towards y. A polygon is an (n, 2) float array of its corners.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 256.0  # units; one unit is one pixel of a 256-pixel picture
FAR = 2 * SIDE  # long enough to leave the world from anywhere in it


def turned(points: np.ndarray, angle: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Turn points (n, 2) about the origin by an angle and move them by (x, y)."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def box(left: float, right: float, near: float, far: float) -> np.ndarray:
    """The rectangle left..right in x and near..far in y, as a polygon (4, 2)."""
    return np.array([[left, near], [right, near], [right, far], [left, far]])


def band(start: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """A straight stroke of a width between two points (2,), as a polygon (4, 2)."""
    ahead = (end - start) / np.hypot(*(end - start))
    aside = np.array([-ahead[1], ahead[0]]) * width / 2
    return np.array([start + aside, end + aside, end - aside, start - aside])


def disc(radius: float, corners: int = 48) -> np.ndarray:
    """A circle about the origin, as a regular polygon (corners, 2)."""
    angles = np.arange(corners) * 2 * np.pi / corners
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def stadium(length: float, width: float, corners: int = 32) -> np.ndarray:
    """The oval of a running track, about the origin: a rectangle with half discs at its ends."""
    straight = (length - width) / 2
    angles = np.linspace(-np.pi / 2, np.pi / 2, corners)
    cap = np.column_stack([straight + width / 2 * np.cos(angles), width / 2 * np.sin(angles)])
    return np.concatenate([cap, -cap])


def blob(random: np.random.Generator, radius: float, roughness: float) -> np.ndarray:
    """An uneven round shape about the origin.

    Args:
        random: where the unevenness comes from.
        radius: mean radius, units.
        roughness: how far the radius wanders, as a part of it, in [0, 1).
    """
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    waves = np.arange(2, 7)
    phases = random.uniform(0, 2 * np.pi, len(waves))
    heights = random.normal(size=len(waves)) / waves
    wander = np.clip((heights * np.sin(np.outer(angles, waves) + phases)).sum(1), -1, 1)
    distance = radius * (1 + roughness * wander)
    return np.column_stack([distance * np.cos(angles), distance * np.sin(angles)])


def wavy(random: np.random.Generator, height: float) -> np.ndarray:
    """A shore: points (n, 2) along x, FAR to FAR, whose y wanders by about a height, units."""
    along = np.linspace(-FAR / 2, FAR / 2, 97)
    lengths = random.uniform((90, 40, 20), (220, 90, 40))  # units from crest to crest
    phases = random.uniform(0, 2 * np.pi, 3)
    waves = np.sin(2 * np.pi * along[:, None] / lengths + phases) * (0.6, 0.3, 0.1)
    return np.column_stack([along, height * waves.sum(1)])


def extent(points: np.ndarray) -> tuple[float, float, float, float]:
    """The axis-aligned box (left, top, right, bottom) around points (n, 2)."""
    left, top = points.min(0)
    right, bottom = points.max(0)
    return float(left), float(top), float(right), float(bottom)


@dataclass(frozen=True)
class Frame:
    """A place of one's own in the world: an origin and a direction that is called ahead."""

    x: float
    y: float
    angle: float

    def at(self, points: np.ndarray) -> np.ndarray:
        """Carry points (n, 2) or (2,) of this frame into the world."""
        return turned(points, self.angle, self.x, self.y)

    def box(self, left: float, right: float, near: float, far: float) -> np.ndarray:
        """A rectangle of this frame as a polygon of the world."""
        return self.at(box(left, right, near, far))

    def strip(self, near: float, far: float) -> np.ndarray:
        """Everything between two lines that run ahead, from one end of the world to the other."""
        return self.box(-FAR, FAR, near, far)
