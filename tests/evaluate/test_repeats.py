"""Repeated images and sentences: noticed, described, and taken out to the numbers of the matrix without them."""

from pathlib import Path

import numpy as np
import pytest

from galr.__main__ import main
from galr.errors import ShapeError
from galr.evaluate.repeats import (
    SAMPLE,
    KeptRows,
    describe_repeats,
    first_identical,
    keep_one,
    kept_relevance,
)

IMAGES, PER_IMAGE = 12, 5
SENTENCES = IMAGES * PER_IMAGE


def distinct(rows=IMAGES, columns=SENTENCES + 2 * SAMPLE):
    return np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)


def matrix():
    own = np.repeat(np.eye(IMAGES, dtype=np.float32), PER_IMAGE, axis=1)
    return distinct(columns=SENTENCES) + 2 * own


def embeddings():
    random = np.random.default_rng(1)
    images = random.normal(size=(IMAGES, 8)).astype(np.float32)
    noise = random.normal(size=(SENTENCES, 8)).astype(np.float32)
    return images, np.repeat(images, PER_IMAGE, axis=0) + noise


UNEQUAL = np.repeat(np.arange(IMAGES), [5, 6, 4] * 4)  # as many rows as sentences, 60
ORDERS = {  # the image of each row of a file with as many rows as sentences
    "runs": np.repeat(np.arange(IMAGES), PER_IMAGE),
    "copies": np.tile(np.arange(IMAGES), PER_IMAGE),
    "anywhere": np.random.default_rng(2).permutation(np.repeat(np.arange(IMAGES), PER_IMAGE)),
    "unequal": UNEQUAL,
    "unequal, anywhere": np.random.default_rng(3).permutation(UNEQUAL),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("width", [3, SAMPLE, 4 * SAMPLE])
def test_identical_rows_are_found_in_a_table_and_in_its_columns(order, width):
    table = distinct(columns=width)
    table[1, :SAMPLE] = table[2, :SAMPLE] if width > SAMPLE else table[1]  # alike at first
    rows = table[order]
    expected = [order.tolist().index(image) for image in order]
    assert first_identical(rows).tolist() == expected
    assert first_identical(np.ascontiguousarray(rows.T).T).tolist() == expected


def test_zero_and_minus_zero_are_equal_and_integers_are_compared_too():
    assert first_identical(np.array([[0.0, 1], [-0.0, 1], [1, 0]])).tolist() == [0, 0, 2]
    assert first_identical(np.array([[3, 1], [1, 3], [3, 1]], np.uint8)).tolist() == [0, 1, 0]


@pytest.mark.parametrize("order", ["runs", "copies", "anywhere"])
def test_one_of_n_is_kept(order):
    table = distinct()
    kept = keep_one(table[ORDERS[order]], str(PER_IMAGE), "S.npy", "--images-repeat")
    assert kept.count == IMAGES
    np.testing.assert_array_equal(kept.take(table[ORDERS[order]])[kept.group], table[ORDERS[order]])
    if order == "anywhere":
        return
    assert np.shares_memory(kept.take(table), table)  # a table on disk stays there


@pytest.mark.parametrize("order", ["runs", "copies"])
def test_two_equal_images_stay_two_and_rounding_does_not_matter(order):
    table = distinct()
    table[3] = table[2]
    rows = table[ORDERS[order]]
    rows[7] *= 1 + 3e-7
    assert keep_one(rows, str(PER_IMAGE), "S.npy", "--images-repeat").count == IMAGES
    assert keep_one(table[ORDERS[order]], "any", "S.npy", "--images-repeat").count == IMAGES - 1


def test_rows_that_do_not_repeat_as_stated_are_refused_by_number():
    rows = distinct()[ORDERS["runs"]]
    rows[13, -1] += 0.5
    with pytest.raises(ShapeError, match=r"number 13 differs from number 10 .* 5 identical ones"):
        keep_one(rows, "5", "S.npy", "--images-repeat")
    with pytest.raises(ShapeError, match="60 is no multiple of 7"):
        keep_one(rows, "7", "S.npy", "--images-repeat")
    with pytest.raises(ShapeError, match="expected a non-empty table"):
        keep_one(np.array(1.0), "5", "S.npy", "--images-repeat")


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ("runs", "come in identical runs of 5 (60, 12 of them different)"),
        ("copies", "stand 5 times each, identical (60, 12 of them different)"),
        ("anywhere", "stand 5 times each, identical (60, 12 of them different)"),
        ("unequal", "stand 4 to 6 times each, identical (60, 12 of them different)"),
    ],
)
def test_repeated_images_are_described_with_the_flag_that_keeps_one(order, line):
    said = describe_repeats(distinct()[ORDERS[order]], "rows", "image", "--images-repeat")
    assert line in said
    flag = said.split("--images-repeat ")[1].split()[0]
    assert keep_one(distinct()[ORDERS[order]], flag, "", "").count == IMAGES


