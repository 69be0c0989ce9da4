"""Multivariate rerank (METHOD 6): a query's best candidates are asked for what they would answer."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.ranks import BLOCK_ENTRIES, check_matrix, row_blocks
from galr.evaluate.topk import Candidates, contiguous_rows, find_candidates, map_blocks, run_starts

RerankVariant = Literal["code", "paper", "reciprocal"]
MIN_K = 10  # as in the released code, whatever k is asked for
MIN_ABS_SUM = 1e-12  # a column sum that is nearer to 0 has no shares


@dataclass(frozen=True, eq=False)
class RerankTerms:
    """The three opinions about each of a query's k best candidates; weights not yet chosen.

    Attributes:
        order: (queries, k) int64, the candidates in stable descending order of similarity.
        forward: (queries, k) float64, what the candidate's place in the query's list says; -inf where the
            candidate ties with one that is not among the k, and stays behind with it.
        reverse: (queries, k) float64, what the candidate's own list says of the query.
        significance: (queries, k) float64, share of the candidate's similarities that is the query's.
    """

    indices: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray
    significance: np.ndarray

    def scores(self, w1: float, w2: float) -> np.ndarray:
        """Weigh them: w1·significance + forward + w2·reverse, (queries, k); -inf stays behind."""
        return w1 * self.significance + self.forward + w2 * self.reverse


def effective_k(variant: str, k: int) -> int:
    """How many candidates a variant reranks where k are asked for."""
    return max(MIN_K, k) if variant == "code" else k


def rerank_terms(
    candidates: Candidates, variant: str, k: int, xi: float, reverse_limit: int | None = None
) -> RerankTerms:
    """Compute everything that does not depend on the weights.

    Args:
        found: searched for `least_k(variant, k)` candidates at least.
        variant: and all that follow: see `rerank`.
        k: candidates to rerank.
        xi: decay a place.
        limit: the paper's l.

    Raises:
        ShapeError: fewer candidates were searched for.
        ConfigError: parameters that mean nothing.
    """
    check_rerank_parameters(variant, k, xi)
    if reverse_limit is not None and reverse_limit < 1:
        raise ConfigError(
            f"limit counts the places a candidate looks at, at least 1; got {reverse_limit}"
        )
    k = min(effective_k(variant, k), candidates.num_candidates)
    width = candidates.indices.shape[1]
    if width < min(k + 1, candidates.num_candidates):
        raise ShapeError(f"the {width} best candidates are known, expected {k + 1} to rerank {k}")
    order, above, reverse = (
        each[:, :k]
        for each in (candidates.indices, candidates.forward_rank, candidates.reverse_rank)
    )
    stays = candidates.tied_or_above[:, :k] > k
    if variant == "reciprocal":  # nothing is weighed
        place, none = _ranks_among(reverse, above, stays), np.zeros(order.shape)
        return RerankTerms(order, np.where(stays, -np.inf, 0.0 - place), none, none)
    decay = np.exp(-xi * np.arange(1, k + 1))  # of a place
    if variant == "code":
        answer = decay[_ranks_among(reverse, above, stays)]
    else:
        near = reverse < (k if reverse_limit is None else reverse_limit)
        answer = np.where(near, np.exp(-xi * (reverse + 1.0)), 0)
    forward = np.where(stays, -np.inf, decay[above])
    return RerankTerms(order, forward, answer, _significance(candidates, variant, k))


def check_rerank_parameters(variant: str, k: int, xi: float, *weights: float) -> None:
    """Refuse parameters that mean nothing.

    Raises:
        ConfigError: says which.
    """
    if variant not in get_args(RerankVariant):
        raise ConfigError(
            f"rerank variant '{variant}' is unknown; choose from {', '.join(get_args(RerankVariant))}"
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
    reverse_limit: int | None = None,
    threads: int = 1,
) -> np.ndarray:
    """Rerank the k best candidates of every query.

    With f the forward place of candidate t in query i's list and r the place of i in t's list, both from
    0 and counting only what is strictly more alike, t scores
    w1·significance + e^(-ξ(f+1)) + w2·reverse, where

    - `code` (the released script): at least 10 candidates are reranked. They are put in the order of r
      (equal r: forward order); reverse = e^(-ξ(q+1)) of place q in that order.
      significance = S[i,t] / Σ_queries S[:,t] as it is: cosines are negative too, so a sum near 0 makes
      it huge and a negative one turns it round. A defect that we keep; only where |Σ| < 1e-12 it is 0.
    - `paper`: reverse = e^(-ξ(r+1)) if r < limit, else 0. Where S has negative entries its minimum is
      subtracted before the significance is taken, so that a share is a share (our reconstruction).
    - `reciprocal`: the reverse search that MR grew from; the score is -q, and no weight counts.

    Equals stay equal: candidates with the same column of S get the same score, and of those that tie at
    the k-th place none is reranked. The released script lets the index decide both, which pays where the
    tie rule would not; without ties nothing differs.

    The other candidates get scores between m - 2 and m - 1, m being the query's lowest reranked score (0
    where none is): in the order of their similarity, and equal where that is equal. So a stable
    descending sort of a row is always the order.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more alike.
        variant: `code`, `paper` or `reciprocal`.
        k: candidates to rerank, at least 1; beyond the table is the table.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place, at least 0.
        limit: the paper's l, how far down its own list a candidate looks for the query; none is k.
        threads: to work with; the result does not depend on it.

    Returns:
        (queries, candidates) float64.

    Raises:
        ShapeError: no matrix of finite real numbers.
        ConfigError: parameters that mean nothing.
    """
    check_rerank_parameters(variant, k, xi, w1, w2)
    check_matrix(similarity)
    queries, among = similarity.shape
    found = rerank_terms(
        find_candidates(similarity, effective_k(variant, k), threads), variant, k, xi, reverse_limit
    )
    scores = found.scores(w1, w2)
    moved, least = scores > -np.inf, min_reranked(scores)
    reranked = np.empty((queries, among))

    def write(rows: slice) -> None:
        reranked[rows] = scores_below(contiguous_rows(similarity, rows), least[rows])
        row, place = np.nonzero(moved[rows])
        reranked[rows][row, found.indices[rows][row, place]] = scores[rows][row, place]

    map_blocks(write, row_blocks(queries, among, 4 * BLOCK_ENTRIES), threads)
    return reranked


def rerank_direction(
    similarity: np.ndarray,
    direction: str,
    variant: str,
    k: int,
    w1: float,
    w2: float,
    xi: float,
    reverse_limit: int | None = None,
    threads: int = 1,
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
        threads: to work with.

    Returns:
        (images, sentences) float64.

    Raises:
        ShapeError: no matrix of finite real numbers.
        ConfigError: parameters that mean nothing.
    """
    if direction == "i2t":
        return rerank(similarity, variant, k, w1, w2, xi, reverse_limit, threads)
    if direction == "t2i":
        return rerank(similarity.T, variant, k, w1, w2, xi, reverse_limit, threads).T
    raise ConfigError(f"direction '{direction}' is unknown; choose i2t or t2i")


