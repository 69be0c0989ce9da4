"""Rank one matrix under every rerank that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from galr.errors import ConfigError
from galr.retrieval.choose import Choice, choose
from galr.retrieval.ranks import Ranks, ranks
from galr.retrieval.relevance import Pairs
from galr.retrieval.rerank import reranked_ranks

Rerank = Literal["none", "mr-code", "mr-paper"]
VARIANTS = {"mr-code": "code", "mr-paper": "paper"}


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Ranks under one rerank, and the parameters it was given; none for no rerank."""

    ranks: Ranks
    choice: Choice | None


def evaluate(
    test: Pairs,
    validation: Pairs | None,
    reranks: Sequence[str],
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    ties: str = "pessimistic",
) -> dict[str, Evaluated]:
    """Rank a test matrix under each rerank, with parameters chosen on validation.

    Args:
        test: what is ranked.
        validation: what k, w1 and w2 are chosen on; not needed where there is one of each.
        reranks: `none`, `mr-code` and `mr-paper`, any of them.
        k: candidates to rerank, to choose from.
        w1: weights of significance, to choose from.
        w2: weights of the reverse place, to choose from.
        xi: decay a place.
        ties: `pessimistic`, `expected` or `optimistic`.

    Returns:
        By rerank, in the order asked for.

    Raises:
        ShapeError: arrays that do not belong together, or a number that is not finite.
        ConfigError: an unknown rerank, parameters that mean nothing, or nothing to choose them on.
    """
    unknown = [rerank for rerank in reranks if rerank not in get_args(Rerank)]
    if unknown:
        raise ConfigError(
            f"rerank '{unknown[0]}' is unknown; choose from {', '.join(get_args(Rerank))}"
        )
    if validation is None and set(reranks) & set(VARIANTS) and len(k) * len(w1) * len(w2) != 1:
        raise ConfigError(
            f"{len(k)} k, {len(w1)} w1 and {len(w2)} w2 are to be chosen from, and there is no validation"
            " matrix to choose on; give one of each, or a similarity.h5 that holds validation"
        )
    found = {}
    for rerank in reranks:
        if rerank == "none":
            found[rerank] = Evaluated(ranks(test.similarity, test.image_of_sentence, ties), None)
            continue
        variant = VARIANTS[rerank]
        choice = Choice(k[0], w1[0], w2[0], xi)
        if validation is not None:
            choice = choose(
                validation.similarity, validation.image_of_sentence, variant, k, w1, w2, xi, ties
            )
        after = reranked_ranks(
            test.similarity,
            test.image_of_sentence,
            variant,
            choice.k,
            choice.w1,
            choice.w2,
            xi,
            ties,
        )
        found[rerank] = Evaluated(after, choice)
    return found
