"""Who belongs to whom: the two directions of one similarity matrix.

Where the first relevant candidate of every query stands, with ties counted as one chooses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np

from galr.errors import ConfigError, ShapeError

Direction = Literal["i2t", "t2i"]
BLOCK_ENTRIES = 1 << 16  # entries worked on at once: a few float64 tables of it fit a core's cache


@dataclass(frozen=True, eq=False)
class SimilarityMatrix:
    """A similarity matrix and what belongs together in it.

    Attributes:
        similarity: (images, sentences) finite real numbers, larger is more alike.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
    """

    similarity: np.ndarray
    image_of_sentence: np.ndarray


@dataclass(frozen=True, eq=False)
class DirectionView:
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
    pair_query: np.ndarray
    pair_candidate: np.ndarray


def view_direction(
    similarity: np.ndarray, image_of_sentence: np.ndarray, direction: str
) -> DirectionView:
    """Look at a matrix from one side; both arguments must have passed `check`.

    Args:
        similarity: (images, sentences).
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        name: `i2t` (images ask, sentences answer) or `t2i` (sentences ask).

    Raises:
        ConfigError: another name.
    """
    images, sentences = (np.arange(size) for size in similarity.shape)
    if direction == "i2t":
        return DirectionView(similarity, images, image_of_sentence, image_of_sentence, sentences)
    if direction == "t2i":
        return DirectionView(similarity.T, image_of_sentence, images, sentences, image_of_sentence)
    raise ConfigError(
        f"direction '{direction}' is unknown; choose from {', '.join(get_args(Direction))}"
    )


def default_image_of_sentence(num_images: int, num_sentences: int) -> np.ndarray:
    """Give every image an equal block of neighbouring sentences, in order.

    Returns:
        (sentences,) image_of_sentence.

    Raises:
        ShapeError: the sentences cannot be shared out equally.
    """
    if num_images == 0 or num_sentences == 0 or num_sentences % num_images:
        raise ShapeError(
            f"{num_sentences} sentences cannot be shared out equally among {num_images} images;"
            " say which image each speaks of (--image-of-sentence), or transpose the matrix"
            " if it is sentences by images"
        )
    return np.repeat(np.arange(num_images), num_sentences // num_images)


def check_ranking_inputs(similarity: np.ndarray, image_of_sentence: np.ndarray) -> None:
    """Refuse a matrix and a relevance that do not belong together.

    Raises:
        ShapeError: the matrix is not finite, real and two-dimensional; the relevance is not one
            image's row for each sentence; or an image has no sentence.
    """
    check_matrix(similarity)
    check_image_of_sentence(image_of_sentence, *similarity.shape)


def check_image_of_sentence(
    image_of_sentence: np.ndarray, num_images: int, num_sentences: int
) -> None:
    """Refuse a relevance that does not belong to so many images and sentences.

    Raises:
        ShapeError: it is not one image's row for each sentence, or an image has no sentence.
    """
    is_integer = image_of_sentence.dtype.kind in "iu" and np.can_cast(
        image_of_sentence.dtype, np.int64
    )
    if image_of_sentence.shape != (num_sentences,) or not is_integer:
        raise ShapeError(
            f"image_of_sentence is {image_of_sentence.dtype} of shape {image_of_sentence.shape},"
            f" expected an integer for each of {num_sentences} sentences (similarity is images by sentences)"
        )
    lowest, highest = image_of_sentence.min(), image_of_sentence.max()
    if lowest < 0 or highest >= num_images:
        raise ShapeError(
            f"image_of_sentence names image {lowest if lowest < 0 else highest},"
            f" expected rows 0 to {num_images - 1} of a matrix of {num_images} images"
        )
    without_sentence = np.flatnonzero(np.bincount(image_of_sentence, minlength=num_images) == 0)
    if without_sentence.size:
        raise ShapeError(
            f"image {without_sentence[0]} ({without_sentence.size} of {num_images} in all) has no sentence and cannot be ranked;"
            " leave such images out of the matrix"
        )


def check_matrix(similarity: np.ndarray) -> None:
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


def row_blocks(
    num_rows: int, num_columns: int, max_entries: int = BLOCK_ENTRIES
) -> Iterator[slice]:
    """Cut rows into runs of at most `size` entries, one row at least."""
    step = max(1, max_entries // max(num_columns, 1))
    return (slice(start, min(start + step, num_rows)) for start in range(0, num_rows, step))


TieRule = Literal["pessimistic", "expected", "optimistic"]
CUTOFFS = (1, 5, 10)  # of the recalls


@dataclass(frozen=True, eq=False)
class RankCounts:
    """What is known of the best relevant candidate of every query, before a tie rule is chosen.

    Attributes:
        above: (queries,) int64, irrelevant candidates that are more alike.
        tied: (queries,) int64, irrelevant candidates exactly as alike.
        own: (queries,) int64, relevant candidates exactly as alike, itself included: at least 1.
    """

    num_above: np.ndarray
    tied_irrelevant: np.ndarray
    tied_relevant: np.ndarray

    def ranks(self, ties: str) -> np.ndarray:
        """Rank the first relevant candidate, counting from 0.

        `pessimistic` puts it behind all that tie with it, so that a constant matrix scores as badly as
        it deserves, `optimistic` before them, and `expected` is the mean over all orders of the tie:
        above + tied / (own + 1).

        Returns:
            (queries,) float64.

        Raises:
            ConfigError: another rule.
        """
        if ties == "pessimistic":
            return (self.num_above + self.tied_irrelevant).astype(np.float64)
        if ties == "optimistic":
            return self.num_above.astype(np.float64)
        if ties == "expected":
            return self.num_above + self.tied_irrelevant / (self.tied_relevant + 1)
        raise ConfigError(f"ties '{ties}' is unknown; choose from {', '.join(get_args(TieRule))}")

    def hits(self, ties: str) -> np.ndarray:
        """Tell whether the first relevant candidate is among the first 1, 5 and 10.

        Under `expected` this is a chance, over all orders of the tie. It is not read off the expected
        rank: of two that tie for the first place each has it half of the time, though both expect rank ½.

        Returns:
            (queries, cut-offs) float64 in [0, 1]; 0 or 1 unless ties are `expected`.

        Raises:
            ConfigError: another rule.
        """
        if ties != "expected":
            return hits_at_cutoffs(self.ranks(ties))
        return np.stack([1 - self._miss_probability(cutoff) for cutoff in CUTOFFS], axis=1)

    def _miss_probability(self, cutoff: int) -> np.ndarray:
        """Draw the places left below the cut-off, one after the other, and find none of our own."""
        miss = np.ones(len(self.num_above))
        for position in range(cutoff):
            remaining = np.maximum(self.tied_irrelevant - position, 0)
            miss *= np.where(
                self.num_above + position < cutoff, remaining / (remaining + self.tied_relevant), 1
            )
        return miss


@dataclass(frozen=True, eq=False)
class RetrievalRanks:
    """The ranks of both directions under one tie rule.

    Attributes:
        i2t: (images,) float64, rank from 0 of the best of an image's own sentences.
        t2i: (sentences,) float64, rank from 0 of a sentence's image.
        i2t_hits: (images, cut-offs) float64, chance that the rank is below 1, 5 and 10: 0 or 1 unless
            ties are `expected`.
        t2i_hits: (sentences, cut-offs) float64, the same.
    """

    i2t: np.ndarray
    t2i: np.ndarray
    i2t_hits: np.ndarray
    t2i_hits: np.ndarray

    @classmethod
    def from_counts(cls, i2t: RankCounts, t2i: RankCounts, ties: str) -> Self:
        """Apply one tie rule to both directions."""
        return cls(i2t.ranks(ties), t2i.ranks(ties), i2t.hits(ties), t2i.hits(ties))

    @classmethod
    def from_ranks(cls, i2t: np.ndarray, t2i: np.ndarray) -> Self:
        """Take ranks that somebody else counted, no tie among them left open."""
        return cls(i2t, t2i, hits_at_cutoffs(i2t), hits_at_cutoffs(t2i))


def hits_at_cutoffs(ranks: np.ndarray) -> np.ndarray:
    """Tell which ranks are below 1, 5 and 10: (queries,) to (queries, cut-offs) float64, 0 or 1."""
    return (ranks[:, None] < np.array(CUTOFFS)).astype(np.float64)


def compute_ranks(
    similarity: np.ndarray, image_of_sentence: np.ndarray, ties: str = "pessimistic"
) -> RetrievalRanks:
    """Rank both directions of a similarity matrix (METHOD 7).

    Args:
        similarity: (images, sentences) finite real numbers, larger is more alike.
        image_of_sentence: (sentences,) integers, row of the image a sentence speaks of; every image
            has one sentence at least.
        ties: `pessimistic`, `expected` or `optimistic`; see `Places.ranks`.

    Raises:
        ShapeError: the two do not belong together, or a number is not finite.
        ConfigError: another tie rule.
    """
    check_ranking_inputs(similarity, image_of_sentence)
    i2t, t2i = (
        count_ranks(view_direction(similarity, image_of_sentence, name)) for name in ("i2t", "t2i")
    )
    return RetrievalRanks.from_counts(i2t, t2i, ties)


def count_ranks(view: DirectionView) -> RankCounts:
    """Count what stands before and beside the best relevant candidate of every query.

    Nothing is sorted: a relevant candidate is never above the best of them, so counting all that are
    above counts the irrelevant ones.
    """
    similarity = view.similarity
    num_queries, num_candidates = similarity.shape
    relevant_similarity = similarity[view.pair_query, view.pair_candidate]  # (pairs,)
    best = np.full(num_queries, relevant_similarity.min(), similarity.dtype)
    np.maximum.at(best, view.pair_query, relevant_similarity)
    tied_relevant = np.bincount(
        view.pair_query, weights=relevant_similarity == best[view.pair_query], minlength=num_queries
    )
    num_above, num_equal = np.empty(num_queries, np.int64), np.empty(num_queries, np.int64)
    for rows in row_blocks(
        num_queries, num_candidates, 64 * BLOCK_ENTRIES
    ):  # one byte an entry, so larger blocks
        block, threshold = similarity[rows], best[rows, None]
        num_above[rows] = (block > threshold).sum(axis=1, dtype=np.uint32)  # twice as fast as int64
        num_equal[rows] = (block == threshold).sum(axis=1, dtype=np.uint32)
    tied_relevant = tied_relevant.astype(np.int64)
    return RankCounts(num_above, num_equal - tied_relevant, tied_relevant)
