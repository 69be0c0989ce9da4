"""Pixels of TIFF files and of deep images, against the definition written with NumPy."""

import shutil

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from galr.errors import ConfigError, DataError
from galr.io import images
from galr.io.images import (
    describe_image,
    full_window,
    image_size,
    load_resized,
    load_rgb,
    open_image,
    to_rgb,
)
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import MAX_SAMPLE, ReadingSummary, sample_windows
from galr.io.windows import Window
from galr.search.windows import Tiling

TRANSFORM = rasterio.Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 4_650_000.0)
SHAPE = 60, 90


def write_geotiff(path, bands, **options):
    """Write a GeoTIFF of (bands, height, width)."""
    profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1]}
    profile |= {"width": bands.shape[2], "dtype": bands.dtype, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile | {"transform": TRANSFORM} | options) as file:
        file.write(bands)
    return path


def tag_bands(path, colours):
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [ColorInterp[colour] for colour in colours]
    return path


def random_pixels(shape, dtype=np.uint8, seed=0, low=None, high=None):
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    info = np.iinfo(dtype)
    low, high = info.min if low is None else low, info.max if high is None else high
    return random.integers(low, high, shape, dtype=dtype, endpoint=True)


def read_whole(path, options=images.AS_STORED):
    with open_image(path, options) as image:
        return np.asarray(image.read(full_window(image)))


def stretched(bands, present=None, limits=None):
    """Say the definition out loud: (bands, height, width) numbers to (height, width, 3), with Python's floats."""
    result = np.zeros((*bands.shape[1:], 3), np.uint8)
    for channel in range(3):
        band = bands[channel if len(bands) == 3 else 0]
        shown = np.isfinite(band.astype(float)) & (True if present is None else present)
        low, high = limits or np.percentile(band[shown].astype(float), [2, 98])
        for y, x in zip(*np.nonzero(shown), strict=True):
            share = (float(band[y, x]) - low) / (high - low)
            result[y, x, channel] = int(min(max(share, 0), 1) * 255 + 0.5)
    return result


def as_image(bands):
    """(bands, height, width) as (height, width, bands)."""
    return np.moveaxis(bands, 0, -1)


def test_windows_of_a_geotiff_have_the_pixels_of_the_array_and_the_coordinates_of_its_transform(
    tmp_path,
):
    bands = random_pixels((3, 90, 130))
    path = write_geotiff(tmp_path / "a.tif", bands, tiled=True, blockxsize=32, blockysize=32)
    with open_image(path) as image, rasterio.open(path) as dataset:
        assert image.size == (130, 90) and image.geo_transform.crs == "EPSG:32633"
        for window in Tiling(40, 0.25, 64).windows(*image.size):
            x, y, width, height = window
            expected = as_image(bands[:, y : y + height, x : x + width])
            assert np.array_equal(np.asarray(image.read(window)), expected)
            affine = np.array(dataset.transform).reshape(3, 3)
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
            expected = [tuple(affine @ [*pixel, 1])[:2] for pixel in corners]
            assert image.geo_transform.corners(window) == expected


@pytest.mark.parametrize(
    "mode", ["RGB", "L", "RGBA", "P", "1", "CMYK", "LA", "LAB", "YCbCr", "premultiplied", "white"]
)
def test_an_8_bit_tiff_has_the_pixels_that_pillow_reads(tmp_path, mode):
    path = tmp_path / "x.tif"
    colours = Image.fromarray(random_pixels((20, 30, 3)))
    if mode in ("premultiplied", "white"):
        alpha = np.where(random_pixels((1, 20, 30), seed=1) > 90, 255, 90).astype(np.uint8)
        bands = np.concatenate([random_pixels((3, 20, 30), high=90), alpha])
        options = {"photometric": "RGB", "alpha": "PREMULTIPLIED"}
        if mode == "white":
            bands, options = bands[:1], {"photometric": "MINISWHITE"}
        write_geotiff(path, bands, **options)
    elif mode == "LAB":
        write_geotiff(path, random_pixels((3, 20, 30)), photometric="CIELAB")
    else:
        image = colours.convert(mode)
        if mode in ("RGBA", "LA"):
            image.putalpha(colours.convert("L").point(lambda v: v if v < 70 else 255))
        image.save(path)
    with Image.open(path) as opened:
        expected = np.asarray(to_rgb(opened))
    assert expected.std() > 5
    assert np.array_equal(read_whole(path), expected)
    assert np.array_equal(load_resized(path, 13).pixels, np.asarray(
        Image.fromarray(expected).resize((13, 13), Image.Resampling.BILINEAR)
    ))  # fmt: skip


