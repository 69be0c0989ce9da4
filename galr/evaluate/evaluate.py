"""Rank a test split without a rerank and with each rerank, with parameters chosen on validation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from galr.errors import ConfigError
from galr.evaluate.directions import RankedDirection, prepare_directions, rerank_and_rank
from galr.evaluate.grid_search import (
    QBNormParams,
    RerankParams,
    check_grid,
    grid_points,
    grid_search,
    grid_search_beta,
    mean_recall,
)
from galr.evaluate.qbnorm import QueryBank, check_beta, qbnorm_scores
from galr.evaluate.ranks import (
    RankCounts,
    RetrievalRanks,
    SimilarityMatrix,
    check_ranking_inputs,
    count_ranks,
    view_direction,
)
from galr.evaluate.rerank import effective_k

RerankName = Literal["none", "mr-code", "mr-paper", "reciprocal", "qbnorm"]
MR_VARIANTS = {"mr-code": "code", "mr-paper": "paper", "reciprocal": "reciprocal"}


class RankingSource(Protocol):
    """Compared images and sentences, with or without a similarity matrix in memory."""

    def count_ranks(self) -> tuple[RankCounts, RankCounts]:
        """Counts without a rerank, i2t and t2i."""

    def prepare_directions(self, max_k: int) -> tuple[RankedDirection, RankedDirection]:
        """The same, and what reranking up to `max_k` candidates needs."""

    def count_ranks_qbnorm(self, beta: float) -> tuple[RankCounts, RankCounts]:
        """Counts under qbnorm, i2t and t2i.

        Raises:
            ConfigError: there is no bank.
        """


@dataclass(frozen=True, eq=False)
class MatrixSource:
    """A similarity matrix with its relevance and, for qbnorm, the banks of training queries.

    Attributes:
        matrix: similarities and relevance.
        banks: training images with the sentences as candidates, and training sentences with the images; None
            if there is no bank.
        threads: number of threads.
    """

    matrix: SimilarityMatrix
    banks: tuple[QueryBank, QueryBank] | None = None
    threads: int = 1

    def count_ranks(self) -> tuple[RankCounts, RankCounts]:
        """See `RankingSource`.

        Raises:
            ShapeError: the matrix and its relevance do not match, or a similarity is not finite.
        """
        check_ranking_inputs(self.matrix.similarity, self.matrix.image_of_sentence)
        i2t, t2i = (
            count_ranks(
                view_direction(self.matrix.similarity, self.matrix.image_of_sentence, direction)
            )
            for direction in ("i2t", "t2i")
        )
        return i2t, t2i

    def prepare_directions(self, max_k: int) -> tuple[RankedDirection, RankedDirection]:
        """See `RankingSource`.

        Raises:
            ShapeError: the matrix and its relevance do not match, or a similarity is not finite.
        """
        return prepare_directions(self.matrix, max_k, self.threads)

    def count_ranks_qbnorm(self, beta: float) -> tuple[RankCounts, RankCounts]:
        """See `RankingSource`.

        Raises:
            ShapeError: the arrays do not match, or a number is not finite.
            ConfigError: there are no banks.
        """
        if self.banks is None:
            raise ConfigError("qbnorm needs a bank of training queries, and there is none")
        check_ranking_inputs(self.matrix.similarity, self.matrix.image_of_sentence)
        counts = []
        for direction, bank in zip(("i2t", "t2i"), self.banks, strict=True):
            view = view_direction(self.matrix.similarity, self.matrix.image_of_sentence, direction)
            scores = qbnorm_scores(view.similarity, bank.stats(beta), beta)
            counts.append(count_ranks(replace(view, similarity=scores)))
        return counts[0], counts[1]


@dataclass(frozen=True, eq=False)
class RerankResult:
    """Ranks under one rerank.

    Attributes:
        ranks: of the test split.
        params: the parameters, with the validation mR that they reach; None for the rerank `none`.
        validation_mr: mR of the validation split under this rerank, percent; None where there is none.
    """

    ranks: RetrievalRanks
    params: RerankParams | QBNormParams | None
    validation_mr: float | None


def evaluate(
    test: RankingSource,
    validation: RankingSource | None,
    reranks: Sequence[str],
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    beta: Sequence[float],
    ties: str = "pessimistic",
) -> dict[str, RerankResult]:
    """Rank a test split under each rerank, with parameters chosen on validation.

    Args:
        test: what is ranked.
        validation: what k, w1, w2 and β are chosen on, and what every rerank is measured on, so that one of them can
            be chosen; not needed if each has one value.
        reranks: any of `none`, `mr-code`, `mr-paper`, `reciprocal` and `qbnorm`.
        k: numbers of candidates to rerank, to choose from.
        w1: weights of significance, to choose from.
        w2: weights of the reverse term, to choose from.
        xi: decay per rank.
        beta: inverse temperatures of qbnorm, to choose from.
        ties: `pessimistic`, `expected` or `optimistic`.

    Returns:
        The results by rerank, in the given order.

    Raises:
        ShapeError: arrays do not match, or a number is not finite.
        ConfigError: a rerank is unknown, a parameter is invalid, or there is no validation to choose on.
    """
    _check_evaluation(reranks, k, w1, w2, xi, beta, validation is not None)
    variants = [MR_VARIANTS[rerank] for rerank in reranks if rerank in MR_VARIANTS]
    max_k = max((effective_k(variant, max(k)) for variant in variants), default=0)
    test_directions = test.prepare_directions(max_k) if variants else None
    val_directions = None
    if variants and validation is not None:
        val_directions = validation.prepare_directions(max_k)
    results = {}
    for rerank in reranks:
        if rerank in MR_VARIANTS and test_directions is not None:
            results[rerank] = _evaluate_mr(
                test_directions, val_directions, MR_VARIANTS[rerank], k, w1, w2, xi, ties
            )
        elif rerank == "qbnorm":
            results[rerank] = _evaluate_qbnorm(test, validation, beta, ties)
        else:
            counts = _plain_counts(test, test_directions)
            validation_mr = None
            if validation is not None:
                validation_mr = mean_recall(*_plain_counts(validation, val_directions), ties)
            ranks = RetrievalRanks.from_counts(*counts, ties)
            results[rerank] = RerankResult(ranks, None, validation_mr)
    return results


def _plain_counts(
    source: RankingSource, directions: tuple[RankedDirection, RankedDirection] | None
) -> tuple[RankCounts, RankCounts]:
    """Counts without a rerank, i2t and t2i; those of its directions where they were prepared for a rerank."""
    if directions is None:
        return source.count_ranks()
    return directions[0].baseline, directions[1].baseline


def _evaluate_mr(
    test: tuple[RankedDirection, RankedDirection],
    validation: tuple[RankedDirection, RankedDirection] | None,
    variant: str,
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    ties: str,
) -> RerankResult:
    """Rank under a variant of multivariate rerank; see `evaluate` for the arguments."""
    params = grid_points(variant, k, w1, w2, xi)[0]
    if validation is not None:
        params = grid_search(validation, variant, k, w1, w2, xi, ties)
    ranks = rerank_and_rank(test, variant, params.k, *params.weights, xi, ties)
    return RerankResult(ranks, params, params.validation_mr)


def _evaluate_qbnorm(
    test: RankingSource, validation: RankingSource | None, beta: Sequence[float], ties: str
) -> RerankResult:
    """Rank under qbnorm; see `evaluate` for the arguments."""
    params = QBNormParams(beta[0])
    if validation is not None:
        params = grid_search_beta(validation.count_ranks_qbnorm, beta, ties)
    counts = test.count_ranks_qbnorm(params.beta)
    ranks = RetrievalRanks.from_counts(*counts, ties)
    return RerankResult(ranks, params, params.validation_mr)


def _check_evaluation(
    reranks: Sequence[str],
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    beta: Sequence[float],
    has_validation: bool,
) -> None:
    """Check the parameters of an evaluation before anything is computed.

    Raises:
        ConfigError: a rerank is unknown, a parameter is invalid, or there is no validation to choose on.
    """
    for rerank in reranks:
        if rerank not in get_args(RerankName):
            raise ConfigError(
                f"rerank '{rerank}' is unknown; choose from {', '.join(get_args(RerankName))}"
            )
        num_points = 1
        if rerank in MR_VARIANTS:
            check_grid(MR_VARIANTS[rerank], k, w1, w2, xi)
            num_points = len(grid_points(MR_VARIANTS[rerank], k, w1, w2, xi))
        elif rerank == "qbnorm":
            check_beta(*beta)
            num_points = len(beta)
        if num_points > 1 and not has_validation:
            raise ConfigError(
                f"{rerank} has {num_points} sets of parameters to choose from, and there is no validation"
                " matrix to choose on; give one value of each, or a similarity.h5 with validation"
            )
