"""What `galr search` prints and writes beside its table: paths, footprints, merged tiles, sums of sentences."""

import json
import os
import shutil

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform

from galr.errors import ConfigError, DataError, StoreError
from galr.io.windows import GeoTransform, Window
from galr.search.geojson import footprints
from galr.search.index import TEXT_ENCODER, TileRecord, open_index
from galr.search.merge import merge_rows
from galr.search.query import Hit, QueryResult, search
from galr.search.text_query import QueryTerm, parse_query, read_text_encoder

from .conftest import (  # isort: skip
    DETECTION,
    NUM_IMAGES,
    QUERY,
    galr,
    loaded_modules,
    write_geotiff,
)
import itertools


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("two ships", [("two ships", 1)]),
        ("a ship -another one +a third", [("a ship", 1), ("another one", -1), ("a third", 1)]),
        ("two-storey house -low-rise flats", [("two-storey house", 1), ("low-rise flats", -1)]),
        ("a park - with trees", [("a park - with trees", 1)]),
        ("-clouds", [("clouds", -1)]),
        ("2:two ships -0.5:clouds", [("two ships", 2), ("clouds", -0.5)]),
        ("at 10:30 two ships", [("at 10:30 two ships", 1)]),
        ("10:30 planes", [("10:30 planes", 1)]),
        ('ships -"two -three" +0.5:"x +y"', [("ships", 1), ("two -three", -1), ("x +y", 0.5)]),
        ('"a -b"', [("a -b", 1)]),
        ('a "-b" c', [('a "-b" c', 1)]),
        ("飞机 -机场", [("飞机", 1), ("机场", -1)]),
        ("\ufeff a ship \r\n", [("a ship", 1)]),
        ("", [("", 1)]),
    ],
)
def test_a_sign_at_the_beginning_of_a_word_begins_a_sentence(query, terms):
    assert parse_query(query) == [QueryTerm(*term) for term in terms]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ('a ship -"" ', "'-\"\"' has no sentence; write 'a sentence -another"),
        ("a ship -0:clouds", "'-0:clouds' has the weight 0"),
    ],
)
def test_a_term_that_says_nothing_is_an_error(query, message):
    with pytest.raises(ConfigError, match=message):
        parse_query(query)


def test_sentences_are_added_and_subtracted_by_their_embeddings(make_index, folder):
    encoder = read_text_encoder(make_index(folder) / TEXT_ENCODER)
    one, two, three = (
        encoder.embed(sentence) for sentence in ("two squares", "a bar", "dark field")
    )
    total = one - two + 0.5 * three
    query = encoder.embed("two squares -a bar +0.5:dark field")
    np.testing.assert_allclose(query, total / np.linalg.norm(total), atol=1e-6)
    assert query.dtype == np.float32
    np.testing.assert_allclose(encoder.embed("-a bar"), -two, atol=1e-6)
    assert np.array_equal(encoder.embed("3:a bar"), two)
    assert encoder.unknown_words("two dogs -a cat +two dogs") == ["dogs", "cat"]


@pytest.mark.parametrize(
    "words",
    [
        ["two squares -a bar +dark field"],
        ["two squares", "-a bar", "+dark field"],
        ["two squares", "-", "a bar", "+", "dark field"],
        ["two", "squares", "-a", "bar", "+dark field"],
        ["--k", "3", "two squares", "--json", "-a bar", "--min-score", "-0.9", "+dark field"],
    ],
)
def test_a_query_of_several_sentences_may_be_several_words(make_index, folder, run_search, words):
    index = make_index(folder)
    expected = run_search(index, '"two squares" -"a bar" +"dark field"', "--k", 3, "--json")
    answers = expected.documents[0]["answers"]
    flags = () if "--k" in words else ("--k", 3, "--json")
    document = run_search(index, *words, *flags).documents[0]
    assert document["query"] == "two squares -a bar +dark field"
    assert document["answers"] == answers
    assert answers != run_search(index, "two squares", "--k", 3, "--json").documents[0]["answers"]


