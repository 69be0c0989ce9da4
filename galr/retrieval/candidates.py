"""What every rerank needs to know of a query's best candidates, and of what they would answer."""

from dataclasses import dataclass

import numpy as np

from galr.retrieval import orders


@dataclass(frozen=True, eq=False)
class Candidates:
    """The best of every query's candidates: one more than are reranked, to see where a tie ends.

    Attributes:
        order: (queries, width) int64, the candidates in stable descending order of similarity.
        similarity: (queries, width) of each, descending along a row.
        reverse: (queries, width) int64, how many queries are more alike to the candidate than this one.
        total: (candidates,) float64, sum of a candidate's similarities over all queries.
        lowest: the least similarity of all where that is negative, else 0.
    """

    order: np.ndarray
    similarity: np.ndarray
    reverse: np.ndarray
    total: np.ndarray
    lowest: float

    @property
    def among(self) -> int:
        """How many candidates there are, the width's best included."""
        return len(self.total)

    @property
    def above(self) -> np.ndarray:
        """(queries, width) int64, how many candidates are more alike: the forward place from 0."""
        return run_starts(self.similarity)

    @property
    def level(self) -> np.ndarray:
        """(queries, width) int64, how many candidates are at least as alike, as far as the width shows.

        A tie that goes on behind the width counts up to it, which is one more than are ever reranked.
        """
        return self.order.shape[1] - run_starts(self.similarity[:, ::-1])[:, ::-1]


def candidates(similarity: np.ndarray, k: int, threads: int = 1) -> Candidates:
    """Search a matrix for what reranking up to k candidates needs.

    Args:
        similarity: (queries, candidates) finite real numbers, larger is more alike.
        k: most candidates that will be reranked, at least 1; beyond the table is the table.
        threads: to work with; the result does not depend on it.
    """
    width = min(k + 1, similarity.shape[1])
    order, best = orders.first(similarity, width, threads)
    low, high = float(similarity.min()), float(best[:, 0].max())
    reverse, total = orders.ask(similarity.T, order.ravel(), best.ravel(), max(-low, high), threads)
    return Candidates(order, best, reverse.reshape(order.shape), total, min(low, 0.0))


def run_starts(rows: np.ndarray) -> np.ndarray:
    """Find where each entry's run of equal neighbours begins: (rows, columns) to the same, int64."""
    begins = np.zeros(rows.shape, np.int64)
    begins[:, 1:] = np.where(rows[:, 1:] != rows[:, :-1], np.arange(1, rows.shape[1]), 0)
    return np.maximum.accumulate(begins, axis=1)
