"""Anybody's matrices: NumPy files and our own HDF5, refused in one line when they are damaged.

The banks of training queries that the stage similarity stores beside its matrices.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from galr.errors import ConfigError, DataError
from galr.evaluate.qbnorm import QueryBank
from galr.evaluate.ranks import SimilarityMatrix, check_matrix, default_image_of_sentence
from galr.io.formats import Similarity, SplitSimilarity, TrainingBank


@dataclass(frozen=True, eq=False)
class SimilarityInput:
    """What a similarity file holds.

    Attributes:
        test: the matrix and its relevance.
        validation: the same of the fold's validation images; none where the file has none.
        sentences: (sentences,) text; none where the file has none.
        provenance: where it came from, as its writer told it.
    """

    test: SimilarityMatrix
    validation: SimilarityMatrix | None
    sentences: Sequence[str] | None
    provenance: Mapping[str, Any]


def read_similarity(path: Path, image_of_sentence: Path | None) -> SimilarityInput:
    """Read a similarity matrix and which image each sentence speaks of.

    Args:
        path: `.npy`, or the `.h5` that the stage similarity writes.
        image_of_sentence: `.npy` of integers; none means what the `.h5` says, and for a `.npy` an equal
            block of neighbouring sentences for each image.

    Raises:
        DataError: a file that is missing, damaged, or something else.
        ShapeError: no matrix, or sentences that cannot be shared out in equal blocks.
    """
    given = None if image_of_sentence is None else read_array(image_of_sentence)
    if path.suffix not in (".h5", ".hdf5"):
        similarity = read_array(path)
        if given is None:
            check_matrix(similarity)
            given = default_image_of_sentence(*similarity.shape)
        return SimilarityInput(SimilarityMatrix(similarity, given), None, None, {})
    with Similarity.open(path) as file:
        test = SimilarityMatrix(
            file.similarity[:], file.image_of_sentence[:] if given is None else given
        )
        validation = None
        if file.validation is not None:
            validation = SimilarityMatrix(
                file.validation.similarity[:], file.validation.image_of_sentence[:]
            )
        return SimilarityInput(test, validation, file.sentences, file.provenance)


def check_inputs(similarity: Path | None, images: Path | None, sentences: Path | None) -> None:
    """Refuse anything but one road: a matrix, or two tables.

    Raises:
        ConfigError: neither, both, or half of one.
    """
    given = [path is not None for path in (similarity, images, sentences)]
    if given not in ([True, False, False], [False, True, True]):
        raise ConfigError("give either --similarity, or both --images and --sentences")


def read_matrix(path: Path) -> np.ndarray:
    """Read a similarity matrix alone: `.npy`, or the `.h5` that the stage similarity writes.

    Raises:
        DataError: the file is missing, damaged, or something else.
    """
    if path.suffix not in (".h5", ".hdf5"):
        return read_array(path)
    with Similarity.open(path) as file:
        return file.similarity[:]


def read_array(path: Path) -> np.ndarray:
    """Open a NumPy file; its numbers are read when they are needed.

    Raises:
        DataError: the file is missing, empty, cut short, no `.npy`, or holds Python objects.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; give a .npy written by numpy.save") from error
    except Exception as error:  # of a damaged header NumPy lets anything through
        raise DataError(
            f"{path} is no whole .npy file of numbers ({error}); write it again with numpy.save"
        ) from error


def write_array(path: Path, matrix: np.ndarray) -> None:
    """Write one array as `.npy` under exactly this name.

    Raises:
        DataError: nothing can be written there.
    """
    with _open_new(path, "wb") as file:
        np.save(file, matrix, allow_pickle=False)


def write_topk(path: Path, indices: np.ndarray, scores: np.ndarray) -> None:
    """Write the first of every query and their scores as `.npz`, under exactly this name.

    Raises:
        DataError: nothing can be written there.
    """
    with _open_new(path, "wb") as file:
        np.savez(file, indices=indices, scores=scores)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same columns as CSV: floats to four decimals, nothing where there is nothing.

    Raises:
        DataError: nothing can be written there.
    """
    with _open_new(path, "w") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        for row in rows:
            table.writerow({c: round(v, 4) if isinstance(v, float) else v for c, v in row.items()})


@contextmanager
def _open_new(path: Path, mode: str) -> Iterator[IO[Any]]:
    """Open a file to write, and the folders above it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}); choose another --output"
        ) from error


BANK_HINT = (
    "and qbnorm needs the embeddings of training images and sentences; give the similarity.h5 that"
    " `galr similarity --bank` writes, or leave qbnorm out of --rerank"
)


@dataclass(frozen=True, eq=False)
class QueryBanks:
    """Training images before the sentences of a part, and training sentences before its images.

    Attributes:
        test: of the test split.
        validation: of the fold's validation images.
    """

    test: tuple[QueryBank, QueryBank]
    validation: tuple[QueryBank, QueryBank]


def read_banks(path: Path) -> QueryBanks:
    """Read the banks of a similarity file.

    Raises:
        StoreError: the file is unusable.
        ConfigError: it is somebody's bare matrix, or was made without a bank.
    """
    if path.suffix not in (".h5", ".hdf5"):
        raise ConfigError(f"{path} is a bare matrix, {BANK_HINT}")
    with Similarity.open(path) as file:
        if file.bank is None or file.validation is None:
            raise ConfigError(f"{path} was made with --no-bank, {BANK_HINT}")
        return QueryBanks(_query_banks(file.bank, file), _query_banks(file.bank, file.validation))


def _query_banks(bank: TrainingBank, split: SplitSimilarity) -> tuple[QueryBank, QueryBank]:
    """The training images as queries for a split's sentences, and the training sentences for its images."""
    return (
        QueryBank(bank.image_embeddings[:], split.sentence_embeddings[:]),
        QueryBank(bank.sentence_embeddings[:], split.image_embeddings[:]),
    )
