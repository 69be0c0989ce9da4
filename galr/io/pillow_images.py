"""Images that Pillow reads: opened whatever their size, decoded whole, converted to RGB one window at a time."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from galr.errors import DataError
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import (
    ImageReading,
    sample,
    stretch_limits,
    to_8_bits,
)
from galr.io.windows import GeoTransform, Window

# Pillow's modes in words, where they have up to 8 bits.
MODES = {
    "1": "black and white",
    "L": "grey, 8 bits",
    "LA": "grey with opacity, 8 bits",
    "P": "a colour map, 8 bits",
    "PA": "a colour map with opacity, 8 bits",
    "RGB": "RGB, 8 bits",
    "RGBA": "RGB with opacity, 8 bits",
}
OPENING = threading.Lock()  # Pillow's limit and Python's warnings are the whole process's


class PillowImage:
    """An image that was decoded whole, in its stored mode: to convert only the window saves memory."""

    def __init__(
        self, image: Image.Image, geo_transform: GeoTransform | None, options: PixelOptions
    ) -> None:
        self.size = image.size
        self.geo_transform = geo_transform
        self._image = image
        self._limits: tuple[float, ...] | None = None
        kind = MODES.get(image.mode, f"{image.mode}, 8 bits")
        if _is_deep(image):
            values = np.asarray(image)
            self._limits = options.range or stretch_limits(sample(values).ravel())
            kind = f"grey, {values.dtype.newbyteorder('=').name}"
        self.reading = ImageReading(
            kind, self._limits, options.range is None, plain=self._limits is None
        )

    def read(self, window: Window) -> Image.Image:
        """Crop a window and convert it to 8-bit RGB."""
        image = self._image
        if window != (0, 0, *image.size):
            x, y, width, height = window
            image = image.crop((x, y, x + width, y + height))
        if self._limits is not None:
            image = Image.fromarray(to_8_bits(np.asarray(image), *self._limits))
        if image.has_transparency_data:
            colours = image.convert("RGBA")
            black = Image.new("RGBA", colours.size, (0, 0, 0, 255))
            return Image.alpha_composite(black, colours).convert("RGB")
        return image.convert("RGB")


def _is_deep(image: Image.Image) -> bool:
    """Whether a Pillow image has more than 8 bits: the modes I, I;16 and its kin, and F."""
    return image.mode in ("I", "F") or image.mode.startswith("I;")


def open_header(path: Path) -> Image.Image:
    """Read the header of an image; Pillow's own limit of size is lifted, since large images are expected."""
    with OPENING, _without_limit():
        return Image.open(path)


def load(image: Image.Image) -> None:
    """Decode the pixels of an image; for a TIFF Pillow looks at its limit once more."""
    if image.format == "TIFF":
        with OPENING, _without_limit():
            image.load()
    else:
        image.load()


@contextmanager
def _without_limit() -> Iterator[None]:
    """Lift Pillow's limit of size."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def refuse_wrong_colours(image: Image.Image, problem: str | None) -> None:
    """Refuse a TIFF that Pillow reads wrongly: bands of more than 8 bits one after another, signed bytes.

    Raises:
        DataError: it is such a file.
    """
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(258, (1,))
    apart = tags.get(284, 1) == 2 and len(bits) > 1 and max(bits) > 8
    signed = max(bits) == 8 and max(tags.get(339, (1,))) == 2
    if apart or signed:
        found = (
            "its bands of more than 8 bits lie one after another"
            if apart
            else "its bytes are signed"
        )
        raise DataError(
            problem or f"{found} in {image.mode}; convert it to RGB with bands beside each other"
        )
