"""Pictures of any size, read a window at a time; where on Earth they lie, if they say so."""

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import rasterio
from PIL import Image, UnidentifiedImageError
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window as Part

from galr.errors import DataError
from galr.io.images import DECODE_ERRORS, UNKNOWN_RANGE, to_rgb
from galr.search.places import Place, Window

TIFF = frozenset({".tif", ".tiff"})
COLOURS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
# Bands that mean anything else than light: Pillow knows what to make of those.
FOREIGN = frozenset(ColorInterp) - {
    *COLOURS,
    ColorInterp.gray,
    ColorInterp.undefined,
    ColorInterp.alpha,
}


class Picture(Protocol):
    """An open picture: its size (width, height) in pixels, its place if it has one, its windows."""

    size: tuple[int, int]
    place: Place | None

    def read(self, window: Window) -> Image.Image:
        """Decode a window as 8-bit RGB."""


@contextmanager
def opened(path: Path) -> Iterator[Picture]:
    """Open a picture.

    Of a GeoTIFF with 8 or 16 bits a band only the windows asked for are ever in memory. Its colours are
    the bands said to be red, green and blue, else the first three, else the first as grey. All other
    pictures are decoded whole.

    Raises:
        DataError: it is not there, damaged or cut short, or its pixels have no known range; here or at a
            window.
    """
    with ExitStack() as stack:
        with _explained(path):
            picture = _opened(path, stack)
        yield picture


@contextmanager
def _explained(path: Path) -> Iterator[None]:
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


def _opened(path: Path, stack: ExitStack) -> Picture:
    """Choose who reads the file; what is to be closed goes onto the stack."""
    place = None
    if path.suffix.lower() in TIFF:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                dataset = rasterio.open(path, driver="GTiff")  # no other: some follow links in text
            except RasterioError:
                dataset = None  # perhaps another format under this name
            if dataset is not None:
                stack.enter_context(dataset)
                place = _place(dataset)
                if _is_light(dataset):
                    return _Raster(path, dataset, place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large, and meant to be
        with Image.open(path) as image:
            image.load()
            return _Decoded(to_rgb(image), place)


class _Decoded:
    """A picture that lies in memory."""

    def __init__(self, rgb: Image.Image, place: Place | None) -> None:
        self.size = rgb.size
        self.place = place
        self._rgb = rgb

    def read(self, window: Window) -> Image.Image:
        """Cut a window out."""
        x, y, width, height = window
        return self._rgb.crop((x, y, x + width, y + height))


class _Raster:
    """A GeoTIFF that stays on disk."""

    def __init__(self, path: Path, dataset: rasterio.DatasetReader, place: Place | None) -> None:
        self.size = (dataset.width, dataset.height)
        self.place = place
        self._path = path
        self._dataset = dataset
        self._bands = _bands(dataset)
        whole = [MaskFlags.all_valid]
        self._holes = any(dataset.mask_flag_enums[band - 1] != whole for band in self._bands)

    def read(self, window: Window) -> Image.Image:
        """Read a window; what is transparent or without data turns black, as everywhere here."""
        part = Part(*window)
        with _explained(self._path):
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


def _is_light(dataset: rasterio.DatasetReader) -> bool:
    """Whether a raster's bands are plain light of 8 or 16 bits; Pillow reads what is not.

    Raises:
        DataError: the pixels have no known range.
    """
    kinds = set(dataset.dtypes)
    if any(kind.startswith(("float", "complex")) for kind in kinds):
        raise DataError(UNKNOWN_RANGE)
    packed = "NBITS" in dataset.tags(1, ns="IMAGE_STRUCTURE")
    return kinds <= {"uint8", "uint16"} and not packed and not FOREIGN & set(dataset.colorinterp)


def _bands(dataset: rasterio.DatasetReader) -> list[int]:
    """Numbers of the bands to show, from 1: red, green and blue, or one of grey."""
    said = list(dataset.colorinterp)
    if set(COLOURS) <= set(said):
        return [said.index(colour) + 1 for colour in COLOURS]
    light = [band for band, means in enumerate(said, 1) if means != ColorInterp.alpha]
    return light[:3] if len(light) >= 3 else light[:1]


def _place(dataset: rasterio.DatasetReader) -> Place | None:
    """Where a raster lies; none where it does not say."""
    if dataset.transform.is_identity:
        return None
    system = dataset.crs.to_string() if dataset.crs else ""
    return Place(tuple(float(number) for number in dataset.transform[:6]), system)
