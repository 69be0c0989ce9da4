"""The rank of the first relevant candidate of every query, and the tie rules (docs/how/ranks.md)."""

from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.topk import BLOCK_ENTRIES, row_blocks

Direction = Literal["i2t", "t2i"]
TieRule = Literal["pessimistic", "expected", "optimistic"]
CUTOFFS = (1, 5, 10)  # the K of R@K


@dataclass(frozen=True, eq=False)
class SimilarityMatrix:
    """A similarity matrix and its relevance.

    Attributes:
        similarity: (images, sentences) finite real numbers, larger is more similar.
        image_of_sentence: (sentences,) integers, row of the image that each sentence describes.
    """

    similarity: np.ndarray
    image_of_sentence: np.ndarray


@dataclass(frozen=True, eq=False)
class DirectionView:
    """A similarity matrix with the queries of one direction as rows, and the relevant pairs.

    Attributes:
        similarity: (queries, candidates), larger is more similar; a view, never a copy.
        query_image: (queries,) image that each query is, or describes.
        candidate_image: (candidates,) the same for candidates; a candidate is relevant where the two are equal.
        pair_query: (pairs,) query of each relevant pair.
        pair_candidate: (pairs,) candidate of each relevant pair.
    """

    similarity: np.ndarray
    query_image: np.ndarray
    candidate_image: np.ndarray
    pair_query: np.ndarray
    pair_candidate: np.ndarray


@dataclass(frozen=True, eq=False)
class RankCounts:
    """How many candidates are above the best relevant one of every query, or tie with it.

    Every tie rule follows from these counts.

    Attributes:
        num_above: (queries,) int64, irrelevant candidates that are more similar.
        tied_irrelevant: (queries,) int64, irrelevant candidates that are exactly as similar.
        tied_relevant: (queries,) int64, relevant candidates that are exactly as similar, at least 1: the best
            relevant one counts itself.
    """

    num_above: np.ndarray
    tied_irrelevant: np.ndarray
    tied_relevant: np.ndarray

    def ranks(self, ties: str) -> np.ndarray:
        """Rank of the first relevant candidate, from 0.

        Args:
            ties: `pessimistic` places it after the irrelevant candidates that tie with it, `optimistic` before
                them; `expected` is the mean over all orders of the tie,
                num_above + tied_irrelevant / (tied_relevant + 1).

        Returns:
            (queries,) float64.

        Raises:
            ConfigError: the tie rule is unknown.
        """
        if ties == "pessimistic":
            return (self.num_above + self.tied_irrelevant).astype(np.float64)
        if ties == "optimistic":
            return self.num_above.astype(np.float64)
        if ties == "expected":
            return self.num_above + self.tied_irrelevant / (self.tied_relevant + 1)
        raise ConfigError(f"ties '{ties}' is unknown; choose from {', '.join(get_args(TieRule))}")

    def hits(self, ties: str) -> np.ndarray:
        """Whether the first relevant candidate is among the first 1, 5 and 10.

        Under `expected` it is the probability over all orders of the tie. The expected rank does not give it: of
        two candidates that tie for the first place each is first with probability ½, and both have rank ½.

        Args:
            ties: `pessimistic`, `expected` or `optimistic`.

        Returns:
            (queries, cutoffs) float64 in [0, 1]; 0 or 1 unless ties are `expected`.

        Raises:
            ConfigError: the tie rule is unknown.
        """
        if ties != "expected":
            return hits_at_cutoffs(self.ranks(ties))
        return np.stack([1 - self._miss_probability(cutoff) for cutoff in CUTOFFS], axis=1)

    def _miss_probability(self, cutoff: int) -> np.ndarray:
        """Probability that no relevant candidate of a tie is among the first `cutoff`: (queries,) float64.

        The places that the candidates above leave free are filled from the tie one by one, without replacement.
        """
        probability = np.ones(len(self.num_above))
        for position in range(cutoff):
            remaining = np.maximum(self.tied_irrelevant - position, 0)
            probability *= np.where(
                self.num_above + position < cutoff, remaining / (remaining + self.tied_relevant), 1
            )
        return probability


