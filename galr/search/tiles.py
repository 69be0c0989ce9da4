"""How a large picture is cut: overlapping tiles of the size that the model has learnt to look at."""

from dataclasses import dataclass

from galr.errors import ConfigError
from galr.regions.slices import starts
from galr.search.places import Window


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut.

    side: of a tile in pixels.
    overlap: least share of the side that neighbouring tiles have in common, in [0, 1).
    whole: a picture whose longer side is at most so many pixels is not cut.
    """

    side: int
    overlap: float
    whole: int

    def __post_init__(self) -> None:
        """Refuse what no picture can be cut by.

        Raises:
            ConfigError: says what.
        """
        if self.side < 1 or self.whole < 1:
            raise ConfigError(
                f"tile and whole are in pixels, 1 or more; got {self.side}, {self.whole}"
            )
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"overlap is a share of a tile's side in [0, 1), got {self.overlap}")

    def windows(self, width: int, height: int) -> list[Window]:
        """Cut a picture: as few tiles as possible, evenly spread, row by row.

        Every pixel is in a tile. All tiles are of one size, the side or what the picture has of it.
        """
        if max(width, height) <= self.whole:
            return [Window(0, 0, width, height)]
        across, down = min(self.side, width), min(self.side, height)
        return [
            Window(x, y, across, down)
            for y in starts(height, self.side, self.overlap)
            for x in starts(width, self.side, self.overlap)
        ]
