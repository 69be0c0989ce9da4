"""Similarity matrices as the reranks and the evaluation take them: from any `.npy` or from similarity.h5.

This module imports no torch: a matrix is evaluated without it.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import ConfigError
from galr.evaluate.qbnorm import QueryBank
from galr.evaluate.ranks import SimilarityMatrix, check_matrix
from galr.evaluate.repeats import (
    KeptRows,
    check_repeat,
    describe_repeats,
    is_table,
    keep_one,
    kept_relevance,
)
from galr.io.arrays import read_array
from galr.io.formats import Similarity, SplitSimilarity, TrainingBank
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class RepeatOptions(OptionGroup):
    """How often images and sentences stand in a matrix, or in tables of embeddings."""

    images_repeat: str | None = option(
        "how often each image stands in identical rows, of which one is kept: a number, or any where the numbers differ",
        default=None,
    )
    sentences_repeat: str | None = option("the same of each sentence", default=None)

    def as_stated(self) -> dict[str, str]:
        """Return what was stated by name, for the provenance of a result."""
        stated = {"images_repeat": self.images_repeat, "sentences_repeat": self.sentences_repeat}
        return {name: repeat for name, repeat in stated.items() if repeat is not None}

    def check_repeats(self, similarity: Path | None) -> None:
        """Check the options.

        Args:
            similarity: the matrix; None for tables of embeddings.

        Raises:
            ConfigError: a number is none, or the matrix is a similarity.h5, which repeats nothing.
        """
        for repeat, flag in ((self.images_repeat, IMAGES), (self.sentences_repeat, SENTENCES)):
            if repeat is None:
                continue
            check_repeat(repeat, flag)
            if similarity is not None and is_hdf5(similarity):
                raise ConfigError(
                    f"{flag} is for a .npy; {similarity} holds each image and sentence once, so leave it out"
                )


IMAGES, SENTENCES = "--images-repeat", "--sentences-repeat"
NOTHING_REPEATS = RepeatOptions()


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


def is_hdf5(path: Path) -> bool:
    """Whether a similarity matrix is one of our own files."""
    return path.suffix in (".h5", ".hdf5")


def read_similarity(
    path: Path, image_of_sentence: Path | None, repeats: RepeatOptions = NOTHING_REPEATS
) -> SimilarityInput:
    """Read a similarity matrix and the image of each sentence.

    Args:
        path: `.npy` (images, sentences), or a similarity.h5.
        image_of_sentence: `.npy` (sentences,) of integers; None takes that of the `.h5`, and for a `.npy` an
            equal block of neighbouring sentences for each image.
        repeats: how often images and sentences stand in a `.npy`.

    Raises:
        DataError: a `.npy` file is missing or damaged.
        StoreError: the `.h5` file is missing or damaged.
        ShapeError: the array is not a matrix, its sentences do not divide into equal blocks, or its rows or columns
            do not repeat as stated.
    """
    given = None if image_of_sentence is None else read_array(image_of_sentence)
    if not is_hdf5(path):
        similarity = read_array(path)
        check_matrix(similarity)
        images, sentences = _kept(similarity, similarity.T, repeats, path.name, path.name)
        owners = kept_relevance(given, images, sentences)
        matrix = sentences.take(images.take(similarity).T).T
        return SimilarityInput(SimilarityMatrix(matrix, owners), None, None, {})
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


def read_matrix(path: Path, repeats: RepeatOptions = NOTHING_REPEATS) -> np.ndarray:
    """Read a similarity matrix (images, sentences) alone, from a `.npy` or a similarity.h5.

    Raises:
        DataError: a `.npy` file is missing or damaged.
        StoreError: the `.h5` file is missing or damaged.
        ShapeError: a `.npy` is no matrix of finite numbers, or its rows or columns do not repeat as stated.
    """
    if not is_hdf5(path):
        similarity = read_array(path)
        check_matrix(similarity)
        images, sentences = _kept(similarity, similarity.T, repeats, path.name, path.name)
        return sentences.take(images.take(similarity).T).T
    with Similarity.open(path) as file:
        return file.similarity[:]


def read_embeddings(
    images: Path, sentences: Path, repeats: RepeatOptions = NOTHING_REPEATS
) -> tuple[np.ndarray, np.ndarray, KeptRows, KeptRows]:
    """Read two tables of embeddings, and keep the rows that the options say.

    Returns:
        The kept rows of the image table and of the sentence table, memory-mapped where they stand in a regular order;
        and which rows they are.

    Raises:
        DataError: a file is missing or damaged.
        ShapeError: rows do not repeat as stated.
    """
    tables = read_array(images), read_array(sentences)
    kept = _kept(*tables, repeats, images.name, sentences.name)
    return kept[0].take(tables[0]), kept[1].take(tables[1]), *kept


def log_repeats(
    similarity: Path | None, images: Path | None, sentences: Path | None, repeats: RepeatOptions
) -> None:
    """Print the repeated images and sentences of a matrix or of two tables, each in one line.

    It is called when all else has succeeded, so that a mistake has one line.

    Args:
        similarity: the matrix; nothing is said about a similarity.h5, which knows its images by name.
        images: the image table, without a matrix.
        sentences: the sentence table, likewise.
        repeats: what was said about repeats; nothing more is said about that.

    Raises:
        DataError: a file is missing or damaged.
    """
    if similarity is not None:
        if is_hdf5(similarity):
            return
        matrix = read_array(similarity)
        names = (similarity, "rows"), (similarity, "columns")
        tables = [matrix, matrix.T]
    else:
        assert images is not None and sentences is not None
        names = (images, "rows"), (sentences, "rows")
        tables = [read_array(images), read_array(sentences)]
    for table, (path, rows), item, flag, said in zip(
        tables,
        names,
        ("image", "sentence"),
        (IMAGES, SENTENCES),
        (repeats.images_repeat, repeats.sentences_repeat),
        strict=True,
    ):
        if said is None and is_table(table) and (line := describe_repeats(table, rows, item, flag)):
            print(f"{path}: {line}", file=sys.stderr)


def _kept(
    images: np.ndarray,
    sentences: np.ndarray,
    repeats: RepeatOptions,
    images_name: str,
    sentences_name: str,
) -> tuple[KeptRows, KeptRows]:
    """Find the images and the sentences that the options keep, from tables with a row for each."""
    return (
        keep_one(images, repeats.images_repeat, f"{images_name}, images", IMAGES),
        keep_one(sentences, repeats.sentences_repeat, f"{sentences_name}, sentences", SENTENCES),
    )


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
    if not is_hdf5(path):
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
