"""A part of a picture, and where on Earth it lies."""

from dataclasses import dataclass
from typing import NamedTuple


class Window(NamedTuple):
    """A part of a picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class Place:
    """Where on Earth a picture lies.

    transform: a, b, c, d, e, f: the pixel (x, y), counted from the upper left corner, lies at
        (a x + b y + c, d x + e y + f).
    system: the coordinates' reference system, as `EPSG:32633` or WKT; empty where the file has none.
    """

    transform: tuple[float, ...]
    system: str


def corners(place: Place, window: Window) -> list[tuple[float, float]]:
    """Corners of a window in the picture's coordinates: upper left, upper right, lower right, lower left."""
    a, b, c, d, e, f = place.transform
    left, top, right, bottom = window.x, window.y, window.x + window.width, window.y + window.height
    pixels = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]
