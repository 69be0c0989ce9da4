"""Plane geometry of the drawn world.

The world is a square of `WORLD_SIZE` units, whatever the image's size in pixels. x grows to the
right, y downwards, and angles turn from x towards y, in radians. A polygon is a (corners, 2) float
array; a box is (left, top, right, bottom).

Shapely was tried in place of these functions and not kept: it saves four lines, doubles the time of
composing a scene, and its circles and ovals change the images.
"""

from dataclasses import dataclass

import numpy as np

WORLD_SIZE = 256.0  # units; one unit is one pixel of a 256-pixel image
FAR = 2 * WORLD_SIZE  # a distance that leads out of the world from anywhere in it


def rotate(points: np.ndarray, angle: float, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """Rotate points about the origin, then move them.

    Args:
        points: (n, 2) or (2,) float, units.
        angle: radians, from x towards y.
        x: added to the first coordinate, units.
        y: added to the second coordinate, units.

    Returns:
        Float of the shape of `points`, units.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]]) + (x, y)


def rectangle(left: float, right: float, top: float, bottom: float) -> np.ndarray:
    """Return the rectangle of left..right in x and top..bottom in y, as a polygon (4, 2)."""
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def stroke(start: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """Return a straight stroke of a width between two points (2,), as a polygon (4, 2)."""
    ahead = (end - start) / np.hypot(*(end - start))
    half = np.array([-ahead[1], ahead[0]]) * width / 2
    return np.array([start + half, end + half, end - half, start - half])


def disc(radius: float, corners: int = 48) -> np.ndarray:
    """Return a circle about the origin, as a regular polygon (corners, 2)."""
    angles = np.arange(corners) * 2 * np.pi / corners
    return radius * np.column_stack([np.cos(angles), np.sin(angles)])


def stadium(length: float, width: float, corners: int = 32) -> np.ndarray:
    """Return a rectangle with half discs at its ends, about the origin.

    Args:
        length: from one end to the other, units, at least `width`.
        width: units.
        corners: of each half disc.

    Returns:
        (2 * corners, 2) float, a polygon in units.
    """
    straight = (length - width) / 2
    angles = np.linspace(-np.pi / 2, np.pi / 2, corners)
    cap = np.column_stack([straight + width / 2 * np.cos(angles), width / 2 * np.sin(angles)])
    return np.concatenate([cap, -cap])


def blob(random: np.random.Generator, radius: float, roughness: float) -> np.ndarray:
    """Sample an uneven round shape about the origin.

    Args:
        random: source of the unevenness.
        radius: mean radius, units.
        roughness: largest deviation of the radius, as a fraction of it, in [0, 1).

    Returns:
        (96, 2) float, a polygon in units.
    """
    angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    waves = np.arange(2, 7)
    phases = random.uniform(0, 2 * np.pi, len(waves))
    amplitudes = random.normal(size=len(waves)) / waves
    deviation = np.clip((amplitudes * np.sin(np.outer(angles, waves) + phases)).sum(1), -1, 1)
    distance = radius * (1 + roughness * deviation)
    return np.column_stack([distance * np.cos(angles), distance * np.sin(angles)])


def wavy_line(random: np.random.Generator, amplitude: float) -> np.ndarray:
    """Sample a wavy line along x that crosses the whole world, such as a shore.

    Args:
        random: source of the waves.
        amplitude: about the largest deviation in y, units.

    Returns:
        (97, 2) float, units, by ascending x from -FAR / 2 to FAR / 2.
    """
    along = np.linspace(-FAR / 2, FAR / 2, 97)
    lengths = random.uniform((90, 40, 20), (220, 90, 40))  # units from crest to crest
    phases = random.uniform(0, 2 * np.pi, 3)
    waves = np.sin(2 * np.pi * along[:, None] / lengths + phases) * (0.6, 0.3, 0.1)
    return np.column_stack([along, amplitude * waves.sum(1)])


def bounding_box(points: np.ndarray) -> tuple[float, float, float, float]:
    """Return the axis-aligned box (left, top, right, bottom) around points (n, 2)."""
    left, top = points.min(0)
    right, bottom = points.max(0)
    return float(left), float(top), float(right), float(bottom)


@dataclass(frozen=True)
class Frame:
    """A local coordinate system.

    Attributes:
        x: world coordinate of its origin, units.
        y: world coordinate of its origin, units.
        angle: direction of its x axis in the world, radians.
    """

    x: float
    y: float
    angle: float

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Convert points (n, 2) or (2,) of this frame to world coordinates."""
        return rotate(points, self.angle, self.x, self.y)

    def rectangle(self, left: float, right: float, top: float, bottom: float) -> np.ndarray:
        """Return a rectangle of this frame as a polygon (4, 2) of the world."""
        return self.to_world(rectangle(left, right, top, bottom))

    def strip(self, top: float, bottom: float) -> np.ndarray:
        """Return the strip top..bottom in y that crosses the world along x, (4, 2)."""
        return self.rectangle(-FAR, FAR, top, bottom)


def random_frame(random: np.random.Generator) -> Frame:
    """Sample a frame about the world's centre, in any direction."""
    return Frame(WORLD_SIZE / 2, WORLD_SIZE / 2, random.uniform(0, 2 * np.pi))


def random_upright_frame(random: np.random.Generator) -> Frame:
    """Sample a frame about the world's centre, within 10 degrees of the image's sides.

    Axis-aligned boxes of long objects lie close together in such a frame, so long rows fit.
    """
    quarter = random.integers(4) * np.pi / 2
    angle = quarter + np.radians(random.uniform(-10, 10))
    return Frame(WORLD_SIZE / 2, WORLD_SIZE / 2, angle)
