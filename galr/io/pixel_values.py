"""Pixel values to 8 bits: the settings, the stretch, and a line about what was done.

Values of more than 8 bits have no common range: reflectance uses 0 to 3,000 or 10,000 of 65,536 values, floating
point 0 to 1. So each band of a file is stretched between two percentiles of its values, as QGIS shows rasters; our
choice. A range that the user gives replaces them. 8-bit values are never stretched.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from galr.io.windows import Window

PERCENTILES = (2.0, 98.0)  # these values of a band become black and white
MAX_SAMPLE = 1 << 20  # pixels of a file that the percentiles are taken of
SQUARE = 64  # side in pixels of each part of a large file's sample
NEARLY_CONSTANT = 1.0  # largest standard deviation of a channel in [0, 255]
LARGEST_NUMBER = (
    3.4e38  # of float32; what lies beyond is a mark for missing data that the file does not declare
)
_AT_ONCE = 1 << 22  # values that are converted at a time, which bounds memory


@dataclass(frozen=True)
class ImageReading:
    """How an image was read.

    Attributes:
        kind: colours and bits: `bands 3 2 1 of 4, uint16`.
        limits: lowest and highest value of all bands that become black and white; None where nothing is stretched.
        by_percentiles: whether the limits are the file's percentiles and not the user's range.
        notes: what else a user should know.
        plain: whether the file was taken as it is: nothing chosen, left out or stretched.
    """

    kind: str
    limits: tuple[float, ...] | None = None
    by_percentiles: bool = True
    notes: tuple[str, ...] = ()
    plain: bool = False

    def __str__(self) -> str:
        """The reading as one phrase."""
        return _describe(self, self.limits, alone=True)


@dataclass
class ReadingSummary:
    """What many images were read as, one line for each kind, and how many came out nearly constant.

    Attributes:
        unit: what is looked at for being constant: images or tiles.
    """

    unit: str = "images"
    _readings: dict[tuple[object, ...], list[ImageReading]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _looked_at: int = 0
    _constant: list[str] = field(default_factory=list)

    def add(self, reading: ImageReading) -> None:
        """Count an image."""
        same = (reading.kind, reading.limits is None, reading.by_percentiles, reading.notes)
        self._readings[same].append(reading)

    def look_at(self, name: str, pixels: np.ndarray) -> None:
        """Count an image or a tile, and remember its name if it is nearly constant.

        Args:
            name: what the user can find it by.
            pixels: (height, width, 3) uint8.
        """
        self._looked_at += 1
        if is_nearly_constant(pixels):
            self._constant.append(name)

    def lines(self, *, plain: bool = False) -> list[str]:
        """One line a kind, and one of nearly constant images.

        Args:
            plain: also where all images were taken as they are.
        """
        lines = []
        if plain or any(not readings[0].plain for readings in self._readings.values()):
            for readings in self._readings.values():
                known = [reading.limits for reading in readings if reading.limits is not None]
                limits = (min(a for a, _ in known), max(b for _, b in known)) if known else None
                described = _describe(readings[0], limits, alone=len(readings) == 1)
                count = len(readings)
                lines.append(f"{count} image{'s' * (count != 1)} read as {described}")
        if self._constant:
            lines.append(
                f"{len(self._constant)} of {self._looked_at} {self.unit} nearly constant, for example"
                f" {self._constant[0]}: blank, without data, or all values outside the range"
            )
        return lines


def is_nearly_constant(pixels: np.ndarray) -> bool:
    """Whether every channel of (height, width, 3) uint8 hardly varies, as if nothing could be seen."""
    return bool((pixels.reshape(-1, pixels.shape[-1]).std(axis=0) < NEARLY_CONSTANT).all())


def is_number(values: np.ndarray) -> np.ndarray:
    """Which floating-point values are data: neither NaN nor infinite nor float32's largest, which marks missing."""
    return np.abs(values) < LARGEST_NUMBER


def sample_windows(width: int, height: int) -> list[Window]:
    """Where the values lie that percentiles are taken of: all of a small image, an even grid of squares of a large one.

    So few parts of a file of any size are read. The squares begin at multiples of their side, so that each lies in
    one block of a tiled file.
    """
    if width * height <= MAX_SAMPLE:
        return [Window(0, 0, width, height)]
    squares = MAX_SAMPLE // SQUARE**2
    across = min(math.isqrt(squares), -(-width // SQUARE))
    down = min(squares // across, -(-height // SQUARE))
    across = min(squares // down, -(-width // SQUARE))  # more of them where the image is long
    starts = [
        [int((number + 0.5) * side / count) // SQUARE * SQUARE for number in range(count)]
        for side, count in ((width, across), (height, down))
    ]
    return [
        Window(x, y, min(SQUARE, width - x), min(SQUARE, height - y))
        for y in starts[1]
        for x in starts[0]
    ]


def sample(values: np.ndarray) -> np.ndarray:
    """The values of (height, width) that percentiles are taken of, (n,)."""
    height, width = values.shape
    windows = sample_windows(width, height)
    return np.concatenate([values[y : y + h, x : x + w].ravel() for x, y, w, h in windows])


def stretch_limits(values: np.ndarray) -> tuple[float, float]:
    """The values of a band that become black and white.

    Args:
        values: (n,) of any real type, those without data left out; NaN, infinities and 3.4e38 are left out here.

    Returns:
        The percentiles; where they are equal, the smallest and the largest value; (0, 0) without any value.
    """
    numbers = values.astype(np.float64)
    numbers = numbers[is_number(numbers)]
    if not numbers.size:
        return 0.0, 0.0
    low, high = np.percentile(numbers, PERCENTILES)
    if low == high:
        low, high = numbers.min(), numbers.max()
    return float(low), float(high)


def to_8_bits(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Stretch values: low and less become 0, high and more 255, in between linearly and rounded.

    Args:
        values: (height, width) of any real type.
        low: the value that becomes 0.
        high: the value that becomes 255; if it is not larger than low, all become 0, since nothing can be seen.

    Returns:
        (height, width) uint8; 0 where a value is NaN, infinite or beyond 3.4e38.
    """
    result = np.zeros(values.shape, np.uint8)
    if high <= low:
        return result
    rows = max(1, _AT_ONCE // max(1, values.shape[1]))
    for top in range(0, len(values), rows):
        numbers = values[top : top + rows].astype(np.float64)
        known = is_number(numbers)
        shares = (np.where(known, numbers, low) - low) / (high - low)
        result[top : top + rows] = np.where(known, np.clip(shares, 0, 1) * 255 + 0.5, 0)
    return result


def _describe(reading: ImageReading, limits: tuple[float, ...] | None, *, alone: bool) -> str:
    """A reading as one phrase; of several files the limits are the widest."""
    text = reading.kind
    if limits is not None:
        text += f", stretched from {limits[0]:.6g}…{limits[1]:.6g}"
        if reading.by_percentiles and not alone:
            text += " (each by its own values)"
    return "; ".join([text, *reading.notes])