def test_one_word_may_begin_with_a_dash_and_is_no_flag(make_index, folder, run_search):
    index = make_index(folder)
    document = run_search(index, "squares", "-bar", "--json", "-field").documents[0]
    assert document["query"] == "squares -bar -field"
    with pytest.raises(ConfigError, match="knows no word of 'host'"):  # neither is -h of it
        run_search(index, "squares", "-host")


class Tiles:
    """As much of an index as merging needs: two images of four tiles and two of one."""

    def __init__(self, embeddings):
        self.vectors = type("Vectors", (), {"embeddings": np.asarray(embeddings, np.float32)})

    def images_of_rows(self, rows):
        return np.array([min(row // 4, 2) + max(row - 8, 0) for row in rows])

    def windows(self, rows):
        places = ((0, 0), (75, 0), (0, 75), (75, 75))
        assert all(row < 8 for row in rows)  # no others share an image
        return {row: Window(*places[row % 4], 100, 100) for row in rows}


def test_tiles_that_overlap_or_look_the_same_are_merged_into_the_best():
    different = np.eye(10)
    rows = [3, 8, 1, 4, 0, 9, 7]
    # Neighbours share a quarter of their area; tiles 0 and 3 of an image touch with a sixteenth.
    assert merge_rows(Tiles(different), rows, 10) == [[3, 1], [8], [4], [0], [9], [7]]
    assert merge_rows(Tiles(different), rows, 3) == [[3, 1], [8], [4]]
    alike = np.eye(10)
    alike[9] = alike[8] * 0.9995 + alike[0] * np.sqrt(1 - 0.9995**2)
    alike[7] = alike[3] * 0.998 + alike[0] * np.sqrt(1 - 0.998**2)
    assert merge_rows(Tiles(alike), rows, 10) == [[3, 1], [8, 9], [4], [0], [7]]


def test_merged_tiles_are_counted_and_others_take_their_place(make_index, folder, run_search):
    with Image.open(folder / "deep/b.png") as image:
        image.save(folder / "deep/copy.tif")  # other bytes, the same pixels
    index = make_index(folder)
    every = run_search(index, QUERY, "--k", 99, "--json", "--no-merge").documents[0]["answers"]
    assert len(every) == 19 and all(answer["merged"] == [] for answer in every)
    result = run_search(index, QUERY, "--k", 2, "--json")
    answers = result.documents[0]["answers"]
    names = [answer["name"] for answer in every]
    assert len(answers) == 2 and answers[0]["name"] == names[0] and result.messages == ""
    whole = run_search(index, QUERY, "--k", 99, "--json").documents[0]["answers"]
    assert len(whole) + sum(len(answer["merged"]) for answer in whole) == 19
    merged = [
        {answer["name"], *(tile["name"] for tile in answer["merged"])}
        for answer in whole
        if answer["merged"]
    ]
    assert any({"deep/b.png", "deep/copy.tif"} <= group for group in merged)
    table = run_search(index, QUERY, "--k", 99)
    count = sum(len(answer["merged"]) for answer in whole)
    assert f"{count} near-identical tiles were merged into these; --no-merge" in table.messages
    assert "near-identical)" in "\n".join(table.lines)


def test_results_below_the_smallest_score_are_left_out(make_index, folder, run_search):
    index = make_index(folder)
    cosines = [
        answer["cosine"]
        for answer in run_search(index, QUERY, "--k", 99, "--json", "--no-merge").documents[0][
            "answers"
        ]
    ]
    middle = (cosines[4] + cosines[5]) / 2
    flags = ("--k", 99, "--min-score", f"{middle:.7f}", "--no-merge")
    lines = run_search(index, QUERY, *flags).lines
    assert len(lines) == 1 + sum(cosine >= middle for cosine in cosines)
    nothing = run_search(index, QUERY, "--min-score", 1)
    assert nothing.lines == [] and "no tile has a cosine of at least 1.0;" in nothing.messages
    embedding = read_text_encoder(index / TEXT_ENCODER).embed(QUERY)
    assert search(open_index(index), embedding, 3, None, min_score=1.0, merge=True) == []


def test_paths_are_full_and_alone_and_each_stands_once(
    make_index, folder, run_search, tmp_path, monkeypatch
):
    make_index(folder)
    monkeypatch.chdir(tmp_path)
    result = run_search("index", QUERY, "--k", 99, "--paths", "--no-merge")
    names = {"a.png", "deep/b.png", "deep/c.tif", "large.png"}
    assert sorted(result.lines) == sorted(str(folder / name) for name in names)
    assert all(os.path.isabs(line) and os.path.isfile(line) for line in result.lines)  # noqa: PTH113, PTH117
    assert result.messages == ""


def test_paths_of_a_dataset_are_those_of_its_image_files(runs, make_index, run_search):
    index = make_index()
    with pytest.raises(DataError, match=r"the files of 3 images are not where .* for example of"):
        run_search(index, QUERY, "--k", 3, "--paths", "--no-merge")
    files = runs.folder / "resources/small/files"
    (runs.folder / "config").mkdir(exist_ok=True)
    shutil.copytree(runs.images, files)
    try:
        lines = run_search(index, QUERY, "--k", 99, "--paths", "--no-merge").lines
    finally:
        shutil.rmtree(runs.folder / "resources")
        (runs.folder / "config").rmdir()
    assert sorted(lines) == [str(files / f"{number:02}.png") for number in range(NUM_IMAGES)]


def ring_area(ring):
    """Twice the signed area of a closed ring, positive if it is counter-clockwise."""
    return sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in itertools.pairwise(ring))


def test_footprints_are_rings_in_longitude_and_latitude(make_index, folder, run_search, tmp_path):
    write_geotiff(folder / "earth.tif")
    index = make_index(folder)
    geojson = tmp_path / "new/found.geojson"
    result = run_search(index, QUERY, "--k", 99, "--geojson", geojson, "--json", "--no-merge")
    answers = [a for a in result.documents[0]["answers"] if a["name"] == "earth.tif"]
    document = json.loads(geojson.read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection" and len(document["features"]) == 12
    assert "18 of 30 tiles are left out, since their images have no coordinates" in result.messages
    for feature, answer in zip(document["features"], answers, strict=True):
        assert feature["type"] == "Feature" and feature["geometry"]["type"] == "Polygon"
        (ring,) = feature["geometry"]["coordinates"]
        assert len(ring) == 5 and ring[0] == ring[-1] and ring_area(ring) > 0
        xs, ys = zip(*answer["corners"], strict=True)
        expected = np.stack(transform("EPSG:32633", "EPSG:4326", xs, ys), axis=1)
        np.testing.assert_allclose(sorted(ring[:4]), sorted(expected.tolist()), atol=2e-7)
        assert 14.9 < ring[0][0] < 15.1 and 41.9 < ring[0][1] < 42.1  # longitude first
        properties = feature["properties"]
        assert properties["rank"] == answer["place"] and properties["query"] == QUERY
        assert properties["score"] == pytest.approx(answer["cosine"], abs=1e-6)
        assert properties["path"] == str(folder / "earth.tif")


def footprint(crs, *coefficients):
    """The geometry of a tile of 100 by 100 pixels; None if it is left out."""
    geo = GeoTransform(coefficients, crs)
    tile = TileRecord("a", (), 0, (100, 100), Window(0, 0, 100, 100), geo)
    result = QueryResult("q", None, [], "none", [Hit(1, 0.5, None, 0, tile)])
    found = footprints([result], lambda tile: None)
    features = json.loads(found.text)["features"]
    assert found.num_tiles == 1 and found.num_unplaced == 1 - len(features)
    return features[0]["geometry"] if features else None


@pytest.mark.parametrize("left", [179.9, -180.1])
def test_a_footprint_over_the_antimeridian_is_cut(left):
    geometry = footprint("EPSG:4326", 0.002, 0, left, 0, -0.01, 0)
    assert geometry["type"] == "MultiPolygon"
    parts = sorted(part for (part,) in geometry["coordinates"])
    for part in parts:
        assert part[0] == part[-1] and ring_area(part) == pytest.approx(2 * 0.1)
    bounds = [(min(x for x, _ in part), max(x for x, _ in part)) for part in parts]
    assert bounds == [(-180, pytest.approx(-179.9)), (pytest.approx(179.9), 180)]


def test_a_mirrored_raster_has_a_counter_clockwise_footprint_too():
    for coefficients in ((0.01, 0, 10, 0, 0.01, 50), (0, 0.01, 10, 0.01, 0, 50)):
        (ring,) = footprint("EPSG:4326", *coefficients)["coordinates"]
        assert ring_area(ring) == pytest.approx(2)


def test_coordinates_that_cannot_be_converted_are_left_out():
    assert footprint("", 1, 0, 0, 0, -1, 0) is None
    assert footprint("nonsense", 1, 0, 0, 0, -1, 0) is None
    assert footprint("EPSG:32633", 1, 0, 1e13, 0, -1, 1e13) is None


def test_a_raster_without_a_reference_system_is_counted(make_index, folder, run_search, tmp_path):
    with rasterio.open(
        folder / "local.tif", "w", driver="GTiff", count=3, height=30, width=30, dtype="uint8",
        transform=rasterio.Affine(1, 0, 5, 0, -1, 5),
    ) as file:  # fmt: skip
        file.write(np.random.default_rng(1).integers(0, 255, (3, 30, 30), np.uint8))
    result = run_search(
        make_index(folder), QUERY, "--k", 99, "--no-merge", "--geojson", tmp_path / "x.json"
    )
    assert "19 of 19 tiles are left out" in result.messages
    document = json.loads((tmp_path / "x.json").read_text())
    assert document == {"type": "FeatureCollection", "features": []}


def test_the_page_names_merged_tiles_and_shortens_a_long_query(
    make_index, folder, run_search, tmp_path
):
    with Image.open(folder / "deep/b.png") as image:
        image.save(folder / "deep/copy.tif")
    page = tmp_path / "page.html"
    run_search(make_index(folder), f"{QUERY} {'x' * 10_000}", "--k", 99, "--html", page)
    text = page.read_text(encoding="utf-8")
    assert "x" * 400 not in text and "near-identical" in text


REFUSED = """
from galr.__main__ import main
code = main({words})
assert code == 2, code"""


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["search", "--index", "nowhere", "two ships"], StoreError, "nowhere holds no index"),
        (["search", "--index", "nowhere"], StoreError, "nowhere holds no index"),
        (
            ["search", "--index", "INDEX", "--image", "nope.png"],
            DataError,
            "nope.png does not exist",
        ),
        (
            ["search", "--index", "nowhere", "--rerank", "mr-code", "two ships"],
            StoreError,
            "nowhere holds no index",
        ),
        (["index", "--run", "nowhere", "--output", "x"], StoreError, "no checkpoint at nowhere"),
        (
            ["index", "--run", "RUN", "--output", "x", "--folder", "nowhere"],
            DataError,
            "nowhere is no folder",
        ),
    ],
)
def test_missing_files_are_refused_before_anything_is_loaded(
    runs, make_index, folder, words, error, message
):
    named = {
        "INDEX": str(make_index(folder)) if "INDEX" in words else "",
        "RUN": str(runs.global_run),
    }
    words = [named.get(word, word) for word in words]
    with pytest.raises(error, match=message):
        galr(*words)
    loaded = loaded_modules(REFUSED.format(words=words))
    assert not loaded & ({"torch", "faiss", "numpy", "h5py", "rasterio", "PIL"} | DETECTION)


def test_an_image_that_cannot_be_decoded_is_refused_before_the_model_is_opened(
    make_index, folder, monkeypatch
):
    index = make_index(folder)
    (folder / "broken.png").write_text("no image")
    monkeypatch.setattr("galr.search.tile_encoder.open_trained_run", None)  # not reached
    with pytest.raises(DataError, match=r"broken.png"):
        galr("search", "--index", index, "--image", folder / "broken.png")


def test_an_image_query_merges_copies_of_the_image(make_index, folder, run_search):
    with Image.open(folder / "a.png") as image:
        image.save(folder / "copy.tif")  # other bytes, the same pixels
    result = run_search(
        make_index(folder), "--image", folder / "a.png", "--k", 1, "--device", "cpu"
    )
    assert "a.png (and 1 more" in result.lines[1] and "merged into these" in result.messages
