"""Multivariate rerank (METHOD 6): a query's best candidates are asked for what they would answer."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

import numpy as np

from galr.errors import ConfigError
from galr.retrieval import orders
from galr.retrieval.ranks import Places, Ranks, places
from galr.retrieval.relevance import Direction, blocks, check_similarity, direction
from galr.retrieval.relevance import check as check_relevance

Variant = Literal["code", "paper"]
LEAST_K = 10  # as in the released code, whatever k is asked for
NO_SUM = 1e-12  # a column sum that is nearer to 0 has no shares


@dataclass(frozen=True, eq=False)
class Components:
    """The three opinions about each of a query's k best candidates; weights not yet chosen.

    Attributes:
        order: (queries, k) int64, the candidates in stable descending order of similarity.
        forward: (k,) float64, e^(-ξ(j+1)) of forward place j.
        reverse: (queries, k) float64, what the candidate's own list says of the query.
        significance: (queries, k) float64, share of the candidate's similarities that is the query's.
    """

    order: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray
    significance: np.ndarray

    def scores(self, w1: float, w2: float) -> np.ndarray:
        """Weigh them: w1·significance + forward + w2·reverse, (queries, k)."""
        return w1 * self.significance + self.forward + w2 * self.reverse


def components(
    similarity: np.ndarray, variant: str, k: int, xi: float, limit: int | None = None
) -> Components:
    """Compute everything that does not depend on the weights; see `rerank` for the arguments."""
    check(variant, k, xi)
    if limit is not None and limit < 1:
        raise ConfigError(f"limit counts the places a candidate looks at, at least 1; got {limit}")
    asked = max(LEAST_K, k) if variant == "code" else k
    k = min(asked, similarity.shape[1])
    order = orders.first(similarity, k)
    place = _reverse_places(similarity, order)
    if variant == "code":
        reverse = np.exp(-xi * (_places_among(place) + 1))
    else:
        reverse = np.where(place < (k if limit is None else limit), np.exp(-xi * (place + 1.0)), 0)
    forward = np.exp(-xi * np.arange(1, k + 1))
    return Components(order, forward, reverse, _significance(similarity, order, variant))


def check(variant: str, k: int, xi: float, *weights: float) -> None:
    """Refuse parameters that mean nothing.

    Raises:
        ConfigError: says which.
    """
    if variant not in get_args(Variant):
        raise ConfigError(
            f"rerank variant '{variant}' is unknown; choose from {', '.join(get_args(Variant))}"
        )
    if k < 1:
        raise ConfigError(f"k counts the candidates to rerank, at least 1; got {k}")
    if not (isfinite(xi) and xi >= 0):
        raise ConfigError(f"xi is a decay a place, 0 or more; got {xi}")
    for weight in weights:
        if not isfinite(weight):
            raise ConfigError(f"w1 and w2 are finite weights, got {weight}")


def rerank(
    similarity: np.ndarray,
    variant: str,
    k: int,
    w1: float,
    w2: float,
    xi: float,
    limit: int | None = None,
) -> np.ndarray:
    """Rerank the k best candidates of every query and leave the others behind them, in their order.

    With j the forward place of candidate t in query i's list and r the place of i in t's list, both from
    0 and by descending similarity S (equal similarity: lower index first), t scores
    w1·significance + e^(-ξ(j+1)) + w2·reverse, where

    - `code` (the released script): at least 10 candidates are reranked. They are put in the order of r
      (equal r: forward order); reverse = e^(-ξ(q+1)) of place q in that order.
      significance = S[i,t] / Σ_queries S[:,t] as it is: cosines are negative too, so a sum near 0 makes
      it huge and a negative one turns it round. A defect that we keep; only where |Σ| < 1e-12 it is 0.
    - `paper`: reverse = e^(-ξ(r+1)) if r < limit, else 0. Where S has negative entries its minimum is
      subtracted before the significance is taken, so that a share is a share (our reconstruction).

    The other candidates get scores between m - 2 and m - 1, m being the query's lowest reranked score: in
    the order of their similarity, and equal where that is equal. So a stable descending sort of a row is
    always the order. Among the k, a tie of S is broken by index.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more alike.
        variant: `code` or `paper`.
        k: candidates to rerank, at least 1; beyond the table is the table.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place, at least 0.
        limit: the paper's l, how far down its own list a candidate looks for the query; none is k.

    Returns:
        (queries, candidates) float64.

    Raises:
        ShapeError: no matrix of finite real numbers.
        ConfigError: parameters that mean nothing.
    """
    check(variant, k, xi, w1, w2)
    check_similarity(similarity)
    found = components(similarity, variant, k, xi, limit)
    scores = found.scores(w1, w2)
    reranked = np.empty(similarity.shape)
    for rows in blocks(*similarity.shape):
        reranked[rows] = _behind(similarity[rows], scores[rows].min(axis=1, keepdims=True))
    np.put_along_axis(reranked, found.order, scores, axis=1)
    return reranked


def rerank_direction(
    similarity: np.ndarray,
    name: str,
    variant: str,
    k: int,
    w1: float,
    w2: float,
    xi: float,
    limit: int | None = None,
) -> np.ndarray:
    """Rerank one direction of a matrix of images by sentences, in that same orientation.

    Args:
        similarity: (images, sentences).
        name: `i2t` (every image's sentences, along rows) or `t2i` (every sentence's images, along
            columns).
        variant: and all that follow: see `rerank`.
        k: candidates to rerank.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place.
        limit: the paper's l.

    Returns:
        (images, sentences) float64.

    Raises:
        ShapeError: no matrix of finite real numbers.
        ConfigError: parameters that mean nothing.
    """
    if name == "i2t":
        return rerank(similarity, variant, k, w1, w2, xi, limit)
    if name == "t2i":
        return rerank(similarity.T, variant, k, w1, w2, xi, limit).T
    raise ConfigError(f"direction '{name}' is unknown; choose i2t or t2i")


def reranked_ranks(
    similarity: np.ndarray,
    image_of_sentence: np.ndarray,
    variant: str,
    k: int,
    w1: float,
    w2: float,
    xi: float,
    ties: str = "pessimistic",
) -> Ranks:
    """Rerank both directions and rank the result, without writing the reranked matrices down.

    Args:
        similarity: (images, sentences) finite real numbers, larger is more alike.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        variant: and all that follow: see `rerank`.
        k: candidates to rerank.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ShapeError: the two arrays do not belong together, or a number is not finite.
        ConfigError: parameters that mean nothing.
    """
    check(variant, k, xi, w1, w2)
    check_relevance(similarity, image_of_sentence)
    after = []
    for name in ("i2t", "t2i"):
        queries = direction(similarity, image_of_sentence, name)
        found = components(queries.similarity, variant, k, xi)
        after.append(reranked(places(queries), queries, found, w1, w2))
    return Ranks.of_places(after[0], after[1], ties)


def reranked(before: Places, queries: Direction, found: Components, w1: float, w2: float) -> Places:
    """Count what stands before and beside every query's best relevant candidate after reranking.

    The same as ranking the matrix that `rerank` returns, without that matrix: only the k best move.

    Args:
        before: places in the similarity matrix itself.
        queries: the direction that was reranked.
        found: its components.
        w1: weight of significance.
        w2: weight of the reverse place.
    """
    scores = found.scores(w1, w2)
    relevant = queries.candidate_image[found.order] == queries.query_image[:, None]
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    beside = scores == best
    inside = relevant.any(axis=1)
    # Behind the k nothing moves, but of those that tied some may have come among the k: now above.
    ahead = np.maximum(before.above, scores.shape[1])
    return Places(
        above=np.where(inside, (scores > best).sum(axis=1), ahead),
        tied=np.where(
            inside, (beside & ~relevant).sum(axis=1), before.tied - (ahead - before.above)
        ),
        own=np.where(inside, (beside & relevant).sum(axis=1), before.own),
    )


def _reverse_places(similarity: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Find the place of each query in the list of each of its candidates: (queries, k) int64."""
    query = np.repeat(np.arange(len(order)), order.shape[1])
    return orders.places(similarity.T, order.ravel(), query).reshape(order.shape)


