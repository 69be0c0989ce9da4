"""Choose queries to show by a rule that nobody can bend, and list what was found for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galr.evaluate.ranks import compute_ranks


@dataclass(frozen=True)
class Scored:
    """What one run gave the test split."""

    similarity: np.ndarray  # (images, sentences) finite, larger is more alike
    names: Sequence[str]  # (images,)
    sentences: Sequence[str]  # (sentences,)
    image_of_sentence: np.ndarray  # (sentences,) row of the image each speaks of


@dataclass(frozen=True)
class Candidate:
    """One answer in the order found."""

    index: int  # row of images or of sentences
    place: int  # from 1
    similarity: float
    right: bool
    twin: bool  # not the right one, yet it carries the very same sentence


@dataclass(frozen=True)
class Example:
    """One query, its first candidates, and where the best right one stands."""

    query: int
    rank: int  # from 1
    candidates: tuple[Candidate, ...]
    beyond: Candidate | None  # the best right one, where it is not among the candidates


@dataclass(frozen=True)
class Direction:
    """The examples of one direction, and how common each kind is."""

    examples: tuple[Example, ...]
    queries: int
    first: int  # queries with a right answer in front


def examples(scored: Scored, *, count: int, top: int, seed: int) -> tuple[Direction, Direction]:
    """Draw queries of both directions and list what was found for each.

    Half the queries are drawn among those with a right answer in front, half among the others;
    where one kind runs out the other fills up. Nothing but the seed decides which.
    A tie counts against us.

    Args:
        scored: what a run gave the test split.
        count: how many queries to draw in each direction.
        top: how many candidates to list for each.
        seed: of the draws.

    Returns:
        Sentences that ask for their picture, and pictures that ask for their sentences.

    Raises:
        ShapeError: the similarities do not belong to the sentences, or are not finite.
    """
    found = compute_ranks(scored.similarity, scored.image_of_sentence)
    owners = scored.image_of_sentence
    images = np.arange(len(scored.names))
    texts = np.unique(list(scored.sentences), return_inverse=True)[1]  # equal words, equal number

    def sentence(query: int) -> Example:
        twin = np.isin(images, owners[texts == texts[query]])
        return example(query, scored.similarity[:, query], images == owners[query], twin, top)

    def picture(query: int) -> Example:
        own = owners == query
        return example(query, scored.similarity[query], own, np.isin(texts, texts[own]), top)

    return (
        _direction(found.t2i == 0, [sentence(q) for q in draw(found.t2i == 0, count, seed)]),
        _direction(found.i2t == 0, [picture(q) for q in draw(found.i2t == 0, count, seed)]),
    )


def draw(first: np.ndarray, count: int, seed: int) -> list[int]:
    """Draw queries, right ones before wrong ones.

    Args:
        first: (queries,) bool, a right answer is in front.
        count: how many to draw in all, half of each kind, an odd one right.
        seed: of the draw.

    Returns:
        Query numbers, right ones first, each kind ascending; fewer than `count` if there are fewer.
    """
    random = np.random.default_rng(seed)
    right = random.permutation(np.flatnonzero(first))
    wrong = random.permutation(np.flatnonzero(~first))
    rights = min(len(right), max((count + 1) // 2, count - len(wrong)))
    return sorted(right[:rights].tolist()) + sorted(wrong[: count - rights].tolist())


def example(
    query: int, similarity: np.ndarray, relevant: np.ndarray, twin: np.ndarray, top: int
) -> Example:
    """List one query's candidates, wrong before right where they tie.

    Args:
        query: its number.
        similarity: (candidates,) float.
        relevant: (candidates,) bool, at least one True.
        twin: (candidates,) bool, carries the very same sentence.
        top: how many to list.
    """
    order = np.lexsort((relevant, -similarity))
    rank = int(np.flatnonzero(relevant[order])[0])

    def candidate(place: int) -> Candidate:
        index = int(order[place])
        right = bool(relevant[index])
        return Candidate(
            index, place + 1, float(similarity[index]), right, bool(twin[index]) and not right
        )

    return Example(
        query,
        rank + 1,
        tuple(candidate(place) for place in range(min(top, len(order)))),
        candidate(rank) if rank >= top else None,
    )


def _direction(first: np.ndarray, shown: list[Example]) -> Direction:
    """Put the examples beside how common their kind is."""
    return Direction(tuple(shown), len(first), int(first.sum()))
