"""`galr.load` against what the commands computed for the same images and sentences."""

import doctest
import subprocess
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from safetensors.torch import save_file

import galr
from galr.__main__ import main
from galr.errors import ConfigError, DataError, DeviceError, ShapeError, StoreError
from galr.io.formats import Graphs, Similarity
from galr.io.images import to_rgb

from .make_run import CLASSES, IMAGES, SIZE, SPLITS, sample_regions, write_run  # isort: skip

TEST = [number for number in range(IMAGES) if SPLITS[number] == "test"]


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("both"))


@pytest.fixture(scope="module")
def global_run(tmp_path_factory):
    """A run of a model without a local branch."""
    return write_run(tmp_path_factory.mktemp("global"), "global")


@pytest.fixture(scope="module")
def global_encoder(global_run):
    return galr.load(global_run, device="cpu", batch=2)


@pytest.fixture(scope="module")
def encoder(local):
    return galr.load(local, device="cpu", batch=3)


def image_paths(run):
    return [run.parents[3] / f"images/{number:02}.png" for number in TEST]


def stored(run):
    """Embeddings and sentences of the test split in similarity.h5."""
    with Similarity.open(run / "similarity.h5") as file:
        tables = file.image_embeddings[:], file.sentence_embeddings[:]
        return *tables, file.sentences


def graphs_of(run):
    with Graphs.open(run.with_name("graphs.h5")) as file:
        tables = file.arrays(Graphs.representation, Graphs.adjacency, Graphs.mask)
        return {name: table[TEST] for name, table in tables.items()}


def same(one, two):
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, two, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("form", ["folder", "checkpoint", "export"])
def test_every_form_of_a_model_gives_what_the_pipeline_computed(local, tmp_path, form):
    path = {"folder": local, "checkpoint": local / "checkpoint.pt", "export": tmp_path / "m.safetensors"}[form]  # fmt: skip
    if form == "export":
        words = ["--checkpoint", local / "checkpoint.pt", "--output", path]
        assert main(["export", *map(str, words)]) == 0
    encoder = galr.load(str(path), device="cpu")
    image_embeddings, sentence_embeddings, sentences = stored(local)
    same(encoder.encode_images(image_paths(local), graphs_of(local)), image_embeddings)
    same(encoder.encode_sentences(sentences), sentence_embeddings)
    assert encoder.name == "small, both, fold 0" and encoder.classes == CLASSES


def test_an_export_has_the_permissions_of_any_new_file(local, tmp_path):
    (tmp_path / "any").touch()
    flags = [
        "--checkpoint",
        str(local / "checkpoint.pt"),
        "--output",
        str(tmp_path / "x.safetensors"),
    ]
    assert main(["export", *flags]) == 0
    modes = {path.name: path.stat().st_mode for path in tmp_path.iterdir()}
    assert modes["x.safetensors"] == modes["any"]


def test_regions_become_the_graphs_of_training(local, encoder):
    regions = [sample_regions(number) for number in TEST]
    assert min(len(scores) for _, scores, _ in regions) == 0
    same(encoder.encode_images(image_paths(local), regions=regions), stored(local)[0])


def test_paths_images_and_arrays_give_the_same(global_run, global_encoder):
    paths = image_paths(global_run)
    mixed = [str(paths[0]), Image.open(paths[1]), *paths[2:]]
    mixed[3] = np.asarray(Image.open(paths[3]).convert("RGB"))
    image_embeddings, sentence_embeddings, sentences = stored(global_run)
    same(global_encoder.encode_images(mixed), image_embeddings)
    same(global_encoder.encode_sentences(tuple(sentences)), sentence_embeddings)
    mixed[1].close()


