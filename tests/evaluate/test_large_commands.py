"""`galr rerank` of two tables, from file to file, as a user calls it."""

import numpy as np
import pytest
import torch

from galr.__main__ import main
from galr.evaluate.rerank import rerank_direction
from galr.evaluate.tiled_products import compute_similarity


def tables():
    random = np.random.default_rng(0)
    image_table = random.normal(size=(40, 6)).astype(np.float32)
    sentence_table = np.repeat(image_table, 3, axis=0) + random.normal(size=(120, 6)).astype(
        np.float32
    )
    sentence_table[::9] = sentence_table[0]
    return image_table, sentence_table


@pytest.fixture
def saved(tmp_path):
    for name, table in zip(("V.npy", "T.npy"), tables(), strict=True):
        np.save(tmp_path / name, table)
    return tmp_path


def flags(folder, *more, output="top.npz"):
    given = ["--images", folder / "V.npy", "--sentences", folder / "T.npy", "--direction", "i2t"]
    given += ["--variant", "paper", "--output", folder / output]
    return [str(word) for word in ["rerank", *given, *more]]


def refused(capsys, argv):
    """Run a command that fails, and return the one line that it prints."""
    assert main([str(word) for word in argv]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
@pytest.mark.parametrize(
    ("variant", "k"), [("code", 5), ("code", 12), ("paper", 7), ("reciprocal", 999)]
)
def test_rerank_of_tables_is_the_top_of_the_rerank_of_their_matrix(saved, direction, variant, k):
    matrix = compute_similarity(*tables(), torch.device("cpu"))
    reranked = rerank_direction(matrix, direction, variant, k, 0.3, 1.1, 0.05)
    reranked = reranked if direction == "i2t" else reranked.T
    expected = np.argsort(-reranked, axis=1, kind="stable")[:, :k]
    chosen = ["--direction", direction, "--variant", variant, "--k", str(k), "--device", "cpu"]
    argv = flags(saved, *chosen, "--threads", "2", output="below/top.scores")
    assert main(argv) == 0
    with np.load(saved / "below" / "top.scores") as top:
        assert sorted(top) == ["indices", "scores"]
        assert (top["indices"].dtype, top["scores"].dtype) == (np.int64, np.float32)
        assert top["indices"].tolist() == expected.tolist()
        assert (np.diff(top["scores"], axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "give either --similarity, or both --images and --sentences"),
        (["--images", "V.npy"], "give either --similarity, or both"),
        (["--sentences", "T.npy"], "give either --similarity, or both"),
        (["--similarity", "S.npy", "--images", "V.npy"], "give either --similarity, or both"),
        (["--similarity", "S.npy", "--threads", "0"], "threads must be at least 1, got 0"),
        (["--images", "V.npy", "--sentences", "T.npy", "--k", "0"], "at least 1; got 0"),
        (["--images", "nowhere.npy", "--sentences", "T.npy"], "nowhere.npy does not exist"),
    ],
)
def test_a_matrix_and_tables_are_not_given_together(capsys, argv, message):
    more = ["--direction", "i2t", "--variant", "paper", "--output", "top.npz"]
    assert message in refused(capsys, ["rerank", *argv, *more])


def with_nan(path):
    table = np.ones((4, 6), np.float32)
    table[2, 3] = np.nan
    np.save(path, table)


def cut_short(path):
    np.save(path, np.ones((50, 6), np.float32))
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (with_nan, "[2, 3] is nan, expected finite float32 numbers"),
        (cut_short, "no whole .npy file of numbers"),
        (lambda path: path.write_bytes(b""), "no whole .npy file of numbers"),
        (
            lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
            "no whole .npy file of numbers",
        ),
        (lambda path: np.save(path, np.ones(6)), "of shape (6,), expected a non-empty table"),
        (lambda path: np.save(path, np.ones((0, 6))), "of shape (0, 6), expected a non-empty"),
        (lambda path: np.save(path, np.ones((4, 6), int)), "int64 of shape (4, 6), expected"),
        (lambda path: np.save(path, np.ones((4, 5))), "expected embeddings of one model"),
    ],
)
@pytest.mark.parametrize("name", ["V.npy", "T.npy"])
def test_damaged_tables_get_one_line(saved, capsys, name, damage, message):
    damage(saved / name)
    assert message in refused(capsys, flags(saved))
    assert not (saved / "top.npz").exists()


def test_an_unknown_device_and_an_output_that_cannot_be_written_are_refused(saved, capsys):
    assert "DeviceError" in refused(capsys, flags(saved, "--device", "tpu:0"))
    assert "cannot be written" in refused(capsys, flags(saved, "--output", saved))
