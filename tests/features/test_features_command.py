"""`galr features`, and training and comparing with what it stored against computing it again."""

import json
from collections import namedtuple

import h5py
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

import galr
from galr.__main__ import main
from galr.errors import ConfigError
from galr.features import compute
from galr.features.compute import write_image_features
from galr.features.options import ImageEncoderOptions, features_name, frozen_encoders
from galr.io.formats import Dataset, Features, Graphs, Similarity
from galr.model.checkpoint import load_checkpoint
from galr.provenance import file_sha256
from galr.similarity.runs import open_trained_run
from galr.train.feature_store import FeatureStore, SentenceFeatureStore, open_image_features

from ..tiny_bert import write_bert  # isort: skip

CPU = torch.device("cpu")
SIZE, IMAGES = 40, 12
FLAGS = (
    "--backbone resnet10t --weights net.pth --input-size 40 --views 1 --global-feature pooled --embed-dim 16"
    " --head linear --head-dim 8 --text-encoder transformer --text-weights bert --word-dim 8 --gru-hidden 8"
    " --text-dropout 0 --heads 2 --ffn-dim 16 --dropout 0.1 --fusion midf_gated --branches both --epochs 2 --batch 8"
    " --sentences-per-epoch none --group-by-image --learning-rate 0.001 --lr-decay 0.7 --lr-decay-every 20"
    " --loss infonce --soft-targets --margin 0.2 --temperature 0.07 --grad-clip-norm none --max-rotation 0"
    " --stop-words --min-word-count 1 --max-words 20 --no-shared-negatives --augment-regions --precision fp32"
    " --no-compile --seed 5 --device cpu --fold 0 --variant frozen --freeze image text"
)
WORDS = ("two", "white", "planes", "beside", "a", "bar", "dark", "field")
EDGES = {
    "proximity": "gaussian", "bandwidth": 0.2, "salience": True, "self_loops": True, "normalisation": "symmetric",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve images with two sentences each and up to three regions; a network, and a transformer."""
    folder, random = tmp_path_factory.mktemp("features"), np.random.default_rng(0)
    names = [f"image{number:02}" for number in range(IMAGES)]
    sentences = [
        " ".join(random.choice(WORDS, random.integers(2, 7))) for _ in range(2 * IMAGES - 1)
    ]
    coarse = random.integers(0, 255, (IMAGES, 5, 5, 3), dtype=np.uint8)
    with Dataset.create(folder / "dataset.h5", {"dataset": "small"}) as file:
        file.write(
            images=coarse.repeat(SIZE // 5, 1).repeat(SIZE // 5, 2),
            sizes=np.full((IMAGES, 2), SIZE, np.int32),
            image_of_sentence=np.repeat(np.arange(IMAGES, dtype=np.int32), 2),
            names=names,
            files=names,
            sentences=[*sentences, sentences[0]],
            splits=["train"] * 9 + ["test"] * 3,
        )
    mask = np.arange(3) < random.integers(0, 4, IMAGES)[:, None]
    representation = random.uniform(0.3, 0.6, (IMAGES, 3, 7)) * mask[..., None]
    with Graphs.create(folder / "graphs.h5", {"settings": EDGES}) as file:
        file.write(
            representation=representation.astype(np.float32),
            adjacency=(np.eye(3) * mask[..., None]).astype(np.float32),
            mask=mask,
            region_index=np.where(mask, 0, -1).astype(np.int32),
            num_redundant=np.zeros(IMAGES, dtype=np.int32),
            names=names,
        )
    torch.manual_seed(7)
    network = timm.create_model("resnet10t")
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)
    torch.save(network.state_dict(), folder / "net.pth")
    write_bert(folder / "bert")
    run(folder, "folds", "--count 1 --validation 0.3 --seed 5 --output folds.csv")
    return folder


def run(folder, command, flags):
    """Run a command with files below a folder."""
    words = [
        str(folder / word) if word.endswith((".h5", ".csv", ".pt", ".json", ".pth")) or word == "bert"
        else word
        for word in f"--dataset dataset.h5 {flags}".split()
    ]  # fmt: skip
    return main([command, *words])


def store(folder, name, part, more=""):
    own = (
        "--backbone resnet10t --weights net.pth --input-size 40 --global-feature pooled"
        if part == "image"
        else "--text-weights bert --max-words 20"
    )
    flags = f"--part {part} {own} --batch 1 --device cpu --output {name}.h5 {more}"
    return run(folder, "features", flags)


@pytest.fixture(scope="module")
def stored(folder):
    """The folder, with image.h5 (one view), views.h5 (four) and text.h5."""
    assert store(folder, "image", "image") == 0
    assert store(folder, "views", "image", "--views 4 --batch 5") == 0
    assert store(folder, "text", "text") == 0
    return folder


def train(folder, name, features="", more=""):
    flags = (
        f"{FLAGS} --folds folds.csv --graphs graphs.h5 {features} {more} --checkpoint {name}/model.pt"
        f" --history {name}/history.csv --record {name}/run.json"
    )
    return run(folder, "train", flags)


def encode(folder, checkpoint, output, features=""):
    flags = f"--checkpoint {checkpoint}/model.pt --graphs graphs.h5 --folds folds.csv --batch 1 --device cpu {features}"
    return run(folder, "similarity", f"{flags} --output {output}.h5")


BOTH = "--image-features image.h5 --text-features text.h5"


def tables(path):
    with Similarity.open(path) as file:
        return [
            table[:]
            for group in (file, file.validation, file.bank)
            for table in (group.image_embeddings, group.sentence_embeddings)
        ]


@pytest.fixture(scope="module")
def trained(stored):
    """The folder, with a model trained on stored features and one that computed them."""
    assert train(stored, "cached", BOTH) == 0
    assert train(stored, "computed") == 0
    return stored


def test_training_on_stored_features_is_training_on_computed_ones(trained):
    """Batches differ, and with them the last bits of a convolution."""
    one, two = (pd.read_csv(trained / f"{name}/history.csv") for name in ("cached", "computed"))
    columns = [name for name in one if name != "pairs_per_second"]
    pd.testing.assert_frame_equal(one[columns], two[columns], rtol=2e-3, atol=1e-3)
    assert one["loss"].iloc[1] < one["loss"].iloc[0]
    models = [load_checkpoint(trained / f"{name}/model.pt") for name in ("cached", "computed")]
    for name, weights in models[0].state_dict.items():
        other = models[1].state_dict[name]
        if "backbone" in name or "network" in name:  # frozen, running statistics included
            assert torch.equal(weights, other), name
        else:
            torch.testing.assert_close(weights, other, rtol=1e-2, atol=2e-3)


def test_comparing_stored_features_is_comparing_computed_ones(trained):
    """Sentences to the bit, one by one; of images what is stored has its normalisation folded into convolutions."""
    assert encode(trained, "cached", "from_stored", BOTH) == 0
    assert encode(trained, "cached", "from_pixels") == 0
    for one, two in zip(
        tables(trained / "from_stored.h5"), tables(trained / "from_pixels.h5"), strict=True
    ):
        np.testing.assert_allclose(one, two, atol=2e-4)
    sentences = [tables(trained / f"from_{name}.h5")[1::2] for name in ("stored", "pixels")]
    assert all(np.array_equal(one, two) for one, two in zip(*sentences, strict=True))


def test_views_are_averaged_from_the_store_as_from_the_pixels(stored):
    assert train(stored, "averaged", "--image-features views.h5", "--views 4 --epochs 1") == 0
    assert encode(stored, "averaged", "four_stored", "--image-features views.h5") == 0
    assert encode(stored, "averaged", "four_pixels") == 0
    for one, two in zip(
        tables(stored / "four_stored.h5"), tables(stored / "four_pixels.h5"), strict=True
    ):
        np.testing.assert_allclose(one, two, atol=2e-4)


def test_what_is_stored_is_what_the_frozen_encoder_says(stored):
    """The view-0 features are those of one view alone; a store read batch by batch is one kept in memory."""
    with Features.open(stored / "image.h5") as one, Features.open(stored / "views.h5") as four:
        plain, views = one.pooled.pooled[:], four.pooled.pooled[:]
        assert plain.shape == (IMAGES, 1, 1024) and views.shape == (IMAGES, 4, 1024)
        np.testing.assert_allclose(views[:, 0].astype(float), plain[:, 0], rtol=2e-3, atol=1e-3)
        assert (np.abs(views[:, 1].astype(float) - plain[:, 0]).max(1) > 1e-2).all()
        rows, shown = [3, 0, 3, 7], np.array([1, 0, 2, 3])
        kept = open_image_features(four, [*range(8)], CPU, max_bytes=10**9)
        read = open_image_features(four, [], CPU, max_bytes=-1)
        for store_ in (kept, read):
            assert isinstance(store_, FeatureStore) and store_.views == 4
            (table,) = store_.batch(rows, shown)
            assert table.dtype == torch.float32
            assert torch.equal(table, torch.from_numpy(views[rows, shown]).float())
        assert one.provenance["settings"]["backbone"] == "resnet10t"


def test_sentences_are_stored_once_each(stored):
    with Dataset.open(stored / "dataset.h5") as dataset, Features.open(stored / "text.h5") as file:
        sentences = dataset.sentences
        assert file.text.sentences == list(dict.fromkeys(sentences))
        table = SentenceFeatureStore(file).features(sentences)
    assert table.shape == (len(sentences), 16) and torch.equal(table[0], table[-1])


def test_four_maps_of_mvsa_are_stored_too(stored, tmp_path):
    options = ImageEncoderOptions(
        backbone="resnet10t",
        weights=str(stored / "net.pth"),
        input_size=32,
        views=2,
        global_feature="mvsa",
    )
    output = tmp_path / "maps.h5"
    write_image_features(stored / "dataset.h5", options, output, batch_size=5, device=CPU)
    with Features.open(output) as file:
        store_ = open_image_features(file, [*range(IMAGES)], CPU, max_bytes=10**9)
        shapes = [tuple(table.shape) for table in store_.batch([4, 1], 1)]
    assert shapes == [(2, 64, 8, 8), (2, 128, 4, 4), (2, 256, 2, 2), (2, 512, 1, 1)]


def test_disk_and_memory_are_stated_before_it_starts(folder, capsys):
    assert store(folder, "stated", "image", "--views 2") == 0
    out = capsys.readouterr().out
    assert (
        "12 images, 2 views of 1,024 numbers: 0.00 GB on disk, and in memory while training" in out
    )


def test_a_disk_that_is_too_full_is_one_line_before_anything_is_computed(
    folder, monkeypatch, capsys
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(compute.shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 9, 9))
    assert store(folder, "full", "image") == 2
    error = capsys.readouterr().err
    assert (
        "full.h5 will take 0.00 GB, and its disk has 0.00 GB free; set model.views to less" in error
    )
    assert error.count("\n") == 1 and not list(folder.glob("*full*"))


@pytest.mark.parametrize(
    ("part", "more", "message"),
    [
        ("image", "--backbone resnet11t", "timm has no network 'resnet11t'; did you mean"),
        ("image", "--backbone test_vit --global-feature mvsa", "has no map of 1/4 of the image"),
        ("image", "--backbone resnet18", "do not fit resnet18"),
        ("image", "--backbone resnet18 --weights package", "no package brings weights of resnet18"),
        ("image", "--views 99", "model.views must be from 1 to 48, got 99"),
        ("image", "--input-size 64", "model.input_size is 64 and data.size 40"),
        ("text", "--text-weights nowhere", "no transformer can be read from nowhere"),
        ("text", "--max-words 25", "train.max_words is 25, and the transformer reads at most 24"),
    ],
)
def test_encoders_that_cannot_be_are_one_line(folder, capsys, part, more, message):
    assert store(folder, "refused", part, more) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (folder / "refused.h5").exists()


@pytest.mark.parametrize(
    ("features", "more", "message"),
    [
        ("--image-features views.h5", "", "holds features with views 4, and this model has 1;"),
        ("--image-features image.h5", "--input-size 32", "features with input_size 40, and this"),
        ("--image-features image.h5", "--freeze text", "train.freeze does not have image; leave"),
        ("--text-features text.h5", "--max-words 9", "features with max_words 20, and this model"),
        ("--image-features text.h5", "", "text.h5"),
        ("--text-features image.h5", "", "image.h5"),
        ("--image-features dataset.h5", "", "dataset"),
        ("--image-features nowhere.h5", "", "nowhere.h5"),
        ("", "--weights none", "train.freeze has image, and the model has no pretrained image enc"),
        ("", "--text-encoder bigru --text-weights none", "train.freeze has text, and model.text_e"),
        ("", "--text-weights none", "model.text_encoder transformer needs model.text_weights"),
    ],
)
def test_a_cache_of_other_encoders_or_views_is_one_line(stored, capsys, features, more, message):
    assert train(stored, "refused", features, more) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (stored / "refused/model.pt").exists()


def test_a_cache_of_other_weights_or_of_another_dataset_is_one_line(trained, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for name in ("graphs.h5", "folds.csv", "image.h5", "text.h5", "dataset.h5", "net.pth"):
        (other / name).write_bytes((trained / name).read_bytes())
    (other / "cached").mkdir()
    (other / "cached/model.pt").write_bytes((trained / "cached/model.pt").read_bytes())
    write_bert(other / "bert", seed=1)
    assert train(other, "x", BOTH) == 2  # the transformer has other weights
    with h5py.File(other / "image.h5", "r+") as file:
        provenance = json.loads(file.attrs["provenance"])
        provenance["settings"]["state_sha256"] = "0" * 64
        file.attrs["provenance"] = json.dumps(provenance)
    assert encode(other, "cached", "x", BOTH) == 2
    with h5py.File(other / "dataset.h5", "r+") as file:
        file["images"][0] = 0
    assert train(other, "x", BOTH) == 2
    assert encode(other, "cached", "x", BOTH) == 2
    lines = capsys.readouterr().err.splitlines()
    assert (
        "text.h5 holds features with state_sha256" in lines[0] and "of the same encoder" in lines[0]
    )
    assert (
        "image.h5 holds features of an encoder with other weights than the checkpoint" in lines[1]
    )
    assert "image.h5 is of another dataset.h5" in lines[2] and "another dataset.h5" in lines[3]
    assert len(lines) == 4


def test_a_cache_of_fewer_views_than_the_model_averages_is_one_line(trained, capsys):
    assert train(trained, "four", "", "--views 4 --epochs 0") == 0
    assert encode(trained, "four", "x", BOTH) == 2
    error = capsys.readouterr().err
    assert "holds features with views 1, and this model has 4" in error


def test_a_transformer_model_is_the_same_in_every_form(trained, capsys):
    """checkpoint.pt, its export, `galr.load`, an index and a search; the export needs no file of the transformer."""
    name = "results/small/frozen/fold0"
    alone = "--branches global --graphs none"
    assert train(trained, "global", BOTH, alone) == 0
    flags = f"--checkpoint global/model.pt --folds folds.csv --batch 4 --device cpu {BOTH}"
    assert run(trained, "similarity", f"{flags} --output global.h5") == 0
    (trained / name).mkdir(parents=True)
    (trained / name / "checkpoint.pt").write_bytes((trained / "global/model.pt").read_bytes())
    (trained / "results/small/features").mkdir()
    for file in ("dataset.h5", "folds.csv"):
        (trained / "results/small" / file).write_bytes((trained / file).read_bytes())
    for file in ("image.h5", "text.h5"):
        (trained / "results/small/features" / file).write_bytes((trained / file).read_bytes())
    export = trained / "model.safetensors"
    checkpoint = trained / name / "checkpoint.pt"
    assert main(["export", "--checkpoint", str(checkpoint), "--output", str(export)]) == 0
    with Dataset.open(trained / "dataset.h5") as file:
        pixels = file.images[-3:]
    with Similarity.open(trained / "global.h5") as file:
        expected = file.image_embeddings[:], file.sentence_embeddings[:]
        sentences = file.sentences
    for form in (checkpoint, export):
        encoder = galr.load(form, device="cpu")
        np.testing.assert_allclose(encoder.encode_images(list(pixels)), expected[0], atol=2e-4)
        np.testing.assert_allclose(encoder.encode_sentences(sentences), expected[1], atol=2e-4)
        with pytest.raises(ConfigError, match="no word"):
            encoder.encode_sentences(["корабль"])
    opened = open_trained_run(trained / name)
    assert opened.sha256 == file_sha256(checkpoint)
    assert [path.name for path in opened.features] == ["image.h5", "text.h5"]
    (trained / "images").mkdir()
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(trained / f"images/{number}.png")
    words = ["--run", str(trained / name), "--folder", str(trained / "images"), "--device", "cpu"]
    assert main(["index", *words, "--output", str(trained / "index")]) == 0
    capsys.readouterr()
    assert main(["search", "--index", str(trained / "index"), "--json", sentences[0]]) == 0
    hits = json.loads(capsys.readouterr().out.splitlines()[0])["answers"]
    best = int(np.argmax(expected[0] @ expected[1][0]))
    assert f"{best}.png" in json.dumps(hits[0])


def test_encoders_that_are_alike_share_a_file_and_others_do_not():
    variant = {
        "model": {
            "backbone": "tf_efficientnet_lite0", "weights": "package", "input_size": 224, "views": 2,
            "global_feature": "pooled", "text_encoder": "transformer", "text_weights": "package",
            "branches": "global", "fusion": "midf", "appearance": "none", "attention": "length1", "head": "mlp",
        },
        "train": {"freeze": ["image", "text"], "max_words": 30, "loss": "infonce"},
    }  # fmt: skip

    def names(**changes):
        changed = {
            section: {key: changes.get(key, value) for key, value in variant[section].items()}
            for section in variant
        }
        return {part: features_name(part, o) for part, o in frozen_encoders(changed).items()}

    base = names()
    assert names(head="linear", loss="triplet_sum", fusion="sum") == base
    assert names(views=4)["image"] != base["image"] and names(views=4)["text"] == base["text"]
    assert names(max_words=9)["text"] != base["text"]
    assert names(freeze=["text"]) == {"text": base["text"]} and names(freeze=[]) == {}
    assert base["image"].startswith("image-tf_efficientnet_lite0-")


def test_a_frozen_part_that_has_no_weights_is_refused_by_its_class(folder):
    with pytest.raises(ConfigError, match=r"model.views must be from 1 to 48, got 0"):
        write_image_features(
            folder / "dataset.h5",
            ImageEncoderOptions(backbone="resnet10t", input_size=32, views=0),
            folder / "none.h5",
            batch_size=1,
            device=CPU,
        )