def test_deep_images_are_read_as_asked_or_as_in_training(global_encoder, tmp_path):
    bands = np.random.default_rng(0).integers(0, 4000, (4, 30, 40)).astype(np.uint16)
    path = tmp_path / "scene.tif"
    profile = {"driver": "GTiff", "count": 4, "height": 30, "width": 40, "dtype": "uint16"}
    with rasterio.open(
        path, "w", crs="EPSG:32633", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **profile
    ) as file:
        file.write(bands)
    shares = np.clip((bands[[2, 1, 0]].astype(float) - 100) / 2900, 0, 1)
    pixels = np.ascontiguousarray(np.moveaxis((shares * 255 + 0.5).astype(np.uint8), 0, -1))
    expected = global_encoder.encode_images([pixels])
    asked = global_encoder.encode_images([path], bands=(3, 2, 1), range=(100, 3000))
    assert np.array_equal(asked, expected)
    stored = {"pixels": {"bands": [3, 2, 1], "range": [100, 3000]}}
    trained_so = replace(global_encoder, provenance={**global_encoder.provenance, **stored})
    assert np.array_equal(trained_so.encode_images([path]), expected)
    assert not np.array_equal(global_encoder.encode_images([path]), expected)
    deep = Image.fromarray(bands[0])
    grey = np.ascontiguousarray(np.broadcast_to(to_rgb(deep), (30, 40, 3)))
    assert np.array_equal(
        global_encoder.encode_images([deep]), global_encoder.encode_images([grey])
    )
    with pytest.raises(ConfigError, match="bands are three numbers"):
        global_encoder.encode_images([path], bands=(1, 2))


def test_an_open_graphs_file_can_be_given(local, encoder):
    all_paths = [local.parents[3] / f"images/{number:02}.png" for number in range(IMAGES)]
    with h5py.File(local.with_name("graphs.h5")) as file:
        same(encoder.encode_images(all_paths, file)[TEST], stored(local)[0])


def test_the_batch_size_changes_rounding_alone(local, encoder):
    graphs = graphs_of(local)
    for batch in (1, 4, 64):
        other = replace(encoder, batch=batch)
        same(other.encode_images(image_paths(local), graphs), stored(local)[0])


def test_no_inputs_give_no_embeddings(encoder):
    assert encoder.encode_sentences([]).shape == (0, 16)
    assert encoder.encode_images([], regions=[]).shape == (0, 16)


def test_importing_the_package_imports_no_torch():
    code = "import galr, sys; galr.load; assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_docstrings_example_runs(global_run):
    text = galr.load.__doc__.replace("results/demo/global/fold0", str(global_run))
    text = text.replace("airport.png", str(image_paths(global_run)[0]))
    example = doctest.DocTestParser().get_doctest(text, {"galr": galr}, "load", None, 0)
    assert len(example.examples) == 3
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    assert example.globs["sentences"].shape == (2, 16) and example.globs["best"].shape == (1,)


@pytest.mark.parametrize("name", ["none", "none.pt", "none.safetensors"])
def test_a_missing_model_is_an_error(tmp_path, name):
    with pytest.raises(StoreError, match=r"there is nothing at .*none.*; give a run's folder"):
        galr.load(tmp_path / name)


