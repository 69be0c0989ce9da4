"""From dataset.h5 to similarity.h5 through the commands, on pictures drawn here."""

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

from galr import store
from galr.__main__ import main
from galr.config import merge_config
from galr.model import checkpoint as checkpoints

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--backbone resnet18 --weights none --crop 32 --embedding 16 --text bigru --text-weights none"
    " --word-size 8 --text-size 8 --text-dropout 0 --heads 2 --feed-forward 16 --dropout 0.1"
    " --fusion midf --epochs 2 --batch 8 --sentences-per-epoch none --grouped --learning-rate 0.001"
    " --decay 0.7 --decay-every 20 --loss hinge --margin 0.2 --temperature 0.07 --clip 2 --rotate 90"
    " --stop-words --min-count 1 --max-words 30 --no-shared-negatives --no-regions-move"
    " --precision fp32 --no-compile --seed 5 --device cpu --fold 0"
)
COUNTS = [1, 7, 5, 2, 3, 1, 4, 5, 1, 2, 3, 5, 1, 1]  # sentences of each image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Fourteen images with 1 to 7 sentences, long and non-ASCII ones among them; five without regions."""
    folder, draw = tmp_path_factory.mktemp("run"), np.random.default_rng(0)
    images = len(COUNTS)
    owners = np.repeat(np.arange(images, dtype=np.int32), COUNTS)
    names = [f"bild-{i}-é.tif" for i in range(images)]
    sentences = [
        f"{'zwei große ' * (200 if i == 2 else 1)}flugzeuge {i % 7}" for i in range(len(owners))
    ]
    with store.writing(folder / "dataset.h5", store.DATASET, {"dataset": "small"}) as file:
        store.write_arrays(
            file,
            images=draw.integers(0, 255, (images, 40, 40, 3), dtype=np.uint8),
            sizes=np.full((images, 2), 40, dtype=np.int32),
            image_of_sentence=owners,
        )
        for table, held in (("names", names), ("files", names), ("sentences", sentences)):
            store.write_texts(file, table, held)
        store.write_texts(file, "splits", ["train"] * 10 + ["test"] * 4)
    mask = np.arange(3) < draw.integers(0, 4, images)[:, None]
    mask[::3] = False
    with store.writing(folder / "graphs.h5", store.GRAPHS, {"settings": {}}) as file:
        store.write_arrays(
            file,
            representation=(draw.random((images, 3, 7)) * mask[..., None]).astype(np.float32),
            adjacency=(np.eye(3) * mask[..., None]).astype(np.float32),
            mask=mask,
            kept=np.where(mask, 0, -1).astype(np.int32),
            redundant=np.zeros(images, dtype=np.int32),
        )
        store.write_texts(file, "names", names)
    run("folds", folder, "--count 1 --validation 0.3 --seed 5 --output folds.csv")
    return folder


def words_of(stage, folder, flags):
    """A stage's command line with paths below a folder."""
    words = [
        str(folder / word) if word.endswith((".h5", ".csv", ".pt", ".json")) else word
        for word in flags.split()
    ]
    return [stage, *words, "--dataset", str(folder / "dataset.h5")]


def run(stage, folder, flags):
    return main(words_of(stage, folder, flags))


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
    with store.reading(folder / "dataset.h5", store.DATASET) as file:
        owners = np.array(store.texts(file["names"]))[file["image_of_sentence"][:]]
        sentences = store.texts(file["sentences"])
    return {said for said, owner in zip(sentences, owners, strict=True) if folds[owner] == "train"}


