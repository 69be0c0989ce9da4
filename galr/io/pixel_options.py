"""What the user says about the pixels of images; light, since every dataset file and every command reads it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from galr.errors import ConfigError


@dataclass(frozen=True)
class PixelOptions:
    """What the user says about pixels; None leaves it to the file.

    Attributes:
        bands: numbers, from 1, of the bands for red, green and blue, or of one for grey; of TIFF and JPEG 2000.
        range: the values that become black and white, of images with more than 8 bits.

    Raises:
        ConfigError: there are not one or three bands, or the range is empty.
    """

    bands: tuple[int, ...] | None = None
    range: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.bands is not None and (
            len(self.bands) not in (1, 3) or not all(band and band > 0 for band in self.bands)
        ):
            raise ConfigError(
                "bands are three numbers for red, green and blue, or one for grey, counted from 1;"
                f" got {' '.join(map(str, self.bands))}"
            )
        if self.range is not None and not (
            len(self.range) == 2
            and all(limit is not None and math.isfinite(limit) for limit in self.range)
            and self.range[0] < self.range[1]
        ):
            raise ConfigError(
                "range is two numbers, the value that becomes black and the larger one that becomes white;"
                f" got {' '.join(map(str, self.range))}"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values, for a file's provenance."""
        return {
            "bands": None if self.bands is None else list(self.bands),
            "range": None if self.range is None else list(self.range),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None) -> "PixelOptions":
        """Read settings from a provenance; None, as files of before have it, gives the default."""
        values = values or {}
        bands, limits = values.get("bands"), values.get("range")
        return cls(
            None if bands is None else tuple(int(band) for band in bands),
            None if limits is None else tuple(float(limit) for limit in limits),
        )

    def override(
        self, bands: Sequence[int] | None, limits: Sequence[float] | None
    ) -> "PixelOptions":
        """These settings with the bands and the range that are given instead."""
        return PixelOptions(
            self.bands if bands is None else tuple(bands),
            self.range if limits is None else tuple(limits),
        )
