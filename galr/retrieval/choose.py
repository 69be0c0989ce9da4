"""Choose the rerank's parameters on validation; the test matrix never takes part."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from galr.errors import ConfigError
from galr.retrieval.metrics import scores
from galr.retrieval.ranks import Ranks, places
from galr.retrieval.relevance import check, direction
from galr.retrieval.rerank import check as check_parameters
from galr.retrieval.rerank import components, reranked


@dataclass(frozen=True)
class Choice:
    """One set of parameters for both directions, and what it reached where it was chosen.

    Attributes:
        k: candidates reranked.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place.
        validation_mr: percent; none where nothing was chosen from.
    """

    k: int
    w1: float
    w2: float
    xi: float
    validation_mr: float | None = None


def choose(
    similarity: np.ndarray,
    image_of_sentence: np.ndarray,
    variant: str,
    k: Sequence[int],
    w1: Sequence[float],
    w2: Sequence[float],
    xi: float,
    ties: str = "pessimistic",
) -> Choice:
    """Take the point of a grid with the best mR, the first of equals in the order k, w1, w2.

    One set serves both directions, as in the released script (which looked at the test matrix).

    Args:
        similarity: (images, sentences) of the *validation* images.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        variant: `code` or `paper`.
        k: candidates to rerank, to choose from.
        w1: weights of significance, to choose from.
        w2: weights of the reverse place, to choose from.
        xi: decay a place.
        ties: `pessimistic`, `expected` or `optimistic`.

    Raises:
        ShapeError: the two arrays do not belong together, or a number is not finite.
        ConfigError: an empty grid, or parameters that mean nothing.
    """
    check_grid(variant, k, w1, w2, xi)
    check(similarity, image_of_sentence)
    sides = [direction(similarity, image_of_sentence, name) for name in ("i2t", "t2i")]
    before = [places(side) for side in sides]
    reached = {}
    for each in k:
        found = [components(side.similarity, variant, each, xi) for side in sides]
        for weights in product(w1, w2):
            after = [reranked(*three, *weights) for three in zip(before, sides, found, strict=True)]
            reached[each, *weights] = scores(Ranks.of_places(after[0], after[1], ties))["mr"]
    best = max(reached, key=reached.__getitem__)  # the first of equals
    return Choice(*best, xi, reached[best])


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
