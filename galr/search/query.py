"""Query an index: the tiles most similar to an embedding, reranked if wanted, as text or as plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galr.errors import ConfigError
from galr.evaluate.rerank import check_rerank_parameters, effective_k, rerank_terms
from galr.evaluate.topk import Candidates
from galr.io.pixel_options import PixelOptions
from galr.search.index import Index, TileRecord
from galr.search.merge import merge_rows

FURTHER_ROWS = 10  # that are read beyond twice the wanted, so that tiles to merge are among them
MOST_MERGED = 50  # rows that are read to fill an answer, for each of its tiles


@dataclass(frozen=True)
class QueryRerank:
    """Multivariate rerank of a query's best tiles; training sentences serve as the other queries.

    Attributes:
        variant: code, paper or reciprocal.
        k: number of tiles to rerank; the other parameters are those of `galr rerank`, too.
        w1: weight of significance.
        w2: weight of the reverse rank.
        xi: decay per rank.

    Raises:
        ConfigError: a parameter is invalid.
    """

    variant: str
    k: int
    w1: float
    w2: float
    xi: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_rerank_parameters(self.variant, self.k, self.xi, self.w1, self.w2)


@dataclass(frozen=True)
class Hit:
    """A tile that was found.

    Attributes:
        rank: in the order of the result, from 1.
        cosine: of the query and the tile, in [-1, 1].
        rerank_score: None if the tile was not reranked; such tiles follow the reranked ones.
        row: in the index.
        tile: what the row is.
        merged: near-identical tiles behind it that were merged into it, in order.
    """

    rank: int
    cosine: float
    rerank_score: float | None
    row: int
    tile: TileRecord
    merged: Sequence[TileRecord] = ()

    @property
    def score(self) -> float:
        """The score that decided its rank."""
        return self.cosine if self.rerank_score is None else self.rerank_score


@dataclass(frozen=True)
class QueryResult:
    """A query and its hits.

    Attributes:
        query: the sentence or sentences, or the name of the image.
        image: the image; None if the query is a sentence.
        unknown_words: words of the sentence that are not in the model's vocabulary.
        rerank: name of the rerank, or `none`.
        hits: in order of rank.
        pixels: how the image was read.
        cut: sentences of which the model reads only the beginning.
    """

    query: str
    image: Path | None
    unknown_words: Sequence[str]
    rerank: str
    hits: Sequence[Hit]
    pixels: PixelOptions = field(default_factory=PixelOptions)
    cut: Sequence[str] = ()


def search(
    index: Index,
    query: np.ndarray,
    k: int,
    rerank: QueryRerank | None,
    *,
    min_score: float | None = None,
    merge: bool = False,
) -> list[Hit]:
    """Find the k tiles most similar to a query, or all if there are fewer.

    Args:
        index: to search.
        query: (embed_dim,) float32, of length 1.
        k: at least 1.
        rerank: None keeps the order of the cosines.
        min_score: smallest cosine of a tile; None for any.
        merge: merge near-identical tiles, see `galr.search.merge`; k tiles are left where there are so many.

    Raises:
        ConfigError: k is below 1, or the index has no bank to rerank with.
    """
    width = 2 * k + FURTHER_ROWS if merge else k
    if rerank is not None:
        width = max(width, effective_k(rerank.variant, rerank.k) + 1)
    most = min(max(k * MOST_MERGED, width), len(index.vectors.embeddings))
    while True:
        rows, cosines, scores = _ranked_rows(index, query, width, rerank)
        enough = cosines >= (-np.inf if min_score is None else min_score)
        groups = [[row] for row in rows[enough][:k].tolist()]
        if merge and groups:
            groups = merge_rows(index, rows[enough].tolist(), k)
        if not merge or len(groups) == k or width >= most or not enough.all():
            break
        width = min(4 * width, most)
    tiles = index.tile_records([row for group in groups for row in group])
    position_of_row = {row: position for position, row in enumerate(rows.tolist())}
    hits = []
    for rank, group in enumerate(groups, 1):
        (tile, *merged), tiles = tiles[: len(group)], tiles[len(group) :]
        position = position_of_row[group[0]]
        score = float(scores[position])
        hits.append(
            Hit(
                rank,
                float(cosines[position]),
                score if score > -np.inf else None,
                group[0],
                tile,
                tuple(merged),
            )
        )
    return hits


def _ranked_rows(
    index: Index, query: np.ndarray, width: int, rerank: QueryRerank | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows most similar to a query, in order of rank.

    Args:
        index: to search.
        query: (embed_dim,) float32, of length 1.
        width: number of rows, at least one more than are reranked.
        rerank: None keeps the order of the cosines.

    Returns:
        rows (width,) int64, their cosines (width,) float32, and the scores (width,) float64 of the rerank, -inf of
        rows that are not reranked; fewer where the index has fewer.
    """
    rows, cosines = (table[0] for table in index.vectors.search(query[None], width))
    rows, cosines = rows[rows >= 0], cosines[rows >= 0]
    scores = np.full(len(rows), -np.inf)
    if rerank is None or not len(rows):
        return rows, cosines, scores
    reranked = effective_k(rerank.variant, rerank.k) + 1
    best = index.vectors.embeddings[rows[:reranked]]
    scores[:reranked] = rerank_scores(index.bank(), query, best, cosines[:reranked], rerank)
    order = np.argsort(-scores, kind="stable")
    return rows[order], cosines[order], scores[order]