@pytest.mark.parametrize("options", [
    {"interleave": "pixel"}, {"interleave": "band"}, {"photometric": "RGB", "interleave": "band"},
    {"interleave": "band", "tiled": True, "blockxsize": 16, "blockysize": 16},
    {"compress": "deflate", "predictor": 2}, {"bigtiff": "YES"}, {"endianness": "BIG"},
])  # fmt: skip
def test_16_bits_are_stretched_between_percentiles_however_the_file_lies_on_the_disk(
    tmp_path, options
):
    bands = random_pixels((3, *SHAPE), np.uint16, high=3000)
    path = write_geotiff(tmp_path / "deep.tif", bands, **options)
    assert np.array_equal(read_whole(path), stretched(bands))


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("int8", -90, 100), ("int16", -500, 3000), ("uint16", 300, 2047), ("int32", -70_000, 90_000),
        ("uint32", 70_000, 4_000_000_000), ("int64", -9, 90), ("float32", None, None), ("float64", None, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 3])
def test_every_type_of_number_is_stretched(tmp_path, dtype, low, high, count):
    bands = random_pixels((count, *SHAPE), dtype, low=low, high=high)
    path = write_geotiff(tmp_path / "deep.tif", bands)
    assert np.array_equal(read_whole(path), stretched(bands))
    assert f", {dtype}, stretched from " in describe_image(path)


def test_12_bits_and_half_floats_are_read_by_their_own_range(tmp_path):
    twelve = random_pixels((1, *SHAPE), np.uint16, high=4095)
    write_geotiff(tmp_path / "twelve.tif", twelve, nbits=12)
    assert np.array_equal(read_whole(tmp_path / "twelve.tif"), stretched(twelve))
    half = random_pixels((1, *SHAPE), np.float32).astype(np.float16).astype(np.float32)
    write_geotiff(tmp_path / "half.tif", half, nbits=16)
    assert np.array_equal(read_whole(tmp_path / "half.tif"), stretched(half))


@pytest.mark.parametrize("bits", [1, 2, 4, 5])
@pytest.mark.parametrize("options", [{}, {"photometric": "MINISWHITE"}, {"tiled": True}])
def test_less_than_8_bits_use_all_their_values(tmp_path, bits, options):
    blocks = {"blockxsize": 16, "blockysize": 16} if "tiled" in options else {}
    values = random_pixels((1, *SHAPE), high=2**bits - 1)
    path = write_geotiff(tmp_path / "a.tif", values, nbits=bits, **options, **blocks)
    grey = np.round(values[0].astype(int) * 255 / (2**bits - 1)).astype(np.uint8)
    if "photometric" in options:
        grey = 255 - grey
    pixels = read_whole(path).astype(int)
    assert np.abs(pixels - grey[..., None]).max() <= (bits == 5)  # GDAL cuts 164.5, we round it
    if bits != 5:  # which Pillow does not know
        with Image.open(path) as opened:
            assert np.array_equal(np.asarray(to_rgb(opened)), read_whole(path))
    assert "stretched" not in describe_image(path)


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32"])
def test_values_that_mark_missing_data_are_black_and_stretch_nothing(tmp_path, dtype):
    nodata = 65_535 if dtype == "uint16" else -9999
    bands = random_pixels((3, *SHAPE), dtype, low=100, high=2000)
    present = np.ones(SHAPE, bool)
    present[5:30, 7:60] = False
    bands[:, ~present] = nodata
    path = write_geotiff(tmp_path / "deep.tif", bands, nodata=nodata)
    assert np.array_equal(read_whole(path), stretched(bands, present))
    assert "pixels without data are black" in describe_image(path)