@dataclass(frozen=True, eq=False)
class RetrievalRanks:
    """The ranks of both directions under one tie rule, and what ties that are broken at random would hit.

    Attributes:
        i2t: (images,) float64, rank from 0 of the best of the image's own sentences.
        t2i: (sentences,) float64, rank from 0 of the sentence's image.
        i2t_hits: (images, cutoffs) float64, probability that the rank is below 1, 5 and 10: 0 or 1 unless ties
            are `expected`.
        t2i_hits: (sentences, cutoffs) float64, likewise.
        i2t_expected_hits: (images, cutoffs) float64, the hits under `expected` ties, whatever the tie rule is.
        t2i_expected_hits: (sentences, cutoffs) float64, likewise.
    """

    i2t: np.ndarray
    t2i: np.ndarray
    i2t_hits: np.ndarray
    t2i_hits: np.ndarray
    i2t_expected_hits: np.ndarray
    t2i_expected_hits: np.ndarray

    @classmethod
    def from_counts(cls, i2t: RankCounts, t2i: RankCounts, ties: str) -> Self:
        """Apply one tie rule to the counts of both directions.

        Raises:
            ConfigError: the tie rule is unknown.
        """
        return cls(
            i2t.ranks(ties),
            t2i.ranks(ties),
            i2t.hits(ties),
            t2i.hits(ties),
            i2t.hits("expected"),
            t2i.hits("expected"),
        )

    @classmethod
    def from_ranks(cls, i2t: np.ndarray, t2i: np.ndarray) -> Self:
        """Take ranks (images,) and (sentences,) from 0 in which all ties are already broken."""
        hits = hits_at_cutoffs(i2t), hits_at_cutoffs(t2i)
        return cls(i2t, t2i, *hits, *hits)


def hits_at_cutoffs(ranks: np.ndarray) -> np.ndarray:
    """Whether ranks (queries,) are below 1, 5 and 10: (queries, cutoffs) float64, 0 or 1."""
    return (ranks[:, None] < np.array(CUTOFFS)).astype(np.float64)


def compute_ranks(
    similarity: np.ndarray, image_of_sentence: np.ndarray, ties: str = "pessimistic"
) -> RetrievalRanks:
    """Rank both directions of a similarity matrix.

    Args:
        similarity: (images, sentences) finite real numbers, larger is more similar.
        image_of_sentence: (sentences,) integers, row of the image that each sentence describes; every image has
            at least one sentence.
        ties: `pessimistic`, `expected` or `optimistic`; see `RankCounts.ranks`.

    Raises:
        ShapeError: the arrays do not match, or a similarity is not finite.
        ConfigError: the tie rule is unknown.
    """
    check_ranking_inputs(similarity, image_of_sentence)
    i2t, t2i = (
        count_ranks(view_direction(similarity, image_of_sentence, direction))
        for direction in ("i2t", "t2i")
    )
    return RetrievalRanks.from_counts(i2t, t2i, ties)


def count_ranks(view: DirectionView) -> RankCounts:
    """Count the candidates above the best relevant one of every query, and those that tie with it.

    Nothing is sorted. No relevant candidate is above the best relevant one, so all candidates above it are
    irrelevant.
    """
    similarity = view.similarity
    num_queries, num_candidates = similarity.shape
    relevant_similarity = similarity[view.pair_query, view.pair_candidate]  # (pairs,)
    best = np.full(num_queries, relevant_similarity.min(), similarity.dtype)
    np.maximum.at(best, view.pair_query, relevant_similarity)
    is_best = relevant_similarity == best[view.pair_query]
    tied_relevant = np.bincount(view.pair_query, weights=is_best, minlength=num_queries)
    num_above, num_equal = np.empty(num_queries, np.int64), np.empty(num_queries, np.int64)
    # A comparison takes one byte an entry, so blocks may be larger.
    for rows in row_blocks(num_queries, num_candidates, 64 * BLOCK_ENTRIES):
        block, threshold = similarity[rows], best[rows, None]
        num_above[rows] = (block > threshold).sum(axis=1, dtype=np.uint32)  # 2x faster than int64
        num_equal[rows] = (block == threshold).sum(axis=1, dtype=np.uint32)
    tied_relevant = tied_relevant.astype(np.int64)
    return RankCounts(num_above, num_equal - tied_relevant, tied_relevant)


