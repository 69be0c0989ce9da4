"""The X and A that the authors of GaLR published: checked, and used as they are.

The authors' `data.py` reads a .npy file of `{"adj_matrix": {"name.txt": A}, "local_rep": {"name.txt": X}}`.
The files themselves were not available to us, so any plausible nesting is read and any other refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import DataError, printable
from galr.graphs.drea import GraphArrays

ADJACENCY, REPRESENTATION = KEYS = ("adj_matrix", "local_rep")
NESTINGS = (
    "{adj_matrix: {image: A}, local_rep: {image: X}}, {image: {adj_matrix: A, local_rep: X}}, or"
    " {image: matrix} in a file whose name holds adj_matrix or local_rep"
)
MAX_SIDE = 100  # rows or columns of a matrix; a small file may repeat a list many times
MAX_ASYMMETRY = 1e-5  # relative to a matrix's largest number
NUMBER_TYPES = frozenset({int, float, bool})

Matrices = Mapping[str, Mapping[str, Any]]  # key → image's name → matrix, not yet checked


def collect_matrices(contents: Mapping[Path, object], find_name: Callable[[str], str]) -> Matrices:
    """Collect the matrices of all files by key and image.

    Args:
        contents: plain data of each file, as `galr.io.safe_npy.safe_load_npy` returns it.
        find_name: gives the dataset's name of an image by the file's; blank if it is blank.

    Raises:
        DataError: a file is nested in another way, or two files hold different matrices of one image.
    """
    collected: dict[str, dict[str, Any]] = {key: {} for key in KEYS}
    for path, content in contents.items():
        for key, name, matrix in _entries(path, content):
            image = find_name(_without_txt(name))
            if not image:
                raise DataError(f"{path} names an image '{printable(name)}', expected NAME.txt")
            earlier = collected[key].setdefault(image, matrix)
            if earlier is not matrix and not np.array_equal(
                _matrix(earlier, key, image), _matrix(matrix, key, image)
            ):
                raise DataError(
                    f"{path} holds a second, different {key} of image {printable(image)};"
                    " keep the files of one dataset in a folder"
                )
    return collected


def to_graphs(matrices: Matrices, names: Sequence[str]) -> GraphArrays:
    """Stack the matrices of a dataset's images.

    A row is padding where it is zero in X and in A. The authors do not say which regions the rows are and how many
    were redundant: `region_index` is -1, `num_redundant` 0.

    Args:
        matrices: from `collect_matrices`.
        names: of the dataset's images, one or more, without suffix.

    Raises:
        DataError: an image lacks a matrix; one has another shape than the first image's, is not finite,
            or is not symmetric.
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
    """Count the images of the files that are not in the dataset."""
    return len({image for table in matrices.values() for image in table} - set(names))


def _entries(path: Path, content: object) -> Iterator[tuple[str, str, Any]]:
    """Yield key, name of the image and matrix of everything in a file, whichever way it is nested.

    Raises:
        DataError: it is nested in another way.
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
    """Build the error for a file that is nested in another way."""
    return DataError(f"{path} holds {_describe_content(content)}; expected {NESTINGS}")


def _items(content: object) -> list[tuple[str, Any]] | None:
    """List the items of a dictionary with its keys as text; None if it is not a dictionary."""
    if not isinstance(content, dict):
        return None
    return [
        (name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name, part)
        for name, part in content.items()
    ]


def _describe_content(content: object) -> str:
    """Describe a file's content, as deep as matrices could be."""
    if not isinstance(content, dict) or not content:
        return f"{'an empty' if content == {} else 'a'} {type(content).__name__}"
    name, part = next(iter(content.items()))
    inside = _describe_content(part) if isinstance(part, dict) else f"a {type(part).__name__}"
    return f"{len(content)} entries such as '{printable(str(name))}': {inside}"