def test_nan_infinity_and_floats_that_no_sensor_measures_are_missing(tmp_path):
    bands = random_pixels((3, *SHAPE), np.float32)
    present = np.ones(SHAPE, bool)
    marks = (np.nan, np.inf, -np.inf, np.finfo(np.float32).min, np.finfo(np.float32).max)
    for row, mark in enumerate(marks):
        bands[:, 10 * row : 10 * row + 5] = mark
        present[10 * row : 10 * row + 5] = False
    for name, options in (("a", {}), ("b", {"nodata": np.nan}), ("c", {"nodata": -3.4028235e38})):
        path = write_geotiff(tmp_path / f"{name}.tif", bands, **options)
        assert np.array_equal(read_whole(path), stretched(bands, present))


def test_a_pixel_is_missing_only_if_all_its_bands_are(tmp_path):
    bands = random_pixels((3, *SHAPE), low=1, high=254)
    bands[0, :5], bands[:, 20:30] = 255, 255  # a bright red, and no data
    path = write_geotiff(tmp_path / "a.tif", bands, nodata=255)
    expected = as_image(bands).copy()
    expected[20:30] = 0
    assert np.array_equal(read_whole(path), expected)


def test_a_mark_that_no_value_can_equal_hides_nothing(tmp_path):
    bands = random_pixels((3, *SHAPE))
    path = write_geotiff(tmp_path / "a.tif", bands)
    xml = "<PAMDataset><PAMRasterBand band='{}'><NoDataValue>-9999</NoDataValue></PAMRasterBand></PAMDataset>"
    path.with_name("a.tif.aux.xml").write_text(xml.format(1))
    assert np.array_equal(read_whole(path), as_image(bands))


