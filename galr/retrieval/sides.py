"""Ranks after a rerank, from the few candidates that moved: no reranked matrix is written down."""

from dataclasses import dataclass

import numpy as np

from galr.retrieval.candidates import Candidates, candidates
from galr.retrieval.ranks import Places, Ranks, places
from galr.retrieval.relevance import Direction, Pairs, check, direction
from galr.retrieval.rerank import check as check_parameters
from galr.retrieval.rerank import components, least_k


@dataclass(frozen=True, eq=False)
class Side:
    """One direction, ready for every rerank of up to so many candidates; no matrix is needed any more.

    Attributes:
        before: places by similarity alone.
        found: the candidates that may move.
        relevant: (queries, width) bool, which of them are relevant to their query.
    """

    before: Places
    found: Candidates
    relevant: np.ndarray


def side(queries: Direction, k: int, threads: int = 1) -> Side:
    """Search one direction of a matrix for what reranking up to k candidates needs."""
    found = candidates(queries.similarity, k, threads)
    relevant = queries.candidate_image[found.order] == queries.query_image[:, None]
    return Side(places(queries), found, relevant)


def sides(pairs: Pairs, k: int, threads: int = 1) -> tuple[Side, Side]:
    """Search both directions of a matrix: images ask, then sentences ask.

    Args:
        pairs: the matrix and its relevance.
        k: most candidates that will be reranked.
        threads: to work with; the result does not depend on it.

    Raises:
        ShapeError: the two arrays do not belong together, or a number is not finite.
    """
    check(pairs.similarity, pairs.image_of_sentence)
    i2t, t2i = (
        side(direction(pairs.similarity, pairs.image_of_sentence, name), k, threads)
        for name in ("i2t", "t2i")
    )
    return i2t, t2i


def ranked(
    both: tuple[Side, Side],
    variant: str,
    k: int,
    w1: float,
    w2: float,
    xi: float,
    ties: str = "pessimistic",
) -> Ranks:
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
        reranked(each.before, each.relevant, components(each.found, variant, k, xi).scores(w1, w2))
        for each in both
    )
    return Ranks.of_places(i2t, t2i, ties)


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
) -> Ranks:
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
    both = sides(Pairs(similarity, image_of_sentence), least_k(variant, k), threads)
    return ranked(both, variant, k, w1, w2, xi, ties)


def reranked(before: Places, relevant: np.ndarray, scores: np.ndarray) -> Places:
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
    return Places(
        above=np.where(moved, (scores > best).sum(axis=1), before.above),
        tied=np.where(moved, (beside & ~relevant).sum(axis=1), before.tied),
        own=np.where(moved, (beside & relevant).sum(axis=1), before.own),
    )
