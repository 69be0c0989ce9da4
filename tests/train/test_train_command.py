"""`galr folds`, `train` and `similarity`: from dataset.h5 to similarity.h5, on random images."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from galr.__main__ import main
from galr.config import merge_config
from galr.io.formats import Dataset, Graphs, Similarity
from galr.model.checkpoint import load_checkpoint

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--backbone resnet18 --weights none --input-size 32 --embed-dim 16 --text-encoder bigru"
    " --text-weights none --word-dim 8 --gru-hidden 8 --text-dropout 0 --heads 2 --ffn-dim 16"
    " --dropout 0.1 --fusion midf --epochs 2 --batch 8 --sentences-per-epoch none --group-by-image"
    " --learning-rate 0.001 --lr-decay 0.7 --lr-decay-every 20 --loss triplet_sum --margin 0.2"
    " --temperature 0.07 --grad-clip-norm 2 --max-rotation 90 --stop-words --min-word-count 1"
    " --max-words 30 --no-shared-negatives --no-augment-regions --precision fp32 --no-compile"
    " --seed 5 --device cpu --fold 0"
)
COUNTS = [1, 7, 5, 2, 3, 1, 4, 5, 1, 2, 3, 5, 1, 1]  # sentences of each image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fourteen images with 1 to 7 sentences, long and non-ASCII ones among them; five without regions."""
    folder, random = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    images = len(COUNTS)
    image_of_sentence = np.repeat(np.arange(images, dtype=np.int32), COUNTS)
    names = [f"bild-{i}-é.tif" for i in range(images)]
    sentences = [
        f"{'zwei große ' * (200 if i == 2 else 1)}flugzeuge {i % 7}"
        for i in range(len(image_of_sentence))
    ]
    with Dataset.create(folder / "dataset.h5", {"dataset": "small"}) as file:
        file.write(
            images=random.integers(0, 255, (images, 40, 40, 3), dtype=np.uint8),
            sizes=np.full((images, 2), 40, dtype=np.int32),
            image_of_sentence=image_of_sentence,
            names=names,
            files=names,
            sentences=sentences,
            splits=["train"] * 10 + ["test"] * 4,
        )
    mask = np.arange(3) < random.integers(0, 4, images)[:, None]
    mask[::3] = False
    with Graphs.create(folder / "graphs.h5", {"settings": {}}) as file:
        file.write(
            representation=(random.random((images, 3, 7)) * mask[..., None]).astype(np.float32),
            adjacency=(np.eye(3) * mask[..., None]).astype(np.float32),
            mask=mask,
            region_index=np.where(mask, 0, -1).astype(np.int32),
            num_redundant=np.zeros(images, dtype=np.int32),
            names=names,
        )
    run("folds", folder, "--count 1 --validation 0.3 --seed 5 --output folds.csv")
    return folder


def arguments(command, folder, flags):
    """The arguments of a command, with paths below a folder."""
    words = [
        str(folder / word) if word.endswith((".h5", ".csv", ".pt", ".json")) else word
        for word in flags.split()
    ]
    return [command, *words, "--dataset", str(folder / "dataset.h5")]


def run(command, folder, flags):
    return main(arguments(command, folder, flags))


def train_flags(name, branches="both", graphs="--graphs graphs.h5", more=""):
    return (
        f"--folds folds.csv {graphs} --variant {name} --branches {branches} {FLAGS} {more}"
        f" --checkpoint {name}.pt --history {name}.csv --record {name}.json"
    )


def train(folder, name, branches="both", graphs="--graphs graphs.h5", more=""):
    with pytest.warns(UserWarning, match="words were cut"):
        return run("train", folder, train_flags(name, branches, graphs, more))


def encode(folder, name, graphs="--graphs graphs.h5"):
    flags = f"--checkpoint {name}.pt --folds folds.csv {graphs} --device cpu --output {name}.h5"
    return run("similarity", folder, flags)


def distinct_training_sentences(folder):
    folds = pd.read_csv(folder / "folds.csv").set_index("name")["fold0"]
    with Dataset.open(folder / "dataset.h5") as file:
        images = np.array(file.names)[file.image_of_sentence[:]]
        sentences = file.sentences
    pairs = zip(sentences, images, strict=True)
    return {sentence for sentence, image in pairs if folds[image] == "train"}


