"""`galr evaluate` of two tables gives the numbers of their matrix."""

import numpy as np
import pandas as pd
import pytest
import torch

from galr.__main__ import main
from galr.evaluate.tiled_products import compute_similarity
from galr.io.formats import Ranks


@pytest.fixture
def saved(tmp_path):
    """Tables with repeated rows, so that there are ties, and different numbers of sentences an image."""
    random = np.random.default_rng(0)
    image_table = random.normal(size=(30, 5)).astype(np.float32)
    image_table[7] = image_table[3]
    image_of_sentence = np.sort(np.concatenate([np.arange(30), random.integers(30, size=61)]))
    sentence_table = image_table[image_of_sentence] + random.normal(size=(91, 5)).astype(np.float32)
    sentence_table[::9] = sentence_table[0]
    np.save(tmp_path / "V.npy", image_table)
    np.save(tmp_path / "T.npy", sentence_table)
    np.save(tmp_path / "I.npy", image_of_sentence)
    np.save(
        tmp_path / "S.npy", compute_similarity(image_table, sentence_table, torch.device("cpu"))
    )
    return tmp_path


def call(folder, *words):
    """Run `galr evaluate` on the files of a folder."""
    names = {"V.npy", "T.npy", "I.npy", "S.npy", "a.csv", "b.csv", "a.h5", "b.h5"}
    return main(["evaluate", *(str(folder / w) if w in names else w for w in words)])


@pytest.mark.parametrize("ties", ["pessimistic", "expected", "optimistic"])
def test_tables_give_the_numbers_of_their_matrix(saved, ties):
    flags = ["--image-of-sentence", "I.npy", "--ties", ties, "--resamples", "20"]
    flags += ["--rerank", "none", "reciprocal", "mr-code", "mr-paper", "--k", "12", "--w1", "0.3"]
    flags += ["--w2", "1.1"]
    tables = ["--images", "V.npy", "--sentences", "T.npy", "--device", "cpu"]
    assert call(saved, "--similarity", "S.npy", "--output", "a.csv", "--ranks", "a.h5", *flags) == 0
    assert call(saved, *tables, "--output", "b.csv", "--ranks", "b.h5", *flags) == 0
    pd.testing.assert_frame_equal(pd.read_csv(saved / "a.csv"), pd.read_csv(saved / "b.csv"))
    with Ranks.open(saved / "a.h5") as a, Ranks.open(saved / "b.h5") as b:
        assert b.provenance.keys() >= {"images_sha256", "sentences_sha256", "chosen"}
        for rerank in ("none", "reciprocal", "mr-code", "mr-paper"):
            for name, ranks in a.reranks[rerank].arrays().items():
                assert np.array_equal(ranks, b.reranks[rerank].arrays()[name]), (rerank, name)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--images", "V.npy"], "give either --similarity, or both --images and --sentences"),
        (["--similarity", "S.npy", "--images", "V.npy", "--sentences", "T.npy"], "give either"),
        ([], "give either"),
        (["--images", "V.npy", "--sentences", "T.npy"], "91 sentences cannot be divided"),
        (
            ["--images", "V.npy", "--sentences", "T.npy", "--image-of-sentence", "I.npy", "--rerank", "qbnorm"],
            "qbnorm needs a bank",
        ),
        (["--images", "V.npy", "--sentences", "T.npy", "--image-of-sentence", "V.npy"], "integer"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_one_line(saved, capsys, words, message):
    assert call(saved, *words, "--output", "a.csv") == 2
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1
    assert not (saved / "a.csv").exists()
