"""TIFF files, and other rasters of more than 8 bits, read by rasterio: whole or one window at a time.

The bands and the stretch of a file are chosen once, when it is opened, so that all its windows agree.
"""

import struct
import warnings
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from rasterio.enums import MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterioWindow

from galr.errors import DataError
from galr.io.bands import OTHER_MODELS, choose_bands, color_tags, find_opacity, read_palette
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import (
    LARGEST_NUMBER,
    ImageReading,
    is_number,
    sample_windows,
    stretch_limits,
    to_8_bits,
)
from galr.io.windows import GeoTransform, Window

PIXELS_AT_ONCE = 1 << 22  # that are read at a time, which bounds memory
EXTRA_SAMPLES, ASSOCIATED = 338, 1  # a TIFF tag, and its value for colours multiplied by opacity
BLOCKS = ((273, 279), (324, 325))  # TIFF tags: offsets and lengths of strips, of tiles


class Raster:
    """An open raster.

    Attributes:
        size: width and height in pixels.
        geo_transform: its coordinates; None where it has none.
        reading: what it is read as.
    """

    def __init__(self, path: Path, dataset: rasterio.DatasetReader, options: PixelOptions) -> None:
        """Choose bands, mask and stretch.

        Args:
            path: of the file.
            dataset: the open file.
            options: the user's bands and range.

        Raises:
            DataError: the file lacks a band, or its pixels are complex numbers.
            RasterioError: the file is damaged.
        """
        if any("complex" in dtype for dtype in dataset.dtypes):
            raise DataError("its pixels are complex numbers; convert them to real ones")
        self.size = (dataset.width, dataset.height)
        self.geo_transform = read_geo_transform(dataset)
        self._path = path
        self._dataset = dataset
        self._bands, chosen = choose_bands(dataset, options)
        self._palette = read_palette(dataset)
        self._dtype = np.result_type(*(dataset.dtypes[band - 1] for band in self._bands))
        self._inverted = "MINISWHITE" in dataset.tags(ns="IMAGE_STRUCTURE")
        self._nodata = [
            _matchable(dataset.nodatavals[band - 1], dataset.dtypes[band - 1])
            for band in self._bands
        ]
        flags = dataset.mask_flag_enums[self._bands[0] - 1]
        self._has_mask = MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags
        self._opacity, lie = find_opacity(dataset, self._bands)
        self._associated = self._opacity is not None and _is_associated(path)
        self._limits = self._find_limits(options)
        blank = "pixels without data are black" if self._can_lack_data() else ""
        self.reading = self._describe(options, tuple(filter(None, (chosen, lie, blank))))

    def read(self, window: Window) -> Image.Image:
        """Decode a window as 8-bit RGB; pixels that are transparent or without data become black.

        Raises:
            DataError: the file is damaged or cut short.
        """
        x, y, width, height = window
        pixels = np.empty((height, width, 3), np.uint8)
        rows = max(1, PIXELS_AT_ONCE // width)
        try:
            for top in range(0, height, rows):
                count = min(rows, height - top)
                part = RasterioWindow(x, y + top, width, count)
                pixels[top : top + count] = self._read_part(part)
        except RasterioError as error:
            reason = describe_damage(self._path, error)
            raise DataError(f"{self._path} cannot be decoded ({reason})") from error
        return Image.fromarray(pixels)

    def _read_part(self, part: RasterioWindow) -> np.ndarray:
        """Decode a window of few pixels: (height, width, 3) uint8."""
        values = self._dataset.read(self._bands, window=part)  # (bands, height, width)
        present = self._present(values, part)
        if self._palette is not None:
            pixels = self._palette[np.minimum(values[0], len(self._palette) - 1)]
        else:
            if self._limits is not None:
                pairs = zip(values, self._limits, strict=True)
                values = np.stack([to_8_bits(band, *limits) for band, limits in pairs])
            if self._inverted:
                values = 255 - values
            pixels = np.broadcast_to(np.moveaxis(values, 0, -1), (*values.shape[1:], 3))
        if self._opacity is not None:
            pixels = self._over_black(pixels, self._dataset.read(self._opacity.band, window=part))
        if present is not None:
            missing = ~np.any(present, axis=0, keepdims=True)  # (1, height, width)
            pixels = np.where(np.moveaxis(missing, 0, -1), 0, pixels)
        return pixels

    def _over_black(self, pixels: np.ndarray, opacities: np.ndarray) -> np.ndarray:
        """Lay colours over black, to the bit as Pillow does for its own images.

        Args:
            pixels: (height, width, 3) uint8.
            opacities: (height, width), values of the band of opacity.
        """
        assert self._opacity is not None
        alpha = opacities
        if alpha.dtype != np.uint8:
            alpha = to_8_bits(opacities, 0, self._opacity.opaque)
        if self._associated and self._limits is not None:  # after a stretch it is a mask only
            alpha = np.where(alpha > 0, 255, 0).astype(np.uint8)
        stored = "RGBa" if self._associated and self._limits is None else "RGBA"
        data = np.dstack([pixels, alpha]).tobytes()
        size = (pixels.shape[1], pixels.shape[0])
        image = Image.frombytes("RGBA", size, data, "raw", stored)
        black = Image.new("RGBA", size, (0, 0, 0, 255))
        return np.asarray(Image.alpha_composite(black, image).convert("RGB"))

    def _can_lack_data(self) -> bool:
        """Whether the file marks pixels as missing."""
        return self._has_mask or any(nodata is not None for nodata in self._dataset.nodatavals)

    def _present(self, values: np.ndarray, part: RasterioWindow) -> np.ndarray | None:
        """Which values are data: (bands, height, width) bool, or None for all.

        Args:
            values: (bands, height, width) of the bands that are shown.
            part: where they lie.
        """
        floating = np.issubdtype(values.dtype, np.floating)
        if not floating and not self._can_lack_data():
            return None
        present = is_number(values) if floating else np.ones(values.shape, bool)
        for band, nodata in enumerate(self._nodata):
            if nodata is not None:
                present[band] &= values[band] != nodata
        if self._has_mask:
            present &= self._dataset.read_masks(self._bands[0], window=part) > 0
        return present

    def _find_limits(self, options: PixelOptions) -> list[tuple[float, float]] | None:
        """For each band the values that become black and white; None for 8 bits and for colour maps.

        All values that less than 8 bits can hold are used.
        """
        if self._palette is not None:
            return None
        if self._dtype == np.uint8:
            bits = int(self._dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
            return None if bits == 8 else [(0, 2**bits - 1)] * len(self._bands)
        if options.range is not None:
            return [(options.range[0], options.range[1])] * len(self._bands)
        parts: list[list[np.ndarray]] = [[] for _ in self._bands]
        for window in sample_windows(*self.size):
            part = RasterioWindow(*window)
            values = self._dataset.read(self._bands, window=part)
            present = self._present(values, part)
            if present is None:
                present = np.ones(values.shape, bool)
            if self._opacity is not None:
                present &= self._dataset.read(self._opacity.band, window=part) > 0
            for kept, band, known in zip(parts, values, present, strict=True):
                kept.append(band[known])
        return [stretch_limits(np.concatenate(kept)) for kept in parts]

    def _describe(self, options: PixelOptions, notes: tuple[str, ...]) -> ImageReading:
        """What was done, for the user."""
        count, numbers = self._dataset.count, " ".join(map(str, self._bands))
        if self._palette is not None:
            return ImageReading(f"a colour map, {self._dtype}", notes=notes, plain=not notes)
        kind = f"bands {numbers} of {count}, {self._dtype}"
        if len(self._bands) == 1:
            kind = f"band {numbers} of {count} as grey, {self._dtype}"
        if self._opacity is not None:
            kind += f", band {self._opacity.band} as opacity"
        limits = None
        if self._limits is not None and self._dtype != np.uint8:
            limits = (min(low for low, _ in self._limits), max(high for _, high in self._limits))
        whole = len(self._bands) + (self._opacity is not None) == count
        plain = limits is None and whole and options.bands is None and not notes
        return ImageReading(kind, limits, options.range is None, notes, plain)


def open_dataset(path: Path, driver: str, stack: ExitStack) -> rasterio.DatasetReader:
    """Open a file with one driver of GDAL: some of the others follow links in text files.

    Args:
        path: of the file.
        driver: GTiff, PNG or JP2OpenJPEG.
        stack: closes it.

    Raises:
        RasterioError: the file is damaged, or this GDAL lacks the driver or a codec.
    """
    # It keeps GDAL's warnings from the terminal, and GDAL from listing the whole folder beside each file.
    stack.enter_context(rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="TRUE"))
    return stack.enter_context(rasterio.open(path, driver=driver))


def is_for_pillow(dataset: rasterio.DatasetReader) -> bool:
    """Whether Pillow is to read an open file.

    That is a JPEG 2000 of 8 bits, and TIFFs whose colours Pillow converts better: CMYK, Lab and YCbCr. Where YCbCr
    is compressed as JPEG, the codec itself converts it.
    """
    if dataset.driver != "GTiff":
        return set(dataset.dtypes) == {"uint8"}
    structure = dataset.tags(ns="IMAGE_STRUCTURE")
    model = structure.get("SOURCE_COLOR_SPACE", "RGB")
    other_model = model != "RGB" and "JPEG" not in structure.get("COMPRESSION", "")
    return other_model or bool(OTHER_MODELS & set(color_tags(dataset)))


def read_geo_transform(dataset: rasterio.DatasetReader) -> GeoTransform | None:
    """The coordinates of a raster; None where it has none."""
    if dataset.transform.is_identity:
        return None
    crs = dataset.crs.to_string() if dataset.crs else ""
    return GeoTransform(tuple(float(number) for number in dataset.transform[:6]), crs)


def describe_damage(path: Path, error: BaseException) -> str:
    """Why rasterio cannot read a file: cut short, where its blocks say so; else what GDAL says."""
    directory = _read_directory(path)
    for offsets, lengths in BLOCKS:
        starts, sizes = directory.get(offsets, ()), directory.get(lengths, ())
        end = max((a + b for a, b in zip(starts, sizes, strict=False)), default=0)
        if end > (found := path.stat().st_size):
            return f"it is cut short: it has {found:,} of at least {end:,} bytes"
    text = " ".join(str(error.__cause__ or error.__context__ or error).split())
    if "not recognized" in text:
        return "it is damaged, or this GDAL has no driver for it"
    return text.replace(str(path), "").replace(path.name, "").lstrip(":, ")


def _matchable(nodata: float | None, dtype: str) -> np.generic | None:
    """The mark of missing data as a value of a band; None where no value of the band can be equal to it.

    NaN and numbers beyond float32's are missing in any case.
    """
    kind = np.dtype(dtype)
    if nodata is None or not abs(nodata) < LARGEST_NUMBER:
        return None
    if kind.kind in "iu" and not (
        float(nodata).is_integer() and np.iinfo(kind).min <= nodata <= np.iinfo(kind).max
    ):
        return None
    return kind.type(nodata)


def _is_associated(path: Path) -> bool:
    """Whether a TIFF says that its colours are multiplied by its opacity."""
    return ASSOCIATED in _read_directory(path).get(EXTRA_SAMPLES, ())


def _read_directory(path: Path) -> dict[int, tuple[int, ...]]:
    """The tags of a TIFF's first image that rasterio does not tell; empty for other and damaged files."""
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about damage
            header = file.read(8)
            if b"+" in header[2:4]:  # BigTIFF
                header += file.read(8)
            directory = ImageFileDirectory_v2(header)
            file.seek(directory.next)
            directory.load(file)
            wanted = (EXTRA_SAMPLES, *BLOCKS[0], *BLOCKS[1])
            values = {tag: directory[tag] for tag in wanted if tag in directory}
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return {}
    return {tag: (v if isinstance(v, tuple) else (v,)) for tag, v in values.items()}