def min_reranked(scores: np.ndarray) -> np.ndarray:
    """Find the lowest reranked score of every query: (queries, k) to (queries, 1); 0 where none is."""
    lowest = np.where(scores > -np.inf, scores, np.inf).min(axis=1, keepdims=True)
    return np.where(lowest < np.inf, lowest, 0.0)


def scores_below(similarity: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Score every candidate below a floor without touching the order, however near two of them are.

    Differences of similarities would vanish beside the floor; the integers that count how many floats lie
    between two similarities do not.

    Args:
        similarity: (queries, candidates), each query's largest among them.
        floor: (queries, 1), see the function of that name.

    Returns:
        (queries, candidates) float64, at most floor - 1; the more alike the larger.
    """
    scores = _ordered_codes(similarity).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    # Fine enough for all codes to lie within 1, unless the floor is so huge that it would swallow them.
    step = np.maximum(2.0**-36, 4 * np.spacing(np.abs(floor)))
    scores *= step
    scores += floor - np.maximum(1, step)
    return scores


def _ranks_among(reverse: np.ndarray, above: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """Number a query's candidates by their reverse places, equal ones by their forward places.

    Args:
        reverse: (queries, k) int64.
        above: (queries, k) int64 in [0, k).
        stays: (queries, k) bool, what is not numbered and comes last.

    Returns:
        (queries, k) int64 places from 0; the same where both are.
    """
    key = np.where(stays, np.iinfo(np.int64).max, reverse * above.shape[1] + above)
    return _ascending_ranks(key)


def _significance(candidates: Candidates, variant: str, k: int) -> np.ndarray:
    """Divide each candidate's similarity by its sum over all queries: (queries, k) float64."""
    lowest = candidates.min_negative if variant == "paper" else 0.0
    share = candidates.similarities[:, :k].astype(np.float64) - lowest
    total = (candidates.column_sum - lowest * len(candidates.indices))[candidates.indices[:, :k]]
    return np.divide(share, total, out=np.zeros_like(share), where=np.abs(total) >= MIN_ABS_SUM)


def _ordered_codes(values: np.ndarray) -> np.ndarray:
    """Turn every row into integers of the same order, equal where its numbers are equal.

    The bits of float32s of one sign already have the order of the floats. Numbers of other kinds are
    replaced by their place in their row, which is slower and as exact.
    """
    if not np.can_cast(values.dtype, np.float32):
        return _ascending_ranks(values)
    bits = (np.ascontiguousarray(values, np.float32) + np.float32(0)).view(
        np.int32
    )  # no minus zero
    return bits ^ ((bits >> 31) & np.iinfo(np.int32).max)  # of negatives the larger is smaller


def _ascending_ranks(rows: np.ndarray) -> np.ndarray:
    """Number the entries of each row by size from 0, equal ones alike: (rows, columns) int64."""
    by = np.argsort(rows, axis=1)
    place = np.empty(rows.shape, np.int64)
    np.put_along_axis(place, by, run_starts(np.take_along_axis(rows, by, axis=1)), axis=1)
    return place
