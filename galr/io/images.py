"""The door that all pixels come through: image files of any common format to 8-bit RGB, whole or by window.

rasterio reads TIFF files, and PNG and JPEG 2000 of more than 8 bits; Pillow reads the rest, and the TIFF files
whose colours it converts better. An EXIF orientation is not applied, because boxes are given in stored pixels.
Of several pages the first is read. `pixel_values` says how more than 8 bits become 8.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image

from galr.errors import DataError
from galr.io.image_kinds import (
    DECODE_ERRORS,
    TIFF_STARTS,
    explain_errors,
    gdal_driver,
    read_start,
    refuse_other_files,
)
from galr.io.pillow_images import OPENING, PillowImage, load, open_header, refuse_wrong_colours
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import ImageReading
from galr.io.windows import GeoTransform, Window

if TYPE_CHECKING:  # rasterio takes a while to load, and most images need none
    import rasterio

AS_STORED = PixelOptions()
MAX_PIXELS = 1_000_000_000  # of an image that is decoded whole; DOTA's largest have 800 million


@dataclass(frozen=True)
class DecodedImage:
    """A decoded and resized image.

    Attributes:
        pixels: (size, size, 3) uint8, RGB.
        width: width of the original in pixels.
        height: height of the original in pixels.
        reading: what it was read as.
    """

    pixels: np.ndarray
    width: int
    height: int
    reading: ImageReading


class OpenImage(Protocol):
    """An open image.

    Attributes:
        size: width and height in pixels.
        geo_transform: its coordinates; None where it has none.
        reading: what it is read as.
    """

    size: tuple[int, int]
    geo_transform: GeoTransform | None
    reading: ImageReading

    def read(self, window: Window) -> Image.Image:
        """Decode a window as 8-bit RGB.

        Raises:
            DataError: the file is damaged or cut short.
        """


@contextmanager
def open_image(path: Path, options: PixelOptions = AS_STORED) -> Iterator[OpenImage]:
    """Open an image.

    A TIFF is read window by window, so that it may be larger than memory; other images are decoded here, whole.
    Pixels that are transparent, masked or without data are black.

    Args:
        path: of a jpg, png, tif, webp or any other file that Pillow reads.
        options: which bands are shown and which values are black and white, where the file shall not decide.

    Raises:
        DataError: the file is missing, no image, damaged, cut short or too large, or lacks a band.
    """
    with ExitStack() as stack:
        with explain_errors(path):
            image = _open(path, options, stack)
        yield image


def full_window(image: OpenImage) -> Window:
    """The window that covers a whole image."""
    return Window(0, 0, *image.size)


def read_whole(image: OpenImage, path: Path) -> Image.Image:
    """Decode all of an open image as 8-bit RGB.

    Raises:
        DataError: it is damaged, cut short, or too large.
    """
    _check_size(path, image.size)
    return image.read(full_window(image))


def load_rgb(path: Path, options: PixelOptions = AS_STORED) -> Image.Image:
    """Decode an image at its full size as 8-bit RGB.

    Raises:
        DataError: as for `open_image`.
    """
    try:
        with open_image(path, options) as image:
            return read_whole(image, path)
    except DataError as error:
        raise DataError(f"{error}; replace or remove it") from error


def load_resized(path: Path, size: int, options: PixelOptions = AS_STORED) -> DecodedImage:
    """Decode an image and resize it to a square with antialiased bilinear interpolation, as the released code does.

    Args:
        path: of the file.
        size: width and height of the result, in pixels.
        options: as for `open_image`.

    Raises:
        DataError: as for `open_image`.
    """
    with open_image(path, options) as image:
        return _resized(image, read_whole(image, path), size)


def resize_image(image: Image.Image, size: int, options: PixelOptions = AS_STORED) -> DecodedImage:
    """Resize an image in memory, of any of Pillow's modes, as `load_resized` does."""
    opened = PillowImage(image, None, options)
    return _resized(opened, opened.read(full_window(opened)), size)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an image in pixels, from its header.

    Raises:
        DataError: the file is missing, no image or damaged.
    """
    with ExitStack() as stack, explain_errors(path):
        start = read_start(path)
        refuse_other_files(start)
        if start.startswith(TIFF_STARTS):
            dataset = _open_raster(path, "GTiff", stack)
            if not isinstance(dataset, Exception):
                return dataset.width, dataset.height
        return stack.enter_context(open_header(path)).size


def describe_image(path: Path, options: PixelOptions = AS_STORED) -> str:
    """What an image is read as, in a phrase: `bands 3 2 1 of 4, uint16, stretched from 212…1893`.

    Raises:
        DataError: as for `open_image`.
    """
    with open_image(path, options) as image:
        return str(image.reading)


def to_rgb(image: Image.Image, options: PixelOptions = AS_STORED) -> Image.Image:
    """Convert an image in memory, of any of Pillow's modes, to 8-bit RGB.

    Args:
        image: more than 8 bits are stretched; transparent pixels become black, like the missing parts of
            aerial images.
        options: the range of more than 8 bits.
    """
    opened = PillowImage(image, None, options)
    return opened.read(full_window(opened))


def _resized(image: OpenImage, rgb: Image.Image, size: int) -> DecodedImage:
    """Resize the pixels of an image."""
    square = rgb.resize((size, size), Image.Resampling.BILINEAR)
    return DecodedImage(np.asarray(square), *image.size, image.reading)


def _open(path: Path, options: PixelOptions, stack: ExitStack) -> OpenImage:
    """Choose the reader of a file by its first bytes; the stack closes what is opened."""
    geo_transform, problem = None, None
    start = read_start(path)
    refuse_other_files(start)
    if driver := gdal_driver(start):
        from galr.io.rasters import Raster, describe_damage, is_for_pillow, read_geo_transform

        dataset = _open_raster(path, driver, stack)
        if isinstance(dataset, Exception):
            problem = describe_damage(path, dataset)
        elif is_for_pillow(dataset):
            geo_transform = read_geo_transform(dataset)
        else:
            return Raster(path, dataset, options)
    try:
        with open_header(path) as image:
            _check_size(path, image.size)
            if start.startswith(TIFF_STARTS):
                refuse_wrong_colours(image, problem)
            load(image)
            return PillowImage(image, geo_transform, options)
    except DECODE_ERRORS as error:
        if problem:
            raise DataError(problem) from error
        raise


def _open_raster(path: Path, driver: str, stack: ExitStack) -> "rasterio.DatasetReader | Exception":
    """Open a file by rasterio, or return why that fails."""
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    from galr.io.rasters import open_dataset

    with OPENING, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            return open_dataset(path, driver, stack)
        except RasterioError as error:
            return error


def _check_size(path: Path, size: tuple[int, int]) -> None:
    """Check that an image may be decoded whole.

    Raises:
        DataError: it has more than `MAX_PIXELS` pixels.
    """
    if math.prod(size) > MAX_PIXELS:
        raise DataError(
            f"{path} is {size[0]} x {size[1]} pixels, too large to be decoded whole: at most {MAX_PIXELS:,};"
            " cut it into smaller images, or convert it to TIFF, which galr index reads in windows"
        )
