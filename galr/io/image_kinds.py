"""What a file is by its first bytes, and why one that no reader takes is refused."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from galr.errors import DataError

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
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG_2000_STARTS = (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
PNG_START = b"\x89PNG\r\n\x1a\n"
# What people take for images: first bytes of a file, what it is.
OTHER_FILES = (
    (b"version https://git-lfs", "it is a pointer of Git LFS; fetch the image with git lfs pull"),
    (b"<!doctype html", "it is a web page, no image; download the image again"),
    (b"<html", "it is a web page, no image; download the image again"),
    (b"<svg", "it is an SVG drawing; save it as PNG"),
    (b"<?xml", "it is an XML file, no image"),
    (b"%pdf", "it is a PDF; save its image as PNG or TIFF"),
    (b"\x89hdf", "it is an HDF5 or NetCDF file; convert it to TIFF"),
    (b"cdf", "it is a NetCDF file; convert it to TIFF"),
    (b"nitf", "it is a NITF file; convert it to TIFF"),
    (b"grib", "it is a GRIB file; convert it to TIFF"),
    (b"\xff\x0a", "it is a JPEG XL image, which is not read here; convert it to PNG"),
    (b"\0\0\0\x0cjxl ", "it is a JPEG XL image, which is not read here; convert it to PNG"),
    (b"pk\x03\x04", "it is a zip archive; unpack it"),
    (b"\x1f\x8b", "it is a gzip archive; unpack it"),
)


def read_start(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(64)


def refuse_other_files(start: bytes) -> None:
    """Refuse what people take for images, of some of which Pillow reads a header.

    Raises:
        DataError: the file with these first bytes is empty, or of a known kind that holds no image.
    """
    if not start:
        raise DataError("it is empty")
    text = start.lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    for first, what in OTHER_FILES:
        if text.startswith(first):
            raise DataError(what)


def gdal_driver(start: bytes) -> str:
    """GDAL's driver for a file with these first bytes; empty for those that Pillow reads."""
    if start.startswith(TIFF_STARTS):
        return "GTiff"
    if start.startswith(PNG_START) and start[24:25] == b"\x10":  # Pillow halves 16-bit colours
        return "PNG"
    return "JP2OpenJPEG" if start.startswith(JPEG_2000_STARTS) else ""


@contextmanager
def explain_errors(path: Path) -> Iterator[None]:
    """Turn the readers' exceptions into one line about the image."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} cannot be decoded ({_what_it_is(path)})") from error
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"{path} cannot be decoded ({error})") from error
    except DECODE_ERRORS as error:
        raise DataError(f"{path} cannot be decoded ({error})") from error


def _what_it_is(path: Path) -> str:
    """What a file is that no reader takes for an image."""
    start = read_start(path)
    if start[4:8] == b"ftyp":
        return "it is an HEIF or AVIF image or a film, which is not read here; convert it to PNG"
    if start.startswith(JPEG_2000_STARTS):
        return "it is a JPEG 2000, for which neither this Pillow nor this GDAL has a driver"
    if start.startswith(TIFF_STARTS):
        return "it is a TIFF of a kind that is not read here"
    return "it is no image"
