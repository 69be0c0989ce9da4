"""`galr.load` against what the commands computed for the same images and sentences."""

import doctest
import io
import re
import runpy
import shutil
import subprocess
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from safetensors.torch import save_file

import galr
from galr.__main__ import main
from galr.data.vocabulary import Vocabulary
from galr.encoder import encoder as encoder_module
from galr.errors import ConfigError, DataError, DeviceError, ExtraError, ShapeError, StoreError
from galr.io.formats import Dataset, Graphs, Similarity
from galr.io.images import load_resized, to_rgb
from galr.search.index import IndexNames, open_index
from galr.train.run import _graph_provenance

from .make_run import (  # isort: skip
    CLASSES, GRAPH_OPTIONS, IMAGES, NAMES, SIZE, SPLITS, WORDS, sample_regions, write_checkpoint, write_run,
)  # fmt: skip
from .search.conftest import write_detector, write_image  # isort: skip

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


@pytest.mark.parametrize("branches", ["both", "global"])
def test_a_model_of_several_views_gives_what_the_pipeline_computed(tmp_path, branches):
    run = write_run(tmp_path, branches, views=4)
    encoder = galr.load(run, device="cpu", batch=2)
    graphs = graphs_of(run) if branches == "both" else None
    same(encoder.encode_images(image_paths(run), graphs), stored(run)[0])
    if branches == "both":
        regions = [sample_regions(number) for number in TEST]
        same(encoder.encode_images(image_paths(run), regions=regions), stored(run)[0])


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
    text = galr.load.__doc__.replace("results/demo/corrected/fold0", str(global_run))
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


def test_regions_that_no_detector_found_must_be_given(local, encoder, global_encoder):
    message = (
        r"small, both, fold 0 uses regions, and the graphs.h5 of its training was made of imported boxes"
        r" \(no detector\).*; give regions=\[\(boxes, scores, classes\), …\], or graphs= .*galr graphs --boxes"
    )
    with pytest.raises(ConfigError, match=message):
        encoder.encode_images(image_paths(local))
    with pytest.raises(ConfigError, match="graphs and regions were given; give one of them"):
        encoder.encode_images(image_paths(local), graphs_of(local), regions=[])
    with pytest.raises(ConfigError, match="uses no regions; leave graphs and regions out"):
        global_encoder.encode_images(image_paths(local), graphs_of(local))
    with pytest.raises(ConfigError, match="uses no regions, so it has no detector"):
        global_encoder.find_regions(image_paths(local))


def test_a_model_of_published_matrices_takes_no_regions(local, encoder):
    published = {"graphs": {"settings": {"published": "rsitmd"}, "columns": ["1", "2"]}}
    other = replace(encoder, provenance={**encoder.provenance, **published})
    with pytest.raises(ConfigError, match="authors' published matrices"):
        other.encode_images(image_paths(local)[:1], regions=[sample_regions(0)])
    with pytest.raises(
        ConfigError, match=r"holds the authors' published matrices.*; give graphs=$"
    ):
        other.encode_images(image_paths(local)[:1])
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
    with pytest.raises(
        ShapeError, match=r"^regions\[0\]: .* boxes \(3, 4\), scores \(2,\) and classes \(3,\)"
    ):
        encoder.encode_images(one, regions=[(boxes, scores[:2], classes)])
    with pytest.raises(ShapeError, match=r"boxes \(3, 3\)"):
        encoder.encode_images(one, regions=[(boxes[:, :3], scores, classes)])
    with pytest.raises(ShapeError, match=r"^regions\[0\]: 2 values, expected boxes, scores and cl"):
        encoder.encode_images(one, regions=[(boxes, scores)])
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


@pytest.mark.parametrize("images", [None, 7, b"a.png"])
def test_what_is_no_list_of_images_is_an_error(global_encoder, images):
    with pytest.raises(ConfigError, match="encode_images takes an image or a list of images, got"):
        global_encoder.encode_images(images)


