"""Multivariate rerank (MR) of GaLR (Yuan and others 2022, arXiv 2204.09860; docs/how/rerank.md).

The most similar candidates of a query are scored anew: by their place in the query's list, by the query's place
in their own lists, and by the query's share of all their similarities.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.ranks import check_matrix
from galr.evaluate.topk import (
    BLOCK_ENTRIES,
    Candidates,
    contiguous_rows,
    find_candidates,
    map_blocks,
    row_blocks,
    run_starts,
)

RerankVariant = Literal["code", "paper", "reciprocal"]
MIN_K = 10  # of the variant `code`, as in the released script
MIN_ABS_SUM = 1e-12  # a column whose sum is nearer to 0 has significance 0


@dataclass(frozen=True, eq=False)
class RerankTerms:
    """The three terms of the score of each of a query's k candidates, without their weights.

    Attributes:
        indices: (queries, k) int64, the candidates in stable descending order of similarity.
        forward: (queries, k) float64, term of the candidate's rank in the query's list; -inf where the candidate
            is not reranked because it ties with one beyond the k.
        reverse: (queries, k) float64, term of the query's rank in the candidate's list.
        significance: (queries, k) float64, the query's share of the candidate's similarities.
    """

    indices: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray
    significance: np.ndarray

    def scores(self, w1: float, w2: float) -> np.ndarray:
        """w1·significance + forward + w2·reverse, (queries, k) float64; -inf where not reranked."""
        return w1 * self.significance + self.forward + w2 * self.reverse


def effective_k(variant: str, k: int) -> int:
    """Number of candidates that a variant reranks for a given k: `code` reranks at least 10."""
    return max(MIN_K, k) if variant == "code" else k


def check_rerank_parameters(variant: str, k: int, xi: float, *weights: float) -> None:
    """Check the parameters of a rerank.

    Raises:
        ConfigError: an unknown variant, k below 1, a negative xi, or a number that is not finite.
    """
    if variant not in get_args(RerankVariant):
        raise ConfigError(
            f"rerank variant '{variant}' is unknown; choose from {', '.join(get_args(RerankVariant))}"
        )
    if k < 1:
        raise ConfigError(f"k is the number of candidates to rerank, at least 1; got {k}")
    if not (isfinite(xi) and xi >= 0):
        raise ConfigError(f"xi is the decay per rank, 0 or more; got {xi}")
    for weight in weights:
        if not isfinite(weight):
            raise ConfigError(f"w1 and w2 are finite weights, got {weight}")


def rerank_terms(
    candidates: Candidates, variant: str, k: int, xi: float, reverse_limit: int | None = None
) -> RerankTerms:
    """Compute all of a rerank that does not depend on the weights.

    Args:
        candidates: at least `effective_k(variant, k)` of every query, and one more.
        variant: see `rerank`, also for the following.
        k: number of candidates to rerank.
        xi: decay per rank.
        reverse_limit: the paper's l.

    Raises:
        ShapeError: too few candidates are given.
        ConfigError: a parameter is invalid.
    """
    check_rerank_parameters(variant, k, xi)
    if reverse_limit is not None and reverse_limit < 1:
        raise ConfigError(f"reverse_limit is a number of ranks, at least 1; got {reverse_limit}")
    k = min(effective_k(variant, k), candidates.num_candidates)
    width = candidates.indices.shape[1]
    if width < min(k + 1, candidates.num_candidates):
        raise ShapeError(
            f"{width} candidates of every query are given, {k + 1} needed to rerank {k}"
        )
    indices, forward_rank, reverse_rank = (
        table[:, :k]
        for table in (candidates.indices, candidates.forward_rank, candidates.reverse_rank)
    )
    ties_out = candidates.tied_or_above[:, :k] > k
    if variant == "reciprocal":
        order = _order_by_reverse_rank(reverse_rank, forward_rank, ties_out)
        zeros = np.zeros(indices.shape)
        return RerankTerms(indices, np.where(ties_out, -np.inf, 0.0 - order), zeros, zeros)
    decay = np.exp(-xi * np.arange(1, k + 1))  # (k,), of ranks from 0
    if variant == "code":
        reverse = decay[_order_by_reverse_rank(reverse_rank, forward_rank, ties_out)]
    else:
        is_near = reverse_rank < (k if reverse_limit is None else reverse_limit)
        reverse = np.where(is_near, np.exp(-xi * (reverse_rank + 1.0)), 0)
    forward = np.where(ties_out, -np.inf, decay[forward_rank])
    return RerankTerms(indices, forward, reverse, _significance(candidates, variant, k))


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
    """Rerank the k most similar candidates of every query.

    With f the forward rank of candidate t in query i's list and r the reverse rank of i in t's list (the numbers
    of members that are strictly more similar), the score of t is w1·significance + e^(-ξ(f+1)) + w2·reverse:

    - `code` (the released script) reranks at least 10 candidates. reverse = e^(-ξ(q+1)), where q is the
      candidate's place when the k are sorted by r, equal r by f. significance = S[i,t] / Σ_queries S[:,t].
      Cosines can be negative, so a sum near 0 makes it huge and a negative sum reverses it: a defect that is
      kept, except that it is 0 where |Σ| < 1e-12.
    - `paper`: reverse = e^(-ξ(r+1)) if r < reverse_limit, else 0. If S has negative entries, its minimum is
      subtracted before significance is computed, so that it is a share (our reconstruction).
    - `reciprocal`: the score is -q, without weights: the reverse search that MR extends.

    Two differences from the released script. It sorts by r with an unstable sort, and different candidates often
    have equal r: their order, hence q, is then arbitrary there, even where no two similarities are equal. And it
    breaks ties of similarities by index: here candidates with equal columns of S get equal scores, and of
    candidates that tie at the k-th place none is reranked.

    Candidates that are not reranked get scores between m - 2 and m - 1, where m is the query's lowest reranked
    score (0 if there is none): in the order of their similarities, equal where those are equal. A stable
    descending sort of a row therefore gives the new order.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more similar.
        variant: `code`, `paper` or `reciprocal`.
        k: number of candidates to rerank, at least 1; may exceed the number of candidates.
        w1: weight of significance.
        w2: weight of the reverse term.
        xi: decay per rank, at least 0.
        reverse_limit: the paper's l, the number of places of a candidate's own list in which the query is
            looked for; k if None.
        threads: number of threads; the result does not depend on it.

    Returns:
        (queries, candidates) float64.

    Raises:
        ShapeError: not a matrix of finite real numbers.
        ConfigError: a parameter is invalid.
    """
    check_rerank_parameters(variant, k, xi, w1, w2)
    check_matrix(similarity)
    num_queries, num_candidates = similarity.shape
    candidates = find_candidates(similarity, effective_k(variant, k), threads)
    terms = rerank_terms(candidates, variant, k, xi, reverse_limit)
    scores = terms.scores(w1, w2)
    reranked_mask, lowest = scores > -np.inf, min_reranked(scores)
    result = np.empty((num_queries, num_candidates))

    def write(rows: slice) -> None:
        result[rows] = scores_below(contiguous_rows(similarity, rows), lowest[rows])
        row, column = np.nonzero(reranked_mask[rows])
        result[rows][row, terms.indices[rows][row, column]] = scores[rows][row, column]

    map_blocks(write, row_blocks(num_queries, num_candidates, 4 * BLOCK_ENTRIES), threads)
    return result


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
    """Rerank one direction of a similarity matrix; see `rerank` for the parameters.

    Args:
        similarity: (images, sentences).
        direction: `i2t` (each image's sentences, along rows) or `t2i` (each sentence's images, along columns).
        variant: `code`, `paper` or `reciprocal`.
        k: number of candidates to rerank.
        w1: weight of significance.
        w2: weight of the reverse term.
        xi: decay per rank.
        reverse_limit: the paper's l.
        threads: number of threads.

    Returns:
        (images, sentences) float64.

    Raises:
        ShapeError: not a matrix of finite real numbers.
        ConfigError: the direction is unknown, or a parameter is invalid.
    """
    if direction == "i2t":
        return rerank(similarity, variant, k, w1, w2, xi, reverse_limit, threads)
    if direction == "t2i":
        return rerank(similarity.T, variant, k, w1, w2, xi, reverse_limit, threads).T
    raise ConfigError(f"direction '{direction}' is unknown; choose i2t or t2i")


def min_reranked(scores: np.ndarray) -> np.ndarray:
    """The lowest finite score of every query: (queries, k) to (queries, 1); 0 if there is none."""
    lowest = np.where(scores > -np.inf, scores, np.inf).min(axis=1, keepdims=True)
    return np.where(lowest < np.inf, lowest, 0.0)


def scores_below(similarity: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """Scores for candidates that are not reranked: below the reranked ones, in the order of their similarities.

    Differences of similarities could vanish in rounding beside the lowest score. Integer codes in the order of
    the floats do not.

    Args:
        similarity: (queries, candidates), the most similar of every query included.
        lowest: (queries, 1), the result of `min_reranked`.

    Returns:
        (queries, candidates) float64, at most lowest - 1; larger where the similarity is larger.
    """
    scores = _ordered_codes(similarity).astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    # All codes lie within 1, unless the lowest score is so large that rounding would merge them.
    step = np.maximum(2.0**-36, 4 * np.spacing(np.abs(lowest)))
    scores *= step
    scores += lowest - np.maximum(1, step)
    return scores


def _order_by_reverse_rank(
    reverse_rank: np.ndarray, forward_rank: np.ndarray, ties_out: np.ndarray
) -> np.ndarray:
    """Place of each candidate when a query's k are sorted by reverse rank, equal ones by forward rank.

    Args:
        reverse_rank: (queries, k) int64.
        forward_rank: (queries, k) int64 in [0, k).
        ties_out: (queries, k) bool, candidates that are not reranked; they come last.

    Returns:
        (queries, k) int64 from 0; equal where both ranks are equal.
    """
    key = np.where(
        ties_out, np.iinfo(np.int64).max, reverse_rank * forward_rank.shape[1] + forward_rank
    )
    return _ascending_ranks(key)


def _significance(candidates: Candidates, variant: str, k: int) -> np.ndarray:
    """Each candidate's similarity divided by its sum over all queries: (queries, k) float64."""
    offset = candidates.min_negative if variant == "paper" else 0.0
    share = candidates.similarities[:, :k].astype(np.float64) - offset
    total = (candidates.column_sum - offset * len(candidates.indices))[candidates.indices[:, :k]]
    return np.divide(share, total, out=np.zeros_like(share), where=np.abs(total) >= MIN_ABS_SUM)


def _ordered_codes(values: np.ndarray) -> np.ndarray:
    """Map every row to integers of the same order, equal where its numbers are equal.

    For numbers that fit float32 these are the bits of the float32, which have the order of the floats. Other
    numbers are replaced by their rank in the row, which is slower and equally exact.

    Args:
        values: (rows, columns) real numbers.

    Returns:
        (rows, columns) int32 or int64.
    """
    if not np.can_cast(values.dtype, np.float32):
        return _ascending_ranks(values)
    floats = np.ascontiguousarray(values, np.float32) + np.float32(0)  # -0.0 becomes 0.0
    bits = floats.view(np.int32)
    return bits ^ (
        (bits >> 31) & np.iinfo(np.int32).max
    )  # negative floats: larger bits are smaller


def _ascending_ranks(rows: np.ndarray) -> np.ndarray:
    """Rank of each entry in its row from 0, equal ones alike: (rows, columns) to int64 of that shape."""
    order = np.argsort(rows, axis=1)
    ranks = np.empty(rows.shape, np.int64)
    np.put_along_axis(ranks, order, run_starts(np.take_along_axis(rows, order, axis=1)), axis=1)
    return ranks
