"""What the bands of a raster mean: which are red, green and blue, a colour map, opacity.

Tags lie: tools mark the first three bands of anything as red, green and blue, and infrared as opacity. So a
band's own name or wavelength counts before its colour tag, and opacity must look like opacity. Our rules.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from galr.errors import DataError
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import sample_windows

COLOURS = ("red", "green", "blue")
RGB_TAGS = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
# Colour models that Pillow converts, and rasterio does not.
OTHER_MODELS = frozenset(
    {
        ColorInterp.hue, ColorInterp.saturation, ColorInterp.lightness, ColorInterp.cyan,
        ColorInterp.magenta, ColorInterp.yellow, ColorInterp.black, ColorInterp.Y, ColorInterp.Cb,
        ColorInterp.Cr,
    }
)  # fmt: skip
SENTINEL_2 = {"b04": "red", "b03": "green", "b02": "blue"}  # Landsat's numbers, without 0, vary
OTHER_WORDS = frozenset({"edge", "near", "infra", "coastal", "deep", "i"})  # "red edge" is not red
WAVELENGTHS = (0.655, 0.56, 0.48)  # of red, green and blue, micrometres
WAVELENGTH_TOLERANCE = 0.05  # micrometres
MIN_OPAQUE_SHARE = 0.5


@dataclass(frozen=True)
class Opacity:
    """A band that says how opaque each pixel is: 0 transparent, `opaque` and more opaque."""

    band: int
    opaque: float


def choose_bands(dataset: rasterio.DatasetReader, options: PixelOptions) -> tuple[list[int], str]:
    """Choose the bands to show.

    The user's; else those whose names or wavelengths are red, green and blue; else those tagged as these colours;
    else the first three; else the first, as grey. Opacity and masks are not counted among them.

    Returns:
        Three band numbers, from 1, for red, green and blue, or one for grey; what the user should know.

    Raises:
        DataError: the file lacks a band that the user asks for.
    """
    if options.bands is not None:
        if max(options.bands) > dataset.count:
            raise DataError(
                f"it has {dataset.count} bands, and bands {' '.join(map(str, options.bands))} are asked"
                " for; give others with --bands, or as bands in the dataset file"
            )
        return list(options.bands), ""
    for bands in (_named(dataset.descriptions), _by_wavelength(_wavelengths(dataset))):
        if bands is not None:
            return bands, "" if bands == [1, 2, 3] else "chosen by the names of its bands"
    tags = color_tags(dataset)
    if set(RGB_TAGS) <= set(tags):
        return [tags.index(tag) + 1 for tag in RGB_TAGS], ""
    light = [band for band, tag in enumerate(tags, 1) if tag != ColorInterp.alpha]
    if len(light) < 3:
        return (light or [1])[:1], ""
    unsaid = "the file does not say which bands are red, green and blue" if len(light) > 3 else ""
    return light[:3], unsaid


def color_tags(dataset: rasterio.DatasetReader) -> list[ColorInterp]:
    """The colour tag of each band; undefined where this rasterio does not know it."""
    try:
        return list(dataset.colorinterp)
    except ValueError:  # a newer GDAL's
        return [ColorInterp.undefined] * dataset.count


def read_palette(dataset: rasterio.DatasetReader) -> np.ndarray | None:
    """The colour map of a raster with one band, whatever its tags say; None without one.

    Returns:
        (indices, 3) uint8, RGB; transparent colours are black.
    """
    if dataset.count > 2:
        return None
    try:
        colours = dataset.colormap(1)
    except ValueError:
        return None
    table = np.zeros((max(colours) + 1, 3), np.uint8)
    for index, (red, green, blue, alpha) in colours.items():
        table[index] = (np.array([red, green, blue], int) * alpha + 127) // 255
    return table


def find_opacity(
    dataset: rasterio.DatasetReader, bands: Sequence[int]
) -> tuple[Opacity | None, str]:
    """Find the band of opacity among those that are not shown.

    Opacity is opaque or transparent nearly everywhere: at least half of its values above 0 are its largest
    value. A band of a TIFF that is tagged as opacity but is not like that, as infrared is not, is left out.
    PNG and JPEG 2000 have no other fourth band, so theirs is believed.

    Args:
        dataset: the open file.
        bands: that are shown.

    Returns:
        The opacity, if there is one; what the user should know.
    """
    tags = color_tags(dataset)
    band = tags.index(ColorInterp.alpha) + 1 if ColorInterp.alpha in tags else 0
    if not band or band in bands:
        return None, ""
    windows = sample_windows(dataset.width, dataset.height)
    parts = [dataset.read(band, window=RasterioWindow(*window)).ravel() for window in windows]
    values = np.concatenate(parts)
    shown = values[values > 0]
    largest = float(shown.max()) if shown.size else 1.0
    if (
        dataset.driver == "GTiff"
        and shown.size
        and np.mean(shown == shown.max()) < MIN_OPAQUE_SHARE
    ):
        return None, f"band {band} is tagged as opacity but is none, and is left out"
    full = dataset.driver == "PNG" or values.dtype == np.uint8
    opaque = float(np.iinfo(values.dtype).max) if full else largest
    return Opacity(band, opaque), ""


def _named(names: Sequence[str | None]) -> list[int] | None:
    """The bands whose names are red, green and blue; None unless there is exactly one of each."""
    found: dict[str, list[int]] = {colour: [] for colour in COLOURS}
    for band, name in enumerate(names, 1):
        words = set(re.findall("[a-z0-9]+", (name or "").lower()))
        colours = words & set(COLOURS) or {SENTINEL_2[word] for word in words & set(SENTINEL_2)}
        if len(colours) == 1 and not words & OTHER_WORDS:
            found[colours.pop()].append(band)
    if all(len(bands) == 1 for bands in found.values()):
        return [found[colour][0] for colour in COLOURS]
    return None


def _wavelengths(dataset: rasterio.DatasetReader) -> dict[int, float]:
    """The wavelength of each band that states it, in micrometres."""
    found = {}
    for band in range(1, dataset.count + 1):
        tags: Mapping[str, Any] = dataset.tags(band) | dataset.tags(band, ns="IMAGERY")
        lower = {key.lower(): value for key, value in tags.items()}
        for key in ("central_wavelength_um", "wavelength", "center_wavelength"):
            try:
                number = float(lower[key])
            except (KeyError, ValueError):
                continue
            found[band] = number / 1000 if number > 100 else number  # ENVI's may be nanometres
            break
    return found


def _by_wavelength(wavelengths: Mapping[int, float]) -> list[int] | None:
    """The bands nearest to red, green and blue light; None unless each has one near enough."""
    chosen = []
    for target in WAVELENGTHS:
        near = {band: abs(length - target) for band, length in wavelengths.items()}
        band = min(near, key=near.__getitem__, default=0)
        if not band or near[band] > WAVELENGTH_TOLERANCE:
            return None
        chosen.append(band)
    return chosen if len(set(chosen)) == 3 else None