def test_what_cannot_be_read_is_refused_by_name_and_position(global_run, global_encoder, tmp_path):
    good = image_paths(global_run)[0]
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    refused = {
        rf"images\[3\]: {tmp_path}/text.png cannot be decoded \(it is no image\)": tmp_path
        / "text.png",
        rf"images\[3\]: {tmp_path}/cut.png cannot be decoded": tmp_path / "cut.png",
        rf"images\[3\]: {tmp_path} cannot be decoded": tmp_path,
        r"images\[3\]: nowhere.png does not exist": "nowhere.png",
        r"images\[3\]: an image is of type NoneType": None,
        r"images\[3\]: the PIL image is 0 x 5 pixels": Image.new("RGB", (0, 5)),
    }
    for message, image in refused.items():
        with pytest.raises(DataError, match=f"^{message}"):
            global_encoder.encode_images([good, str(good), good, image, good], batch=2)
    with (
        Image.open(tmp_path / "cut.png") as cut,
        pytest.raises(DataError, match=rf"^images\[0\]: {tmp_path}/cut.png cannot be decoded"),
    ):
        global_encoder.encode_images(cut)


def test_a_missing_file_is_found_before_any_image_is_encoded(
    global_run, global_encoder, monkeypatch
):
    monkeypatch.setattr(encoder_module, "embed_images_in_memory", None)  # not reached
    with pytest.raises(DataError, match=r"^images\[5\]: gone.png does not exist"):
        global_encoder.encode_images([*image_paths(global_run), "gone.png"])


def test_weights_that_give_no_numbers_are_refused(global_run):
    encoder = galr.load(global_run, device="cpu")
    for table in encoder.model.parameters():
        table.data.fill_(float("nan"))
    for encode, given in (
        (encoder.encode_images, image_paths(global_run)),
        (encoder.encode_sentences, "two"),
    ):
        with pytest.raises(DataError, match="the model's embeddings are not finite numbers"):
            encode(given)


def test_one_image_gives_one_row(global_run, global_encoder):
    path = image_paths(global_run)[0]
    expected = global_encoder.encode_images([path])
    assert expected.shape == (1, 16)
    with Image.open(path) as opened:
        pixels = np.asarray(opened.convert("RGB"))
        for image in (path, str(path), opened, pixels, pixels[None], (path,), iter([path])):
            assert np.array_equal(global_encoder.encode_images(image), expected)
    flipped = np.stack([pixels, pixels[:, ::-1]])
    assert np.array_equal(
        global_encoder.encode_images(flipped), global_encoder.encode_images(list(flipped))
    )
    assert global_encoder.encode_images(flipped[:0]).shape == (0, 16)


def test_one_image_may_have_its_regions_and_graphs_without_a_list(local, encoder):
    path, number = image_paths(local)[3], TEST[3]
    expected = encoder.encode_images([path], regions=[sample_regions(number)])
    assert len(sample_regions(number)[1]) > 1
    for regions in (sample_regions(number), [sample_regions(number)]):
        assert np.array_equal(encoder.encode_images(path, regions=regions), expected)
    tables = {name: table[3] for name, table in graphs_of(local).items()}
    same(encoder.encode_images(path, tables), expected)
    with pytest.raises(ShapeError, match=r"representation of the graphs is \(4, 7\)"):
        encoder.encode_images([path], tables)


def test_a_long_list_is_decoded_and_encoded_in_batches(global_encoder, monkeypatch):
    random, alive, sizes = np.random.default_rng(0), [], []
    embed = encoder_module.embed_images_in_memory

    def record(model, images, *args, **kwargs):
        sizes.append(len(images))
        assert sum(image() is not None for image in alive) <= 3
        return embed(model, images, *args, **kwargs)

    def draw():
        for _ in range(7):
            image = random.integers(0, 255, (30, 30, 3), dtype=np.uint8)
            alive.append(weakref.ref(image))
            yield image
            del image

    monkeypatch.setattr(encoder_module, "embed_images_in_memory", record)
    assert global_encoder.encode_images(draw(), batch=3).shape == (7, 16)
    assert sizes == [3, 3, 1] and len(alive) == 7
    for encode in (global_encoder.encode_images, global_encoder.encode_sentences):
        with pytest.raises(ConfigError, match="batch must be at least 1, got 0"):
            encode(["two planes"] if encode == global_encoder.encode_sentences else draw(), batch=0)


