"""Ranks after a rerank from the reranked candidates alone: the reranked matrix is never computed."""

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
from galr.evaluate.rerank import rerank_terms
from galr.evaluate.topk import Candidates, find_candidates


@dataclass(frozen=True, eq=False)
class RankedDirection:
    """One direction, prepared for every rerank of up to some number of candidates; the matrix is not needed again.

    Attributes:
        baseline: counts without a rerank.
        candidates: the candidates that may be reranked.
        relevant: (queries, width) bool, which of them are relevant to their query.
    """

    baseline: RankCounts
    candidates: Candidates
    relevant: np.ndarray


def prepare_direction(view: DirectionView, max_k: int, threads: int = 1) -> RankedDirection:
    """Prepare one direction of a matrix for reranks of up to `max_k` candidates."""
    candidates = find_candidates(view.similarity, max_k, threads)
    relevant = view.candidate_image[candidates.indices] == view.query_image[:, None]
    return RankedDirection(count_ranks(view), candidates, relevant)


def prepare_directions(
    matrix: SimilarityMatrix, max_k: int, threads: int = 1
) -> tuple[RankedDirection, RankedDirection]:
    """Prepare both directions of a matrix, i2t and t2i.

    Args:
        matrix: similarities and relevance.
        max_k: largest number of candidates that will be reranked.
        threads: number of threads; the result does not depend on it.

    Raises:
        ShapeError: the arrays do not match, or a similarity is not finite.
    """
    check_ranking_inputs(matrix.similarity, matrix.image_of_sentence)
    i2t, t2i = (
        prepare_direction(
            view_direction(matrix.similarity, matrix.image_of_sentence, direction), max_k, threads
        )
        for direction in ("i2t", "t2i")
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
        directions: i2t and t2i, prepared for at least `effective_k(variant, k)` candidates.
        variant: see `rerank.rerank`, also for the following.
        k: number of candidates to rerank.
        w1: weight of significance.
        w2: weight of the reverse term.
        xi: decay per rank.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ShapeError: too few candidates were prepared.
        ConfigError: a parameter is invalid.
    """
    i2t, t2i = (
        counts_after_rerank(
            direction.baseline,
            direction.relevant,
            rerank_terms(direction.candidates, variant, k, xi).scores(w1, w2),
        )
        for direction in directions
    )
    return RetrievalRanks.from_counts(i2t, t2i, ties)


def counts_after_rerank(
    baseline: RankCounts, relevant: np.ndarray, scores: np.ndarray
) -> RankCounts:
    """Count the candidates above the best relevant one of every query, and those that tie with it, after a rerank.

    No tie is split at the k-th place, so a query of which no relevant candidate is reranked keeps its counts.

    Args:
        baseline: counts without the rerank.
        relevant: (queries, k or more) bool, which of the candidates are relevant.
        scores: (queries, k) float, -inf where a candidate is not reranked.
    """
    relevant = relevant[:, : scores.shape[1]]
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    is_reranked, tied = best[:, 0] > -np.inf, scores == best
    return RankCounts(
        num_above=np.where(is_reranked, (scores > best).sum(axis=1), baseline.num_above),
        tied_irrelevant=np.where(
            is_reranked, (tied & ~relevant).sum(axis=1), baseline.tied_irrelevant
        ),
        tied_relevant=np.where(is_reranked, (tied & relevant).sum(axis=1), baseline.tied_relevant),
    )