@pytest.mark.parametrize(("branches", "graphs"), [("both", "--graphs graphs.h5"), ("global", "")])
def test_training_leaves_a_checkpoint_and_similarity_follows_from_it(folder, branches, graphs):
    assert train(folder, branches, branches, graphs) == 0
    with pytest.warns(UserWarning, match="words were cut"):  # of the bank's, which are training's
        assert encode(folder, branches, graphs) == 0
    history = pd.read_csv(folder / f"{branches}.csv")
    assert history["epoch"].tolist() == [1, 2] and history["best"].sum() == 1
    kept = history[history["best"]].iloc[0]
    checkpoint = checkpoints.load_checkpoint(folder / f"{branches}.pt")
    assert (checkpoint.epoch, checkpoint.mr) == (kept["epoch"], pytest.approx(kept["mr"]))
    with store.reading(folder / f"{branches}.h5", store.SIMILARITY) as file:
        assert file["similarity"].shape == (4, sum(COUNTS[10:]))
        assert file["validation/similarity"].shape[0] == 3
        for part in (file, file["validation"]):
            seen, said = part["image_embeddings"][:], part["sentence_embeddings"][:]
            np.testing.assert_allclose(part["similarity"][:], seen @ said.T, atol=1e-6)
            np.testing.assert_allclose(np.linalg.norm(seen, axis=1), 1, atol=1e-5)
        everybody = [
            part["image_embeddings"][:] for part in (file, file["validation"], file["bank"])
        ]
        assert [len(part) for part in everybody] == [4, 3, 7]
        assert len(np.unique(np.concatenate(everybody).round(5), axis=0)) == 14  # nobody twice
        assert len(file["bank/sentence_embeddings"]) == len(distinct_training_sentences(folder))
        assert store.texts(file["names"]) == [f"bild-{i}-é.tif" for i in range(10, 14)]
        assert np.bincount(file["image_of_sentence"][:]).tolist() == COUNTS[10:]
        origin = store.provenance(file)
    assert origin["variant"] == branches and origin["fold"] == 0 and origin["seed"] == 5
    assert len(origin["checkpoint_sha256"]) == len(origin["dataset_sha256"]) == 64
    assert encode(folder, branches, f"{graphs} --no-bank") == 0
    with store.reading(folder / f"{branches}.h5", store.SIMILARITY) as file:
        assert "bank" not in file


def weights_of(folder, name):
    return checkpoints.load_checkpoint(folder / f"{name}.pt").state_dict


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


def test_same_seed_same_machine_same_numbers_however_pictures_are_held(folder):
    assert train(folder, "one") == 0
    assert train(folder, "two", more="--resident-gb 0") == 0  # read ahead instead
    assert equal(weights_of(folder, "one"), weights_of(folder, "two"))


def test_a_killed_training_goes_on_by_itself_to_the_same_bits(folder):
    """The whole program, killed as a cluster kills, as soon as something of it is saved."""
    assert train(folder, "whole", more="--epochs 4") == 0
    flags = train_flags("killed", more="--epochs 4 --save-every 0").replace(
        "--variant killed", "--variant whole"
    )
    unfinished = folder / "killed.unfinished.pt"
    command = [sys.executable, "-m", "galr", *words_of("train", folder, flags)]
    with subprocess.Popen(command) as program:
        while not unfinished.exists() and program.poll() is None:
            time.sleep(0.01)
        program.send_signal(signal.SIGKILL)
    assert not (folder / "killed.pt").exists() and unfinished.exists()
    first = json.loads((folder / "killed.json").read_text())
    with pytest.warns(UserWarning, match="words were cut"):
        assert run("train", folder, flags) == 0
    assert equal(weights_of(folder, "whole"), weights_of(folder, "killed"))
    whole, killed = (pd.read_csv(folder / f"{n}.csv") for n in ("whole", "killed"))
    pd.testing.assert_frame_equal(
        whole.drop(columns="pairs_a_second"), killed.drop(columns="pairs_a_second")
    )
    assert not unfinished.exists()
    assert json.loads((folder / "killed.json").read_text())["earlier"] == [first]


