"""The matrices that the authors of GaLR published, checked and taken as they are.

The authors' `data.py` reads a .npy file of `{"adj_matrix": {"name.txt": A}, "local_rep": {"name.txt": X}}`.
As we have not seen the files themselves, any plausible nesting is read, and any other refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from galr.data.find_images import image_stem
from galr.errors import DataError
from galr.graphs.drea import GraphArrays
from galr.io.safe_npy import printable

ADJACENCY, REPRESENTATION = KEYS = ("adj_matrix", "local_rep")
NESTINGS = (
    "{adj_matrix: {image: A}, local_rep: {image: X}}, {image: {adj_matrix: A, local_rep: X}}, or"
    " {image: matrix} in a file whose name holds adj_matrix or local_rep"
)
MAX_SIDE = 100  # rows or columns of a matrix, against a small file that unfolds to a large one
MAX_ASYMMETRY = 1e-5  # of a matrix's largest number
NUMBER_TYPES = frozenset({int, float, bool})

Matrices = Mapping[str, Mapping[str, Any]]  # key → image's stem → matrix, not yet checked


def collect_matrices(contents: Mapping[Path, object]) -> Matrices:
    """Gather the matrices of all files by key and image.

    Args:
        contents: what each file holds, from `unpickle.read_object`.

    Raises:
        DataError: a file is nested in another way, or holds another matrix in the place of one.
    """
    found: dict[str, dict[str, Any]] = {key: {} for key in KEYS}
    for path, content in contents.items():
        for key, name, matrix in _entries(path, content):
            image = _stem(name)
            if not image:
                raise DataError(f"{path} names an image '{printable(name)}', expected NAME.txt")
            twin = found[key].setdefault(image, matrix)
            if twin is not matrix and not np.array_equal(
                _matrix(twin, key, image), _matrix(matrix, key, image)
            ):
                raise DataError(
                    f"{path} holds a second, other {key} of image {printable(image)};"
                    " keep the files of one dataset in a folder"
                )
    return found


def to_graphs(matrices: Matrices, names: Sequence[str]) -> GraphArrays:
    """Take the matrices of a dataset's images as they are.

    A row is padding where it is all zero in X and in A. Which regions the rows were, and how many were
    redundant, the authors do not tell.

    Args:
        matrices: from `gathered`.
        names: (images,) stems, one or more.

    Raises:
        DataError: an image lacks a matrix; one is of another shape than the first image's, not finite,
            or not symmetric.
    """
    _check_present(matrices, names)
    representation = _stack(matrices[REPRESENTATION], REPRESENTATION, names)
    adjacency = _stack(matrices[ADJACENCY], ADJACENCY, names)
    images, n, d = representation.shape
    if adjacency.shape[1:] != (n, n):
        raise DataError(
            f"{ADJACENCY} is {adjacency.shape[1:]} where {REPRESENTATION} is {(n, d)};"
            f" expected {(n, n)}, edges between its rows"
        )
    _check_symmetry(adjacency, names)
    return GraphArrays(
        representation=representation,
        adjacency=adjacency,
        mask=np.asarray(representation.any(axis=2) | adjacency.any(axis=2)),
        region_index=np.full((images, n), -1, np.int32),
        num_redundant=np.zeros(images, np.int32),
    )


def count_unused(matrices: Matrices, names: Sequence[str]) -> int:
    """Count the images of the files that the dataset does not have."""
    return len({image for table in matrices.values() for image in table} - set(names))


def _entries(path: Path, content: object) -> Iterator[tuple[str, str, Any]]:
    """List key, name of the image and matrix of all a file holds, whichever way it is nested.

    Raises:
        DataError: it is nested in no known way.
    """
    outer = _items(content)
    if outer is None:
        raise _unknown_nesting(path, content)
    inner = [(name, _items(part)) for name, part in outer]
    nested = [(name, items) for name, items in inner if items is not None]
    keys = [key for key in KEYS if key in path.name]
    if nested == inner and {name for name, _ in inner} <= set(KEYS):
        yield from ((key, name, matrix) for key, items in nested for name, matrix in items)
    elif nested == inner and all({key for key, _ in items} == set(KEYS) for _, items in nested):
        yield from ((key, name, matrix) for name, items in nested for key, matrix in items)
    elif not nested and len(keys) == 1:
        yield from ((keys[0], name, matrix) for name, matrix in outer)
    else:
        raise _unknown_nesting(path, content)


def _unknown_nesting(path: Path, content: object) -> DataError:
    """The refusal of a file that is nested in no known way."""
    return DataError(f"{path} holds {_describe_content(content)}; expected {NESTINGS}")


def _items(content: object) -> list[tuple[str, Any]] | None:
    """Items of a dictionary under names that are text; none where there is no dictionary."""
    if not isinstance(content, dict):
        return None
    return [
        (name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name, part)
        for name, part in content.items()
    ]


def _describe_content(content: object) -> str:
    """Say what a file holds, as deep as matrices could lie."""
    if not isinstance(content, dict) or not content:
        return f"{'an empty' if content == {} else 'a'} {type(content).__name__}"
    name, part = next(iter(content.items()))
    inside = _describe_content(part) if isinstance(part, dict) else f"a {type(part).__name__}"
    return f"{len(content)} entries such as '{printable(str(name))}': {inside}"


def _stem(name: str) -> str:
    """Strip .txt or a picture's suffix, or both, off an image's name."""
    name = name.strip()
    return image_stem(name[: -len(".txt")] if name.lower().endswith(".txt") else name)


def _check_present(matrices: Matrices, names: Sequence[str]) -> None:
    """Refuse files that lack an image of the dataset.

    Raises:
        DataError: names the first and says how many.
    """
    for key in KEYS:
        missing = [name for name in names if name not in matrices[key]]
        if missing:
            known = [printable(image) for image in list(matrices[key])[:2]]
            raise DataError(
                f"there is no {key} of image {missing[0]} ({len(missing)} of the dataset's {len(names)}"
                f" images lack it); the files have it of {len(matrices[key])}"
                f"{', such as ' if known else ''}{', '.join(known)}; give all files of this dataset"
            )


def _stack(table: Mapping[str, Any], key: str, names: Sequence[str]) -> np.ndarray:
    """Stack the matrices of some images, (images, rows, columns) float32.

    Raises:
        DataError: one is no matrix, or of another shape than the first.
    """
    first = _matrix(table[names[0]], key, names[0])
    stacked = np.empty((len(names), *first.shape), np.float32)
    for row, name in enumerate(names):
        matrix = _matrix(table[name], key, name)
        if matrix.shape != first.shape:
            raise DataError(
                f"{key} of image {name} is {matrix.shape}, expected {first.shape} as of image {names[0]}"
            )
        stacked[row] = matrix
    return stacked


def _matrix(value: object, key: str, image: str) -> np.ndarray:
    """Read an array or a list of lists as a (rows, columns) float32 matrix.

    Raises:
        DataError: it is none, too large, or holds what is no finite number.
    """
    description = f"{key} of image {printable(image)}"
    if isinstance(value, list | tuple):
        value = _from_rows(value, description)
    if not isinstance(value, np.ndarray):
        raise DataError(f"{description} is a {type(value).__name__}, expected a matrix")
    if value.ndim != 2 or not all(1 <= size <= MAX_SIDE for size in value.shape):
        raise DataError(
            f"{description} is of shape {value.shape}, expected 1 to {MAX_SIDE} rows and columns"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = value.astype(np.float32)
    if not np.isfinite(matrix).all():
        raise DataError(
            f"{description} holds a number that is not finite as float32; expected all finite"
        )
    return matrix


def _from_rows(rows: Sequence[Any], description: str) -> np.ndarray:
    """Read a list of rows, each a list or an array, as a matrix of float64.

    Raises:
        DataError: rows differ in length, or hold what is no number.
    """
    lists = [row.tolist() if isinstance(row, np.ndarray) else row for row in rows[: MAX_SIDE + 1]]
    lengths = {len(row) if isinstance(row, list | tuple) else -1 for row in lists}
    if len(lengths) != 1 or not 1 <= max(lengths) <= MAX_SIDE or len(rows) > MAX_SIDE:
        raise DataError(
            f"{description} is a list of {len(rows)}, expected 1 to {MAX_SIDE} lists of one length up to {MAX_SIDE}"
        )
    if any(type(number) not in NUMBER_TYPES for row in lists for number in row):
        raise DataError(f"{description} holds what is no number, expected a matrix of numbers")
    try:
        return np.array(lists, np.float64)
    except OverflowError as error:  # a whole number of Python may be of any length
        raise DataError(
            f"{description} holds a number over all bounds, expected all finite"
        ) from error


def _check_symmetry(adjacency: np.ndarray, names: Sequence[str]) -> None:
    """Refuse edges that are not the same both ways.

    Args:
        adjacency: (images, n, n).
        names: (images,).

    Raises:
        DataError: names the first image, its worst edge, and how many images there are like it.
    """
    edges = adjacency.astype(np.float64)
    difference = np.abs(edges - edges.transpose(0, 2, 1))
    uneven = difference.max(axis=(1, 2)) > MAX_ASYMMETRY * np.abs(edges).max(axis=(1, 2))
    if uneven.any():
        image = int(uneven.argmax())
        row, column = np.unravel_index(difference[image].argmax(), difference[image].shape)
        raise DataError(
            f"{ADJACENCY} of image {names[image]} is not symmetric: row {row + 1}, column {column + 1} is"
            f" {edges[image, row, column]:.6g}, its mirror {edges[image, column, row]:.6g};"
            f" so it is in {uneven.sum()} of {len(names)} images; expected edges without direction"
        )
