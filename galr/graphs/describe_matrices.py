"""Properties of X and A in numbers, from which one can infer how the authors computed theirs.

Every line is computed and says no more than its numbers. Rows and columns count from 1; a row is *filled*
if it is not all zero in X.
"""

from collections.abc import Sequence

import numpy as np

from galr.graphs.drea import GraphArrays

EIGENVALUE_TOLERANCE = 1e-4  # largest distance from 1 of an eigenvalue that counts as 1
POSITIVE_TOLERANCE = 1e-6  # an entry of an eigenvector above this counts as positive


def describe_matrices(graphs: GraphArrays, num_unused: int) -> list[str]:
    """Describe X and A of many images.

    Args:
        graphs: of one image or more.
        num_unused: images of the same files that are not among them.

    Returns:
        Lines of text: sizes and padding; classes, ranges and order in X; form and spectrum of A.
    """
    x, a = graphs.representation, graphs.adjacency.astype(np.float64)
    images, n, d = x.shape
    filled = np.asarray(x.any(axis=2))
    sizes = (
        f"{images} images, n = {n} rows of d = {d} numbers;"
        f" {num_unused} further images of the files are not in the dataset."
    )
    if not filled.any():
        return [sizes, "X: all rows are zero.", *_describe_spectrum(a, graphs.mask)]
    start, stop = one_hot_columns(x[filled])
    others = [column for column in range(d) if not start <= column < stop]
    return [
        sizes,
        _describe_padding(x, filled),
        _describe_classes(x[filled], start, stop),
        *(_describe_column(x[:, :, column], filled, column) for column in others),
        *_describe_ranges(x[filled][:, others], others),
        _describe_form(a, filled),
        _describe_diagonal(a, filled),
        *_describe_spectrum(a, graphs.mask),
        _describe_similarity(x, a, filled, others),
    ]


def one_hot_columns(rows: np.ndarray) -> tuple[int, int]:
    """Find the longest run of two or more columns that has one 1 and otherwise 0 in every row.

    Args:
        rows: (rows, d) float.

    Returns:
        First column and the one after the last, from 0, of the first such run; (0, 0) if there is none.
    """
    d = rows.shape[1]
    binary = np.isin(rows, (0, 1)).all(axis=0)
    patterns = np.unique(np.where(binary, rows, 2).astype(np.uint8), axis=0).astype(np.int64)
    sums = np.pad(patterns.cumsum(axis=1), ((0, 0), (1, 0)))
    not_binary = np.pad((~binary).cumsum(), (1, 0))
    for length in range(d, 1, -1):
        for start in range(d - length + 1):
            stop = start + length
            if (
                not_binary[stop] == not_binary[start]
                and (sums[:, stop] - sums[:, start] == 1).all()
            ):
                return start, stop
    return 0, 0


def _describe_padding(x: np.ndarray, filled: np.ndarray) -> str:
    """Describe where rows of padding are, and repeated rows."""
    padded = np.flatnonzero(~filled.all(axis=1))
    not_at_end = (~filled[:, :-1] & filled[:, 1:]).any(axis=1)  # a filled row after a zero one
    repeats = (x[:, 1:] == x[:, :-1]).all(axis=2) & filled[:, 1:]
    return (
        f"X: {(~filled).sum(axis=1).mean():.4g} of {filled.shape[1]} rows are zero on average;"
        f" they are at the end in {_percent(~not_at_end[padded])} of the {len(padded)} images that have some;"
        f" {repeats.sum(axis=1).mean():.4g} filled rows an image repeat the row above."
    )


def _describe_classes(rows: np.ndarray, start: int, stop: int) -> str:
    """Describe the one-hot columns."""
    if start == stop:
        return (
            f"X: no run of columns is one-hot (exactly one 1 in each of {len(rows)} filled rows)."
        )
    never = (~rows[:, start:stop].any(axis=0)).sum()
    return (
        f"X: columns {start + 1} to {stop} are one-hot (exactly one 1 in each of {len(rows)} filled rows),"
        f" so likely {stop - start} classes; {never} of them never occur."
    )


def _describe_column(values: np.ndarray, filled: np.ndarray, column: int) -> str:
    """Describe the range and the order of one column of X, values (images, n)."""
    pairs = filled[:, 1:] & filled[:, :-1]
    descends = ((np.diff(values, axis=1) <= 0) | ~pairs).all(axis=1)[pairs.any(axis=1)]
    chosen = values[filled]
    binary = ", only 0 and 1" if np.isin(chosen, (0, 1)).all() else ""
    return (
        f"X: column {column + 1} is {chosen.min():.4g} to {chosen.max():.4g}{binary},"
        f" mean {chosen.mean(dtype=np.float64):.4g}; it descends from row to row in {_percent(descends)} of the"
        f" {len(descends)} images of two filled rows or more."
    )


def _describe_ranges(rows: np.ndarray, columns: Sequence[int]) -> list[str]:
    """Describe whether numbers are like pixels, and the last four like corners or like centre and size."""
    if not columns:
        return []
    like_pixels = (
        f"X: of the numbers in these {len(columns)} columns {_percent((rows >= 0) & (rows <= 1))} are in"
        f" [0, 1] and {_percent(rows % 1 == 0)} are whole; pixels would be mostly over 1, many whole."
    )
    if len(columns) < 4 or columns[-1] - columns[-4] != 3:
        return [like_pixels]
    first, second = rows[:, -4:-2], rows[:, -2:]
    corners = np.asarray((second > first).all(axis=1))
    within = (first - second / 2 >= -EIGENVALUE_TOLERANCE) & (
        first + second / 2 <= 1 + EIGENVALUE_TOLERANCE
    )
    inside = np.asarray(within.all(axis=1))
    like_boxes = (
        f"X: columns {columns[-4] + 1} to {columns[-1] + 1} read as x1 y1 x2 y2 are boxes in"
        f" {_percent(corners)} of the filled rows; read as centre and size they lie within [0, 1] in"
        f" {_percent(inside)}."
    )
    return [like_pixels, like_boxes]


