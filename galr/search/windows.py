"""How a large image is cut into tiles."""

from dataclasses import dataclass

from galr.errors import ConfigError
from galr.io.windows import Window
from galr.regions.tiling import tile_offsets


@dataclass(frozen=True)
class Tiling:
    """How large images are cut into overlapping tiles.

    Attributes:
        tile_size: side of a tile in pixels.
        overlap: smallest fraction of the side that neighbouring tiles share, in [0, 1).
        max_untiled: an image is not cut if its longer side has at most this many pixels.

    Raises:
        ConfigError: a value is out of range.
    """

    tile_size: int
    overlap: float
    max_untiled: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.tile_size < 1 or self.max_untiled < 1:
            raise ConfigError(
                "--tile and --max-untiled must be at least 1 pixel, got"
                f" {self.tile_size} and {self.max_untiled}"
            )
        if not 0 <= self.overlap < 1:
            raise ConfigError(
                f"--overlap must be a fraction of a tile's side in [0, 1), got {self.overlap}"
            )

    def windows(self, width: int, height: int) -> list[Window]:
        """Cut an image into as few tiles as possible, evenly spread, row by row.

        The tiles cover every pixel and have one size: the tile's side, or the image's where that is smaller.

        Args:
            width: of the image in pixels.
            height: of the image in pixels.
        """
        if max(width, height) <= self.max_untiled:
            return [Window(0, 0, width, height)]
        across, down = min(self.tile_size, width), min(self.tile_size, height)
        return [
            Window(x, y, across, down)
            for y in tile_offsets(height, self.tile_size, self.overlap)
            for x in tile_offsets(width, self.tile_size, self.overlap)
        ]
