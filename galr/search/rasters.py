"""A part of a picture, and where on Earth it lies.

How a large picture is cut: overlapping tiles of the size that the model has learnt to look at.

Pictures of any size, read a window at a time; where on Earth they lie, if they say so.
"""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import rasterio
from PIL import Image, UnidentifiedImageError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as Part

from galr.errors import ConfigError, DataError
from galr.io.images import DECODE_ERRORS, UNKNOWN_RANGE, to_rgb
from galr.regions.slices import starts


class Window(NamedTuple):
    """A part of a picture, in its pixels."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True)
class GeoTransform:
    """Where on Earth a picture lies.

    transform: a, b, c, d, e, f: the pixel (x, y), counted from the upper left corner, lies at
        (a x + b y + c, d x + e y + f).
    system: the coordinates' reference system, as `EPSG:32633` or WKT; empty where the file has none.
    """

    coefficients: tuple[float, ...]
    crs: str


def window_corners(geo_transform: GeoTransform, window: Window) -> list[tuple[float, float]]:
    """Corners of a window in the picture's coordinates: upper left, upper right, lower right, lower left."""
    a, b, c, d, e, f = geo_transform.coefficients
    left, top, right, bottom = window.x, window.y, window.x + window.width, window.y + window.height
    pixels = ((left, top), (right, top), (right, bottom), (left, bottom))
    return [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]


@dataclass(frozen=True)
class Tiling:
    """How pictures are cut.

    side: of a tile in pixels.
    overlap: least share of the side that neighbouring tiles have in common, in [0, 1).
    whole: a picture whose longer side is at most so many pixels is not cut.
    """

    tile_size: int
    overlap: float
    max_untiled: int

    def __post_init__(self) -> None:
        """Refuse what no picture can be cut by.

        Raises:
            ConfigError: says what.
        """
        if self.tile_size < 1 or self.max_untiled < 1:
            raise ConfigError(
                f"tile and whole are in pixels, 1 or more; got {self.tile_size}, {self.max_untiled}"
            )
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"overlap is a share of a tile's side in [0, 1), got {self.overlap}")

    def windows(self, width: int, height: int) -> list[Window]:
        """Cut a picture: as few tiles as possible, evenly spread, row by row.

        Every pixel is in a tile. All tiles are of one size, the side or what the picture has of it.
        """
        if max(width, height) <= self.max_untiled:
            return [Window(0, 0, width, height)]
        across, down = min(self.tile_size, width), min(self.tile_size, height)
        return [
            Window(x, y, across, down)
            for y in starts(height, self.tile_size, self.overlap)
            for x in starts(width, self.tile_size, self.overlap)
        ]


TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
RGB_BANDS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
# Bands that mean anything else than light: Pillow knows what to make of those.
NOT_LIGHT = frozenset(ColorInterp) - {
    *RGB_BANDS,
    ColorInterp.gray,
    ColorInterp.undefined,
    ColorInterp.alpha,
}


class OpenImage(Protocol):
    """An open picture: its size (width, height) in pixels, its place if it has one, its windows."""

    size: tuple[int, int]
    geo_transform: GeoTransform | None

    def read(self, window: Window) -> Image.Image:
        """Decode a window as 8-bit RGB."""


@contextmanager
def open_image(path: Path) -> Iterator[OpenImage]:
    """Open a picture.

    Of a GeoTIFF with 8 or 16 bits a band only the windows asked for are ever in memory. Its colours are
    the bands said to be red, green and blue, else the first three, else the first as grey. All other
    pictures are decoded whole.

    Raises:
        DataError: it is not there, damaged or cut short, or its pixels have no known range; here or at a
            window.
    """
    with ExitStack() as stack:
        with _explain_errors(path):
            picture = _open(path, stack)
        yield picture


