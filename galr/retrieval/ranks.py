"""Where the first relevant candidate of every query stands, with ties counted as one chooses."""

from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np

from galr.errors import ConfigError
from galr.retrieval.relevance import BLOCK, Direction, blocks, check, direction

Ties = Literal["pessimistic", "expected", "optimistic"]
CUTOFFS = (1, 5, 10)  # of the recalls


@dataclass(frozen=True, eq=False)
class Places:
    """What is known of the best relevant candidate of every query, before a tie rule is chosen.

    Attributes:
        above: (queries,) int64, irrelevant candidates that are more alike.
        tied: (queries,) int64, irrelevant candidates exactly as alike.
        own: (queries,) int64, relevant candidates exactly as alike, itself included: at least 1.
    """

    above: np.ndarray
    tied: np.ndarray
    own: np.ndarray

    def ranks(self, ties: str) -> np.ndarray:
        """Rank the first relevant candidate, counting from 0.

        `pessimistic` puts it behind all that tie with it, so that a constant matrix scores as badly as
        it deserves, `optimistic` before them, and `expected` is the mean over all orders of the tie:
        above + tied / (own + 1).

        Returns:
            (queries,) float64.

        Raises:
            ConfigError: another rule.
        """
        if ties == "pessimistic":
            return (self.above + self.tied).astype(np.float64)
        if ties == "optimistic":
            return self.above.astype(np.float64)
        if ties == "expected":
            return self.above + self.tied / (self.own + 1)
        raise ConfigError(f"ties '{ties}' is unknown; choose from {', '.join(get_args(Ties))}")

    def hits(self, ties: str) -> np.ndarray:
        """Tell whether the first relevant candidate is among the first 1, 5 and 10.

        Under `expected` this is a chance, over all orders of the tie. It is not read off the expected
        rank: of two that tie for the first place each has it half of the time, though both expect rank ½.

        Returns:
            (queries, cut-offs) float64 in [0, 1]; 0 or 1 unless ties are `expected`.

        Raises:
            ConfigError: another rule.
        """
        if ties != "expected":
            return hits(self.ranks(ties))
        return np.stack([1 - self._chance_to_miss(cutoff) for cutoff in CUTOFFS], axis=1)

    def _chance_to_miss(self, cutoff: int) -> np.ndarray:
        """Draw the places left below the cut-off, one after the other, and find none of our own."""
        miss = np.ones(len(self.above))
        for drawn in range(cutoff):
            left = np.maximum(self.tied - drawn, 0)
            miss *= np.where(self.above + drawn < cutoff, left / (left + self.own), 1)
        return miss


@dataclass(frozen=True, eq=False)
class Ranks:
    """The ranks of both directions under one tie rule.

    Attributes:
        i2t: (images,) float64, rank from 0 of the best of an image's own sentences.
        t2i: (sentences,) float64, rank from 0 of a sentence's image.
        i2t_hits: (images, cut-offs) float64, chance that the rank is below 1, 5 and 10: 0 or 1 unless
            ties are `expected`.
        t2i_hits: (sentences, cut-offs) float64, the same.
    """

    i2t: np.ndarray
    t2i: np.ndarray
    i2t_hits: np.ndarray
    t2i_hits: np.ndarray

    @classmethod
    def of_places(cls, i2t: Places, t2i: Places, ties: str) -> Self:
        """Apply one tie rule to both directions."""
        return cls(i2t.ranks(ties), t2i.ranks(ties), i2t.hits(ties), t2i.hits(ties))

    @classmethod
    def sharp(cls, i2t: np.ndarray, t2i: np.ndarray) -> Self:
        """Take ranks that somebody else counted, no tie among them left open."""
        return cls(i2t, t2i, hits(i2t), hits(t2i))


def hits(ranks: np.ndarray) -> np.ndarray:
    """Tell which ranks are below 1, 5 and 10: (queries,) to (queries, cut-offs) float64, 0 or 1."""
    return (ranks[:, None] < np.array(CUTOFFS)).astype(np.float64)


def ranks(
    similarity: np.ndarray, image_of_sentence: np.ndarray, ties: str = "pessimistic"
) -> Ranks:
    """Rank both directions of a similarity matrix (METHOD 7).

    Args:
        similarity: (images, sentences) finite real numbers, larger is more alike.
        image_of_sentence: (sentences,) integers, row of the image a sentence speaks of; every image
            has one sentence at least.
        ties: `pessimistic`, `expected` or `optimistic`; see `Places.ranks`.

    Raises:
        ShapeError: the two do not belong together, or a number is not finite.
        ConfigError: another tie rule.
    """
    check(similarity, image_of_sentence)
    i2t, t2i = (places(direction(similarity, image_of_sentence, name)) for name in ("i2t", "t2i"))
    return Ranks.of_places(i2t, t2i, ties)


def places(queries: Direction) -> Places:
    """Count what stands before and beside the best relevant candidate of every query.

    Nothing is sorted: a relevant candidate is never above the best of them, so counting all that are
    above counts the irrelevant ones.
    """
    similarity = queries.similarity
    count, candidates = similarity.shape
    relevant = similarity[queries.query, queries.candidate]  # (pairs,)
    best = np.full(count, relevant.min(), similarity.dtype)
    np.maximum.at(best, queries.query, relevant)
    own = np.bincount(queries.query, weights=relevant == best[queries.query], minlength=count)
    above, level = np.empty(count, np.int64), np.empty(count, np.int64)
    for rows in blocks(count, candidates, 64 * BLOCK):  # one byte an entry, so larger blocks
        block, limit = similarity[rows], best[rows, None]
        above[rows] = (block > limit).sum(axis=1, dtype=np.uint32)  # twice as fast as int64
        level[rows] = (block == limit).sum(axis=1, dtype=np.uint32)
    own = own.astype(np.int64)
    return Places(above, level - own, own)
