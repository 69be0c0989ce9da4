"""Similarity matrices as the reranks and the evaluation take them: from any `.npy` or from similarity.h5.

This module imports no torch: a matrix is evaluated without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import ConfigError
from galr.evaluate.qbnorm import QueryBank
from galr.evaluate.ranks import SimilarityMatrix, check_matrix, default_image_of_sentence
from galr.io.arrays import read_array
from galr.io.formats import Similarity, SplitSimilarity, TrainingBank


@dataclass(frozen=True, eq=False)
class SimilarityInput:
    """The content of a similarity file.

    Attributes:
        test: the similarity matrix of the test split.
        validation: that of the fold's validation images; None where the file has none.
        sentences: (sentences,) text; None where the file has none.
        provenance: of a similarity.h5; empty for a `.npy`.
    """

    test: SimilarityMatrix
    validation: SimilarityMatrix | None
    sentences: Sequence[str] | None
    provenance: Mapping[str, Any]


def read_similarity(path: Path, image_of_sentence: Path | None) -> SimilarityInput:
    """Read a similarity matrix and the image of each sentence.

    Args:
        path: `.npy` (images, sentences), or a similarity.h5.
        image_of_sentence: `.npy` (sentences,) of integers; None takes that of the `.h5`, and for a `.npy` an
            equal block of neighbouring sentences for each image.

    Raises:
        DataError: a `.npy` file is missing or damaged.
        StoreError: the `.h5` file is missing or damaged.
        ShapeError: the array is not a matrix, or its sentences do not divide into equal blocks.
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
    """Check that the input is either a matrix or two tables of embeddings.

    Raises:
        ConfigError: neither, both, or only one of the tables.
    """
    given = [path is not None for path in (similarity, images, sentences)]
    if given not in ([True, False, False], [False, True, True]):
        raise ConfigError("give either --similarity, or both --images and --sentences")


def read_matrix(path: Path) -> np.ndarray:
    """Read a similarity matrix (images, sentences) alone, from a `.npy` or a similarity.h5.

    Raises:
        DataError: a `.npy` file is missing or damaged.
        StoreError: the `.h5` file is missing or damaged.
    """
    if path.suffix not in (".h5", ".hdf5"):
        return read_array(path)
    with Similarity.open(path) as file:
        return file.similarity[:]


BANK_HINT = (
    "and qbnorm needs the embeddings of training images and sentences; give the similarity.h5 that"
    " `galr similarity --bank` writes, or leave qbnorm out of --rerank"
)


@dataclass(frozen=True, eq=False)
class QueryBanks:
    """The training images as queries for the sentences of a split, and the training sentences for its images.

    Attributes:
        test: those of the test split.
        validation: those of the fold's validation images.
    """

    test: tuple[QueryBank, QueryBank]
    validation: tuple[QueryBank, QueryBank]


def read_banks(path: Path) -> QueryBanks:
    """Read the banks of a similarity file.

    Raises:
        StoreError: the file is missing or damaged.
        ConfigError: the file is a bare matrix, or was written without a bank.
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