def _without_txt(name: str) -> str:
    """Strip .txt off an image's name."""
    name = name.strip()
    return name[: -len(".txt")] if name.lower().endswith(".txt") else name


def _check_present(matrices: Matrices, names: Sequence[str]) -> None:
    """Check that the files have every image of the dataset.

    Raises:
        DataError: they do not; the message names the first and says how many are missing.
    """
    for key in KEYS:
        missing = [name for name in names if name not in matrices[key]]
        if missing:
            known = [printable(image) for image in list(matrices[key])[:2]]
            raise DataError(
                f"the files have no {key} of image {missing[0]} ({len(missing)} of the dataset's {len(names)}"
                f" images lack it); they have {len(matrices[key])}"
                f"{', such as ' if known else ''}{', '.join(known)}; give all files of this dataset"
            )


def _stack(table: Mapping[str, Any], key: str, names: Sequence[str]) -> np.ndarray:
    """Stack the matrices of some images: (images, rows, columns) float32.

    Raises:
        DataError: one is not a matrix, or has another shape than the first.
    """
    first = _matrix(table[names[0]], key, names[0])
    stacked = np.empty((len(names), *first.shape), np.float32)
    for row, name in enumerate(names):
        matrix = _matrix(table[name], key, name)
        if matrix.shape != first.shape:
            raise DataError(
                f"{key} of image {name} is {matrix.shape}, expected {first.shape} as for image {names[0]}"
            )
        stacked[row] = matrix
    return stacked


def _matrix(value: object, key: str, image: str) -> np.ndarray:
    """Convert an array or a list of lists to a matrix (rows, columns) float32.

    Raises:
        DataError: it is something else, too large, or not finite.
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
            f"{description} holds a number that is not finite as float32; expected finite numbers"
        )
    return matrix


def _from_rows(rows: Sequence[Any], description: str) -> np.ndarray:
    """Convert a list of rows, each a list or an array, to a matrix (rows, columns) float64.

    Raises:
        DataError: rows differ in length, or hold something else than numbers.
    """
    lists = [row.tolist() if isinstance(row, np.ndarray) else row for row in rows[: MAX_SIDE + 1]]
    lengths = {len(row) if isinstance(row, list | tuple) else -1 for row in lists}
    if len(lengths) != 1 or not 1 <= max(lengths) <= MAX_SIDE or len(rows) > MAX_SIDE:
        raise DataError(
            f"{description} is a list of {len(rows)}, expected 1 to {MAX_SIDE} lists of one length up to {MAX_SIDE}"
        )
    if any(type(number) not in NUMBER_TYPES for row in lists for number in row):
        raise DataError(
            f"{description} holds something else than numbers, expected a matrix of numbers"
        )
    try:
        return np.array(lists, np.float64)
    except OverflowError as error:  # Python's int has no limit
        raise DataError(
            f"{description} holds a number too large for a float, expected finite numbers"
        ) from error


def _check_symmetry(adjacency: np.ndarray, names: Sequence[str]) -> None:
    """Check that adjacency matrices are symmetric.

    Args:
        adjacency: (images, n, n) float32.
        names: of the images.

    Raises:
        DataError: one is not; the message has the first image, its worst edge and the number of such images.
    """
    edges = adjacency.astype(np.float64)
    difference = np.abs(edges - edges.transpose(0, 2, 1))
    asymmetric = difference.max(axis=(1, 2)) > MAX_ASYMMETRY * np.abs(edges).max(axis=(1, 2))
    if asymmetric.any():
        image = int(asymmetric.argmax())
        row, column = np.unravel_index(difference[image].argmax(), difference[image].shape)
        raise DataError(
            f"{ADJACENCY} of image {names[image]} is not symmetric: row {row + 1}, column {column + 1} is"
            f" {edges[image, row, column]:.6g}, its mirror {edges[image, column, row]:.6g}"
            f" ({asymmetric.sum()} of {len(names)} images are like it); expected undirected edges"
        )
