import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp

from galr.errors import DataError
from galr.io.images import to_rgb
from galr.search.rasters import Tiling, Window, open_image, window_corners

TRANSFORM = rasterio.Affine(0.5, 0.0, 500_000.0, 0.0, -0.5, 4_650_000.0)


def raster(path, bands, **said):
    """Write a GeoTIFF of (bands, height, width)."""
    profile = {"driver": "GTiff", "count": len(bands), "height": bands.shape[1]}
    profile |= {"width": bands.shape[2], "dtype": bands.dtype, "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile | {"transform": TRANSFORM} | said) as file:
        file.write(bands)
    return path


def draw(shape, dtype=np.uint8, seed=0):
    high = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, high, shape, dtype=dtype, endpoint=True)


def whole(path):
    with open_image(path) as picture:
        return np.asarray(picture.read(Window(0, 0, *picture.size)))


def test_windows_of_a_raster_are_those_of_the_array_and_lie_where_its_transform_says(tmp_path):
    bands = draw((3, 90, 130))
    path = raster(tmp_path / "a.tif", bands, tiled=True, blockxsize=32, blockysize=32)
    with open_image(path) as picture, rasterio.open(path) as second:
        assert picture.size == (130, 90) and picture.geo_transform.crs == "EPSG:32633"
        for window in Tiling(40, 0.25, 64).windows(*picture.size):
            x, y, width, height = window
            expected = np.moveaxis(bands[:, y : y + height, x : x + width], 0, -1)
            assert np.array_equal(np.asarray(picture.read(window)), expected)
            affine = np.array(second.transform).reshape(3, 3)
            around = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
            expected = [tuple(affine @ [*pixel, 1])[:2] for pixel in around]
            assert window_corners(picture.geo_transform, window) == expected


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "1", "I;16", "CMYK", "LA"])
def test_a_tiff_reads_as_pillow_reads_it(tmp_path, mode):
    path = tmp_path / "x.tif"
    if mode == "I;16":
        picture = Image.fromarray(draw((20, 30), np.uint16))
    else:
        picture = Image.fromarray(draw((20, 30, 3))).convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(draw((20, 30), seed=1)))
    picture.save(path)
    with Image.open(path) as again:
        expected = np.asarray(to_rgb(again), int)
    assert np.abs(whole(path).astype(int) - expected).max() <= (1 if "A" in mode else 0)


def test_bands_that_say_they_are_colours_are_taken(tmp_path):
    bands = draw((4, 20, 30))
    path = raster(tmp_path / "nir.tif", bands)
    with rasterio.open(path, "r+") as file:
        file.colorinterp = [
            ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red
        ]  # fmt: skip
    assert np.array_equal(whole(path), np.moveaxis(bands[[3, 2, 1]], 0, -1))


def test_sixteen_bits_are_divided_and_what_has_no_data_is_black(tmp_path):
    bands = draw((3, 20, 30), np.uint16)
    bands[:, 5:9, 7:12] = 60_000
    path = raster(tmp_path / "deep.tif", bands, nodata=60_000)
    expected = np.moveaxis((bands.astype(int) + 128) // 257, 0, -1)
    expected[5:9, 7:12] = 0
    assert np.array_equal(whole(path), expected)


def test_other_pictures_have_no_place_and_a_misnamed_one_is_read(tmp_path):
    pixels = draw((20, 30, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "misnamed.tif").write_bytes((tmp_path / "a.png").read_bytes())
    for name in ("a.png", "misnamed.tif"):
        assert np.array_equal(whole(tmp_path / name), pixels)
        with open_image(tmp_path / name) as picture:
            assert picture.geo_transform is None
    Image.fromarray(pixels).save(tmp_path / "plain.tif")
    with open_image(tmp_path / "plain.tif") as picture:
        assert picture.geo_transform is None


def test_what_cannot_be_read_is_one_line(tmp_path, capfd):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text.png cannot be decoded \(it is no picture\)"):
        whole(tmp_path / "text.png")
    path = raster(tmp_path / "float.tif", np.zeros((1, 9, 9), np.float32))
    with pytest.raises(DataError, match="no known range"):
        whole(path)
    cut = raster(tmp_path / "cut.tif", draw((3, 300, 300)))
    cut.write_bytes(cut.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"cut.tif cannot be decoded"):
        whole(cut)
    for name in ("missing.tif", "missing.png"):
        with pytest.raises(DataError, match=f"{name} does not exist"):
            whole(tmp_path / name)
    assert capfd.readouterr().err == ""


def test_only_a_tiff_may_be_larger_than_what_is_decoded_whole(tmp_path, monkeypatch):
    pixels = draw((20, 30, 3))
    for name in ("large.png", "large.tif"):
        Image.fromarray(pixels).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(DataError, match=r"large.png is too large .* make a TIFF of it"):
        whole(tmp_path / "large.png")
    assert np.array_equal(whole(tmp_path / "large.tif"), pixels)


def test_a_mistake_of_ours_is_no_damaged_picture(tmp_path):
    Image.fromarray(draw((20, 30, 3))).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="ours"), open_image(tmp_path / "a.png"):
        raise ValueError("ours")
