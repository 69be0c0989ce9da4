"""Ranks and reranks of two embedding tables without their similarity matrix, in two passes over its tiles.

The first pass finds the most similar candidates of every query; the second counts reverse ranks and sums. The result
is the same to the last bit as from the matrix that `tiled_products.compute_similarity` computes from the same tiles.
Memory: O((images + sentences)·k) and a few tiles (docs/how/rerank.md).
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
from galr.evaluate.ranks import Direction, RankCounts, check_image_of_sentence
from galr.evaluate.rerank import min_reranked, rerank_terms, scores_below
from galr.evaluate.tiled_products import EmbeddingPair, ProductTile
from galr.evaluate.topk import Candidates, rounding_shift, row_blocks

# t2i first: the lists of i2t are sorted in the tile itself, which t2i reads before.
DIRECTIONS: tuple[Direction, ...] = ("t2i", "i2t")
OPPOSITE: Mapping[Direction, Direction] = {"i2t": "t2i", "t2i": "i2t"}
SUM_BLOCK = {"cpu": 1 << 17, "cuda": 1 << 26}  # float64 numbers at once, for a cache or a GPU


class EmbeddingSource:
    """Two embedding tables and their relevance as a `RankingSource`.

    Args:
        embeddings: the two tables.
        image_of_sentence: (sentences,) integers, row of the image that each sentence describes.

    Raises:
        ShapeError: the relevance does not match the tables.
    """

    def __init__(self, embeddings: EmbeddingPair, image_of_sentence: np.ndarray) -> None:
        check_image_of_sentence(image_of_sentence, embeddings.num_images, embeddings.num_sentences)
        self.image_of_sentence = image_of_sentence
        self._embeddings = embeddings

    def count_ranks(self) -> tuple[RankCounts, RankCounts]:
        """Counts without a rerank, i2t and t2i."""
        counts = two_pass_search(self._embeddings, 0, (), self.image_of_sentence).counts
        return counts["i2t"], counts["t2i"]

    def prepare_directions(self, max_k: int) -> tuple[RankedDirection, RankedDirection]:
        """All that reranking up to `max_k` candidates needs, i2t and t2i."""
        result = two_pass_search(self._embeddings, max_k, DIRECTIONS, self.image_of_sentence)
        i2t, t2i = result.candidates["i2t"], result.candidates["t2i"]
        images = np.arange(self._embeddings.num_images)
        i2t_relevant = self.image_of_sentence[i2t.indices] == images[:, None]
        t2i_relevant = t2i.indices == self.image_of_sentence[:, None]
        return (
            RankedDirection(result.counts["i2t"], i2t, i2t_relevant),
            RankedDirection(result.counts["t2i"], t2i, t2i_relevant),
        )

    def count_ranks_qbnorm(self, beta: float) -> tuple[RankCounts, RankCounts]:
        """Counts under qbnorm, which two tables cannot give.

        Raises:
            ConfigError: always, since there is no bank.
        """
        raise ConfigError(
            "qbnorm needs a bank of training queries, and two embedding tables have none;"
            " evaluate a similarity.h5, or leave qbnorm out"
        )


@dataclass(frozen=True, eq=False)
class TwoPassResult:
    """The result of two passes.

    Attributes:
        candidates: the most similar candidates of every query, by requested direction.
        counts: counts without a rerank, by direction; empty if no relevance was given.
    """

    candidates: Mapping[Direction, Candidates]
    counts: Mapping[Direction, RankCounts]


def two_pass_search(
    embeddings: EmbeddingPair,
    max_k: int,
    directions: Collection[Direction],
    image_of_sentence: np.ndarray | None = None,
) -> TwoPassResult:
    """Find the candidates of some directions, and with a relevance the rank counts of both.

    Args:
        embeddings: the two tables.
        max_k: largest number of candidates that will be reranked; may exceed the candidates.
        directions: directions to find candidates for.
        image_of_sentence: (sentences,) integers, row of the image that each sentence describes; None if no
            counts are needed.
    """
    image = None
    if image_of_sentence is not None:
        image = torch.from_numpy(image_of_sentence.astype(np.int64)).to(embeddings.device)
    first = topk_pass(embeddings, max_k + 1, directions, image)
    relevant = {}
    if image is not None:
        relevant = {name: _best_relevant(embeddings, name, first, image) for name in DIRECTIONS}
    counters = {}
    for name in DIRECTIONS:
        # First the reverse ranks of the other direction's candidates, then the ranks of this one.
        thresholds = []
        if OPPOSITE[name] in directions:
            indices, products = first.topk[OPPOSITE[name]]
            thresholds.append((indices.ravel(), products.ravel()))
        if name in relevant:
            thresholds += relevant[name].thresholds()
        if thresholds:
            counters[name] = RankCounter(embeddings.shape(name)[0], thresholds)
    max_magnitude = max(-first.min_product, first.max_product)
    sums = count_pass(embeddings, counters, directions, max_magnitude)
    counts = {name: list(counter.counts()) for name, counter in counters.items()}
    candidates = {}
    for name in directions:
        indices, products = first.topk[name]
        candidates[name] = Candidates(
            indices.numpy(force=True),
            products.numpy(force=True),
            counts[OPPOSITE[name]].pop(0).view_as(indices).numpy(force=True),
            sums[name].numpy(force=True),
            min(first.min_product, 0.0),
        )
    return TwoPassResult(
        candidates, {name: best.rank_counts(*counts[name]) for name, best in relevant.items()}
    )


@dataclass(frozen=True, eq=False)
class TopKResult:
    """The result of the first pass.

    Attributes:
        topk: by direction, (queries, width) int64 candidates in stable descending order, and their float32
            products.
        relevant_product: (sentences,) float32, product of each sentence and its image; None without relevance.
        min_product: the smallest product.
        max_product: the largest product.
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
    """First pass: find the most similar candidates of every query, and the products of the relevant pairs.

    Args:
        embeddings: the two tables.
        width: number of candidates; may exceed all candidates.
        directions: directions to find candidates for.
        image_of_sentence: (sentences,) int64, row of the image that each sentence describes, or None.
    """
    topk = {}
    for name in directions:
        num_queries, num_candidates = embeddings.shape(name)
        topk[name] = TopK(num_queries, min(width, num_candidates), embeddings.device)
    relevant_product = None
    if image_of_sentence is not None:
        relevant_product = torch.empty(embeddings.num_sentences, device=embeddings.device)
    lowest, highest = (
        torch.tensor(bound, device=embeddings.device) for bound in (torch.inf, -torch.inf)
    )
    for tile in embeddings.tiles("top k"):
        low, high = tile.products.aminmax()
        lowest, highest = torch.minimum(lowest, low), torch.maximum(highest, high)
        if image_of_sentence is not None and relevant_product is not None:
            _collect_relevant(tile, image_of_sentence, relevant_product)
        for name in directions:
            queries, candidates, products = tile.lists(name)
            topk[name].update(queries, products, candidates.start)
    results = {name: accumulator.result() for name, accumulator in topk.items()}
    return TopKResult(results, relevant_product, lowest.item(), highest.item())