@pytest.mark.parametrize(("branches", "graphs"), [("both", "--graphs graphs.h5"), ("global", "")])
def test_training_writes_a_checkpoint_that_similarity_encodes_with(folder, branches, graphs):
    assert train(folder, branches, branches, graphs) == 0
    with pytest.warns(UserWarning, match="words were cut"):  # of the training split, in the bank
        assert encode(folder, branches, graphs) == 0
    history = pd.read_csv(folder / f"{branches}.csv")
    assert history["epoch"].tolist() == [1, 2] and history["best"].sum() == 1
    best = history[history["best"]].iloc[0]
    checkpoint = load_checkpoint(folder / f"{branches}.pt")
    assert (checkpoint.epoch, checkpoint.mr) == (best["epoch"], pytest.approx(best["mr"]))
    with Similarity.open(folder / f"{branches}.h5") as file:
        assert file.similarity.shape == (4, sum(COUNTS[10:]))
        assert file.validation.similarity.shape[0] == 3
        for group in (file, file.validation):
            images, sentences = group.image_embeddings[:], group.sentence_embeddings[:]
            np.testing.assert_allclose(group.similarity[:], images @ sentences.T, atol=1e-6)
            np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
        tables = [group.image_embeddings[:] for group in (file, file.validation, file.bank)]
        assert [len(table) for table in tables] == [4, 3, 7]
        assert len(np.unique(np.concatenate(tables).round(5), axis=0)) == 14  # no image twice
        assert len(file.bank.sentence_embeddings) == len(distinct_training_sentences(folder))
        assert file.names == [f"bild-{i}-é.tif" for i in range(10, 14)]
        assert np.bincount(file.image_of_sentence[:]).tolist() == COUNTS[10:]
        provenance = file.provenance
    assert provenance["variant"] == branches
    assert provenance["fold"] == 0 and provenance["seed"] == 5
    assert len(provenance["checkpoint_sha256"]) == len(provenance["dataset_sha256"]) == 64
    assert encode(folder, branches, f"{graphs} --no-bank") == 0
    with Similarity.open(folder / f"{branches}.h5") as file:
        assert file.bank is None


def other_sentences(folder, name, *, train, test):
    """A copy of the folder's dataset.h5 with other sentences, and the folder of its folds.csv."""
    other = folder / name
    other.mkdir()
    shutil.copy(folder / "dataset.h5", other / "dataset.h5")
    shutil.copy(folder / "folds.csv", other / "folds.csv")
    with h5py.File(other / "dataset.h5", "r+") as file:
        images = file["image_of_sentence"][:]
        file["sentences"][:] = [train if image < 10 else test for image in images]
    return other


def test_a_split_of_unknown_words_is_warned_of_in_the_log_and_in_every_file(folder, capsys):
    other = other_sentences(folder, "chinese", train="两架飞机。", test="船在港口")
    assert run("train", other, train_flags("global", "global", "")) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    share, alike = lines
    assert share.startswith("warning: 100 % of the words of the test split are not in the vocab")
    assert alike.startswith("warning: 10 of 10 sentences of the test split have no word of the voc")
    flags = "--checkpoint global.pt --folds folds.csv --device cpu --no-bank --output global.h5"
    assert run("similarity", other, flags) == 0
    with Similarity.open(other / "global.h5") as file:
        provenance = file.provenance
    record = json.loads((other / "global.json").read_text())
    for document in (provenance, record, load_checkpoint(other / "global.pt").provenance):
        assert document["warnings"] == [line.removeprefix("warning: ") for line in lines]
        expected = {"words": 40, "unknown": 40, "sentences": 10, "unknown_sentences": 10}
        assert document["words"]["test"] == expected
        assert document["words"]["val"]["unknown"] == 0


@pytest.mark.parametrize(
    ("sentence", "more", "message"),
    [
        ("。", "", "DataError: the training sentences have no word"),
        ("飞机", "--min-word-count 99", "ConfigError: no word of the training sentences occurs"),
        ("there it is", "--no-stop-words", "ConfigError: only English stop words occur"),
    ],
)
def test_an_empty_vocabulary_refuses_to_train(folder, capsys, sentence, more, message):
    other = other_sentences(folder, message, train=sentence, test="plane")
    assert run("train", other, train_flags("global", "global", "", more)) == 2
    assert capsys.readouterr().err.startswith(f"galr: {message}")
    assert sorted(path.name for path in other.iterdir()) == ["dataset.h5", "folds.csv"]


