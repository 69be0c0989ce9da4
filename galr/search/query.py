"""Ask an index: the nearest tiles to a query, reranked if wanted, as values that can be printed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galr.errors import ConfigError
from galr.evaluate.rerank import check_rerank_parameters, effective_k, rerank_terms
from galr.evaluate.topk import Candidates
from galr.search.index import Index, TileRecord
from galr.search.rasters import window_corners


@dataclass(frozen=True)
class QueryRerank:
    """A second stage: multivariate rerank, the bank's training sentences standing in for other queries.

    The parameters are those of `galr rerank`.
    """

    variant: str
    k: int
    w1: float
    w2: float
    xi: float

    def __post_init__(self) -> None:
        """Refuse parameters that mean nothing.

        Raises:
            ConfigError: says which.
        """
        check_rerank_parameters(self.variant, self.k, self.xi, self.w1, self.w2)


@dataclass(frozen=True)
class Hit:
    """A tile that was found.

    place: in the order, from 1.
    cosine: of the query and the tile, in [-1, 1].
    reranked: score of the second stage; None without one, and behind the tiles that it looked at.
    row: in the index.
    named: what it is.
    """

    rank: int
    cosine: float
    rerank_score: float | None
    row: int
    tile: TileRecord


@dataclass(frozen=True)
class QueryResult:
    """A query and what was found for it.

    query: the sentence, or the name of the picture.
    image: the picture; None where a sentence asked.
    unknown: words of the sentence that the model never learnt.
    rerank: variant of the second stage, or `none`.
    answers: best first.
    """

    query: str
    image: Path | None
    unknown_words: Sequence[str]
    rerank: str
    hits: Sequence[Hit]


def search(index: Index, query: np.ndarray, k: int, rerank: QueryRerank | None) -> list[Hit]:
    """Find the k tiles nearest to a query.

    Args:
        index: open.
        query: (embedding,) float32, of length 1.
        k: how many; beyond the index is the index.
        rerank: the second stage, if any.

    Raises:
        ConfigError: k is below 1, or the index has no bank to rerank with.
    """
    num_candidates = 0 if rerank is None else effective_k(rerank.variant, rerank.k) + 1
    rows, cosines = (each[0] for each in index.vectors.search(query[None], max(k, num_candidates)))
    rows, cosines = rows[rows >= 0], cosines[rows >= 0]
    scores = np.full(len(rows), -np.inf)
    if rerank is not None and len(rows):
        best = index.vectors.rows[rows[:num_candidates]]
        scores[:num_candidates] = rerank_scores(
            index.bank(), query, best, cosines[:num_candidates], rerank
        )
        order = np.argsort(-scores, kind="stable")
        rows, cosines, scores = rows[order], cosines[order], scores[order]
    records = index.tile_records(rows[:k].tolist())
    return [
        Hit(place, float(cosine), float(score) if score > -np.inf else None, int(row), named)
        for place, (cosine, score, row, named) in enumerate(
            zip(cosines, scores, rows, records, strict=False), 1
        )
    ]


def rerank_scores(
    bank: np.ndarray, query: np.ndarray, tiles: np.ndarray, cosines: np.ndarray, rerank: QueryRerank
) -> np.ndarray:
    """Score a query's best tiles by multivariate rerank (METHOD 6), as if the bank had asked as well.

    A tile's reverse place counts the bank's sentences that are more alike to it than the query, and its
    significance is the query's share of all their similarities. Over the bank and the query as queries and
    these tiles as candidates this is MR to the letter; of the lowest similarity, which the variant `paper`
    subtracts, the tiles that were not found know nothing.

    Args:
        bank: (sentences, embedding) float32, unit rows.
        query: (embedding,) float32.
        tiles: (tiles, embedding) float32, the best of them all in order: one more than are reranked, or all.
        cosines: (tiles,) float32, of the query and each, descending.
        how: variant and parameters.

    Returns:
        (tiles,) float64; -inf where a tile keeps its place behind the others.

    Raises:
        ConfigError: the bank is empty.
    """
    if not len(bank):
        raise ConfigError("the index has no training sentences to rerank with; give --rerank none")
    # By torch, which keeps to the threads it is given: NumPy's would spin on through the next query.
    others = (torch.tensor(bank) @ torch.tensor(tiles).T).double().numpy()  # (sentences, tiles)
    own = cosines.astype(np.float64)
    lowest = min(others.min(), own.min(), 0.0) if rerank.variant == "paper" else 0.0
    found = Candidates(
        indices=np.arange(len(tiles))[None],
        similarities=own[None] - lowest,  # here, because `components` sees one query and no bank
        reverse_rank=(others > own).sum(axis=0)[None],
        column_sum=(others - lowest).sum(axis=0) + own - lowest,
        min_negative=0.0,
    )
    scores = np.full(len(tiles), -np.inf)
    made = rerank_terms(found, rerank.variant, rerank.k, rerank.xi).scores(rerank.w1, rerank.w2)[0]
    scores[: len(made)] = made
    return scores


def to_dict(index: Index, result: QueryResult) -> dict[str, Any]:
    """An answered query as plain values, for JSON."""
    return {
        "query": result.query,
        "unknown_words": list(result.unknown_words),
        "rerank": result.rerank,
        "answers": [_hit_to_dict(index, answer) for answer in result.hits],
    }


def to_table(result: QueryResult) -> str:
    """An answered query as text: place, score, name, tile, and the coordinates of its centre."""
    rows = [("place", "score", "name", "tile (x y width height)", "centre")]
    for answer in result.hits:
        named = answer.tile
        score = answer.cosine if answer.rerank_score is None else answer.rerank_score
        mark = "" if result.rerank == "none" else "*" if answer.rerank_score is not None else " "
        rows.append(
            (
                str(answer.rank),
                f"{score:.4f}{mark}",
                named.name + (f" (and {len(named.other_names)} more)" if named.other_names else ""),
                "whole" if named.window[2:] == named.size else " ".join(map(str, named.window)),
                tile_centre(named),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        numbers = [text.rjust(width) for text, width in zip(row[:2], widths, strict=False)]
        words = [text.ljust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join([*numbers, *words]).rstrip())
    return "\n".join(lines)


def tile_centre(tile: TileRecord) -> str:
    """Coordinates of a tile's centre with their system; empty where unknown."""
    if tile.geo_transform is None:
        return ""
    x, y = (
        sum(axis) / 4 for axis in zip(*window_corners(tile.geo_transform, tile.window), strict=True)
    )
    system = tile.geo_transform.crs
    return f"{x:.10g} {y:.10g}" + (f" {system}" if system and len(system) < 20 else "")


def tile_source(index: Index, tile: TileRecord) -> tuple[str, Path]:
    """Kind and path of the source that a tile came from."""
    source = index.manifest["sources"][tile.source]
    return source["kind"], index.resolve(source["path"])


def _hit_to_dict(index: Index, hit: Hit) -> dict[str, Any]:
    """An answer as plain values; coordinates are those of the tile's four corners."""
    named = hit.tile
    kind, path = tile_source(index, named)
    place = named.geo_transform
    return {
        "place": hit.rank,
        "cosine": round(hit.cosine, 6),
        "reranked": hit.rerank_score,
        "name": named.name,
        "also": list(named.other_names),
        "source": {"kind": kind, "path": str(path)},
        "size": list(named.size),
        "window": named.window._asdict(),
        "corners": None
        if place is None
        else [list(p) for p in window_corners(place, named.window)],
        "reference_system": place.crs if place else None,
    }