def count_pass(
    embeddings: EmbeddingPair,
    counters: Mapping[Direction, RankCounter],
    directions: Collection[Direction],
    max_magnitude: float,
) -> dict[Direction, Tensor]:
    """Second pass: count larger members, and sum the products of every candidate.

    The sums could be had without a pass, as one product with the sum of the other table. That differs in the last
    bits from the sum of rounded products, which a matrix has, and could reverse two nearly equal scores.

    Args:
        embeddings: the two tables.
        counters: by direction, receive the lists of its queries.
        directions: directions whose candidates to sum.
        max_magnitude: largest absolute value of a product.

    Returns:
        By direction, (candidates,) float64 sums over its queries; see `topk.exact_sums`.
    """
    sums, shift = {}, {}
    for name in directions:
        num_queries, num_candidates = embeddings.shape(name)
        sums[name] = torch.zeros(num_candidates, dtype=torch.float64, device=embeddings.device)
        shift[name] = rounding_shift(max_magnitude, num_queries)
    with ThreadPoolExecutor(torch.get_num_threads()) as workers:
        for tile in embeddings.tiles("reverse ranks"):
            for name in directions:
                _add_sums(tile, name, shift[name], sums[name])
            for name in DIRECTIONS:
                if name not in counters:
                    continue
                queries, _, products = tile.lists(name)
                if products.device.type == "cpu":
                    counters[name].count_by_sorting(queries, products, workers)
                else:
                    counters[name].count_by_lookup(queries, products)
    return sums


