"""Images of any size, read one window at a time, with the coordinates of those that have any."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
from PIL import Image, UnidentifiedImageError
from rasterio import windows as rasterio_windows
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from galr.errors import DataError
from galr.io.images import DECODE_ERRORS, UNKNOWN_RANGE, to_rgb
from galr.search.windows import GeoTransform, Window

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
RGB_BANDS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
LIGHT_BANDS = frozenset({*RGB_BANDS, ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha})


class OpenImage(Protocol):
    """An open image.

    Attributes:
        size: width and height in pixels.
        geo_transform: its coordinates; None where it has none.
    """

    size: tuple[int, int]
    geo_transform: GeoTransform | None

    def read(self, window: Window) -> Image.Image:
        """Decode a window as 8-bit RGB.

        Raises:
            DataError: the file is damaged or cut short.
        """


@contextmanager
def open_image(path: Path) -> Iterator[OpenImage]:
    """Open an image.

    A GeoTIFF of 8 or 16 bits per band is read window by window, so that it may be larger than memory; its
    colours are the bands marked red, green and blue, else the first three, else the first as grey. All other
    images are decoded whole.

    Raises:
        DataError: the file is missing, damaged or cut short, or the range of its pixels is not known.
    """
    with ExitStack() as stack:
        with _explain_errors(path):
            image = _open(path, stack)
        yield image


def full_window(image: OpenImage) -> Window:
    """The window that covers a whole image."""
    return Window(0, 0, *image.size)


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    """Turn the readers' exceptions into one line about the image."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path} is too large to be decoded whole ({error}); convert it to TIFF, which is read in"
            " windows"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} cannot be decoded (it is no image)") from error
    except (DataError, RasterioError, *DECODE_ERRORS) as error:
        raise DataError(f"{path} cannot be decoded ({error})") from error


def _open(path: Path, stack: ExitStack) -> OpenImage:
    """Choose the reader of a file; the stack closes what is opened."""
    geo_transform = None
    if path.suffix.lower() in TIFF_SUFFIXES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                # Only this driver: some of the others follow links in text files.
                dataset = rasterio.open(path, driver="GTiff")
            except RasterioError:
                dataset = None  # perhaps another format under this suffix
            if dataset is not None:
                stack.enter_context(dataset)
                geo_transform = _read_geo_transform(dataset)
                if _has_light_bands(dataset):
                    return _GeoTiff(path, dataset, geo_transform)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large images are expected
        with Image.open(path) as image:
            image.load()
            return _InMemory(to_rgb(image), geo_transform)


class _InMemory:
    """An image that was decoded whole."""

    def __init__(self, rgb: Image.Image, geo_transform: GeoTransform | None) -> None:
        self.size = rgb.size
        self.geo_transform = geo_transform
        self._rgb = rgb

    def read(self, window: Window) -> Image.Image:
        """Crop a window."""
        x, y, width, height = window
        return self._rgb.crop((x, y, x + width, y + height))


class _GeoTiff:
    """A GeoTIFF that is decoded window by window."""

    def __init__(
        self, path: Path, dataset: rasterio.DatasetReader, geo_transform: GeoTransform | None
    ) -> None:
        self.size = (dataset.width, dataset.height)
        self.geo_transform = geo_transform
        self._path = path
        self._dataset = dataset
        self._bands = _display_bands(dataset)
        self._has_mask = any(
            dataset.mask_flag_enums[band - 1] != [MaskFlags.all_valid] for band in self._bands
        )

    def read(self, window: Window) -> Image.Image:
        """Decode a window; pixels that are transparent or without data become black."""
        part = rasterio_windows.Window(*window)
        with _explain_errors(self._path):
            values = self._dataset.read(self._bands, window=part)  # (bands, height, width)
            opacity = self._dataset.dataset_mask(window=part) if self._has_mask else None
        if values.dtype == np.uint16:
            values = (values.astype(np.uint32) + 128) // 257  # as `to_rgb` reads 16-bit grey
        if opacity is not None:  # (height, width) in [0, 255]
            values = (values.astype(np.uint32) * opacity + 127) // 255
        pixels = np.moveaxis(values.astype(np.uint8), 0, -1)
        return Image.fromarray(
            np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        )


def _has_light_bands(dataset: rasterio.DatasetReader) -> bool:
    """Whether all bands are colour, grey or opacity of 8 or 16 bits; Pillow reads the other TIFFs.

    Raises:
        DataError: the pixels are floating-point, so that their range is not known.
    """
    dtypes = set(dataset.dtypes)
    if any(dtype.startswith(("float", "complex")) for dtype in dtypes):
        raise DataError(UNKNOWN_RANGE)
    packed = "NBITS" in dataset.tags(1, ns="IMAGE_STRUCTURE")
    return dtypes <= {"uint8", "uint16"} and not packed and set(dataset.colorinterp) <= LIGHT_BANDS


def _display_bands(dataset: rasterio.DatasetReader) -> list[int]:
    """Numbers, from 1, of the three bands for red, green and blue, or of one for grey."""
    meanings = list(dataset.colorinterp)
    if set(RGB_BANDS) <= set(meanings):
        return [meanings.index(colour) + 1 for colour in RGB_BANDS]
    light = [band for band, meaning in enumerate(meanings, 1) if meaning != ColorInterp.alpha]
    return light[:3] if len(light) >= 3 else light[:1]


def _read_geo_transform(dataset: rasterio.DatasetReader) -> GeoTransform | None:
    """The coordinates of a raster; None where it has none."""
    if dataset.transform.is_identity:
        return None
    crs = dataset.crs.to_string() if dataset.crs else ""
    return GeoTransform(tuple(float(number) for number in dataset.transform[:6]), crs)
