"""The pixels of `galr index`, `galr search --image` and the page: those of `galr data`, and as asked."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from PIL import Image

from galr.errors import ConfigError
from galr.io.html import data_uri
from galr.io.images import load_resized, load_rgb
from galr.io.pixel_options import PixelOptions
from galr.search.index import open_index, read_manifest
from galr.search.sources import FolderSource
from galr.search.windows import Tiling

from .conftest import galr, write_image  # isort: skip


def write_scene(path, seed=0, high=3000, shape=(90, 120)):
    """A Sentinel-2-like scene: blue, green, red and infrared, reflectance in uint16, a part without data."""
    bands = np.random.default_rng(seed).integers(300, high, (4, *shape)).astype(np.uint16)
    bands += np.arange(shape[0], dtype=np.uint16)[:, None] * 9
    bands[:, :20, :30] = 0
    options = {"driver": "GTiff", "count": 4, "dtype": "uint16", "nodata": 0, "crs": "EPSG:32633"}
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 4_650_000)
    path.parent.mkdir(exist_ok=True, parents=True)
    with rasterio.open(
        path, "w", height=shape[0], width=shape[1], transform=transform, **options
    ) as file:
        file.write(bands)
    return bands


def as_asked(bands, low, high):
    """(90, 120, 3): bands 3, 2 and 1 between two values, and black without data."""
    shown = np.moveaxis(bands[[2, 1, 0]], 0, -1).astype(float)
    pixels = (np.clip((shown - low) / (high - low), 0, 1) * 255 + 0.5).astype(np.uint8)
    pixels[:20, :30] = 0
    return pixels


def indexed_tiles(folder, pixels):
    """The tiles that an index embeds, in order, and what they were read as."""
    seen = []

    def embed(images):
        seen.extend(np.asarray(image) for image in images)
        return np.ones((len(images), 4), np.float32)

    source = FolderSource(folder, SimpleNamespace(embed=embed), Tiling(40, 0.25, 64), 3, pixels)
    keys = [key for _, key in source.scan().names]
    blocks = list(source.blocks(keys))
    windows = np.concatenate([block.tiles.windows for block in blocks])
    return seen, windows, source.readings.lines()


@pytest.mark.parametrize("options", [PixelOptions(), PixelOptions((3, 2, 1), (0.0, 3000.0))])
def test_tiles_of_an_index_are_windows_of_the_image_that_data_stores(tmp_path, options):
    bands = write_scene(tmp_path / "mine/a.tif")
    tiles, windows, lines = indexed_tiles(tmp_path / "mine", options)
    whole = np.asarray(load_rgb(tmp_path / "mine/a.tif", options))
    if options.range:
        assert np.array_equal(whole, as_asked(bands, 0, 3000))
    assert len(tiles) == len(windows) == 12
    for tile, (x, y, width, height) in zip(tiles, windows.tolist(), strict=True):
        assert np.array_equal(tile, whole[y : y + height, x : x + width])
    stored = load_resized(tmp_path / "mine/a.tif", 30, options).pixels
    expected = Image.fromarray(whole).resize((30, 30), Image.Resampling.BILINEAR)
    assert np.array_equal(stored, np.asarray(expected))
    bands_read = "3 2 1" if options.bands else "1 2 3"
    assert lines[0].startswith(f"1 image read as bands {bands_read} of 4, uint16, stretched from ")


def test_tiles_in_which_nothing_can_be_seen_are_counted_and_one_is_named(tmp_path):
    write_scene(tmp_path / "mine/a.tif")
    _, windows, lines = indexed_tiles(tmp_path / "mine", PixelOptions(None, (9000.0, 9001.0)))
    assert lines[1] == (
        f"{len(windows)} of {len(windows)} tiles nearly constant, for example a.tif at 0, 0: blank,"
        " without data, or all values outside the range"
    )


def test_an_index_remembers_bands_and_range_and_an_image_query_reads_alike(
    make_index, run_search, tmp_path, capsys
):
    folder = tmp_path / "mine"
    bands = write_scene(folder / "small.tif", shape=(40, 50))
    write_scene(folder / "other.tif", seed=1, shape=(40, 50))
    write_image(folder / "plain.png", 3)
    index = make_index(folder, "--bands", 3, 2, 1, "--range", 0, 3000)
    lines = capsys.readouterr().err.splitlines()
    assert f"{index}: 2 images read as bands 3 2 1 of 4, uint16, stretched from 0…3000; pixels" in (
        " ".join(lines)
    )
    stored = {"bands": [3, 2, 1], "range": [0.0, 3000.0]}
    assert read_manifest(index)["sources"][0]["pixels"] == stored
    query = (index, "--image", folder / "small.tif", "--json", "--device", "cpu", "--no-merge")
    alike = run_search(*query, "--html", tmp_path / "page.html")
    first = alike.documents[0]["answers"][0]
    assert first["name"] == "small.tif" and first["cosine"] == pytest.approx(1, abs=1e-5)
    assert "1 image read as bands 3 2 1 of 4, uint16, stretched from 0…3000" in alike.messages
    shown, hit, *_ = re.findall(r'src="(data:[^"]+)"', (tmp_path / "page.html").read_text())
    assert (
        shown
        == hit
        == data_uri(
            np.asarray(load_rgb(folder / "small.tif", PixelOptions((3, 2, 1), (0.0, 3000.0))))
        )
    )
    assert bands.shape == (4, 40, 50)
    other = run_search(*query, "--bands", 1, "--range", 0, 9000)
    answers = {each["name"]: each["cosine"] for each in other.documents[0]["answers"]}
    assert answers["small.tif"] < 1 - 1e-6
    assert "band 1 of 4 as grey, uint16, stretched from 0…9000" in other.messages


def test_other_bands_or_another_range_count_as_changes_of_the_same_source(make_index, tmp_path):
    folder = tmp_path / "mine"
    write_scene(folder / "small.tif", shape=(40, 50))
    index = make_index(folder, "--range", 0, 3000)
    before = np.array(open_index(index).vectors.embeddings)
    make_index(folder, "--range", 0, 6000)
    (source,) = read_manifest(index)["sources"]
    assert source["pixels"] == {"bands": None, "range": [0.0, 6000.0]}
    assert not np.allclose(open_index(index).vectors.embeddings, before, atol=1e-6)
    make_index(folder, "--range", 0, 3000)
    assert np.array_equal(open_index(index).vectors.embeddings, before)


def test_sources_that_were_read_differently_need_the_users_word(make_index, run_search, tmp_path):
    for name, limit in (("mine", 3000), ("yours", 6000)):
        write_scene(tmp_path / name / f"{name}.tif", seed=limit, shape=(40, 50))
        index = make_index(tmp_path / name, "--range", 0, limit)
    query = (index, "--image", tmp_path / "yours/yours.tif", "--k", 1, "--json", "--device", "cpu")
    with pytest.raises(ConfigError, match=r"read with different bands or ranges; say .* --range"):
        run_search(*query)
    answer = run_search(*query, "--range", 0, 6000).documents[0]["answers"][0]
    assert answer["name"] == "yours.tif" and answer["cosine"] == pytest.approx(1, abs=1e-5)


def test_bands_and_range_are_of_a_folder(runs, tmp_path):
    words = ("index", "--run", runs.global_run, "--output", tmp_path / "x")
    with pytest.raises(ConfigError, match="a dataset are stored, so give bands and range in its"):
        galr(*words, "--range", 0, 3000)
    with pytest.raises(ConfigError, match="bands are three numbers"):
        galr(*words, "--folder", tmp_path, "--bands", 1, 2)
    assert not (tmp_path / "x").exists()
    assert json.dumps(PixelOptions().to_dict()) == '{"bands": null, "range": null}'
