"""Ranks and reranks of two embedding tables, without the matrix of their products.

`products` says what a product is, tile by tile; `best` keeps the best of every list while the tiles go by,
`counts` counts what is larger, `search` walks over the tiles twice and hands the rest of the room what it
would have read off the matrix.

The two walks over all products: look who is best, then count who is better and sum.

What ranks and reranks would read off a matrix, found by two walks over the products of two tables.

The same read from the matrix that `products.similarity` makes of the same tiles is the same to the last
bit. Memory: O((images + sentences)·k) and a few tiles.

The first of every query's reranked candidates.
"""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from galr.errors import ConfigError
from galr.evaluate.accumulators import RankCounter, TopK, next_below
from galr.evaluate.directions import RankedDirection
from galr.evaluate.ranks import Direction, RankCounts, check_image_of_sentence, row_blocks
from galr.evaluate.rerank import min_reranked, rerank_terms, scores_below
from galr.evaluate.tiled_products import EmbeddingPair, ProductTile
from galr.evaluate.topk import Candidates, rounding_shift

# An image's lists are sorted in the tile itself, so whoever wants it whole comes before.
DIRECTIONS: tuple[Direction, ...] = ("t2i", "i2t")
SUM_BLOCK = {"cpu": 1 << 17, "cuda": 1 << 26}  # float64 at once: what a core's cache or a GPU likes


@dataclass(frozen=True, eq=False)
class TopKResult:
    """What the first walk saw.

    Attributes:
        best: by direction, (queries, width) int64 candidates in stable descending order, and float32
            products of each.
        own: (sentences,) float32, the product of each sentence and its image; none without relevance.
        lowest: the least product.
        highest: the largest.
    """

    topk: Mapping[Direction, tuple[Tensor, Tensor]]
    relevant_product: Tensor | None
    min_product: float
    max_product: float


def topk_pass(
    embeddings: EmbeddingPair,
    width: int,
    directions: Collection[Direction],
    image_of_sentence: Tensor | None,
) -> TopKResult:
    """Keep the best of every query, and what the relevant pairs reach.

    Args:
        tables: whose products.
        width: how many to keep; beyond the table is the table.
        directions: whose queries.
        image: (sentences,) int64, row of the image a sentence speaks of; none if nobody asks.
    """
    best = {}
    for name in directions:
        queries, candidates = embeddings.shape(name)
        best[name] = TopK(queries, min(width, candidates), embeddings.device)
    own = (
        None
        if image_of_sentence is None
        else torch.empty(embeddings.num_sentences, device=embeddings.device)
    )
    lowest, highest = (
        torch.tensor(bound, device=embeddings.device) for bound in (torch.inf, -torch.inf)
    )
    for tile in embeddings.tiles("best"):
        low, high = tile.products.aminmax()
        lowest, highest = torch.minimum(lowest, low), torch.maximum(highest, high)
        if image_of_sentence is not None and own is not None:
            _collect_relevant(tile, image_of_sentence, own)
        for name in directions:
            lists, members, products = tile.lists(name)
            best[name].show(lists, products, members.start)
    kept = {name: each.members() for name, each in best.items()}
    return TopKResult(kept, own, lowest.item(), highest.item())


def count_pass(
    embeddings: EmbeddingPair,
    counters: Mapping[Direction, RankCounter],
    directions: Collection[Direction],
    largest: float,
) -> dict[Direction, Tensor]:
    """Let the questions count, and sum the products of every candidate.

    A sum could be had without a walk, as one product with the sum of the other table. But that differs
    in the last bits from the sum of rounded products, which is what a matrix has, and then another of two
    candidates whose scores are as good as equal would come first.

    Args:
        tables: whose products.
        asked: by direction, what its queries' lists are asked; they count as they are shown members.
        directions: whose candidates to sum.
        largest: the largest product without its sign.

    Returns:
        By direction, (candidates,) float64 sums over its queries; see `orders.grid_shift`.
    """
    totals, shift = {}, {}
    for name in directions:
        queries, candidates = embeddings.shape(name)
        totals[name] = torch.zeros(candidates, dtype=torch.float64, device=embeddings.device)
        shift[name] = rounding_shift(largest, queries)
    with ThreadPoolExecutor(torch.get_num_threads()) as workers:
        for tile in embeddings.tiles("reverse places"):
            for name in directions:
                _add_sums(tile, name, shift[name], totals[name])
            for name in DIRECTIONS:
                if name not in counters:
                    continue
                lists, _, products = tile.lists(name)
                if products.device.type == "cpu":
                    counters[name].count_by_sorting(lists, products, workers)
                else:
                    counters[name].count_by_lookup(lists, products)
    return totals