def weights_of(folder, name):
    return load_checkpoint(folder / f"{name}.pt").state_dict


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_same_seed_same_weights_whether_images_are_in_memory_or_streamed(folder):
    assert train(folder, "one") == 0
    assert train(folder, "two", more="--cache-gb 0") == 0
    assert equal(weights_of(folder, "one"), weights_of(folder, "two"))


def test_a_killed_training_resumes_to_the_same_bits(folder):
    """The program, killed as a cluster kills, as soon as its first state is saved."""
    more = "--epochs 4 --schedule cosine --warmup 0.3 --average 0.9 --optimizer adamw"
    assert train(folder, "whole", more=more) == 0
    flags = train_flags("killed", more=f"{more} --checkpoint-interval 0").replace(
        "--variant killed", "--variant whole"
    )
    resume = folder / "resume.pt"
    command = [sys.executable, "-m", "galr", *arguments("train", folder, flags)]
    with subprocess.Popen(command) as program:
        while not resume.exists() and program.poll() is None:
            time.sleep(0.01)
        program.send_signal(signal.SIGKILL)
    assert not (folder / "killed.pt").exists() and resume.exists()
    first = json.loads((folder / "killed.json").read_text())
    with pytest.warns(UserWarning, match="words were cut"):
        assert run("train", folder, flags) == 0
    assert equal(weights_of(folder, "whole"), weights_of(folder, "killed"))
    whole, killed = (pd.read_csv(folder / f"{n}.csv") for n in ("whole", "killed"))
    pd.testing.assert_frame_equal(
        whole.drop(columns="pairs_per_second"), killed.drop(columns="pairs_per_second")
    )
    assert not resume.exists()
    assert json.loads((folder / "killed.json").read_text())["earlier"] == [first]


def test_no_epochs_train_nothing_and_keep_the_model_as_it_was_built(folder, capsys):
    assert run("train", folder, train_flags("built", "global", "", "--epochs 0")) == 0
    out = capsys.readouterr().out
    assert "nothing is trained: train.epochs is 0" in out and "epoch   0  validation mR" in out
    (row,) = pd.read_csv(folder / "built.csv").to_dict("records")
    assert (row["epoch"], row["best"]) == (0, True) and np.isnan(row["loss"])
    checkpoint = load_checkpoint(folder / "built.pt")
    assert (checkpoint.epoch, checkpoint.mr) == (0, pytest.approx(row["mr"]))
    with pytest.warns(UserWarning, match="words were cut"):
        assert encode(folder, "built", "") == 0
    assert not (folder / "resume.pt").exists()


def test_tensorboards_curves_are_those_of_the_history(folder):
    assert train(folder, "curves", more=f"--events {folder / 'events'}") == 0
    curves = EventAccumulator(str(folder / "events")).Reload()
    history = pd.read_csv(folder / "curves.csv")
    for tag, column in (
        ("loss", "loss"),
        ("validation/mr", "mr"),
        ("speed/learning_rate", "learning_rate"),
    ):
        events = curves.Scalars(tag)
        assert [event.step for event in events] == [1, 2]
        assert [event.value for event in events] == pytest.approx(history[column].tolist())


SMALL = {
    "model": {"weights": "none", "input_size": 32, "embed_dim": 16, "word_dim": 8, "gru_hidden": 8,
              "heads": 2, "ffn_dim": 16, "text_weights": "none"},
    "train": {"epochs": 1, "batch": 8, "min_word_count": 1, "max_words": 30},
}  # fmt: skip
RELEASED = {
    "grad_clip_norm": None, "augment_regions": False, "stop_words": False, "shared_negatives": True,
}  # fmt: skip
VARIANTS = {  # modules that are built, and options that define the variant
    "published": (
        {"global_branch", "local_branch", "fusion", "text_encoder"},
        {"text_encoder": "skipthoughts", "text_dropout": 0.25, "fusion": "midf_released_bug", **RELEASED},
    ),
    "paper": (
        {"global_branch", "local_branch", "fusion", "text_encoder"},
        {"text_encoder": "bigru", "fusion": "midf", "grad_clip_norm": 2.0, "augment_regions": False,
         "shared_negatives": True},
    ),
    "corrected": (
        {"global_branch", "local_branch", "fusion", "text_encoder"},
        {"text_encoder": "bigru", "fusion": "midf", "grad_clip_norm": 2.0, "augment_regions": True,
         "shared_negatives": False},
    ),
    "global": ({"global_branch", "text_encoder"}, {"branches": "global"}),
    "local": ({"local_branch", "text_encoder"}, {"branches": "local"}),
    "no_midf": ({"global_branch", "local_branch", "text_encoder"}, {"fusion": "sum"}),
    "no_drea": ({"global_branch", "local_branch", "fusion", "text_encoder"}, {"fusion": "midf"}),
}  # fmt: skip