def rerank_topk(
    candidates: Candidates, variant: str, k: int, w1: float, w2: float, xi: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rerank candidates: the first k that a stable descending sort of the reranked matrix gives.

    Args:
        candidates: at least `rerank.effective_k(variant, k)` of every query, and one more.
        variant: see `rerank.rerank`, also for the following.
        k: number of candidates to rerank and to return; may exceed all candidates.
        w1: weight of significance.
        w2: weight of the reverse term.
        xi: decay per rank.

    Returns:
        (queries, k) int64 candidates in their new order, and (queries, k) float32 scores.

    Raises:
        ShapeError: too few candidates are given.
        ConfigError: a parameter is invalid.
    """
    terms = rerank_terms(candidates, variant, k, xi)
    scores = terms.scores(w1, w2)
    similarities = candidates.similarities[:, : scores.shape[1]]
    others = scores_below(similarities, min_reranked(scores))
    scores = np.where(scores > -np.inf, scores, others)
    order = np.lexsort((terms.indices, -scores), axis=1)[:, :k]
    return (
        np.take_along_axis(terms.indices, order, axis=1),
        np.take_along_axis(scores, order, axis=1).astype(np.float32),
    )


@dataclass(frozen=True, eq=False)
class _BestRelevant:
    """The best relevant candidate of every query of a direction.

    Attributes:
        product: (queries,) float32, its product with the query.
        num_tied: (queries,) int64, relevant candidates with the same product, itself included.
    """

    product: Tensor
    num_tied: Tensor

    def thresholds(self) -> list[tuple[Tensor, Tensor]]:
        """Pairs that count the candidates above it, and those at least as similar."""
        queries = torch.arange(len(self.product), device=self.product.device)
        return [(queries, self.product), (queries, next_below(self.product))]

    def rank_counts(self, num_above: Tensor, num_at_least: Tensor) -> RankCounts:
        """Combine the two counts, (queries,) int64 each."""
        tied_irrelevant = num_at_least - num_above - self.num_tied
        return RankCounts(
            *(count.numpy(force=True) for count in (num_above, tied_irrelevant, self.num_tied))
        )


def _best_relevant(
    embeddings: EmbeddingPair, direction: Direction, first: TopKResult, image: Tensor
) -> _BestRelevant:
    """Find the best relevant candidate of every query; `image` (sentences,) int64 is the relevance."""
    assert first.relevant_product is not None
    if direction == "t2i":
        return _BestRelevant(first.relevant_product, torch.ones_like(image))
    best = first.relevant_product.new_full((embeddings.num_images,), -torch.inf)
    best.scatter_reduce_(0, image, first.relevant_product, "amax")
    is_best = first.relevant_product == best[image]
    num_tied = torch.bincount(image[is_best], minlength=embeddings.num_images)
    return _BestRelevant(best, num_tied)


def _collect_relevant(tile: ProductTile, image: Tensor, relevant_product: Tensor) -> None:
    """Copy the products of the relevant pairs of a tile into `relevant_product` (sentences,)."""
    row = image[tile.sentences] - tile.images.start
    column = ((row >= 0) & (row < len(tile.products))).nonzero().squeeze(1)
    relevant_product[tile.sentences][column] = tile.products[row[column], column]


def _add_sums(tile: ProductTile, direction: Direction, shift: float, sums: Tensor) -> None:
    """Add a tile to the sums (candidates,) of a direction, rounded so that no order changes a bit."""
    products = tile.products
    for rows in row_blocks(len(products), products.shape[1], SUM_BLOCK[products.device.type]):
        rounded = products[rows].double().add_(shift).sub_(shift)
        if direction == "i2t":
            sums[tile.sentences] += rounded.sum(dim=0)
        else:
            sums[tile.images][rows] += rounded.sum(dim=1)