@contextmanager
def _explain_errors(path: Path) -> Iterator[None]:
    """Turn whatever a reader trips on into one line about the picture."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist") from error
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{path} is too large to be decoded whole ({error}); make a TIFF of it, which is read by tiles"
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(f"{path} cannot be decoded (it is no picture)") from error
    except (DataError, RasterioError, *DECODE_ERRORS) as error:
        raise DataError(f"{path} cannot be decoded ({error})") from error


def _open(path: Path, stack: ExitStack) -> OpenImage:
    """Choose who reads the file; what is to be closed goes onto the stack."""
    place = None
    if path.suffix.lower() in TIFF_SUFFIXES:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                dataset = rasterio.open(path, driver="GTiff")  # no other: some follow links in text
            except RasterioError:
                dataset = None  # perhaps another format under this name
            if dataset is not None:
                stack.enter_context(dataset)
                place = _read_geo_transform(dataset)
                if _has_plain_colours(dataset):
                    return _GeoTiff(path, dataset, place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, and meant to be
        with Image.open(path) as image:
            image.load()
            return _InMemory(to_rgb(image), place)


class _InMemory:
    """A picture that lies in memory."""

    def __init__(self, rgb: Image.Image, geo_transform: GeoTransform | None) -> None:
        self.size = rgb.size
        self.geo_transform = geo_transform
        self._rgb = rgb

    def read(self, window: Window) -> Image.Image:
        """Cut a window out."""
        x, y, width, height = window
        return self._rgb.crop((x, y, x + width, y + height))


class _GeoTiff:
    """A GeoTIFF that stays on disk."""

    def __init__(
        self, path: Path, dataset: rasterio.DatasetReader, geo_transform: GeoTransform | None
    ) -> None:
        self.size = (dataset.width, dataset.height)
        self.geo_transform = geo_transform
        self._path = path
        self._dataset = dataset
        self._bands = _display_bands(dataset)
        whole = [MaskFlags.all_valid]
        self._holes = any(dataset.mask_flag_enums[band - 1] != whole for band in self._bands)

    def read(self, window: Window) -> Image.Image:
        """Read a window; what is transparent or without data turns black, as everywhere here."""
        part = Part(*window)
        with _explain_errors(self._path):
            values = self._dataset.read(self._bands, window=part)  # (bands, height, width)
            opaque = self._dataset.dataset_mask(window=part) if self._holes else None
        if values.dtype == np.uint16:
            values = (values.astype(np.uint32) + 128) // 257  # as `as_rgb` reads 16-bit grey
        if opaque is not None:  # (height, width) in [0, 255]
            values = (values.astype(np.uint32) * opaque + 127) // 255
        pixels = np.moveaxis(values.astype(np.uint8), 0, -1)
        return Image.fromarray(
            np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        )


def _has_plain_colours(dataset: rasterio.DatasetReader) -> bool:
    """Whether a raster's bands are plain light of 8 or 16 bits; Pillow reads what is not.

    Raises:
        DataError: the pixels have no known range.
    """
    kinds = set(dataset.dtypes)
    if any(kind.startswith(("float", "complex")) for kind in kinds):
        raise DataError(UNKNOWN_RANGE)
    packed = "NBITS" in dataset.tags(1, ns="IMAGE_STRUCTURE")
    return kinds <= {"uint8", "uint16"} and not packed and not NOT_LIGHT & set(dataset.colorinterp)


def _display_bands(dataset: rasterio.DatasetReader) -> list[int]:
    """Numbers of the bands to show, from 1: red, green and blue, or one of grey."""
    said = list(dataset.colorinterp)
    if set(RGB_BANDS) <= set(said):
        return [said.index(colour) + 1 for colour in RGB_BANDS]
    light = [band for band, means in enumerate(said, 1) if means != ColorInterp.alpha]
    return light[:3] if len(light) >= 3 else light[:1]


def _read_geo_transform(dataset: rasterio.DatasetReader) -> GeoTransform | None:
    """Where a raster lies; none where it does not say."""
    if dataset.transform.is_identity:
        return None
    system = dataset.crs.to_string() if dataset.crs else ""
    return GeoTransform(tuple(float(number) for number in dataset.transform[:6]), system)