def test_long_work_shows_a_bar_and_short_work_none(global_run, global_encoder, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("GALR_PROGRESS", raising=False)
    paths, sentences = image_paths(global_run), ["two planes", "a dark field", "one bar"]
    short, long = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stderr", short)
    global_encoder.encode_images(paths[:1])
    assert short.getvalue() == ""
    seconds = iter(range(0, 10_000, 3))
    monkeypatch.setattr("tqdm.std.time", lambda: next(seconds))
    monkeypatch.setattr(sys, "stderr", long)
    global_encoder.encode_images(paths)
    assert "encoding images" in long.getvalue() and "5/5" in long.getvalue()
    global_encoder.encode_sentences(sentences, batch=1)
    assert "encoding sentences" in long.getvalue()


def test_similarity_is_what_the_pipeline_computed(global_run, global_encoder):
    images, sentences, texts = stored(global_run)
    with Similarity.open(global_run / "similarity.h5") as file:
        matrix = file.similarity[:]
    assert np.array_equal(global_encoder.similarity(images, sentences), matrix)
    assert np.array_equal(global_encoder.similarity(torch.from_numpy(images), sentences), matrix)
    paths = image_paths(global_run)
    np.testing.assert_allclose(global_encoder.similarity(paths, texts), matrix, atol=1e-6)
    one = global_encoder.similarity(paths[0], texts[0])
    assert one.shape == (1, 1)
    np.testing.assert_allclose(one, matrix[:1, :1], atol=1e-6)
    np.testing.assert_allclose(
        global_encoder.similarity(3 * images[0], sentences), matrix[:1], atol=1e-6
    )
    assert global_encoder.similarity([], texts).shape == (0, len(texts))


def test_similarity_refuses_what_has_no_direction_or_another_width(global_run, global_encoder):
    images, sentences, _ = stored(global_run)
    with pytest.raises(
        ShapeError, match=r"embeddings of images are \(5, 15\), expected \(images, 16\)"
    ):
        global_encoder.similarity(images[:, 1:], sentences)
    wrong = sentences.copy()
    wrong[2] = 0
    with pytest.raises(
        ShapeError, match=r"sentences\[2\] has the length 0, so it has no direction"
    ):
        global_encoder.similarity(images, wrong)
    wrong[2] = np.nan
    with pytest.raises(ShapeError, match=r"sentences\[2\] has the length nan"):
        global_encoder.similarity(images, wrong)
    with pytest.raises(ConfigError, match=r"^sentences\[0\]: the model knows no word"):
        global_encoder.similarity(images, "zeppelins")


def test_an_encoder_is_described_in_a_line(global_run, global_encoder):
    count = sum(table.numel() for table in global_encoder.model.parameters())
    expected = f"<galr.Encoder small, global, fold 0: cpu, embed_dim 16, {count:,} parameters>"
    assert repr(global_encoder) == expected


def test_to_moves_the_model_and_returns_the_encoder(global_run):
    encoder = galr.load(global_run, device="cpu")
    expected = encoder.encode_sentences("two planes")
    assert encoder.to("cpu") is encoder and encoder.to(torch.device("cpu")) is encoder
    encoder.model.to("meta")  # where nothing can be computed
    moved = galr.load(global_run, device="cpu").to("cpu")
    assert np.array_equal(moved.encode_sentences("two planes"), expected)
    with pytest.raises(DeviceError, match="cuda:77"):
        moved.to("cuda:77")
    assert moved.device == torch.device("cpu")


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


PROPOSALS = "config/detectors/proposals.yaml"


@pytest.fixture(scope="module", params=["proposals", "random"])
def workflow(request, tmp_path_factory):
    """A workflow with a run whose regions a detector found: proposals, or a network with random weights."""
    root = tmp_path_factory.mktemp(request.param)
    made = SimpleNamespace(
        root=root,
        images=root / "images",
        dataset=root / "results/small/dataset.h5",
        run=root / "results/small/both/fold0",
        detector=root / f"config/detectors/{request.param}.yaml",
        weights=None,
        classes=("region",),
    )
    made.detector.parent.mkdir(parents=True)
    made.run.parent.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        write_image(made.images / f"{name}.png", number, (48 + 5 * number, 44))
    write_images_of(made)
    words = ["--dataset", made.dataset, "--folder", made.images, "--detector", made.detector]
    if request.param == "proposals":
        shutil.copy(PROPOSALS, made.detector)
    else:
        made.weights, made.classes = root / "weights.pth", ("square", "bar")
        write_detector(made)
        text = made.detector.read_text().replace(str(made.weights), "weights.pth")
        made.detector.write_text(text)
        words += ["--checkpoint", made.weights, "--device", "cpu"]
    regions, graphs = root / "regions.h5", made.run.with_name("graphs.h5")
    command("regions", *words, "--output", regions)
    drea = ["--min-score", 0.0, "--max-regions", GRAPH_OPTIONS["max_regions"]]
    command("graphs", "--regions", regions, "--output", graphs, *drea)
    write_checkpoint(
        made.run, Vocabulary(WORDS[:8]), branches="both", max_regions=GRAPH_OPTIONS["max_regions"],
        num_classes=len(made.classes), weights_seed=8, size=SIZE, features=[None, None],
        graphs=_graph_provenance(graphs),
    )  # fmt: skip
    return made


def write_images_of(made):
    """Write dataset.h5 of a workflow's images."""
    paths = [made.images / f"{name}.png" for name in NAMES]
    decoded = [load_resized(path, SIZE) for path in paths]
    with Dataset.create(made.dataset, {"dataset": "small"}) as file:
        file.write(
            images=np.stack([each.pixels for each in decoded]),
            sizes=np.array([(each.width, each.height) for each in decoded], np.int32),
            image_of_sentence=np.arange(IMAGES, dtype=np.int32),
            names=NAMES,
            files=[path.name for path in paths],
            sentences=["two white planes"] * IMAGES,
            splits=["test" if split == "test" else "train" for split in SPLITS],
        )
    lines = [f"{name},{split}" for name, split in zip(NAMES, SPLITS, strict=True)]
    made.dataset.with_name("folds.csv").write_text("\n".join(["name,fold0", *lines]) + "\n")


def command(*words):
    assert main([str(word) for word in words]) == 0


PAGE = Path(__file__).parents[1] / "docs/tutorials/python.md"
README = PAGE.parents[2] / "README.md"


@pytest.mark.parametrize("page", [PAGE, README], ids=["tutorial", "readme"])
def test_the_python_of_the_pages_runs_from_top_to_bottom(page, workflow, tmp_path, monkeypatch):
    code = "\n".join(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    )
    assert code.count("galr.load(") == 1
    (tmp_path / "my_images").mkdir()
    for name, path in zip(("airport", "harbour", "my_images/a"), paths_of(workflow), strict=False):
        shutil.copy(path, tmp_path / f"{name}.png")
    (tmp_path / "results/demo/corrected").mkdir(parents=True)
    (tmp_path / "results/demo/corrected/fold0").symlink_to(workflow.run)
    export = tmp_path / "model.safetensors"
    command("export", "--checkpoint", workflow.run / "checkpoint.pt", "--output", export)
    if workflow.weights is not None:
        shutil.copy(workflow.weights, tmp_path / "weights.pth")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.py").write_text(code)
    names = runpy.run_path("page.py")
    if page == README:
        assert names["similarity"].shape == (1, 1)
        return
    assert names["images"].shape == (2, 16) and names["folder"].shape == (1, 16)
    assert names["best"].shape == (2,) and set(names["names"]) <= set(workflow.classes)
    assert np.abs(names["given"] - names["one"]).max() > 1e-4


def paths_of(made):
    return sorted(made.images.iterdir())


def test_a_model_finds_the_regions_itself(workflow):
    encoder = galr.load(workflow.run, device="cpu", batch=5)
    with Graphs.open(workflow.run.with_name("graphs.h5")) as file:
        assert file.mask[:].sum(axis=1).max() > 1
        stored_graphs = encoder.encode_images(paths_of(workflow), file.arrays())
    found = encoder.encode_images(paths_of(workflow))
    np.testing.assert_allclose(found, stored_graphs, atol=2e-5)
    regions = encoder.find_regions(paths_of(workflow))
    assert sum(len(scores) for _, scores, _ in regions) > IMAGES
    assert np.array_equal(encoder.encode_images(paths_of(workflow), regions=regions), found)
    arrays = [np.asarray(Image.open(path)) for path in paths_of(workflow)]
    assert np.array_equal(encoder.encode_images(arrays), found)
    nothing = [(np.zeros((0, 4)), [], [])] * IMAGES
    without = encoder.encode_images(paths_of(workflow), regions=nothing)
    assert np.abs(without - found).max() > 1e-3
    assert encoder.classes == workflow.classes


def test_an_index_holds_the_same_bits(workflow, tmp_path):
    index = tmp_path / "index"
    command(
        "index", "--run", workflow.run, "--folder", workflow.images, "--output", index, "--device", "cpu",
        "--batch", 3,
    )  # fmt: skip
    opened = open_index(index)
    with IndexNames.open(index / opened.manifest["generation"] / "names.h5") as file:
        assert file.names == [path.name for path in paths_of(workflow)]
    encoder = galr.load(workflow.run, device="cpu", batch=3)
    assert np.array_equal(encoder.encode_images(paths_of(workflow)), opened.vectors.embeddings)


def test_the_detector_is_opened_once_and_again_on_another_device(workflow, monkeypatch):
    opened = []
    original = encoder_module.open_region_detector
    monkeypatch.setattr(
        encoder_module,
        "open_region_detector",
        lambda *args: (opened.append(args), original(*args))[1],
    )
    encoder = galr.load(workflow.run, device="cpu", batch=2)
    encoder.encode_sentences("two planes")
    assert not opened
    for _ in range(2):
        encoder.encode_images(paths_of(workflow)[:3])
    assert len(opened) == 1
    encoder.to("cpu").encode_images(paths_of(workflow)[:3])
    assert len(opened) == 2


def test_a_detector_names_a_missing_extra(workflow, monkeypatch):
    package, extra = ("skimage", "proposals") if workflow.weights is None else ("mmdet", "detect")
    for module in ("detect", "mmdet_imports", "proposals"):
        monkeypatch.delitem(sys.modules, f"galr.regions.{module}", raising=False)
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    encoder = galr.load(workflow.run, device="cpu")
    with pytest.raises(ExtraError, match=rf"{package} is not installed; .*galr\[{extra}\]"):
        encoder.encode_images(paths_of(workflow)[:1])


def test_a_bad_image_is_named_where_the_detector_opens_it(workflow, tmp_path):
    (tmp_path / "text.png").write_text("no image")
    encoder = galr.load(workflow.run, device="cpu", batch=2)
    with pytest.raises(DataError, match=rf"^images\[2\]: {tmp_path}/text.png cannot be decoded"):
        encoder.encode_images([*paths_of(workflow)[:2], tmp_path / "text.png"])


def test_an_export_finds_the_regions_in_another_directory(workflow, tmp_path, monkeypatch, capsys):
    file = tmp_path / "model.safetensors"
    command("export", "--checkpoint", workflow.run / "checkpoint.pt", "--output", file)
    message = capsys.readouterr().err
    assert f"finds regions by the detector '{workflow.detector.stem}'" in message
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    paths = paths_of(workflow)[:4]
    expected = galr.load(workflow.run, device="cpu").encode_images(paths)
    if workflow.weights is None:
        assert np.array_equal(galr.load(file, device="cpu").encode_images(paths), expected)
        with pytest.raises(ConfigError, match=r"has no network, and .*model.safetensors was given"):
            galr.load(file, device="cpu", weights=file).encode_images(paths)
        return
    assert "keep its weights, weights.pth (sha256 " in message
    missing = (
        r"elsewhere/weights.pth is missing.*, the detector's weights \(sha256 [0-9a-f]{12}…\); give them with"
        r" galr.load\(…, weights=…\)"
    )
    with pytest.raises(DataError, match=missing):
        galr.load(file, device="cpu").encode_images(paths)
    with pytest.raises(DataError, match=r"are not the weights .*galr.load\(…, weights=…\)"):
        galr.load(file, device="cpu", weights=file).encode_images(paths)
    given = galr.load(str(file), device="cpu", weights=str(workflow.weights))
    assert np.array_equal(given.encode_images(paths), expected)
    shutil.copy(workflow.weights, elsewhere / "weights.pth")
    assert np.array_equal(galr.load(file, device="cpu").encode_images(paths), expected)


def test_an_export_without_the_detector_file_names_it_by_its_hash(
    workflow, tmp_path, monkeypatch, capsys
):
    checkpoint, file = tmp_path / "checkpoint.pt", tmp_path / "model.safetensors"
    shutil.copy(workflow.run / "checkpoint.pt", checkpoint)
    monkeypatch.chdir(tmp_path)
    command("export", "--checkpoint", checkpoint, "--output", file)
    name = workflow.detector.stem
    assert (
        f"it names its detector '{name}' by the hash alone: the detector file"
        in capsys.readouterr().err
    )
    paths = paths_of(workflow)[:2]
    for path in (checkpoint, file):
        encoder = galr.load(path, device="cpu")
        assert encoder.encode_sentences("two planes").shape == (1, 16)
        with pytest.raises(
            ConfigError, match=r"give its detector file with galr.load\(…, detector=…\)"
        ):
            encoder.encode_images(paths)
    other = tmp_path / f"{name}.yaml"
    other.write_text(workflow.detector.read_text().replace("overlap: 0.5", "overlap: 0.4"))
    with pytest.raises(ConfigError, match=r"is not the detector that found the regions of .*model"):
        galr.load(file, device="cpu", detector=other).encode_images(paths)
    words = ["export", "--checkpoint", str(checkpoint), "--output", str(tmp_path / "x.safetensors")]
    assert main([*words, "--detector", str(other)]) == 2
    given = galr.load(file, device="cpu", detector=workflow.detector)
    assert np.array_equal(
        given.encode_images(paths), galr.load(workflow.run, device="cpu").encode_images(paths)
    )
    command(*words, "--detector", workflow.detector)
    carried = galr.load(tmp_path / "x.safetensors", device="cpu", weights=workflow.weights)
    assert np.array_equal(carried.encode_images(paths), given.encode_images(paths))


def test_a_detector_for_a_model_without_regions_is_refused(global_run, tmp_path, capsys):
    with pytest.raises(ConfigError, match="uses no regions; leave detector and weights out"):
        galr.load(global_run, device="cpu", detector=PROPOSALS)
    words = ["--checkpoint", global_run / "checkpoint.pt", "--output", tmp_path / "x.safetensors"]
    assert main(["export", *map(str, words), "--detector", PROPOSALS]) == 2
    assert "uses no regions; leave --detector out" in capsys.readouterr().err
