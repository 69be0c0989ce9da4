"""What ranks and reranks would read off a matrix, found by two walks over the products of two tables.

The same read from the matrix that `products.similarity` makes of the same tiles is the same to the last
bit. Memory: O((images + sentences)·k) and a few tiles.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galr.errors import ConfigError
from galr.retrieval.candidates import Candidates
from galr.retrieval.ranks import Places
from galr.retrieval.relevance import DirectionName, check_images_of_sentences
from galr.retrieval.sides import Side
from galr.retrieval.tables.best import below
from galr.retrieval.tables.counts import Asked
from galr.retrieval.tables.products import Tables
from galr.retrieval.tables.walks import BOTH, Seen, count, look

OTHER: Mapping[DirectionName, DirectionName] = {"i2t": "t2i", "t2i": "i2t"}


class Search:
    """Two tables and their relevance, where an evaluation expects a matrix and its relevance."""

    def __init__(self, tables: Tables, image_of_sentence: np.ndarray) -> None:
        """Refuse a relevance of other tables.

        Args:
            tables: what is ranked.
            image_of_sentence: (sentences,) integers, row of the image a sentence speaks of.

        Raises:
            ShapeError: the two do not belong together.
        """
        check_images_of_sentences(image_of_sentence, tables.images, tables.sentences)
        self.image_of_sentence = image_of_sentence
        self._tables = tables

    def places(self) -> tuple[Places, Places]:
        """Places by similarity alone: images ask, sentences ask."""
        places = search(self._tables, 0, (), self.image_of_sentence).places
        return places["i2t"], places["t2i"]

    def sides(self, k: int) -> tuple[Side, Side]:
        """Everything that reranking up to k candidates needs: images ask, sentences ask."""
        found = search(self._tables, k, BOTH, self.image_of_sentence)
        i2t, t2i = found.candidates["i2t"], found.candidates["t2i"]
        images = np.arange(self._tables.images)
        return (
            Side(found.places["i2t"], i2t, self.image_of_sentence[i2t.order] == images[:, None]),
            Side(found.places["t2i"], t2i, t2i.order == self.image_of_sentence[:, None]),
        )

    def normalised(self, beta: float) -> tuple[Places, Places]:
        """Places under qbnorm, which tables cannot give.

        Raises:
            ConfigError: there is no bank.
        """
        raise ConfigError(
            "qbnorm needs a bank of training queries, and two tables have none;"
            " evaluate a similarity.h5, or leave qbnorm out"
        )


@dataclass(frozen=True, eq=False)
class Found:
    """What two walks found.

    Attributes:
        candidates: the best of every query, by direction that was asked for.
        places: places by similarity alone, by direction; empty where no relevance was given.
    """

    candidates: Mapping[DirectionName, Candidates]
    places: Mapping[DirectionName, Places]


def search(
    tables: Tables,
    k: int,
    directions: Collection[DirectionName],
    image_of_sentence: np.ndarray | None = None,
) -> Found:
    """Find the candidates of some directions, and the places of both where a relevance is given.

    Args:
        tables: whose products.
        k: most candidates that will be reranked; beyond the table is the table.
        directions: which to find candidates for.
        image_of_sentence: (sentences,) integers, row of the image a sentence speaks of; none if nobody
            asks for places.
    """
    image = None
    if image_of_sentence is not None:
        image = torch.from_numpy(image_of_sentence.astype(np.int64)).to(tables.device)
    seen = look(tables, k + 1, directions, image)
    relevant = (
        {} if image is None else {name: _relevant(tables, name, seen, image) for name in BOTH}
    )
    asked = {}
    for (
        name
    ) in BOTH:  # what the lists of its queries are asked, by the other side's candidates first
        questions = [_flat(seen.best[OTHER[name]])] if OTHER[name] in directions else []
        questions += relevant[name].questions() if name in relevant else []
        if questions:
            asked[name] = Asked(tables.shape(name)[0], questions)
    totals = count(tables, asked, directions, max(-seen.lowest, seen.highest))
    answers = {name: list(each.counts()) for name, each in asked.items()}
    candidates = {}
    for name in directions:
        order, products = seen.best[name]
        candidates[name] = Candidates(
            order.numpy(force=True),
            products.numpy(force=True),
            answers[OTHER[name]].pop(0).view_as(order).numpy(force=True),
            totals[name].numpy(force=True),
            min(seen.lowest, 0.0),
        )
    return Found(candidates, {name: each.places(*answers[name]) for name, each in relevant.items()})


@dataclass(frozen=True, eq=False)
class _Relevant:
    """The best relevant candidate of every query of a direction.

    Attributes:
        product: (queries,) float32, what it reaches.
        level: (queries,) int64, how many relevant ones reach as much, itself included.
    """

    product: Tensor
    level: Tensor

    def questions(self) -> list[tuple[Tensor, Tensor]]:
        """Ask every query's list how many are larger, and how many are at least as large."""
        every = torch.arange(len(self.product), device=self.product.device)
        return [(every, self.product), (every, below(self.product))]

    def places(self, above: Tensor, reaching: Tensor) -> Places:
        """Make places of the answers."""
        tied = reaching - above - self.level
        return Places(*(each.numpy(force=True) for each in (above, tied, self.level)))


def _relevant(tables: Tables, name: DirectionName, seen: Seen, image: Tensor) -> _Relevant:
    """Find the best relevant candidate of every query of a direction."""
    assert seen.own is not None
    if name == "t2i":
        return _Relevant(seen.own, torch.ones_like(image))
    best = seen.own.new_full((tables.images,), -torch.inf)
    best.scatter_reduce_(0, image, seen.own, "amax")
    level = torch.bincount(image[seen.own == best[image]], minlength=tables.images)
    return _Relevant(best, level)


def _flat(best: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Ask each candidate's own list how many queries are more alike to it."""
    order, products = best
    return order.ravel(), products.ravel()
