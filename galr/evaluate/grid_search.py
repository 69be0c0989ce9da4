"""Choose the parameters of a rerank on the validation images; the test split is never used."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

from galr.errors import ConfigError
from galr.evaluate.directions import RankedDirection, counts_after_rerank
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.qbnorm import check_beta
from galr.evaluate.ranks import RankCounts, RetrievalRanks
from galr.evaluate.rerank import check_rerank_parameters, rerank_terms


@dataclass(frozen=True)
class RerankParams:
    """Parameters of a multivariate rerank for both directions, and the validation mR they reach.

    Attributes:
        k: number of candidates to rerank.
        w1: weight of significance; None for `reciprocal`, as the following two.
        w2: weight of the reverse term.
        xi: decay per rank.
        validation_mr: percent; None if there was nothing to choose.
    """

    k: int
    w1: float | None = None
    w2: float | None = None
    xi: float | None = None
    validation_mr: float | None = None

    @property
    def weights(self) -> tuple[float, float]:
        """w1 and w2 as numbers, 0 for None."""
        return self.w1 or 0.0, self.w2 or 0.0


@dataclass(frozen=True)
class QBNormParams:
    """The parameter of qbnorm, and the validation mR it reaches.

    Attributes:
        beta: inverse temperature.
        validation_mr: percent; None if there was nothing to choose.
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
    """Choose the point of a grid with the largest mR, the first of equal ones in the order k, w1, w2.

    One choice serves both directions, as in the released script (which chooses on the test matrix).

    Args:
        directions: i2t and t2i of the *validation* images, prepared for the largest k.
        variant: `code`, `paper` or `reciprocal`, which has no weights.
        k: numbers of candidates to rerank, to choose from.
        w1: weights of significance, to choose from.
        w2: weights of the reverse term, to choose from.
        xi: decay per rank.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ConfigError: the grid is empty, or a parameter is invalid.
    """
    check_grid(variant, k, w1, w2, xi)
    mr_of_point = {}
    for value in k:
        terms = [rerank_terms(direction.candidates, variant, value, xi) for direction in directions]
        for point in grid_points(variant, [value], w1, w2, xi):
            i2t, t2i = (
                counts_after_rerank(
                    direction.baseline, direction.relevant, unweighted.scores(*point.weights)
                )
                for direction, unweighted in zip(directions, terms, strict=True)
            )
            mr_of_point[point] = mean_recall(i2t, t2i, ties)
    best = max(mr_of_point, key=mr_of_point.__getitem__)  # the first of equal ones
    return replace(best, validation_mr=mr_of_point[best])


def grid_search_beta(
    count_ranks: Callable[[float], tuple[RankCounts, RankCounts]],
    beta: Sequence[float],
    ties: str = "pessimistic",
) -> QBNormParams:
    """Choose the β of qbnorm with the largest mR, the first of equal ones.

    Args:
        count_ranks: from a β to the counts of both directions of the *validation* images.
        beta: values to choose from.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ConfigError: there is nothing to choose from, or a β is not a positive number.
    """
    check_beta(*beta)
    mr_of_beta = {value: mean_recall(*count_ranks(value), ties) for value in beta}
    best = max(mr_of_beta, key=mr_of_beta.__getitem__)
    return QBNormParams(best, mr_of_beta[best])


def grid_points(
    variant: str, k: Sequence[int], w1: Sequence[float], w2: Sequence[float], xi: float
) -> list[RerankParams]:
    """All points of a variant's grid, in order."""
    if variant == "reciprocal":
        return [RerankParams(value) for value in k]
    return [RerankParams(*point, xi) for point in product(k, w1, w2)]


def check_grid(
    variant: str, k: Sequence[int], w1: Sequence[float], w2: Sequence[float], xi: float
) -> None:
    """Check a grid.

    Raises:
        ConfigError: it has no points, or one with an invalid parameter.
    """
    if not (k and w1 and w2):
        raise ConfigError("k, w1 and w2 each need at least one value to choose from")
    for value in k:
        check_rerank_parameters(variant, value, xi, *w1, *w2)


def mean_recall(i2t: RankCounts, t2i: RankCounts, ties: str) -> float:
    """The mR of the counts of both directions, in percent."""
    return retrieval_metrics(RetrievalRanks.from_counts(i2t, t2i, ties))["mr"]