def drea_graphs(folder):
    """Copy the folder's graphs, with a provenance that holds DREA's options of the edges."""
    shutil.copy(folder / "graphs.h5", folder / "drea.h5")
    edges = {"proximity": "gaussian", "bandwidth": 0.2, "salience": True, "self_loops": True,
             "normalisation": "symmetric"}  # fmt: skip
    with h5py.File(folder / "drea.h5", "a") as file:
        provenance = json.loads(file.attrs["provenance"])
        file.attrs["provenance"] = json.dumps(provenance | {"settings": edges})


def as_flag(key, value):
    flag = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    if isinstance(value, list):
        return " ".join([flag, *value])
    return f"{flag} {'none' if value is None else value}"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_built_as_the_config_says(folder, name):
    drea_graphs(folder)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    sections = merge_config(
        {key: config[key] for key in ("model", "train")}, config["variants"][name]
    )
    changed = merge_config({key: sections[key] for key in ("model", "train")}, SMALL)
    flags = " ".join(as_flag(*item) for section in changed.values() for item in section.items())
    assert train(folder, name, changed["model"]["branches"], "--graphs drea.h5", flags) == 0
    checkpoint = load_checkpoint(folder / f"{name}.pt")
    modules, options = VARIANTS[name]
    assert {key.split(".")[0] for key in checkpoint.state_dict} == modules
    assert {key: checkpoint.provenance["settings"][key] for key in options} == options


@pytest.mark.parametrize(
    "more",
    [
        (
            "--text-encoder skipthoughts --text-dropout 0.25 --fusion midf_released_bug"
            " --grad-clip-norm none --no-stop-words"
        ),
        "--loss infonce --precision bf16",
        (
            "--optimizer adamw --loss infonce --soft-targets --weight-decay 0.05 --schedule cosine"
            " --warmup 0.1 --average 0.99 --encoder-learning-rate 0.0001"
        ),
        "--loss triplet_hardest --fusion sum",
    ],
)
def test_other_options_train_and_encode(folder, more):
    name = more.split()[1]
    assert train(folder, name, more=more) == 0
    with pytest.warns(UserWarning, match="words were cut"):
        assert encode(folder, name) == 0
    with Similarity.open(folder / f"{name}.h5") as file:
        lengths = np.linalg.norm(file.image_embeddings[:], axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)
        settings = file.provenance["settings"]
    key = "loss" if "loss" in more else "text_encoder"
    assert as_flag(key, settings[key]) in more


def test_graphs_of_another_shape_are_an_error(folder, capsys):
    train(folder, "no-graphs", "global", "")
    assert encode(folder, "no-graphs") == 2
    error = capsys.readouterr().err
    assert "was trained on graphs of (0, 0)" in error and "holds (3, 7)" in error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--heads 3", "model.heads must divide model.embed_dim, got 3 and 16"),
        ("--input-size 64", "model.input_size is 64 and data.size 40; input_size is at most size"),
        ("--device cuda:7", "DeviceError: cuda:7 was asked for"),
        (
            "--weights none.pth",
            "model.weights: no file none.pth; give pretrained, package, none or the path",
        ),
        ("--batch 1", "train.batch must be at least 2"),
        ("--warmup 1.5", "train.warmup must be in [0, 1), got 1.5"),
        ("--weight-decay 0.1", "train.weight_decay is 0.1 and train.optimizer adam; set"),
        ("--soft-targets", "train.soft_targets is true and train.loss triplet_sum, which has no"),
        ("--fold 3", "there is no fold3; known: fold0"),
        ("--text-encoder skipthoughts --text-weights nowhere", "nowhere"),
        ("--text-weights nowhere", "model.text_encoder is not skipthoughts"),
        ("--dropout 1", "model.dropout must be in [0, 1), got 1.0"),
        ("--text-dropout 0.5", "model.text_dropout is 0.5 and model.text_encoder bigru"),
        ("--processes 0", "--processes must be at least 1, got 0"),
        ("--processes 9", "train.batch must be at least --processes"),
        ("--graphs none", "model.branches 'both' needs --graphs"),
        ("--augment-regions", "train.augment_regions needs graphs that DREA made here"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, flags, message):
    assert run("train", folder, train_flags("x", more=flags)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (folder / "x.pt").exists()