@pytest.mark.parametrize("internal", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_the_files_own_mask_is_black_through_every_door(tmp_path, internal, dtype):
    bands = random_pixels((3, *SHAPE), dtype, low=10, high=250)
    path = tmp_path / "a.tif"
    present = np.ones(SHAPE, bool)
    present[:20, 30:] = False
    bands[:, ~present] = 255
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal):
        write_geotiff(path, bands)
        with rasterio.open(path, "r+") as file:
            file.write_mask(present)
    assert internal != path.with_name("a.tif.msk").exists()
    expected = np.where(present[..., None], as_image(bands), 0)
    if dtype == "uint16":
        expected = stretched(bands, present)
    assert np.array_equal(read_whole(path), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_infrared_that_is_tagged_as_opacity_leaves_the_colours_alone(tmp_path, dtype):
    bands = random_pixels((4, *SHAPE), dtype, low=20, high=200)
    path = write_geotiff(tmp_path / "naip.tif", bands, photometric="RGB", alpha="yes")
    expected = as_image(bands[:3]) if dtype == "uint8" else stretched(bands[:3])
    assert np.array_equal(read_whole(path), expected)
    assert "band 4 is tagged as opacity but is none" in describe_image(path)


@pytest.mark.parametrize("opaque", [255, 65_535])
def test_opacity_of_16_bits_makes_pixels_black_and_they_stretch_nothing(tmp_path, opaque):
    bands = random_pixels((4, *SHAPE), np.uint16, high=3000)
    bands[3] = opaque
    bands[3, :20], bands[:3, :20] = 0, 60_000
    path = write_geotiff(tmp_path / "a.tif", bands, photometric="RGB", alpha="yes")
    assert np.array_equal(read_whole(path), stretched(bands[:3], bands[3] > 0))
    assert describe_image(path).startswith("bands 1 2 3 of 4, uint16, band 4 as opacity")


def test_a_colour_map_is_applied_whatever_the_tags_say(tmp_path):
    colours = {
        0: (200, 30, 30, 255),
        1: (30, 200, 30, 255),
        2: (9, 9, 9, 0),
        3: (240, 240, 40, 255),
    }
    indices = random_pixels((1, *SHAPE), high=3)
    path = write_geotiff(tmp_path / "map.tif", indices)
    with rasterio.open(path, "r+") as file:
        file.write_colormap(1, colours)
    data = path.read_bytes()
    palette, grey = b"\x06\x01\x03\0\x01\0\0\0\x03\0", b"\x06\x01\x03\0\x01\0\0\0\x01\0"
    assert data.count(palette) == 1
    (tmp_path / "grey.tif").write_bytes(data.replace(palette, grey))  # "min is black"
    table = np.array([(0, 0, 0) if c[3] == 0 else c[:3] for c in colours.values()], np.uint8)
    expected = table[indices[0]]
    for name in ("map.tif", "grey.tif"):
        pixels = read_whole(tmp_path / name)
        assert np.array_equal(pixels[indices[0] != 2], expected[indices[0] != 2])
        assert "colour map" in describe_image(tmp_path / name)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_bands_are_found_by_tag_name_or_wavelength(tmp_path, dtype):
    bands = random_pixels((4, *SHAPE), dtype)
    expected = as_image(bands[[2, 1, 0]]) if dtype == "uint8" else stretched(bands[[2, 1, 0]])
    names = [
        ("blue", "green", "red", "nir"),
        ("B02", "B03", "B04", "B08"),
        ("Band 1 (Blue)", "Band 2 (Green)", "Band 3 (Red)", "Band 4 (Red Edge)"),
    ]
    for number, labels in enumerate(names):
        path = write_geotiff(tmp_path / f"{number}.tif", bands, photometric="RGB")  # a lie
        with rasterio.open(path, "r+") as file:
            file.descriptions = labels
        assert np.array_equal(read_whole(path), expected)
    path = write_geotiff(tmp_path / "wavelengths.tif", bands, photometric="MINISBLACK")
    with rasterio.open(path, "r+") as file:
        for band, length in enumerate((482, 561, 655, 865), 1):
            file.update_tags(band, wavelength=str(length), wavelength_units="Nanometers")
    assert np.array_equal(read_whole(path), expected)
    path = write_geotiff(tmp_path / "tagged.tif", bands, photometric="MINISBLACK")
    tag_bands(path, ("blue", "green", "red", "undefined"))
    assert np.array_equal(read_whole(path), expected)


def test_bands_that_nothing_names_are_the_first_three_and_a_line_says_so(tmp_path):
    bands = random_pixels((5, *SHAPE), np.uint16)
    path = write_geotiff(tmp_path / "a.tif", bands)
    assert np.array_equal(read_whole(path), stretched(bands[:3]))
    assert "does not say which bands are red, green and blue" in describe_image(path)
    two = write_geotiff(tmp_path / "two.tif", bands[:2])
    assert np.array_equal(read_whole(two), stretched(bands[:1]))
    assert "band 1 of 2 as grey" in describe_image(two)


def test_the_users_bands_and_range_replace_the_files(tmp_path):
    bands = random_pixels((4, *SHAPE), np.uint16, high=5000)
    path = write_geotiff(tmp_path / "a.tif", bands)
    options = PixelOptions(bands=(3, 2, 1), range=(500.0, 3000.0))
    expected = stretched(bands[[2, 1, 0]], limits=(500, 3000))
    assert np.array_equal(read_whole(path, options), expected)
    assert describe_image(path, options) == "bands 3 2 1 of 4, uint16, stretched from 500…3000"
    grey = PixelOptions(bands=(4,))
    assert np.array_equal(read_whole(path, grey), stretched(bands[3:]))
    with pytest.raises(
        DataError, match=r"a.tif cannot be decoded \(it has 4 bands, and bands 5 .*--bands"
    ):
        read_whole(path, PixelOptions(bands=(5, 4, 3)))
    plain = random_pixels((*SHAPE, 3))
    Image.fromarray(plain).save(tmp_path / "plain.png")
    assert np.array_equal(read_whole(tmp_path / "plain.png", options), plain)


def test_bands_and_range_that_mean_nothing_are_refused():
    for bands in ((1, 2), (0,), (1, 2, 3, 4), (1, None, 3)):
        with pytest.raises(ConfigError, match="bands are three numbers"):
            PixelOptions(bands=bands)
    for limits in ((1.0,), (3.0, 3.0), (5.0, 1.0), (0.0, float("nan")), (None, 1.0)):
        with pytest.raises(ConfigError, match="range is two numbers"):
            PixelOptions(range=limits)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pillows_deep_images_and_16_bit_png_are_stretched_alike(tmp_path, mode):
    values = random_pixels((1, *SHAPE), np.uint16, high=2000)
    expected = stretched(values)
    image = Image.fromarray(
        values[0].astype({"I;16": "uint16", "I": "int32", "F": "float32"}[mode])
    )
    assert image.mode == mode
    assert np.array_equal(np.asarray(to_rgb(image)), expected)
    image.save(tmp_path / "a.tif")
    assert np.array_equal(read_whole(tmp_path / "a.tif"), expected)
    if mode == "I;16":
        image.save(tmp_path / "a.png")
        assert np.array_equal(read_whole(tmp_path / "a.png"), expected)
        image.save(tmp_path / "a.jp2")
        assert np.array_equal(read_whole(tmp_path / "a.jp2"), expected)


def test_16_bit_png_of_colours_keeps_its_low_bits(tmp_path):
    values = random_pixels((3, *SHAPE), np.uint16, high=255)  # Pillow alone would see only black
    write_geotiff(tmp_path / "a.png", values, driver="PNG", crs=None)
    assert np.array_equal(read_whole(tmp_path / "a.png"), stretched(values))
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.png cannot be decoded"):
        read_whole(tmp_path / "cut.png")


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int16"])
def test_a_constant_raster_is_black_and_counted_as_such(tmp_path, dtype):
    path = write_geotiff(tmp_path / "a.tif", np.full((3, *SHAPE), 7, dtype))
    assert not read_whole(path).any()
    empty = write_geotiff(tmp_path / "b.tif", np.full((3, *SHAPE), 7, dtype), nodata=7)
    assert not read_whole(empty).any()
    spot = np.full((1, *SHAPE), 7, dtype)
    spot[0, 3, 4] = 9  # rarer than the percentiles see
    expected = np.zeros((*SHAPE, 3), np.uint8)
    expected[3, 4] = 255
    assert np.array_equal(read_whole(write_geotiff(tmp_path / "c.tif", spot)), expected)
    summary = ReadingSummary("tiles")
    for name in "abc":
        summary.look_at(f"{name}.tif", read_whole(tmp_path / f"{name}.tif"))
    summary.look_at("d.tif", random_pixels((9, 9, 3)))
    (line,) = summary.lines()
    assert line.startswith("2 of 4 tiles nearly constant, for example a.tif")


@pytest.mark.parametrize("kind", ["reflectance", "alpha", "map", "png", "grey"])
def test_whole_windows_rows_and_resized_have_one_stretch(tmp_path, monkeypatch, kind):
    bands = random_pixels((4, 97, 131), np.uint16, high=4000)
    bands[:3] += np.arange(97, dtype=np.uint16)[:, None] * 40  # windows differ in their own range
    path = tmp_path / "a.tif"
    if kind == "reflectance":
        bands[:, :30] = 0
        write_geotiff(path, bands[:3], nodata=0, tiled=True, blockxsize=32, blockysize=16)
    elif kind == "alpha":
        bands[3] = np.where(bands[3] > 1000, 65_535, 0)
        write_geotiff(path, bands, photometric="RGB", alpha="yes")
    elif kind == "map":
        Image.fromarray(random_pixels((97, 131, 3))).quantize(16).save(path)
    elif kind == "png":
        path = tmp_path / "a.png"
        Image.fromarray(bands[0]).save(path)
    else:
        path = tmp_path / "a.pgm"
        Image.fromarray(bands[0]).save(path)
    whole = read_whole(path)
    monkeypatch.setattr("galr.io.rasters.PIXELS_AT_ONCE", 500)
    monkeypatch.setattr("galr.io.pixel_values._AT_ONCE", 300)
    assert np.array_equal(read_whole(path), whole)
    assert np.array_equal(np.asarray(load_rgb(path)), whole)
    with open_image(path) as image:
        for x, y, width, height in Tiling(40, 0.25, 64).windows(*image.size):
            pixels = np.asarray(image.read(Window(x, y, width, height)))
            assert np.array_equal(pixels, whole[y : y + height, x : x + width])
    resized = Image.fromarray(whole).resize((20, 20), Image.Resampling.BILINEAR)
    assert np.array_equal(load_resized(path, 20).pixels, np.asarray(resized))


@pytest.mark.parametrize(("height", "width"), [(1500, 1403), (90, 20_000), (20_000, 90)])
def test_the_percentiles_of_a_large_raster_are_of_an_even_grid_of_squares(tmp_path, height, width):
    bands = random_pixels((1, height, width), np.uint16, high=1000)
    bands += (np.arange(height)[:, None] // 20 + np.arange(width) // 30).astype(np.uint16)
    path = write_geotiff(tmp_path / "a.tif", bands)
    windows = sample_windows(width, height)
    taken = np.zeros((height, width), int)
    for x, y, w, h in windows:
        assert x % 64 == y % 64 == 0 and max(w, h) <= 64
        taken[y : y + h, x : x + w] += 1
    assert taken.max() == 1 and 0.5 * MAX_SAMPLE < taken.sum() <= MAX_SAMPLE < height * width
    quarter = taken[: height // 2, : width // 2].sum() / taken.sum()
    assert 0.15 < quarter < 0.35  # evenly spread
    low, high = np.percentile(bands[0][taken > 0].astype(float), [2, 98])
    share = np.clip((bands[0].astype(float) - low) / (high - low), 0, 1)
    expected = (share * 255 + 0.5).astype(np.uint8)
    assert np.array_equal(read_whole(path)[..., 0], expected)
    assert np.array_equal(np.asarray(to_rgb(Image.fromarray(bands[0])))[..., 0], expected)


def test_one_line_says_what_was_done_for_each_kind_of_file(tmp_path):
    summary = ReadingSummary()
    for number, low in enumerate((200, 100, 300)):
        bands = np.full((4, 10, 10), 500, np.uint16)
        bands[:, 0, :5], bands[:, 1, :5] = low, 1000 + low
        path = write_geotiff(tmp_path / f"{number}.tif", bands)
        tag_bands(path, ("blue", "green", "red", "undefined"))
        summary.add(load_resized(path, 5).reading)
    Image.new("L", (5, 5)).save(tmp_path / "plain.png")
    plain = load_resized(tmp_path / "plain.png", 5).reading
    summary.add(plain)
    first, second = summary.lines()
    assert first == (
        "3 images read as bands 3 2 1 of 4, uint16, stretched from 100…1300 (each by its own values)"
    )
    assert second == "1 image read as grey, 8 bits"
    quiet = ReadingSummary()
    quiet.add(plain)
    assert quiet.lines() == []


def test_images_without_coordinates_have_no_transform_and_a_wrong_suffix_is_no_error(tmp_path):
    pixels = random_pixels((20, 30, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "misnamed.tif").write_bytes((tmp_path / "a.png").read_bytes())
    Image.fromarray(pixels).save(tmp_path / "plain.tif")
    shutil.copy(tmp_path / "plain.tif", tmp_path / "misnamed.jpg")
    for name in ("a.png", "misnamed.tif", "plain.tif", "misnamed.jpg"):
        assert np.array_equal(read_whole(tmp_path / name), pixels)
        assert image_size(tmp_path / name) == (30, 20)
        with open_image(tmp_path / name) as image:
            assert image.geo_transform is None


def test_what_cannot_be_read_is_refused_by_its_true_reason(tmp_path, capfd):
    write_geotiff(tmp_path / "complex.tif", np.ones((1, 9, 9), np.complex64))
    cut = write_geotiff(tmp_path / "cut.tif", random_pixels((3, 300, 300)))
    cut.write_bytes(cut.read_bytes()[:100_000])
    deflated = write_geotiff(
        tmp_path / "deflated.tif", random_pixels((3, 300, 300)), compress="deflate"
    )
    deflated.write_bytes(deflated.read_bytes()[:100_000])
    for name, content in {
        "text.png": b"no image", "empty.tif": b"", "page.jpg": b"\n<!DOCTYPE html><html>",
        "lfs.tif": b"version https://git-lfs.github.com/spec/v1\noid", "cube.tif": b"\x89HDF\r\n\x1a\n",
        "phone.jpg": b"\0\0\0\x18ftypheic\0\0\0\0", "half.jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
    reasons = {
        "complex.tif": "complex numbers", "cut.tif": "it is cut short: it has 100,000 of at least 270,",
        "deflated.tif": "it is cut short: it has 100,000 of", "text.png": "it is no image",
        "empty.tif": "it is empty", "page.jpg": "it is a web page", "lfs.tif": "a pointer of Git LFS",
        "cube.tif": "it is an HDF5 or NetCDF file", "phone.jpg": "an HEIF or AVIF image", "half.jp2": "it is damaged, or this GDAL has no driver",
    }  # fmt: skip
    for name, reason in reasons.items():
        with pytest.raises(DataError, match=rf"{name} cannot be decoded \(.*{reason}") as caught:
            read_whole(tmp_path / name)
        assert "\n" not in str(caught.value)
    for name in ("missing.tif", "missing.png"):
        with pytest.raises(DataError, match=f"{name} does not exist"):
            read_whole(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_only_a_tiff_may_be_larger_than_images_that_are_decoded_whole(tmp_path, monkeypatch):
    pixels = random_pixels((20, 30, 3))
    for name in ("large.png", "large.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.setattr(images, "MAX_PIXELS", 200)
    with pytest.raises(
        DataError, match=r"large.png is 30 x 20 pixels, too large .* convert it to TIFF"
    ):
        read_whole(tmp_path / "large.png")
    assert np.array_equal(read_whole(tmp_path / "large.tif"), pixels)
    with pytest.raises(DataError, match="too large to be decoded whole"):
        load_resized(tmp_path / "large.tif", 5)


def test_images_beyond_pillows_own_limit_open_and_the_limit_comes_back(tmp_path, monkeypatch):
    pixels = random_pixels((20, 30, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels).convert("1").save(tmp_path / "bits.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert np.array_equal(read_whole(tmp_path / "a.png"), pixels)
    assert read_whole(tmp_path / "bits.tif").any()
    assert Image.MAX_IMAGE_PIXELS == 100


def test_no_image_of_dota_is_too_large():
    assert images.MAX_PIXELS >= 29_200 * 27_620


def test_an_error_of_the_caller_is_not_reported_as_a_damaged_image(tmp_path):
    Image.fromarray(random_pixels((20, 30, 3))).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="ours"), open_image(tmp_path / "a.png"):
        raise ValueError("ours")
