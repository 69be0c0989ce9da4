"""The first of every query's reranked candidates."""

import numpy as np

from galr.retrieval.candidates import Candidates
from galr.retrieval.rerank import behind, components, floor


def top(
    found: Candidates, variant: str, k: int, w1: float, w2: float, xi: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rerank and keep the k first: those that a stable descending sort of the reranked matrix puts first.

    Args:
        found: searched for `rerank.least_k(variant, k)` candidates at least.
        variant: and all that follow: see `rerank.rerank`.
        k: candidates to rerank and to keep; beyond the table is the table.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place.

    Returns:
        (queries, k) int64 candidates in reranked order, and (queries, k) float32 scores of each.

    Raises:
        ConfigError: parameters that mean nothing.
    """
    parts = components(found, variant, k, xi)
    scores = parts.scores(w1, w2)
    width = scores.shape[1]
    stay = behind(found.similarity[:, :width], floor(scores))
    scores = np.where(scores > -np.inf, scores, stay)
    first = np.lexsort((parts.order, -scores), axis=1)[:, :k]
    return (
        np.take_along_axis(parts.order, first, axis=1),
        np.take_along_axis(scores, first, axis=1).astype(np.float32),
    )
