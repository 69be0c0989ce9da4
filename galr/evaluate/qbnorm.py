"""Querybank normalisation: candidates that any query finds are worth less (Bogolin 2022, CVPR).

"Cross Modal Retrieval with Querybank Normalisation", arXiv 2112.12777, its dynamic inverted softmax. The
bank holds queries of the *training* split: training images where images ask, training sentences where
sentences do; no test query is told anything of another one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.ranks import row_blocks
from galr.evaluate.topk import exact_sums


@dataclass(frozen=True, eq=False)
class BankStats:
    """How the bank's queries share out their favour among the candidates, at one β.

    Attributes:
        favour: (candidates,) float64, log Σ_bank exp(β s).
        active: (candidates,) bool, whether some query of the bank has the candidate among its best.
    """

    log_partition: np.ndarray
    activation_set: np.ndarray


@dataclass(frozen=True, eq=False)
class QueryBank:
    """The bank's queries and the candidates of a test, as unit vectors; their products are never all held.

    Attributes:
        queries: (bank queries, embedding) float32.
        candidates: (candidates, embedding) float32.
    """

    queries: np.ndarray
    candidates: np.ndarray

    def stats(self, beta: float) -> BankStats:
        """Ask every query of the bank, with k = 1.

        Equal candidates are asked about once: a BLAS may give two equal columns different last bits.

        Raises:
            ConfigError: a β that means nothing.
            ShapeError: the bank is empty, or holds other than finite numbers.
        """
        distinct, which = np.unique(self.candidates, axis=0, return_inverse=True)
        parts = row_blocks(len(self.queries), len(distinct), 1 << 20)
        found = bank_stats((self.queries[some] @ distinct.T for some in parts), beta)
        which = which.reshape(-1)  # NumPy 2.0 alone gives it another shape
        return BankStats(found.log_partition[which], found.activation_set[which])


def bank_stats(bank: Iterable[np.ndarray], beta: float, k: int = 1) -> BankStats:
    """Ask every query of the bank.

    Args:
        bank: (some bank queries, candidates) finite real numbers, block after block; `[matrix]` is fine.
        beta: sharpness, over 0.
        k: a candidate is active where fewer than k are more alike to some query of the bank.

    Raises:
        ConfigError: a β or k that means nothing.
        ShapeError: no bank, or one with other than finite numbers.
    """
    check_beta(beta)
    if k < 1:
        raise ConfigError(f"k counts the best candidates of a bank query, at least 1; got {k}")
    peak, total, active = np.array(-np.inf), np.array(0.0), np.array(False)
    for block in bank:
        if block.ndim != 2 or 0 in block.shape or not np.isfinite([block.min(), block.max()]).all():
            raise ShapeError(
                f"a bank of shape {block.shape} is empty or holds NaN or infinity, expected finite"
                " similarities of training queries to every candidate"
            )
        sharp = beta * block.astype(np.float64)
        higher = np.maximum(peak, sharp.max(axis=0))
        total = total * np.exp(peak - higher) + exact_sums(np.exp(sharp - higher).T, 1.0)
        peak, active = higher, active | (block >= _kth_largest(block, k)).any(axis=0)
    if peak.ndim == 0:
        raise ShapeError("the bank has no queries; expected one at least")
    return BankStats(peak + np.log(total), active)


def qbnorm_scores(similarity: np.ndarray, stats: BankStats, beta: float) -> np.ndarray:
    """Score every candidate of the queries whose best one is active by log(exp(β s) / Σ_bank exp(β s)).

    The other queries keep their similarities. Only whole queries switch, so a query's candidates are
    always on one scale; two queries may be on two, and their scores mean nothing to each other.
    Of several candidates that tie for a query's best, one that is active is enough.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more alike.
        found: of the same candidates and β.
        beta: sharpness, over 0.

    Returns:
        (queries, candidates) float64.

    Raises:
        ShapeError: the bank knows other candidates.
    """
    if similarity.shape[1:] != stats.activation_set.shape:
        raise ShapeError(
            f"the bank was compared with {len(stats.activation_set)} candidates, the queries with"
            f" {similarity.shape[1]}; expected the same"
        )
    among_active = np.where(stats.activation_set, similarity, -np.inf).max(axis=1)
    switched = (among_active == similarity.max(axis=1))[:, None]
    scores = similarity.astype(np.float64)
    np.multiply(scores, beta, out=scores, where=switched)
    return np.subtract(scores, stats.log_partition, out=scores, where=switched)


def _kth_largest(block: np.ndarray, k: int) -> np.ndarray:
    """The k-th largest of every row, or the smallest: (rows, 1)."""
    if k == 1:
        return block.max(axis=1, keepdims=True)
    last = max(block.shape[1] - k, 0)
    return np.partition(block, last, axis=1)[:, last, None]


def check_beta(*beta: float) -> None:
    """Refuse a β that means nothing, or none at all.

    Raises:
        ConfigError: says which.
    """
    if not beta:
        raise ConfigError("beta needs one value at least to choose from")
    for each in beta:
        if not (isfinite(each) and each > 0):
            raise ConfigError(f"beta is a sharpness over 0, such as 20; got {each}")
