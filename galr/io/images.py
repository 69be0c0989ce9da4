"""Decode image files of any common format and mode to 8-bit RGB."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from galr.errors import DataError

SIXTEEN_BIT_MODES = (
    "I;16",
    "I;16L",
    "I;16B",
    "I;16N",
    "I",
)  # Pillow before 11 opens 16-bit PNG as I
UNKNOWN_RANGE = "its pixels have no known range; convert it to 8 or 16 bits a channel"
# What Pillow raises on damaged files.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


@dataclass(frozen=True)
class DecodedImage:
    """A decoded and resized image.

    Attributes:
        pixels: (size, size, 3) uint8, RGB.
        width: width of the original in pixels.
        height: height of the original in pixels.
    """

    pixels: np.ndarray
    width: int
    height: int


def load_resized(path: Path, size: int) -> DecodedImage:
    """Decode an image and resize it to a square with antialiased bilinear interpolation, as the released code does.

    An EXIF orientation is not applied, because boxes are given in stored pixels. Of several pages the first is
    decoded.

    Args:
        path: a jpg, png, tif or webp file of any mode but floating point.
        size: width and height of the result, in pixels.

    Raises:
        DataError: the file is damaged, cut short or too large, or its pixels have no known range.
    """
    try:
        with Image.open(path) as image:
            image.load()
            rgb = to_rgb(image)
            resized = rgb.resize((size, size), Image.Resampling.BILINEAR)
            return DecodedImage(np.asarray(resized), *image.size)
    except UnidentifiedImageError as error:
        raise DataError(f"{path} cannot be decoded (it is not an image)") from error
    except DECODE_ERRORS as error:
        raise DataError(f"{path} cannot be decoded ({error})") from error


def load_rgb(path: Path) -> Image.Image:
    """Decode an image at its full size.

    Raises:
        DataError: the file is missing or damaged, or its pixels have no known range.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return to_rgb(image)
    except (*DECODE_ERRORS, DataError) as error:
        raise DataError(f"{path} cannot be decoded ({error}); replace or remove it") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to 8-bit RGB.

    16-bit grey is divided by 257 (65535 becomes 255), close to what Pillow does with 16-bit colour; the range is
    the same for all images. Transparent pixels become black, like the missing parts of aerial images.

    Raises:
        DataError: the pixels are floating-point or 32-bit numbers.
    """
    if image.mode in SIXTEEN_BIT_MODES:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(UNKNOWN_RANGE)
        return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError(UNKNOWN_RANGE)
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        black = Image.new("RGBA", colours.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, colours).convert("RGB")
    return image.convert("RGB")
