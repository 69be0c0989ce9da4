"""Rank a test split under every rerank that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, get_args

from galr.errors import ConfigError
from galr.retrieval.choose import Choice, Sharpness, check_grid, choose, choose_beta, points
from galr.retrieval.qbnorm import Bank, normalised
from galr.retrieval.qbnorm import check as check_beta
from galr.retrieval.ranks import Places, Ranks, places
from galr.retrieval.relevance import Pairs, check, direction
from galr.retrieval.rerank import least_k
from galr.retrieval.sides import Side, ranked, sides

Rerank = Literal["none", "mr-code", "mr-paper", "reciprocal", "qbnorm"]
VARIANTS = {"mr-code": "code", "mr-paper": "paper", "reciprocal": "reciprocal"}


class Source(Protocol):
    """What evaluation asks of images and sentences that were compared, however they were."""

    def places(self) -> tuple[Places, Places]:
        """Places by similarity alone: images ask, sentences ask."""

    def sides(self, k: int) -> tuple[Side, Side]:
        """The same, and all that reranking up to k candidates needs."""

    def normalised(self, beta: float) -> tuple[Places, Places]:
        """Places under qbnorm.

        Raises:
            ConfigError: there is no bank.
        """


@dataclass(frozen=True, eq=False)
class Compared:
    """A matrix, what belongs together in it, and the banks of training queries where there are some.

    Attributes:
        pairs: the matrix and its relevance.
        banks: training images to its sentences, training sentences to its images; none without.
        threads: to work with.
    """

    pairs: Pairs
    banks: tuple[Bank, Bank] | None = None
    threads: int = 1

    def places(self) -> tuple[Places, Places]:
        """See `Source`.

        Raises:
            ShapeError: the matrix and its relevance do not belong together, or a number is not finite.
        """
        check(self.pairs.similarity, self.pairs.image_of_sentence)
        i2t, t2i = (
            places(direction(self.pairs.similarity, self.pairs.image_of_sentence, name))
            for name in ("i2t", "t2i")
        )
        return i2t, t2i

    def sides(self, k: int) -> tuple[Side, Side]:
        """See `Source`.

        Raises:
            ShapeError: the matrix and its relevance do not belong together, or a number is not finite.
        """
        return sides(self.pairs, k, self.threads)

    def normalised(self, beta: float) -> tuple[Places, Places]:
        """See `Source`.

        Raises:
            ShapeError: as `sides`, or the banks are of other candidates.
            ConfigError: there are no banks.
        """
        if self.banks is None:
            raise ConfigError("qbnorm needs a bank of training queries, and there is none")
        check(self.pairs.similarity, self.pairs.image_of_sentence)
        found = []
        for name, bank in zip(("i2t", "t2i"), self.banks, strict=True):
            side = direction(self.pairs.similarity, self.pairs.image_of_sentence, name)
            scores = normalised(side.similarity, bank.hubs(beta), beta)
            found.append(places(replace(side, similarity=scores)))
        return found[0], found[1]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Ranks under one rerank, and the parameters it was given; none for no rerank."""

    ranks: Ranks
    choice: Choice | Sharpness | None


def evaluate(
    test: Source,
    validation: Source | None,
    reranks: Sequence[str],
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    beta: Sequence[float],
    ties: str = "pessimistic",
) -> dict[str, Evaluated]:
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
    _check(reranks, k, w1, w2, xi, beta, validation is not None)
    moving = [VARIANTS[rerank] for rerank in reranks if rerank in VARIANTS]
    width = max((least_k(variant, max(k)) for variant in moving), default=0)
    tested = test.sides(width) if moving else None
    validated = validation.sides(width) if moving and validation is not None else None
    found = {}
    for rerank in reranks:
        if rerank in VARIANTS and tested is not None:
            found[rerank] = _moved(tested, validated, VARIANTS[rerank], k, w1, w2, xi, ties)
        elif rerank == "qbnorm":
            found[rerank] = _normalised(test, validation, beta, ties)
        else:
            before = (tested[0].before, tested[1].before) if tested else test.places()
            found[rerank] = Evaluated(Ranks.of_places(*before, ties), None)
    return found


def _moved(
    test: tuple[Side, Side],
    validation: tuple[Side, Side] | None,
    variant: str,
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    ties: str,
) -> Evaluated:
    """Rank under a rerank that moves the k best candidates; see `evaluate` for the arguments."""
    choice = points(variant, k, w1, w2, xi)[0]
    if validation is not None:
        choice = choose(validation, variant, k, w1, w2, xi, ties)
    after = ranked(test, variant, choice.k, *choice.weights, xi, ties)
    return Evaluated(after, choice)


def _normalised(
    test: Source, validation: Source | None, beta: Sequence[float], ties: str
) -> Evaluated:
    """Rank under qbnorm; see `evaluate` for the arguments."""
    choice = Sharpness(beta[0])
    if validation is not None:
        choice = choose_beta(validation.normalised, beta, ties)
    return Evaluated(Ranks.of_places(*test.normalised(choice.beta), ties), choice)


def _check(
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
        if rerank not in get_args(Rerank):
            raise ConfigError(
                f"rerank '{rerank}' is unknown; choose from {', '.join(get_args(Rerank))}"
            )
        if rerank in VARIANTS:
            check_grid(VARIANTS[rerank], k, w1, w2, xi)
            choices = len(points(VARIANTS[rerank], k, w1, w2, xi))
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
