"""Rank a test split under every rerank that is asked for."""

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
)
from galr.evaluate.qbnorm import QueryBank, qbnorm_scores
from galr.evaluate.qbnorm import check_beta as check_beta
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
    """What evaluation asks of images and sentences that were compared, however they were."""

    def count_ranks(self) -> tuple[RankCounts, RankCounts]:
        """Places by similarity alone: images ask, sentences ask."""

    def prepare_directions(self, max_k: int) -> tuple[RankedDirection, RankedDirection]:
        """The same, and all that reranking up to k candidates needs."""

    def count_ranks_qbnorm(self, beta: float) -> tuple[RankCounts, RankCounts]:
        """Places under qbnorm.

        Raises:
            ConfigError: there is no bank.
        """


@dataclass(frozen=True, eq=False)
class MatrixSource:
    """A matrix, what belongs together in it, and the banks of training queries where there are some.

    Attributes:
        pairs: the matrix and its relevance.
        banks: training images to its sentences, training sentences to its images; none without.
        threads: to work with.
    """

    matrix: SimilarityMatrix
    banks: tuple[QueryBank, QueryBank] | None = None
    threads: int = 1

    def count_ranks(self) -> tuple[RankCounts, RankCounts]:
        """See `Source`.

        Raises:
            ShapeError: the matrix and its relevance do not belong together, or a number is not finite.
        """
        check_ranking_inputs(self.matrix.similarity, self.matrix.image_of_sentence)
        i2t, t2i = (
            count_ranks(view_direction(self.matrix.similarity, self.matrix.image_of_sentence, name))
            for name in ("i2t", "t2i")
        )
        return i2t, t2i

    def prepare_directions(self, max_k: int) -> tuple[RankedDirection, RankedDirection]:
        """See `Source`.

        Raises:
            ShapeError: the matrix and its relevance do not belong together, or a number is not finite.
        """
        return prepare_directions(self.matrix, max_k, self.threads)

    def count_ranks_qbnorm(self, beta: float) -> tuple[RankCounts, RankCounts]:
        """See `Source`.

        Raises:
            ShapeError: as `sides`, or the banks are of other candidates.
            ConfigError: there are no banks.
        """
        if self.banks is None:
            raise ConfigError("qbnorm needs a bank of training queries, and there is none")
        check_ranking_inputs(self.matrix.similarity, self.matrix.image_of_sentence)
        found = []
        for name, bank in zip(("i2t", "t2i"), self.banks, strict=True):
            side = view_direction(self.matrix.similarity, self.matrix.image_of_sentence, name)
            scores = qbnorm_scores(side.similarity, bank.stats(beta), beta)
            found.append(count_ranks(replace(side, similarity=scores)))
        return found[0], found[1]


@dataclass(frozen=True, eq=False)
class RerankResult:
    """Ranks under one rerank, and the parameters it was given; none for no rerank."""

    ranks: RetrievalRanks
    params: RerankParams | QBNormParams | None


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
        validation: what k, w1, w2 and β are chosen on; not needed where there is one of each.
        reranks: `none`, `mr-code`, `mr-paper`, `reciprocal` and `qbnorm`, any of them.
        k: candidates to rerank, to choose from.
        w1: weights of significance, to choose from.
        w2: weights of the reverse place, to choose from.
        xi: decay a place.
        beta: sharpness of qbnorm, to choose from.
        ties: `pessimistic`, `expected` or `optimistic`.

    Returns:
        By rerank, in the order asked for.

    Raises:
        ShapeError: arrays that do not belong together, or a number that is not finite.
        ConfigError: an unknown rerank, parameters that mean nothing, or nothing to choose them on.
    """
    _check_evaluation(reranks, k, w1, w2, xi, beta, validation is not None)
    moving = [MR_VARIANTS[rerank] for rerank in reranks if rerank in MR_VARIANTS]
    width = max((effective_k(variant, max(k)) for variant in moving), default=0)
    tested = test.prepare_directions(width) if moving else None
    validated = validation.prepare_directions(width) if moving and validation is not None else None
    found = {}
    for rerank in reranks:
        if rerank in MR_VARIANTS and tested is not None:
            found[rerank] = _evaluate_mr(
                tested, validated, MR_VARIANTS[rerank], k, w1, w2, xi, ties
            )
        elif rerank == "qbnorm":
            found[rerank] = _evaluate_qbnorm(test, validation, beta, ties)
        else:
            before = (tested[0].baseline, tested[1].baseline) if tested else test.count_ranks()
            found[rerank] = RerankResult(RetrievalRanks.from_counts(*before, ties), None)
    return found


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
    """Rank under a rerank that moves the k best candidates; see `evaluate` for the arguments."""
    choice = grid_points(variant, k, w1, w2, xi)[0]
    if validation is not None:
        choice = grid_search(validation, variant, k, w1, w2, xi, ties)
    after = rerank_and_rank(test, variant, choice.k, *choice.weights, xi, ties)
    return RerankResult(after, choice)


def _evaluate_qbnorm(
    test: RankingSource, validation: RankingSource | None, beta: Sequence[float], ties: str
) -> RerankResult:
    """Rank under qbnorm; see `evaluate` for the arguments."""
    choice = QBNormParams(beta[0])
    if validation is not None:
        choice = grid_search_beta(validation.count_ranks_qbnorm, beta, ties)
    return RerankResult(
        RetrievalRanks.from_counts(*test.count_ranks_qbnorm(choice.beta), ties), choice
    )


def _check_evaluation(
    reranks: Sequence[str],
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    beta: Sequence[float],
    validation: bool,
) -> None:
    """Refuse what cannot be evaluated before any work is done.

    Raises:
        ConfigError: says what.
    """
    for rerank in reranks:
        if rerank not in get_args(RerankName):
            raise ConfigError(
                f"rerank '{rerank}' is unknown; choose from {', '.join(get_args(RerankName))}"
            )
        if rerank in MR_VARIANTS:
            check_grid(MR_VARIANTS[rerank], k, w1, w2, xi)
            choices = len(grid_points(MR_VARIANTS[rerank], k, w1, w2, xi))
        elif rerank == "qbnorm":
            check_beta(*beta)
            choices = len(beta)
        else:
            choices = 1
        if choices > 1 and not validation:
            raise ConfigError(
                f"{rerank} has {choices} sets of parameters to choose from, and there is no validation"
                " matrix to choose on; give one of each, or a similarity.h5 that holds validation"
            )
