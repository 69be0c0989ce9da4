"""Who belongs to whom: the two directions of one similarity matrix."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from galr.errors import ConfigError, ShapeError

DirectionName = Literal["i2t", "t2i"]
BLOCK = 1 << 16  # entries worked on at once: a few float64 tables of it fit a core's cache


@dataclass(frozen=True, eq=False)
class Pairs:
    """A similarity matrix and what belongs together in it.

    Attributes:
        similarity: (images, sentences) finite real numbers, larger is more alike.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
    """

    similarity: np.ndarray
    image_of_sentence: np.ndarray


@dataclass(frozen=True, eq=False)
class Direction:
    """A similarity matrix as seen by its queries, and which candidates are relevant to each.

    Attributes:
        similarity: (queries, candidates), larger is more alike; a view, never a copy.
        query_image: (queries,) image that a query is, or speaks of.
        candidate_image: (candidates,) the same for candidates; relevant where the two are equal.
        query: (pairs,) query of every relevant pair.
        candidate: (pairs,) candidate of every relevant pair.
    """

    similarity: np.ndarray
    query_image: np.ndarray
    candidate_image: np.ndarray
    query: np.ndarray
    candidate: np.ndarray


def direction(similarity: np.ndarray, image_of_sentence: np.ndarray, name: str) -> Direction:
    """Look at a matrix from one side; both arguments must have passed `check`.

    Args:
        similarity: (images, sentences).
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        name: `i2t` (images ask, sentences answer) or `t2i` (sentences ask).

    Raises:
        ConfigError: another name.
    """
    images, sentences = (np.arange(size) for size in similarity.shape)
    if name == "i2t":
        return Direction(similarity, images, image_of_sentence, image_of_sentence, sentences)
    if name == "t2i":
        return Direction(similarity.T, image_of_sentence, images, sentences, image_of_sentence)
    raise ConfigError(
        f"direction '{name}' is unknown; choose from {', '.join(get_args(DirectionName))}"
    )


def contiguous(images: int, sentences: int) -> np.ndarray:
    """Give every image an equal block of neighbouring sentences, in order.

    Returns:
        (sentences,) image_of_sentence.

    Raises:
        ShapeError: the sentences cannot be shared out equally.
    """
    if images == 0 or sentences == 0 or sentences % images:
        raise ShapeError(
            f"{sentences} sentences cannot be shared out equally among {images} images;"
            " say which image each speaks of (--image-of-sentence), or transpose the matrix"
            " if it is sentences by images"
        )
    return np.repeat(np.arange(images), sentences // images)


def check(similarity: np.ndarray, image_of_sentence: np.ndarray) -> None:
    """Refuse a matrix and a relevance that do not belong together.

    Raises:
        ShapeError: the matrix is not finite, real and two-dimensional; the relevance is not one
            image's row for each sentence; or an image has no sentence.
    """
    check_similarity(similarity)
    check_images_of_sentences(image_of_sentence, *similarity.shape)


def check_images_of_sentences(image_of_sentence: np.ndarray, images: int, sentences: int) -> None:
    """Refuse a relevance that does not belong to so many images and sentences.

    Raises:
        ShapeError: it is not one image's row for each sentence, or an image has no sentence.
    """
    whole = image_of_sentence.dtype.kind in "iu" and np.can_cast(image_of_sentence.dtype, np.int64)
    if image_of_sentence.shape != (sentences,) or not whole:
        raise ShapeError(
            f"image_of_sentence is {image_of_sentence.dtype} of shape {image_of_sentence.shape},"
            f" expected an integer for each of {sentences} sentences (similarity is images by sentences)"
        )
    low, high = image_of_sentence.min(), image_of_sentence.max()
    if low < 0 or high >= images:
        raise ShapeError(
            f"image_of_sentence names image {low if low < 0 else high},"
            f" expected rows 0 to {images - 1} of a matrix of {images} images"
        )
    silent = np.flatnonzero(np.bincount(image_of_sentence, minlength=images) == 0)
    if silent.size:
        raise ShapeError(
            f"image {silent[0]} ({silent.size} of {images} in all) has no sentence and cannot be ranked;"
            " leave such images out of the matrix"
        )


def check_similarity(similarity: np.ndarray) -> None:
    """Refuse what is no matrix of finite real numbers.

    Raises:
        ShapeError: says which, and where.
    """
    if similarity.ndim != 2 or 0 in similarity.shape or similarity.dtype.kind not in "fiu":
        raise ShapeError(
            f"similarity is {similarity.dtype} of shape {similarity.shape},"
            " expected a non-empty table of real numbers, images by sentences"
        )
    if not np.isfinite([similarity.min(), similarity.max()]).all():  # NaN wins both
        row, column = np.argwhere(~np.isfinite(similarity))[0]
        raise ShapeError(
            f"similarity[{row}, {column}] is {similarity[row, column]}, expected finite numbers;"
            " look for a zero embedding or a diverged model"
        )


def blocks(rows: int, columns: int, size: int = BLOCK) -> Iterator[slice]:
    """Cut rows into runs of at most `size` entries, one row at least."""
    step = max(1, size // max(columns, 1))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