def _describe_form(a: np.ndarray, filled: np.ndarray) -> str:
    """Describe the symmetry of A, its range, and how many edges it has."""
    edges = a[_pairs(filled)]
    return (
        f"A: largest |A - A^T| {np.abs(a - a.transpose(0, 2, 1)).max():.4g};"
        f" all numbers {a.min():.4g} to {a.max():.4g}; {_percent(edges == 0)} of the {edges.size} edges between"
        f" two filled rows are 0; edges to other rows are {_range(a[~(filled[:, :, None] & filled[:, None])])}."
    )


def _describe_diagonal(a: np.ndarray, filled: np.ndarray) -> str:
    """Describe the self-loops."""
    loops = np.diagonal(a, axis1=1, axis2=2)[filled]
    return (
        f"A: the diagonal of filled rows is {_range(loops)}, mean {loops.mean():.4g};"
        f" {_percent(loops == 0)} of it is 0 and {_percent(np.abs(loops - 1) < POSITIVE_TOLERANCE)} is 1."
    )


def _describe_spectrum(a: np.ndarray, mask: np.ndarray) -> list[str]:
    """Describe the eigenvalues, and whether A is normalised.

    An A with a positive eigenvector v of eigenvalue 1 is D^-1/2 W D^-1/2 with W = v v^T ∘ A and D = v²; and
    if A is D^-1/2 W D^-1/2, the roots of the degrees are such a v. Of several eigenvectors that A may have, the
    one nearest to all ones is tested.
    """
    has_regions = mask.any(axis=1)
    if not has_regions.any():
        return ["A: all rows of all images are zero."]
    a, mask = a[has_regions], mask[has_regions]
    values, vectors = np.linalg.eigh(a)
    at_one = np.abs(values - 1) < EIGENVALUE_TOLERANCE
    weights = np.einsum("ink,in->ik", vectors, mask.astype(np.float64)) * at_one
    nearest = np.einsum("ink,ik->in", vectors, weights)
    normal = ((nearest > POSITIVE_TOLERANCE) | ~mask).all(axis=1)
    within = np.abs(values).max(axis=1) <= 1 + EIGENVALUE_TOLERANCE
    eigenvalues = (
        f"A: in {len(a)} images that have edges the largest eigenvalue is {_range(values[:, -1])}, the smallest"
        f" {_range(values[:, 0])}; all are within [-1, 1] in {_percent(within)}."
    )
    form = (
        "A: it is of the form D^-1/2 W D^-1/2 (1 is an eigenvalue, the roots of the degrees its eigenvector,"
        f" all positive) in {_percent(normal)} of these images; rows sum to {_range(a.sum(axis=2)[mask])}"
        " (to 1 where rows are normalised, or where self-loops are all)."
    )
    return [eigenvalues, form]


def _describe_similarity(
    x: np.ndarray, a: np.ndarray, filled: np.ndarray, others: Sequence[int]
) -> str:
    """Describe how edges correlate with the similarity of the rows of X that they join."""
    length = np.linalg.norm(x, axis=2, keepdims=True).astype(np.float64)
    unit = np.divide(x, length, out=np.zeros(x.shape), where=length > 0)
    pairs = _pairs(filled)
    edges, cosine = a[pairs], (unit @ unit.transpose(0, 2, 1))[pairs]
    rest = x[:, :, others].astype(np.float64)
    distance = np.zeros(a.shape)
    for column in np.moveaxis(rest, 2, 0):
        distance += (column[:, :, None] - column[:, None, :]) ** 2
    distances, positive = distance[pairs], edges > 0
    return (
        f"A: over {edges.size} edges between two filled rows the correlation with the cosine of their rows of"
        f" X is {_correlation(edges, cosine)}, with the squared distance of their columns that are not"
        f" one-hot {_correlation(edges, distances)}; -log of the positive edges has"
        f" {_correlation(-np.log(edges[positive]), distances[positive])} with that (1 in a Gaussian of it)."
    )


def _pairs(filled: np.ndarray) -> np.ndarray:
    """Select the edges between two different filled rows, each once: (images, n, n) bool."""
    upper = np.triu(np.ones((filled.shape[1],) * 2, bool), k=1)
    return filled[:, :, None] & filled[:, None, :] & upper


def _correlation(one: np.ndarray, other: np.ndarray) -> str:
    """Format Pearson's correlation; not defined where either is constant."""
    if one.size < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return "not defined"
    return f"{np.corrcoef(one, other)[0, 1]:.3f}"


def _percent(true: np.ndarray) -> str:
    """Format the fraction that is true in percent."""
    return f"{true.mean():.1%}" if true.size else "none"


def _range(values: np.ndarray) -> str:
    """Format the smallest and the largest value."""
    if not values.size:
        return "none"
    low, high = f"{values.min():.4g}", f"{values.max():.4g}"
    return f"all {low}" if low == high else f"{low} to {high}"