def test_foreign_files_are_errors(tmp_path, local):
    with pytest.raises(StoreError, match=r"no checkpoint at .*checkpoint\.pt"):
        galr.load(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(StoreError, match=r"x\.safetensors is missing or damaged"):
        galr.load(tmp_path / "x.safetensors")
    save_file({"weight": torch.zeros(2)}, tmp_path / "y.safetensors")
    with pytest.raises(
        StoreError, match="does not say what its weights belong to; expected a file"
    ):
        galr.load(tmp_path / "y.safetensors")
    (tmp_path / "z.pt").write_text("nothing of the kind")
    with pytest.raises(StoreError, match=r"z\.pt is damaged or not a checkpoint"):
        galr.load(tmp_path / "z.pt")


def test_a_missing_device_and_an_empty_batch_are_errors(global_run):
    with pytest.raises(DeviceError, match="cuda:77"):
        galr.load(global_run, device="cuda:77")
    with pytest.raises(ConfigError, match="batch must be at least 1, got 0"):
        galr.load(global_run, batch=0)


def test_a_local_model_says_how_to_get_graphs(local, encoder, global_encoder):
    with pytest.raises(
        ConfigError, match=r"neither was given; .*galr graphs --boxes.*galr index --run"
    ):
        encoder.encode_images(image_paths(local))
    with pytest.raises(ConfigError, match="both were given"):
        encoder.encode_images(image_paths(local), graphs_of(local), regions=[])
    with pytest.raises(ConfigError, match="uses no regions; leave graphs and regions out"):
        global_encoder.encode_images(image_paths(local), graphs_of(local))


def test_a_model_of_published_matrices_takes_no_regions(local, encoder):
    published = {"graphs": {"settings": {"published": "rsitmd"}, "columns": ["1", "2"]}}
    other = replace(encoder, provenance={**encoder.provenance, **published})
    with pytest.raises(ConfigError, match="authors' published matrices"):
        other.encode_images(image_paths(local)[:1], regions=[sample_regions(0)])
    same(other.encode_images(image_paths(local), graphs_of(local)), stored(local)[0])


@pytest.mark.parametrize("name", ["representation", "adjacency", "mask"])
def test_graphs_of_other_shapes_are_errors(local, encoder, name):
    graphs = graphs_of(local)
    with pytest.raises(ShapeError, match=rf"graphs lack {name}"):
        encoder.encode_images(image_paths(local), {k: v for k, v in graphs.items() if k != name})
    with pytest.raises(ShapeError, match=rf"{name} of the graphs is \(4, .*expected \(5, "):
        encoder.encode_images(image_paths(local), graphs | {name: graphs[name][:4]})


def test_contradictory_regions_are_errors(local, encoder):
    one = image_paths(local)[:1]
    boxes, scores, classes = sample_regions(3)
    with pytest.raises(ShapeError, match="regions of 2 images were given with 1 images"):
        encoder.encode_images(one, regions=[sample_regions(3), sample_regions(3)])
    with pytest.raises(ShapeError, match=r"boxes \(3, 4\), scores \(2,\) and classes \(3,\)"):
        encoder.encode_images(one, regions=[(boxes, scores[:2], classes)])
    with pytest.raises(ShapeError, match=r"boxes \(3, 3\)"):
        encoder.encode_images(one, regions=[(boxes[:, :3], scores, classes)])
    with pytest.raises(DataError, match="regions are of classes 2 to 2, expected 0 to 1"):
        encoder.encode_images(one, regions=[(boxes, scores, [2, 2, 2])])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((5, 5, 3)), r"array of float64 \(5, 5, 3\), expected uint8 \(height, width, 3\)"),
        (np.zeros((5, 5), np.uint8), r"array of uint8 \(5, 5\)"),
        (np.zeros((0, 5, 3), np.uint8), r"array of uint8 \(0, 5, 3\)"),
        (7, "an image is of type int; give a path"),
        ("nowhere.png", r"nowhere\.png does not exist"),
    ],
)
def test_what_is_no_image_is_an_error(global_encoder, image, message):
    with pytest.raises(DataError, match=message):
        global_encoder.encode_images([image])


def test_one_image_instead_of_a_list_is_an_error(global_run, global_encoder):
    with pytest.raises(ConfigError, match="takes a list of images, got one"):
        global_encoder.encode_images(image_paths(global_run)[0])


def test_one_sentence_gives_one_row(global_encoder):
    several = global_encoder.encode_sentences(["two planes", "a ship at a pier"])
    one = global_encoder.encode_sentences("two planes")
    assert one.shape == (1, 16)
    same(one, several[:1])
    same(global_encoder.encode_sentences(np.array(["two planes"])), one)
    same(global_encoder.encode_sentences(text for text in ("two planes",)), one)
    for text in ("\ufefftwo planes", "two planes \r\n", "\ttwo planes"):
        same(global_encoder.encode_sentences([text]), one)


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("", r"the query '' has no word"),
        (" ?! ", r"the query ' \?! ' has no word"),
        ("飞机", r"the model knows no word of '飞机'"),
        ("zeppelins", r"the model knows no word of 'zeppelins'"),
        ("x" * 10_000, r"the model knows no word of 'x{120}…'"),
        (None, r"a query is a sentence, got None"),
        (7, r"a query is a sentence, got 7"),
        (b"two planes", r"a query is a sentence, got b'two planes'"),
        (["two planes"], r"a query is a sentence, got \['two planes'\]"),
    ],
)
def test_a_sentence_that_the_search_refuses_is_refused_by_position(
    global_encoder, sentence, message
):
    with pytest.raises(ConfigError, match=rf"^sentences\[1\]: {message}"):
        global_encoder.encode_sentences(["two planes", sentence, "a ship"])


@pytest.mark.parametrize("sentences", [None, 7, b"two planes", np.float32(3)])
def test_what_is_no_list_of_sentences_is_an_error(global_encoder, sentences):
    with pytest.raises(ConfigError, match=r"takes a sentence or a list of sentences, got"):
        global_encoder.encode_sentences(sentences)


def test_images_are_first_resized_as_the_dataset_stores_them(local, encoder):
    other = replace(encoder, provenance={**encoder.provenance, "size": 2 * SIZE})
    image_embeddings = other.encode_images(image_paths(local), graphs_of(local))
    assert np.abs(image_embeddings - stored(local)[0]).max() > 1e-3
