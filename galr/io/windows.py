"""A rectangle of an image, and the map from an image's pixels to coordinates on Earth."""

from dataclasses import dataclass
from typing import NamedTuple


class Window(NamedTuple):
    """A rectangle of an image, in its pixels; x and y are those of the upper left corner."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class GeoTransform:
    """The affine map from an image's pixels to coordinates on Earth.

    Attributes:
        coefficients: a, b, c, d, e, f: the pixel (x, y), counted from the upper left corner, has the
            coordinates (a x + b y + c, d x + e y + f).
        crs: the coordinate reference system, as `EPSG:32633` or WKT; empty where the file names none.
    """

    coefficients: tuple[float, ...]
    crs: str

    def corners(self, window: Window) -> list[tuple[float, float]]:
        """Coordinates of a window's corners: upper left, upper right, lower right, lower left."""
        a, b, c, d, e, f = self.coefficients
        left, top = window.x, window.y
        right, bottom = left + window.width, top + window.height
        pixels = ((left, top), (right, top), (right, bottom), (left, bottom))
        return [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]