def test_nothing_is_said_where_nothing_is_wrong():
    assert describe_repeats(distinct(), "rows", "image", "--images-repeat") is None
    some_equal = distinct()[[0, 1, 1, 2, 3, 3, 3, 4]]
    assert describe_repeats(some_equal, "columns", "sentence", "--sentences-repeat") is None
    said = describe_repeats(some_equal, "rows", "image", "--images-repeat")
    assert said.startswith("3 of 8 rows are identical to an earlier one (number 2 to number 1,")
    said = describe_repeats(np.ones((4, 9)), "rows", "image", "--images-repeat")
    assert said == "all 4 rows are identical: no image differs from another"


def test_the_relevance_follows_the_kept_rows():
    everything = KeptRows(slice(None), np.arange(SENTENCES))
    for order in ORDERS.values():
        images = keep_one(distinct()[order], "any", "", "")
        assert kept_relevance(None, images, everything).tolist() == images.group.tolist()
        rows = np.arange(SENTENCES)  # of the file
        assert kept_relevance(rows, images, everything).tolist() == images.group.tolist()
        assert kept_relevance(images.group, images, everything) is images.group  # of the kept ones
    twice = keep_one(np.repeat(distinct(SENTENCES), 2, axis=0), "2", "", "")
    one_each = KeptRows(slice(None), np.arange(IMAGES))
    expected = np.repeat(np.arange(IMAGES), PER_IMAGE)
    assert kept_relevance(None, one_each, twice).tolist() == expected.tolist()
    assert kept_relevance(expected.repeat(2), one_each, twice).tolist() == expected.tolist()
    conflict = expected.repeat(2)
    conflict[1] = 3
    with pytest.raises(
        ShapeError, match="sentence 1 is identical to another one, but describes image 3"
    ):
        kept_relevance(conflict, one_each, twice)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, sentences = embeddings()
    np.save("N.npy", matrix())
    np.save("V.npy", images)
    np.save("T.npy", sentences)
    for name in ("runs", "copies"):
        np.save(f"{name}.npy", matrix()[ORDERS[name]][:, _sentences_of(name)])
        np.save(f"V-{name}.npy", images[ORDERS[name]])
        np.save(f"T-{name}.npy", sentences[_sentences_of(name)])
    return tmp_path


def _sentences_of(name):
    """Sentences in the order that gives row i's image as the image of sentence i."""
    return np.argsort(ORDERS[name], kind="stable").argsort(kind="stable")


def evaluate(capsys, *flags):
    """Evaluate, and return the table and what was said."""
    assert main(["evaluate", "--output", "M.csv", *flags]) == 0
    return Path("M.csv").read_text(encoding="utf-8"), capsys.readouterr().err


@pytest.mark.parametrize("name", ["runs", "copies"])
def test_a_repeated_matrix_has_the_numbers_of_the_matrix_to_the_last_digit(saved, capsys, name):
    expected, said = evaluate(capsys, "--similarity", "N.npy")
    assert said == ""
    found, said = evaluate(capsys, "--similarity", f"{name}.npy")
    assert found != expected
    assert said.startswith(f"{name}.npy: rows ") and said.count("\n") == 1
    assert "add --images-repeat 5" in said
    numbers, said = evaluate(capsys, "--similarity", f"{name}.npy", "--images-repeat", "5")
    assert said == ""
    # the bootstrap draws images, whose sentences are in another order in `copies`, but not their number
    assert numbers == expected
    assert evaluate(capsys, "--similarity", f"{name}.npy", "--images-repeat", "any")[0] == expected