def rerank_scores(
    bank: np.ndarray, query: np.ndarray, tiles: np.ndarray, cosines: np.ndarray, rerank: QueryRerank
) -> np.ndarray:
    """Multivariate rerank scores of a query's best tiles, as if each sentence of the bank were a query, too.

    The reverse rank of a tile is the number of bank sentences that are more similar to it than the query, and
    its significance is the query's share of the sum of all their similarities. This is `galr.evaluate.rerank` on
    the matrix of the query and the bank by these tiles. Only the lowest similarity, which the variant `paper`
    subtracts, is that of these tiles and not of the whole index.

    Args:
        bank: (sentences, embed_dim) float32, unit rows.
        query: (embed_dim,) float32, of length 1.
        tiles: (tiles, embed_dim) float32, in order of rank: one more than are to be reranked, or all.
        cosines: (tiles,) float32, of the query and each tile, descending.
        rerank: variant and parameters.

    Returns:
        (tiles,) float64; -inf for tiles that are not reranked and stay behind the others.

    Raises:
        ConfigError: the bank is empty.
    """
    if not len(bank):
        raise ConfigError("the index has no training sentences to rerank with; give --rerank none")
    # torch uses no more threads than it is given; NumPy's would spin on during the next query.
    bank_cosines = (
        (torch.tensor(bank) @ torch.tensor(tiles).T).double().numpy()
    )  # (sentences, tiles)
    query_cosines = cosines.astype(np.float64)
    lowest = 0.0
    if rerank.variant == "paper":
        lowest = min(bank_cosines.min(), query_cosines.min(), 0.0)
    candidates = Candidates(
        indices=np.arange(len(tiles))[None],
        similarities=query_cosines[None]
        - lowest,  # here, as `rerank_terms` gets one query, no bank
        reverse_rank=(bank_cosines > query_cosines).sum(axis=0)[None],
        column_sum=(bank_cosines - lowest).sum(axis=0) + query_cosines - lowest,
        min_negative=0.0,
    )
    terms = rerank_terms(candidates, rerank.variant, rerank.k, rerank.xi)
    reranked = terms.scores(rerank.w1, rerank.w2)[0]
    scores = np.full(len(tiles), -np.inf)
    scores[: len(reranked)] = reranked
    return scores


def to_dict(index: Index, result: QueryResult) -> dict[str, Any]:
    """A result as plain values, for JSON; coordinates are those of a tile's four corners."""
    return {
        "query": result.query,
        "unknown_words": list(result.unknown_words),
        "rerank": result.rerank,
        "answers": [_hit_to_dict(index, hit) for hit in result.hits],
    }


def to_table(result: QueryResult) -> str:
    """A result as text: rank, score, name, tile, and the coordinates of the tile's centre."""
    rows = [("rank", "score", "name", "tile (x y width height)", "centre")]
    for hit in result.hits:
        tile = hit.tile
        mark = "" if result.rerank == "none" else " " if hit.rerank_score is None else "*"
        rows.append(
            (
                str(hit.rank),
                f"{hit.score:.4f}{mark}",
                tile.name + _describe_others(hit),
                "whole" if tile.is_full_image else " ".join(map(str, tile.window)),
                tile_centre(tile),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        numbers = [text.rjust(width) for text, width in zip(row[:2], widths, strict=False)]
        words = [text.ljust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join([*numbers, *words]).rstrip())
    return "\n".join(lines)


def _describe_others(hit: Hit) -> str:
    """Say how many names and near-identical tiles a hit stands for; empty if for none but its own."""
    parts = []
    if hit.tile.other_names:
        parts.append(f"{len(hit.tile.other_names)} more")
    if hit.merged:
        parts.append(f"{len(hit.merged)} near-identical")
    return f" (and {', '.join(parts)})" if parts else ""


def tile_centre(tile: TileRecord) -> str:
    """Coordinates of a tile's centre and their reference system; empty where unknown."""
    if tile.geo_transform is None:
        return ""
    corners = tile.geo_transform.corners(tile.window)
    x, y = (sum(axis) / 4 for axis in zip(*corners, strict=True))
    crs = tile.geo_transform.crs
    return f"{x:.10g} {y:.10g}" + (f" {crs}" if crs and len(crs) < 20 else "")


def tile_source(index: Index, tile: TileRecord) -> tuple[str, Path]:
    """Kind and path of the source of a tile."""
    source = index.manifest["sources"][tile.source]
    return source["kind"], index.resolve(source["path"])


def _hit_to_dict(index: Index, hit: Hit) -> dict[str, Any]:
    tile = hit.tile
    kind, path = tile_source(index, tile)
    geo_transform = tile.geo_transform
    corners = None
    if geo_transform is not None:
        corners = [list(corner) for corner in geo_transform.corners(tile.window)]
    return {
        "place": hit.rank,
        "cosine": round(hit.cosine, 6),
        "reranked": hit.rerank_score,
        "name": tile.name,
        "also": list(tile.other_names),
        "merged": [{"name": t.name, "window": t.window._asdict()} for t in hit.merged],
        "source": {"kind": kind, "path": str(path)},
        "size": list(tile.size),
        "window": tile.window._asdict(),
        "corners": corners,
        "reference_system": geo_transform.crs if geo_transform else None,
    }