def view_direction(
    similarity: np.ndarray, image_of_sentence: np.ndarray, direction: str
) -> DirectionView:
    """View a similarity matrix in one direction; the arrays must have passed `check_ranking_inputs`.

    Args:
        similarity: (images, sentences).
        image_of_sentence: (sentences,) row of the image that each sentence describes.
        direction: `i2t` (queries are images, candidates are sentences) or `t2i` (the reverse).

    Raises:
        ConfigError: the direction is unknown.
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
    """Assign to every image the same number of consecutive sentences.

    Returns:
        (sentences,) int64, row of the image that each sentence describes.

    Raises:
        ShapeError: the sentences cannot be divided equally.
    """
    if num_images == 0 or num_sentences == 0 or num_sentences % num_images:
        raise ShapeError(
            f"{num_sentences} sentences cannot be divided equally among {num_images} images;"
            " give the image of each sentence (--image-of-sentence), or transpose the matrix"
            " if it is sentences by images"
        )
    return np.repeat(np.arange(num_images), num_sentences // num_images)


def check_ranking_inputs(similarity: np.ndarray, image_of_sentence: np.ndarray) -> None:
    """Check a similarity matrix (images, sentences) and its relevance (sentences,).

    Raises:
        ShapeError: see `check_matrix` and `check_image_of_sentence`.
    """
    check_matrix(similarity)
    check_image_of_sentence(image_of_sentence, *similarity.shape)


def check_matrix(similarity: np.ndarray) -> None:
    """Check that an array is a matrix of finite real numbers.

    Raises:
        ShapeError: it is not; names the first entry that is not finite.
    """
    if similarity.ndim != 2 or 0 in similarity.shape or similarity.dtype.kind not in "fiu":
        raise ShapeError(
            f"similarity is {similarity.dtype} of shape {similarity.shape},"
            " expected a non-empty table of real numbers, images by sentences"
        )
    if not np.isfinite([similarity.min(), similarity.max()]).all():  # both are NaN if any entry is
        row, column = np.argwhere(~np.isfinite(similarity))[0]
        raise ShapeError(
            f"similarity[{row}, {column}] is {similarity[row, column]}, expected finite numbers;"
            " look for a zero embedding or a diverged model"
        )


def check_image_of_sentence(
    image_of_sentence: np.ndarray, num_images: int, num_sentences: int
) -> None:
    """Check that a relevance fits a number of images and sentences.

    Raises:
        ShapeError: it is not one image's row for each sentence, or an image has no sentence.
    """
    is_integer = image_of_sentence.dtype.kind in "iu" and np.can_cast(
        image_of_sentence.dtype, np.int64
    )
    if image_of_sentence.shape != (num_sentences,) or not is_integer:
        raise ShapeError(
            f"image_of_sentence is {image_of_sentence.dtype} of shape {image_of_sentence.shape}, expected"
            f" an integer for each of {num_sentences} sentences (similarity is images by sentences)"
        )
    lowest, highest = image_of_sentence.min(), image_of_sentence.max()
    if lowest < 0 or highest >= num_images:
        raise ShapeError(
            f"image_of_sentence names image {lowest if lowest < 0 else highest},"
            f" expected rows 0 to {num_images - 1} of a matrix of {num_images} images"
        )
    without = np.flatnonzero(np.bincount(image_of_sentence, minlength=num_images) == 0)
    if without.size:
        raise ShapeError(
            f"image {without[0]} has no sentence and cannot be ranked ({without.size} of {num_images}"
            " images have none); leave such images out of the matrix, or say --images-repeat if each image has"
            " several equal rows"
        )
