"""The description of X and A, and how they were computed according to it."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from galr.graphs.describe_matrices import describe_matrices, one_hot_columns
from galr.graphs.drea import GraphArrays


def describe(x, a, num_unused=0):
    """Describe X (images, n, d) and A (images, n, n) in one text."""
    x, a = np.asarray(x, np.float32), np.asarray(a, np.float32)
    mask = x.any(axis=2) | a.any(axis=2)
    graphs = GraphArrays(x, a, mask, np.full(mask.shape, -1), np.zeros(len(x)))
    return "\n".join(describe_matrices(graphs, num_unused))


def normalise(w):
    degree = w.sum(axis=-1)
    return w / np.sqrt(degree[..., :, None] * degree[..., None, :])


def test_the_description_of_our_graphs_says_how_they_were_computed(make_graphs):
    graphs = make_graphs(3, counts=(9, 30, 12, 0, 25))
    text = describe(graphs.representation, graphs.adjacency, num_unused=7)
    rows = int(graphs.mask.sum())
    for sentence in (
        "5 images, n = 20 rows of d = 20 numbers; 7 further images",
        f"X: {(100 - rows) / 5:.4g} of 20 rows are zero on average; they are at the end in 100.0% of the 3",
        "; 0 filled rows an image repeat the row above",
        f"columns 1 to 15 are one-hot (exactly one 1 in each of {rows} filled rows), so likely 15 classes",
        "100.0% are in [0, 1]",
        "read as centre and size they lie within [0, 1] in 100.0%.",
        "A: largest |A - A^T| 0;",
        "edges to other rows are all 0.",
        "in 4 images that have edges the largest eigenvalue is all 1,",
        "all are within [-1, 1] in 100.0%.",
        "all positive) in 100.0% of these images",
    ):
        assert sentence in text, sentence
    (score,) = (line for line in text.split("\n") if line.startswith("X: column 16 is"))
    scores = graphs.representation[:, :, 15][graphs.mask]
    assert f"{scores.min():.4g} to {scores.max():.4g}, mean {scores.mean():.4g};" in score
    assert "descends from row to row in 100.0% of the 4 images of two filled rows or more" in score


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 6))
def test_one_hot_columns_match_the_definition(seed, d, classes):
    random = np.random.default_rng(seed)
    rows = random.choice([0, 1, 0.5], p=[0.6, 0.3, 0.1], size=(5, d)).astype(np.float32)
    if classes:  # plant a one-hot block among them
        block = np.eye(classes)[random.integers(classes, size=5)]
        rows = np.insert(rows, random.integers(d + 1), block.T, axis=1)
    runs = [
        (stop - start, -start)
        for start in range(rows.shape[1])
        for stop in range(start + 2, rows.shape[1] + 1)
        if all(sorted(row[start:stop]) == [0] * (stop - start - 1) + [1] for row in rows.tolist())
    ]
    length, start = max(runs, default=(0, 0))
    assert one_hot_columns(rows) == (-start, -start + length)


def test_other_paddings_are_described():
    x = np.zeros((2, 4, 2))
    x[0, 2:] = [[3, 2], [1, 2]]  # zero rows first
    x[1] = [[5, 6]] * 4  # one row, repeated
    text = describe(x, np.zeros((2, 4, 4)))
    assert "X: 1 of 4 rows are zero on average; they are at the end in 0.0% of the 1" in text
    assert "; 1.5 filled rows an image repeat the row above" in text
    assert "no run of columns is one-hot" in text
    assert "column 1 is 1 to 5, mean 4; it descends from row to row in 100.0% of the 2" in text
    assert "0.0% are in [0, 1] and 100.0% are whole" not in text  # one of twelve numbers is 1
    assert "8.3% are in [0, 1] and 100.0% are whole" in text
    assert "A: all rows of all images are zero" not in text  # rows of X count as rows of A here


def test_corners_are_distinguished_from_centres():
    corner = np.random.default_rng(0).random((3, 5, 2)) * 0.5 + 0.4
    boxes = np.concatenate([corner, corner + 0.1], axis=2)
    assert "x1 y1 x2 y2 are boxes in 100.0% of" in describe(boxes, np.zeros((3, 5, 5)))
    assert "within [0, 1] in 0.0%." in describe(boxes + 0.3, np.zeros((3, 5, 5)))


def test_normalised_matrices_are_distinguished_from_others():
    random = np.random.default_rng(0)
    w = random.random((4, 6, 6))
    w = w + w.transpose(0, 2, 1)
    w[:, :3, 3:] = w[:, 3:, :3] = 0  # in two parts
    x = random.random((4, 6, 2))
    assert "positive) in 100.0% of these" in describe(x, normalise(w))
    assert "positive) in 0.0% of these" in describe(x, normalise(w) * 0.99)
    assert "positive) in 50.0% of these" in describe(x, np.concatenate([normalise(w)[:2], w[2:]]))
    flip = np.diag([1, -1, 1, 1, 1, 1])  # the same spectrum, and no positive eigenvector
    assert "positive) in 0.0% of these" in describe(x, flip @ normalise(w) @ flip)
    eigen = np.linalg.eigvalsh(w.astype(np.float32).astype(float))
    assert (
        f"largest eigenvalue is {eigen[:, -1].min():.4g} to {eigen[:, -1].max():.4g}"
        in describe(x, w)
    )
    zero_one = np.tile(np.ones((3, 3)) - np.eye(3), (4, 1, 1))
    text = describe(x[:, :3], zero_one)
    assert "diagonal of filled rows is all 0, mean 0; 100.0% of it is 0 and 0.0% is 1." in text
    assert (
        "rows sum to all 2" in text and "0.0% of the 12 edges between two filled rows are 0" in text
    )


def test_a_gaussian_and_a_cosine_are_found():
    x = np.random.default_rng(0).random((3, 6, 4)).astype(np.float32)
    square = ((x[:, :, None] - x[:, None]) ** 2).sum(axis=-1)
    assert "-log of the positive edges has 1.000 with that" in describe(x, np.exp(-square / 0.3))
    unit = x / np.linalg.norm(x, axis=2, keepdims=True)
    cosine = unit @ unit.transpose(0, 2, 1)
    assert "the cosine of their rows of X is 1.000, with" in describe(x, cosine)
    assert "the cosine of their rows of X is not defined" in describe(x, np.ones((3, 6, 6)))


def test_matrices_of_zeros_are_described():
    text = describe(np.zeros((2, 3, 4)), np.zeros((2, 3, 3)))
    assert "X: all rows are zero." in text and "A: all rows of all images are zero." in text
    loops = describe(np.zeros((2, 3, 4)), np.tile(np.eye(3), (2, 1, 1)))
    assert "X: all rows are zero." in loops and "the largest eigenvalue is all 1" in loops
    assert "of the 0 edges" in describe(np.ones((1, 1, 1)), np.ones((1, 1, 1)))
