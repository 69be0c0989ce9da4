"""Choose a rerank's parameters on validation; the test split never takes part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from galr.errors import ConfigError
from galr.evaluate.directions import RankedDirection, counts_after_rerank
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.qbnorm import check_beta as check_beta
from galr.evaluate.ranks import RankCounts, RetrievalRanks
from galr.evaluate.rerank import check_rerank_parameters as check_parameters
from galr.evaluate.rerank import rerank_terms


@dataclass(frozen=True)
class RerankParams:
    """One set of parameters for both directions, and what it reached where it was chosen.

    Attributes:
        k: candidates reranked.
        w1: weight of significance; none where nothing is weighed, as with the next two.
        w2: weight of the reverse place.
        xi: decay a place.
        validation_mr: percent; none where nothing was chosen from.
    """

    k: int
    w1: float | None = None
    w2: float | None = None
    xi: float | None = None
    validation_mr: float | None = None

    @property
    def weights(self) -> tuple[float, float]:
        """w1 and w2 as numbers: none weighs nothing."""
        return self.w1 or 0.0, self.w2 or 0.0


@dataclass(frozen=True)
class QBNormParams:
    """The same of qbnorm.

    Attributes:
        beta: how sharply it sees similarities.
        validation_mr: percent; none where nothing was chosen from.
    """

    beta: float
    validation_mr: float | None = None


def grid_search(
    directions: tuple[RankedDirection, RankedDirection],
    variant: str,
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    ties: str = "pessimistic",
) -> RerankParams:
    """Take the point of a grid with the best mR, the first of equals in the order k, w1, w2.

    One set serves both directions, as in the released script (which looked at the test matrix).

    Args:
        both: directions of the *validation* images, searched for the largest k at least.
        variant: `code`, `paper` or `reciprocal`, which has no weights.
        k: candidates to rerank, to choose from.
        w1: weights of significance, to choose from.
        w2: weights of the reverse place, to choose from.
        xi: decay a place.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ConfigError: an empty grid, or parameters that mean nothing.
    """
    check_grid(variant, k, w1, w2, xi)
    reached = {}
    for each in k:
        found = [rerank_terms(side.candidates, variant, each, xi) for side in directions]
        for point in grid_points(variant, [each], w1, w2, xi):
            i2t, t2i = (
                counts_after_rerank(side.baseline, side.relevant, parts.scores(*point.weights))
                for side, parts in zip(directions, found, strict=True)
            )
            reached[point] = _mean_recall(i2t, t2i, ties)
    best = max(reached, key=reached.__getitem__)  # the first of equals
    return replace(best, validation_mr=reached[best])


def grid_search_beta(
    count_ranks: Callable[[float], tuple[RankCounts, RankCounts]],
    beta: Sequence[float],
    ties: str = "pessimistic",
) -> QBNormParams:
    """Take the β with the best mR, the first of equals.

    Args:
        places: of both directions of the *validation* images under a β.
        beta: to choose from.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ConfigError: nothing to choose from, or a β that means nothing.
    """
    check_beta(*beta)
    reached = {each: _mean_recall(*count_ranks(each), ties) for each in beta}
    best = max(reached, key=reached.__getitem__)
    return QBNormParams(best, reached[best])


def grid_points(
    variant: str, k: Sequence[int], w1: Sequence[float], w2: Sequence[float], xi: float
) -> list[RerankParams]:
    """All points of a variant's grid, in order."""
    if variant == "reciprocal":
        return [RerankParams(each) for each in k]
    return [RerankParams(*point, xi) for point in product(k, w1, w2)]


def check_grid(
    variant: str, k: Sequence[int], w1: Sequence[float], w2: Sequence[float], xi: float
) -> None:
    """Refuse a grid with a point that means nothing, or without points.

    Raises:
        ConfigError: says which.
    """
    if not (k and w1 and w2):
        raise ConfigError("k, w1 and w2 need one value each at least to choose from")
    for each in k:
        check_parameters(variant, each, xi, *w1, *w2)


def _mean_recall(i2t: RankCounts, t2i: RankCounts, ties: str) -> float:
    """What one point reaches, in percent."""
    return retrieval_metrics(RetrievalRanks.from_counts(i2t, t2i, ties))["mr"]