def _collect_relevant(tile: ProductTile, image: Tensor, own: Tensor) -> None:
    """Take the relevant pairs of a tile."""
    row = image[tile.sentences] - tile.images.start
    column = ((row >= 0) & (row < len(tile.products))).nonzero().squeeze(1)
    own[tile.sentences][column] = tile.products[row[column], column]


def _add_sums(tile: ProductTile, name: Direction, shift: float, total: Tensor) -> None:
    """Add a tile to the sums of a direction's candidates, rounded so that no order changes a bit."""
    products = tile.products
    for rows in row_blocks(len(products), products.shape[1], SUM_BLOCK[products.device.type]):
        rounded = products[rows].double().add_(shift).sub_(shift)
        if name == "i2t":
            total[tile.sentences] += rounded.sum(dim=0)
        else:
            total[tile.images][rows] += rounded.sum(dim=1)


OPPOSITE: Mapping[Direction, Direction] = {"i2t": "t2i", "t2i": "i2t"}


class EmbeddingSource:
    """Two tables and their relevance, where an evaluation expects a matrix and its relevance."""

    def __init__(self, embeddings: EmbeddingPair, image_of_sentence: np.ndarray) -> None:
        """Refuse a relevance of other tables.

        Args:
            tables: what is ranked.
            image_of_sentence: (sentences,) integers, row of the image a sentence speaks of.

        Raises:
            ShapeError: the two do not belong together.
        """
        check_image_of_sentence(image_of_sentence, embeddings.num_images, embeddings.num_sentences)
        self.image_of_sentence = image_of_sentence
        self._embeddings = embeddings

    def count_ranks(self) -> tuple[RankCounts, RankCounts]:
        """Places by similarity alone: images ask, sentences ask."""
        places = two_pass_search(self._embeddings, 0, (), self.image_of_sentence).counts
        return places["i2t"], places["t2i"]

    def prepare_directions(self, max_k: int) -> tuple[RankedDirection, RankedDirection]:
        """Everything that reranking up to k candidates needs: images ask, sentences ask."""
        found = two_pass_search(self._embeddings, max_k, DIRECTIONS, self.image_of_sentence)
        i2t, t2i = found.candidates["i2t"], found.candidates["t2i"]
        images = np.arange(self._embeddings.num_images)
        return (
            RankedDirection(
                found.counts["i2t"], i2t, self.image_of_sentence[i2t.indices] == images[:, None]
            ),
            RankedDirection(
                found.counts["t2i"], t2i, t2i.indices == self.image_of_sentence[:, None]
            ),
        )

    def count_ranks_qbnorm(self, beta: float) -> tuple[RankCounts, RankCounts]:
        """Places under qbnorm, which tables cannot give.

        Raises:
            ConfigError: there is no bank.
        """
        raise ConfigError(
            "qbnorm needs a bank of training queries, and two tables have none;"
            " evaluate a similarity.h5, or leave qbnorm out"
        )


@dataclass(frozen=True, eq=False)
class TwoPassResult:
    """What two walks found.

    Attributes:
        candidates: the best of every query, by direction that was asked for.
        places: places by similarity alone, by direction; empty where no relevance was given.
    """

    candidates: Mapping[Direction, Candidates]
    counts: Mapping[Direction, RankCounts]


