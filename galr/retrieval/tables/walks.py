"""The two walks over all products: look who is best, then count who is better and sum."""

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from galr.retrieval.orders import grid_shift
from galr.retrieval.relevance import DirectionName, blocks
from galr.retrieval.tables.best import Best
from galr.retrieval.tables.counts import Asked
from galr.retrieval.tables.products import Tables, Tile

# An image's lists are sorted in the tile itself, so whoever wants it whole comes before.
BOTH: tuple[DirectionName, ...] = ("t2i", "i2t")
SUMMED = {"cpu": 1 << 17, "cuda": 1 << 26}  # float64 at once: what a core's cache or a GPU likes


@dataclass(frozen=True, eq=False)
class Seen:
    """What the first walk saw.

    Attributes:
        best: by direction, (queries, width) int64 candidates in stable descending order, and float32
            products of each.
        own: (sentences,) float32, the product of each sentence and its image; none without relevance.
        lowest: the least product.
        highest: the largest.
    """

    best: Mapping[DirectionName, tuple[Tensor, Tensor]]
    own: Tensor | None
    lowest: float
    highest: float


def look(
    tables: Tables, width: int, directions: Collection[DirectionName], image: Tensor | None
) -> Seen:
    """Keep the best of every query, and what the relevant pairs reach.

    Args:
        tables: whose products.
        width: how many to keep; beyond the table is the table.
        directions: whose queries.
        image: (sentences,) int64, row of the image a sentence speaks of; none if nobody asks.
    """
    best = {}
    for name in directions:
        queries, candidates = tables.shape(name)
        best[name] = Best(queries, min(width, candidates), tables.device)
    own = None if image is None else torch.empty(tables.sentences, device=tables.device)
    lowest, highest = (
        torch.tensor(bound, device=tables.device) for bound in (torch.inf, -torch.inf)
    )
    for tile in tables.tiles("best"):
        low, high = tile.products.aminmax()
        lowest, highest = torch.minimum(lowest, low), torch.maximum(highest, high)
        if image is not None and own is not None:
            _pick(tile, image, own)
        for name in directions:
            lists, members, products = tile.lists(name)
            best[name].show(lists, products, members.start)
    kept = {name: each.members() for name, each in best.items()}
    return Seen(kept, own, lowest.item(), highest.item())


def count(
    tables: Tables,
    asked: Mapping[DirectionName, Asked],
    directions: Collection[DirectionName],
    largest: float,
) -> dict[DirectionName, Tensor]:
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
        queries, candidates = tables.shape(name)
        totals[name] = torch.zeros(candidates, dtype=torch.float64, device=tables.device)
        shift[name] = grid_shift(largest, queries)
    with ThreadPoolExecutor(torch.get_num_threads()) as workers:
        for tile in tables.tiles("reverse places"):
            for name in directions:
                _sum(tile, name, shift[name], totals[name])
            for name in BOTH:
                if name not in asked:
                    continue
                lists, _, products = tile.lists(name)
                if products.device.type == "cpu":
                    asked[name].sort(lists, products, workers)
                else:
                    asked[name].sift(lists, products)
    return totals


def _pick(tile: Tile, image: Tensor, own: Tensor) -> None:
    """Take the relevant pairs of a tile."""
    row = image[tile.sentences] - tile.images.start
    column = ((row >= 0) & (row < len(tile.products))).nonzero().squeeze(1)
    own[tile.sentences][column] = tile.products[row[column], column]


def _sum(tile: Tile, name: DirectionName, shift: float, total: Tensor) -> None:
    """Add a tile to the sums of a direction's candidates, rounded so that no order changes a bit."""
    products = tile.products
    for rows in blocks(len(products), products.shape[1], SUMMED[products.device.type]):
        rounded = products[rows].double().add_(shift).sub_(shift)
        if name == "i2t":
            total[tile.sentences] += rounded.sum(dim=0)
        else:
            total[tile.images][rows] += rounded.sum(dim=1)
