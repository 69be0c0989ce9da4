import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from galr.errors import DataError
from galr.io.images import to_rgb
from galr.search.rasters import full_window, open_image
from galr.search.windows import Tiling

TRANSFORM = rasterio.Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 4_650_000.0)


def write_geotiff(path, bands, **options):
    """Write a GeoTIFF of (bands, height, width)."""
    profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1]}
    profile |= {"width": bands.shape[2], "dtype": bands.dtype, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile | {"transform": TRANSFORM} | options) as file:
        file.write(bands)
    return path


def random_pixels(shape, dtype=np.uint8, seed=0):
    high = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, high, shape, dtype=dtype, endpoint=True)


def read_whole(path):
    with open_image(path) as image:
        return np.asarray(image.read(full_window(image)))


def test_windows_of_a_geotiff_have_the_pixels_of_the_array_and_the_coordinates_of_its_transform(
    tmp_path,
):
    bands = random_pixels((3, 90, 130))
    path = write_geotiff(tmp_path / "a.tif", bands, tiled=True, blockxsize=32, blockysize=32)
    with open_image(path) as image, rasterio.open(path) as dataset:
        assert image.size == (130, 90) and image.geo_transform.crs == "EPSG:32633"
        for window in Tiling(40, 0.25, 64).windows(*image.size):
            x, y, width, height = window
            expected = np.moveaxis(bands[:, y : y + height, x : x + width], 0, -1)
            assert np.array_equal(np.asarray(image.read(window)), expected)
            affine = np.array(dataset.transform).reshape(3, 3)
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
            expected = [tuple(affine @ [*pixel, 1])[:2] for pixel in corners]
            assert image.geo_transform.corners(window) == expected


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "LA"])
def test_a_tiff_has_the_pixels_that_pillow_reads(tmp_path, mode):
    path = tmp_path / "x.tif"
    if mode == "I;16":
        image = Image.fromarray(random_pixels((20, 30), np.uint16))
    else:
        image = Image.fromarray(random_pixels((20, 30, 3))).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(random_pixels((20, 30), seed=1)))
    image.save(path)
    with Image.open(path) as opened:
        expected = np.asarray(to_rgb(opened), int)
    assert np.abs(read_whole(path).astype(int) - expected).max() <= (1 if "A" in mode else 0)


def test_bands_marked_as_colours_are_read_as_these_colours(tmp_path):
    bands = random_pixels((4, 20, 30))
    path = write_geotiff(tmp_path / "nir.tif", bands)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [
            ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red
        ]  # fmt: skip
    assert np.array_equal(read_whole(path), np.moveaxis(bands[[3, 2, 1]], 0, -1))


def test_16_bits_are_divided_by_257_and_pixels_without_data_are_black(tmp_path):
    bands = random_pixels((3, 20, 30), np.uint16)
    bands[:, 5:9, 7:12] = 60_000
    path = write_geotiff(tmp_path / "deep.tif", bands, nodata=60_000)
    expected = np.moveaxis((bands.astype(int) + 128) // 257, 0, -1)
    expected[5:9, 7:12] = 0
    assert np.array_equal(read_whole(path), expected)


def test_images_without_coordinates_have_no_transform_and_a_wrong_suffix_is_no_error(tmp_path):
    pixels = random_pixels((20, 30, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "misnamed.tif").write_bytes((tmp_path / "a.png").read_bytes())
    for name in ("a.png", "misnamed.tif"):
        assert np.array_equal(read_whole(tmp_path / name), pixels)
        with open_image(tmp_path / name) as image:
            assert image.geo_transform is None
    Image.fromarray(pixels).save(tmp_path / "plain.tif")
    with open_image(tmp_path / "plain.tif") as image:
        assert image.geo_transform is None


def test_an_unreadable_image_is_one_line(tmp_path, capfd):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text.png cannot be decoded \(it is no image\)"):
        read_whole(tmp_path / "text.png")
    path = write_geotiff(tmp_path / "float.tif", np.zeros((1, 9, 9), np.float32))
    with pytest.raises(DataError, match="no known range"):
        read_whole(path)
    cut = write_geotiff(tmp_path / "cut.tif", random_pixels((3, 300, 300)))
    cut.write_bytes(cut.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"cut.tif cannot be decoded"):
        read_whole(cut)
    for name in ("missing.tif", "missing.png"):
        with pytest.raises(DataError, match=f"{name} does not exist"):
            read_whole(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_only_a_tiff_may_be_larger_than_images_that_are_decoded_whole(tmp_path, monkeypatch):
    pixels = random_pixels((20, 30, 3))
    for name in ("large.png", "large.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(DataError, match=r"large.png is too large .* convert it to TIFF"):
        read_whole(tmp_path / "large.png")
    assert np.array_equal(read_whole(tmp_path / "large.tif"), pixels)


def test_an_error_of_the_caller_is_not_reported_as_a_damaged_image(tmp_path):
    Image.fromarray(random_pixels((20, 30, 3))).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="ours"), open_image(tmp_path / "a.png"):
        raise ValueError("ours")