def _places_among(place: np.ndarray) -> np.ndarray:
    """Number the entries of each row by size, equal ones from left to right: (queries, k) from 0."""
    return np.argsort(np.argsort(place, axis=1, kind="stable"), axis=1)


def _significance(similarity: np.ndarray, order: np.ndarray, variant: str) -> np.ndarray:
    """Divide each candidate's similarity by its sum over all queries: (queries, k) float64."""
    lowest = min(float(similarity.min()), 0.0) if variant == "paper" else 0.0
    total = similarity.sum(axis=0, dtype=np.float64) - lowest * len(similarity)
    share = np.take_along_axis(similarity, order, axis=1).astype(np.float64) - lowest
    total = total[order]
    return np.divide(share, total, out=np.zeros_like(share), where=np.abs(total) >= NO_SUM)


def _behind(similarity: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Score every candidate below a floor without touching the order, however near two of them are.

    Differences of similarities would vanish beside the floor; the integers that count how many floats lie
    between two similarities do not.

    Args:
        similarity: (queries, candidates).
        floor: (queries, 1).

    Returns:
        (queries, candidates) float64, at most floor - 1; the more alike the larger.
    """
    code = orders.ordered(similarity)
    below = code.max(axis=1, keepdims=True) - code
    # Fine enough for all codes to lie within 1, unless the floor is so huge that it would swallow them.
    step = np.maximum(2.0**-36, 4 * np.spacing(np.abs(floor)))
    return floor - np.maximum(1, step) - step * below
