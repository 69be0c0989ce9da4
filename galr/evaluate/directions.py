"""Ranks after a rerank, from the few candidates that moved: no reranked matrix is written down."""

from dataclasses import dataclass

import numpy as np

from galr.evaluate.ranks import (
    DirectionView,
    RankCounts,
    RetrievalRanks,
    SimilarityMatrix,
    check_ranking_inputs,
    count_ranks,
    view_direction,
)
from galr.evaluate.rerank import check_rerank_parameters as check_parameters
from galr.evaluate.rerank import effective_k, rerank_terms
from galr.evaluate.topk import Candidates, find_candidates


@dataclass(frozen=True, eq=False)
class RankedDirection:
    """One direction, ready for every rerank of up to so many candidates; no matrix is needed any more.

    Attributes:
        before: places by similarity alone.
        found: the candidates that may move.
        relevant: (queries, width) bool, which of them are relevant to their query.
    """

    baseline: RankCounts
    candidates: Candidates
    relevant: np.ndarray


def prepare_direction(view: DirectionView, max_k: int, threads: int = 1) -> RankedDirection:
    """Search one direction of a matrix for what reranking up to k candidates needs."""
    found = find_candidates(view.similarity, max_k, threads)
    relevant = view.candidate_image[found.indices] == view.query_image[:, None]
    return RankedDirection(count_ranks(view), found, relevant)


def prepare_directions(
    matrix: SimilarityMatrix, max_k: int, threads: int = 1
) -> tuple[RankedDirection, RankedDirection]:
    """Search both directions of a matrix: images ask, then sentences ask.

    Args:
        pairs: the matrix and its relevance.
        k: most candidates that will be reranked.
        threads: to work with; the result does not depend on it.

    Raises:
        ShapeError: the two arrays do not belong together, or a number is not finite.
    """
    check_ranking_inputs(matrix.similarity, matrix.image_of_sentence)
    i2t, t2i = (
        prepare_direction(
            view_direction(matrix.similarity, matrix.image_of_sentence, name), max_k, threads
        )
        for name in ("i2t", "t2i")
    )
    return i2t, t2i


def rerank_and_rank(
    directions: tuple[RankedDirection, RankedDirection],
    variant: str,
    k: int,
    w1: float,
    w2: float,
    xi: float,
    ties: str = "pessimistic",
) -> RetrievalRanks:
    """Rerank both directions and rank the result.

    Args:
        both: images ask, sentences ask; searched for `least_k(variant, k)` candidates at least.
        variant: and all that follow: see `rerank.rerank`.
        k: candidates to rerank.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ConfigError: parameters that mean nothing.
    """
    i2t, t2i = (
        counts_after_rerank(
            each.baseline,
            each.relevant,
            rerank_terms(each.candidates, variant, k, xi).scores(w1, w2),
        )
        for each in directions
    )
    return RetrievalRanks.from_counts(i2t, t2i, ties)


def reranked_ranks(
    similarity: np.ndarray,
    image_of_sentence: np.ndarray,
    variant: str,
    k: int,
    w1: float,
    w2: float,
    xi: float,
    ties: str = "pessimistic",
    threads: int = 1,
) -> RetrievalRanks:
    """Rerank both directions of a matrix and rank the result.

    Args:
        similarity: (images, sentences) finite real numbers, larger is more alike.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        variant: and all that follow: see `rerank.rerank`.
        k: candidates to rerank.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place.
        ties: `pessimistic`, `expected` or `optimistic`.
        threads: to work with; the result does not depend on it.

    Raises:
        ShapeError: the two arrays do not belong together, or a number is not finite.
        ConfigError: parameters that mean nothing.
    """
    check_parameters(variant, k, xi, w1, w2)
    both = prepare_directions(
        SimilarityMatrix(similarity, image_of_sentence), effective_k(variant, k), threads
    )
    return rerank_and_rank(both, variant, k, w1, w2, xi, ties)


def counts_after_rerank(
    baseline: RankCounts, relevant: np.ndarray, scores: np.ndarray
) -> RankCounts:
    """Count what stands before and beside every query's best relevant candidate after reranking.

    The k are cut off where no tie is cut, so a query whose relevant candidates all stay behind has
    exactly as many before and beside it as it had.

    Args:
        before: places by similarity alone.
        relevant: (queries, k or more) bool, which of the best candidates are relevant.
        scores: (queries, k), -inf where a candidate stays behind.
    """
    relevant = relevant[:, : scores.shape[1]]
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    moved, beside = best[:, 0] > -np.inf, scores == best
    return RankCounts(
        num_above=np.where(moved, (scores > best).sum(axis=1), baseline.num_above),
        tied_irrelevant=np.where(moved, (beside & ~relevant).sum(axis=1), baseline.tied_irrelevant),
        tied_relevant=np.where(moved, (beside & relevant).sum(axis=1), baseline.tied_relevant),
    )
