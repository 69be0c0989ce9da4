"""From dataset.h5 to similarity.h5 through the commands, on pictures drawn here."""

import numpy as np
import pandas as pd
import pytest
import torch

from galr import store
from galr.__main__ import main
from galr.model import checkpoint as checkpoints

FLAGS = (
    "--backbone resnet18 --weights none --crop 32 --embedding 16 --word-size 8 --text-size 8 --heads 2"
    " --feed-forward 16 --dropout 0.1 --epochs 2 --batch 8 --sentences-per-epoch none --grouped"
    " --learning-rate 0.001 --decay 0.7 --decay-every 20 --margin 0.2 --clip 2 --rotate 90"
    " --min-count 1 --max-words 30 --no-shared-negatives --no-regions-move --seed 5 --device cpu --fold 0"
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


def run(stage, folder, flags):
    """Call a stage with paths below a folder."""
    words = [
        str(folder / word) if word.endswith((".h5", ".csv", ".pt")) else word
        for word in flags.split()
    ]
    if stage != "rerank":
        words += ["--dataset", str(folder / "dataset.h5")]
    return main([stage, *words])


def train(folder, name, branches="both", graphs="--graphs graphs.h5"):
    return run(
        "train",
        folder,
        f"--folds folds.csv {graphs} --variant {name} --branches {branches} {FLAGS}"
        f" --checkpoint {name}.pt --history {name}.csv",
    )


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
    with pytest.warns(UserWarning, match="words were cut"):
        assert train(folder, branches, branches, graphs) == 0
    with pytest.warns(UserWarning, match="words were cut"):  # of the bank's, which are training's
        assert encode(folder, branches, graphs) == 0
    history = pd.read_csv(folder / f"{branches}.csv")
    assert history["epoch"].tolist() == [1, 2] and history["best"].sum() == 1
    kept = history[history["best"]].iloc[0]
    checkpoint = checkpoints.load(folder / f"{branches}.pt")
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


def test_same_seed_same_machine_same_numbers(folder):
    for name in ("one", "two"):
        with pytest.warns(UserWarning, match="words were cut"):
            train(folder, name)
    one, two = (checkpoints.load(folder / f"{name}.pt").state for name in ("one", "two"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_graphs_of_another_shape_are_refused(folder, capsys):
    with pytest.warns(UserWarning, match="words were cut"):
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
    ],
)
def test_mistakes_are_one_line(folder, capsys, flags, says):
    words = f"--folds folds.csv --graphs graphs.h5 --variant x --branches both {FLAGS} {flags}"
    assert run("train", folder, words + " --checkpoint x.pt --history x.csv") == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (folder / "x.pt").exists()