@pytest.mark.parametrize("name", ["runs", "copies"])
def test_repeated_embeddings_have_the_numbers_of_the_tables(saved, capsys, name):
    expected, _ = evaluate(capsys, "--images", "V.npy", "--sentences", "T.npy")
    tables = ["--images", f"V-{name}.npy", "--sentences", f"T-{name}.npy"]
    found, said = evaluate(capsys, *tables)
    assert found != expected and said.startswith(f"V-{name}.npy: rows ")
    assert evaluate(capsys, *tables, "--images-repeat", "5") == (expected, "")


def test_repeated_sentences_are_kept_once(saved, capsys):
    expected, _ = evaluate(capsys, "--similarity", "N.npy")
    np.save("twice.npy", matrix().repeat(2, axis=1))
    _, said = evaluate(capsys, "--similarity", "twice.npy")
    assert said.startswith("twice.npy: columns come in identical runs of 2 (120, 60 of them")
    assert "--sentences-repeat 2, or transpose the matrix" in said
    flags = ["--similarity", "twice.npy", "--sentences-repeat", "2"]
    assert evaluate(capsys, *flags) == (expected, "")
    np.save("I.npy", np.repeat(np.arange(IMAGES), 2 * PER_IMAGE))
    assert evaluate(capsys, *flags, "--image-of-sentence", "I.npy") == (expected, "")


def test_a_relevance_that_counts_images_and_not_rows_names_the_flag(saved, capsys):
    np.save("I.npy", ORDERS["runs"])  # images 0 to 11, of 60 rows
    flags = ["--similarity", "runs.npy", "--image-of-sentence", "I.npy"]
    assert main(["evaluate", "--output", "M.csv", *flags]) == 2
    assert "or say --images-repeat if each image has several equal rows" in capsys.readouterr().err
    expected, _ = evaluate(capsys, "--similarity", "N.npy")
    assert evaluate(capsys, *flags, "--images-repeat", "5") == (expected, "")


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
def test_rerank_of_a_repeated_matrix_is_that_of_the_matrix(saved, capsys, direction):
    flags = ["rerank", "--direction", direction, "--variant", "paper", "--output", "R.npy"]
    assert main([*flags, "--similarity", "N.npy"]) == 0
    expected = np.load("R.npy")
    assert capsys.readouterr().err == ""
    assert main([*flags, "--similarity", "runs.npy"]) == 0
    assert "add --images-repeat 5" in capsys.readouterr().err
    assert main([*flags, "--similarity", "runs.npy", "--images-repeat", "5"]) == 0
    np.testing.assert_array_equal(np.load("R.npy"), expected)
    tables = ["--sentences", "T.npy", "--images"]
    assert main([*flags[:-1], "a.npz", *tables, "V.npy"]) == 0
    assert main([*flags[:-1], "b.npz", *tables, "V-runs.npy", "--images-repeat", "5"]) == 0
    with np.load("a.npz") as a, np.load("b.npz") as b:
        for name in ("indices", "scores"):
            np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["N.npy", "--images-repeat", "0"], "--images-repeat is how often each stands"),
        (["N.npy", "--sentences-repeat", "five"], "or any where the numbers differ; got five"),
        (["N.npy", "--images-repeat", "5"], "12 is no multiple of 5"),
        (["N.npy", "--images-repeat", "2"], "number 1 differs from number 0"),
        (["x.h5", "--images-repeat", "5"], "x.h5 holds each image and sentence once"),
    ],
)
def test_a_wrong_statement_is_one_line(saved, capsys, flags, message):
    assert main(["evaluate", "--output", "M.csv", "--similarity", *flags]) == 2
    line = capsys.readouterr().err
    assert message in line and line.count("\n") == 1