def two_pass_search(
    embeddings: EmbeddingPair,
    max_k: int,
    directions: Collection[Direction],
    image_of_sentence: np.ndarray | None = None,
) -> TwoPassResult:
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
        image = torch.from_numpy(image_of_sentence.astype(np.int64)).to(embeddings.device)
    seen = topk_pass(embeddings, max_k + 1, directions, image)
    relevant = (
        {}
        if image is None
        else {name: _best_relevant(embeddings, name, seen, image) for name in DIRECTIONS}
    )
    asked = {}
    for name in (
        DIRECTIONS
    ):  # what the lists of its queries are asked, by the other side's candidates first
        questions = (
            [_reverse_thresholds(seen.topk[OPPOSITE[name]])] if OPPOSITE[name] in directions else []
        )
        questions += relevant[name].thresholds() if name in relevant else []
        if questions:
            asked[name] = RankCounter(embeddings.shape(name)[0], questions)
    totals = count_pass(embeddings, asked, directions, max(-seen.min_product, seen.max_product))
    answers = {name: list(each.counts()) for name, each in asked.items()}
    candidates = {}
    for name in directions:
        order, products = seen.topk[name]
        candidates[name] = Candidates(
            order.numpy(force=True),
            products.numpy(force=True),
            answers[OPPOSITE[name]].pop(0).view_as(order).numpy(force=True),
            totals[name].numpy(force=True),
            min(seen.min_product, 0.0),
        )
    return TwoPassResult(
        candidates, {name: each.counts(*answers[name]) for name, each in relevant.items()}
    )


@dataclass(frozen=True, eq=False)
class _BestRelevant:
    """The best relevant candidate of every query of a direction.

    Attributes:
        product: (queries,) float32, what it reaches.
        level: (queries,) int64, how many relevant ones reach as much, itself included.
    """

    product: Tensor
    num_tied: Tensor

    def thresholds(self) -> list[tuple[Tensor, Tensor]]:
        """Ask every query's list how many are larger, and how many are at least as large."""
        every = torch.arange(len(self.product), device=self.product.device)
        return [(every, self.product), (every, next_below(self.product))]

    def counts(self, above: Tensor, reaching: Tensor) -> RankCounts:
        """Make places of the answers."""
        tied = reaching - above - self.num_tied
        return RankCounts(*(each.numpy(force=True) for each in (above, tied, self.num_tied)))


def _best_relevant(
    tables: EmbeddingPair, name: Direction, seen: TopKResult, image: Tensor
) -> _BestRelevant:
    """Find the best relevant candidate of every query of a direction."""
    assert seen.relevant_product is not None
    if name == "t2i":
        return _BestRelevant(seen.relevant_product, torch.ones_like(image))
    best = seen.relevant_product.new_full((tables.num_images,), -torch.inf)
    best.scatter_reduce_(0, image, seen.relevant_product, "amax")
    level = torch.bincount(image[seen.relevant_product == best[image]], minlength=tables.num_images)
    return _BestRelevant(best, level)


def _reverse_thresholds(best: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Ask each candidate's own list how many queries are more alike to it."""
    order, products = best
    return order.ravel(), products.ravel()


def rerank_topk(
    candidates: Candidates, variant: str, k: int, w1: float, w2: float, xi: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rerank and keep the k first: those that a stable descending sort of the reranked matrix puts first.

    Args:
        found: searched for `rerank.least_k(variant, k)` candidates at least.
        variant: and all that follow: see `rerank.rerank`.
        k: candidates to rerank and to keep; beyond the table is the table.
        w1: weight of significance.
        w2: weight of the reverse place.
        xi: decay a place.

    Returns:
        (queries, k) int64 candidates in reranked order, and (queries, k) float32 scores of each.

    Raises:
        ConfigError: parameters that mean nothing.
    """
    parts = rerank_terms(candidates, variant, k, xi)
    scores = parts.scores(w1, w2)
    width = scores.shape[1]
    stay = scores_below(candidates.similarities[:, :width], min_reranked(scores))
    scores = np.where(scores > -np.inf, scores, stay)
    first = np.lexsort((parts.indices, -scores), axis=1)[:, :k]
    return (
        np.take_along_axis(parts.indices, first, axis=1),
        np.take_along_axis(scores, first, axis=1).astype(np.float32),
    )
