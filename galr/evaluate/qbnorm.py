"""Querybank normalisation: candidates that are close to every query count less.

The dynamic inverted softmax of "Cross Modal Retrieval with Querybank Normalisation" (Bogolin and others, CVPR
2022, arXiv 2112.12777, section 3). The bank holds queries of the *training* split: training images for i2t,
training sentences for t2i. No test query affects another one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.topk import exact_sums, row_blocks


@dataclass(frozen=True, eq=False)
class BankStats:
    """What the normalisation needs to know of a bank, at one β.

    Attributes:
        log_partition: (candidates,) float64, log Σ_bank exp(β s).
        activation_set: (candidates,) bool, whether the candidate is among the k most similar of a bank query.
    """

    log_partition: np.ndarray
    activation_set: np.ndarray


@dataclass(frozen=True, eq=False)
class QueryBank:
    """Embeddings of a bank's queries and of the candidates; their products are computed block by block.

    Attributes:
        queries: (bank queries, dim) float32, unit rows.
        candidates: (candidates, dim) float32, unit rows.
    """

    queries: np.ndarray
    candidates: np.ndarray

    def stats(self, beta: float) -> BankStats:
        """Compute `bank_stats` with k = 1.

        Equal candidates are computed once: a BLAS may give two equal columns different last bits.

        Raises:
            ConfigError: β is not a positive number.
            ShapeError: the bank is empty, or a number is not finite.
        """
        distinct, which = np.unique(self.candidates, axis=0, return_inverse=True)
        blocks = row_blocks(len(self.queries), len(distinct), 1 << 20)
        stats = bank_stats((self.queries[rows] @ distinct.T for rows in blocks), beta)
        which = which.reshape(-1)  # NumPy 2.0 alone gives it another shape
        return BankStats(stats.log_partition[which], stats.activation_set[which])


def bank_stats(bank: Iterable[np.ndarray], beta: float, k: int = 1) -> BankStats:
    """Compute the log partition and the activation set of a bank.

    Args:
        bank: blocks (bank queries of the block, candidates) of finite similarities; `[matrix]` is one block.
        beta: inverse temperature, above 0.
        k: a candidate is in the activation set if fewer than k are more similar to some bank query.

    Raises:
        ConfigError: β is not a positive number, or k is below 1.
        ShapeError: the bank is empty, or a similarity is not finite.
    """
    check_beta(beta)
    if k < 1:
        raise ConfigError(
            f"k is the number of activated candidates per bank query, at least 1; got {k}"
        )
    peak, total, active = np.array(-np.inf), np.array(0.0), np.array(False)
    for block in bank:
        if block.ndim != 2 or 0 in block.shape or not np.isfinite([block.min(), block.max()]).all():
            raise ShapeError(
                f"a bank of shape {block.shape} is empty or holds NaN or infinity, expected finite"
                " similarities of training queries to every candidate"
            )
        logits = beta * block.astype(np.float64)
        new_peak = np.maximum(peak, logits.max(axis=0))
        total = total * np.exp(peak - new_peak) + exact_sums(np.exp(logits - new_peak).T, 1.0)
        peak, active = new_peak, active | (block >= _kth_largest(block, k)).any(axis=0)
    if peak.ndim == 0:
        raise ShapeError("the bank has no queries; expected at least one")
    return BankStats(peak + np.log(total), active)


def qbnorm_scores(similarity: np.ndarray, stats: BankStats, beta: float) -> np.ndarray:
    """Normalise the queries whose most similar candidate is in the activation set.

    Such a query's scores are log(exp(β s) / Σ_bank exp(β s)); every other query keeps its similarities. So the
    scores of one query are on one scale, and those of two queries may not be comparable. If several candidates
    tie for the most similar, one in the activation set is enough.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more similar.
        stats: of the same candidates and β.
        beta: inverse temperature, above 0.

    Returns:
        (queries, candidates) float64.

    Raises:
        ShapeError: the bank is of another number of candidates.
    """
    if similarity.shape[1:] != stats.activation_set.shape:
        raise ShapeError(
            f"the bank was compared with {len(stats.activation_set)} candidates, the queries with"
            f" {similarity.shape[1]}; expected the same"
        )
    best_active = np.where(stats.activation_set, similarity, -np.inf).max(axis=1)
    is_normalised = (best_active == similarity.max(axis=1))[:, None]
    scores = similarity.astype(np.float64)
    np.multiply(scores, beta, out=scores, where=is_normalised)
    return np.subtract(scores, stats.log_partition, out=scores, where=is_normalised)


def check_beta(*betas: float) -> None:
    """Check values of β.

    Raises:
        ConfigError: there is none, or one is not a positive number.
    """
    if not betas:
        raise ConfigError("beta needs at least one value to choose from")
    for beta in betas:
        if not (isfinite(beta) and beta > 0):
            raise ConfigError(f"beta is an inverse temperature above 0, such as 20; got {beta}")


def _kth_largest(block: np.ndarray, k: int) -> np.ndarray:
    """The k-th largest of every row, or the smallest if there are fewer: (rows, columns) to (rows, 1)."""
    if k == 1:
        return block.max(axis=1, keepdims=True)
    index = max(block.shape[1] - k, 0)
    return np.partition(block, index, axis=1)[:, index, None]