def test_curves_for_tensorboard_are_the_history(folder):
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
    "model": {"weights": "none", "crop": 32, "embedding": 16, "word_size": 8, "text_size": 8, "heads": 2,
              "feed_forward": 16, "text_weights": "none"},
    "train": {"epochs": 1, "batch": 8, "min_count": 1, "max_words": 30},
}  # fmt: skip
RELEASED = {"clip": None, "regions_move": False, "stop_words": False, "shared_negatives": True}
VARIANTS = {  # parts that are built, and what makes the variant what it is
    "published": (
        {"seen", "found", "fusion", "text"},
        {"text": "skipthoughts", "text_dropout": 0.25, "fusion": "midf_released", **RELEASED},
    ),
    "paper": (
        {"seen", "found", "fusion", "text"},
        {"text": "bigru", "fusion": "midf", "clip": 2.0, "regions_move": False, "shared_negatives": True},
    ),
    "corrected": (
        {"seen", "found", "fusion", "text"},
        {"text": "bigru", "fusion": "midf", "clip": 2.0, "regions_move": True, "shared_negatives": False},
    ),
    "global": ({"seen", "text"}, {"branches": "global"}),
    "local": ({"found", "text"}, {"branches": "local"}),
    "no_midf": ({"seen", "found", "text"}, {"fusion": "sum"}),
    "no_drea": ({"seen", "found", "fusion", "text"}, {"fusion": "midf"}),
}  # fmt: skip


def drea_graphs(folder):
    """The folder's graphs as DREA would have left them: it says how edges were weighed."""
    shutil.copy(folder / "graphs.h5", folder / "drea.h5")
    edges = {"closeness": "gaussian", "bandwidth": 0.2, "salience": True, "self_loops": True,
             "normalisation": "symmetric"}  # fmt: skip
    with h5py.File(folder / "drea.h5", "a") as file:
        said = json.loads(file.attrs["provenance"])
        file.attrs["provenance"] = json.dumps(said | {"settings": edges})


def as_flag(key, value):
    flag = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    return f"{flag} {'none' if value is None else value}"


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_what_the_config_says(folder, name):
    drea_graphs(folder)
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    sections = merge_config(
        {key: config[key] for key in ("model", "train")}, config["variants"][name]
    )
    changed = merge_config({key: sections[key] for key in ("model", "train")}, SMALL)
    flags = " ".join(as_flag(*each) for part in changed.values() for each in part.items())
    assert train(folder, name, changed["model"]["branches"], "--graphs drea.h5", flags) == 0
    checkpoint = checkpoints.load_checkpoint(folder / f"{name}.pt")
    parts, says = VARIANTS[name]
    assert {key.split(".")[0] for key in checkpoint.state_dict} == parts
    assert {key: checkpoint.provenance["settings"][key] for key in says} == says


@pytest.mark.parametrize(
    "more",
    [
        "--text skipthoughts --text-dropout 0.25 --fusion midf_released --clip none --no-stop-words",
        "--loss infonce --precision bf16",
        "--loss hardest --fusion sum",
    ],
)
def test_other_choices_train_and_encode(folder, more):
    name = more.split()[1]
    assert train(folder, name, more=more) == 0
    with pytest.warns(UserWarning, match="words were cut"):
        assert encode(folder, name) == 0
    with store.reading(folder / f"{name}.h5", store.SIMILARITY) as file:
        lengths = np.linalg.norm(file["image_embeddings"][:], axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)
        said = store.provenance(file)["settings"]
    assert (
        f"--{'loss' if 'loss' in more else 'text'} {said['loss' if 'loss' in more else 'text']}"
        in more
    )


def test_graphs_of_another_shape_are_refused(folder, capsys):
    train(folder, "mine", "global", "")
    assert encode(folder, "mine") == 2
    said = capsys.readouterr().err
    assert "was trained on graphs of (0, 0)" in said and "holds (3, 7)" in said


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--heads 3", "model.heads must divide model.embedding, got 3 and 16"),
        ("--crop 64", "model.crop is 64 and data.size 40; crop is at most size"),
        ("--device cuda:7", "DeviceError: cuda:7 was asked for"),
        ("--weights none.pth", "model.weights: no file none.pth; give imagenet, none"),
        ("--batch 1", "train.batch must be at least 2"),
        ("--fold 3", "there is no fold3; known: fold0"),
        ("--text skipthoughts --text-weights nowhere", "nowhere"),
        ("--text-weights nowhere", "model.text is not skipthoughts"),
        ("--dropout 1", "model.dropout must be in [0, 1), got 1.0"),
        ("--text-dropout 0.5", "model.text_dropout is 0.5 and model.text bigru"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, flags, says):
    assert run("train", folder, train_flags("x", more=flags)) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (folder / "x.pt").exists()
