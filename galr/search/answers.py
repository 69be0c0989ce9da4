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
from galr.search.index import Index, Named
from galr.search.places import corners


@dataclass(frozen=True)
class Rerank:
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
class Answer:
    """A tile that was found.

    place: in the order, from 1.
    cosine: of the query and the tile, in [-1, 1].
    reranked: score of the second stage; None without one, and behind the tiles that it looked at.
    row: in the index.
    named: what it is.
    """

    place: int
    cosine: float
    reranked: float | None
    row: int
    named: Named


@dataclass(frozen=True)
class Answered:
    """A query and what was found for it.

    query: the sentence, or the name of the picture.
    image: the picture; None where a sentence asked.
    unknown: words of the sentence that the model never learnt.
    rerank: variant of the second stage, or `none`.
    answers: best first.
    """

    query: str
    image: Path | None
    unknown: Sequence[str]
    rerank: str
    answers: Sequence[Answer]


def ask(index: Index, query: np.ndarray, k: int, rerank: Rerank | None) -> list[Answer]:
    """Find the k tiles nearest to a query.

    Args:
        index: open.
        query: (embedding,) float32, of length 1.
        k: how many; beyond the index is the index.
        rerank: the second stage, if any.

    Raises:
        ConfigError: k is below 1, or the index has no bank to rerank with.
    """
    pool = 0 if rerank is None else effective_k(rerank.variant, rerank.k) + 1
    rows, cosines = (each[0] for each in index.table.nearest(query[None], max(k, pool)))
    rows, cosines = rows[rows >= 0], cosines[rows >= 0]
    scores = np.full(len(rows), -np.inf)
    if rerank is not None and len(rows):
        best = index.table.rows[rows[:pool]]
        scores[:pool] = reranked(index.bank(), query, best, cosines[:pool], rerank)
        order = np.argsort(-scores, kind="stable")
        rows, cosines, scores = rows[order], cosines[order], scores[order]
    found = index.named(rows[:k].tolist())
    return [
        Answer(place, float(cosine), float(score) if score > -np.inf else None, int(row), named)
        for place, (cosine, score, row, named) in enumerate(
            zip(cosines, scores, rows, found, strict=False), 1
        )
    ]


def reranked(
    bank: np.ndarray, query: np.ndarray, tiles: np.ndarray, cosines: np.ndarray, how: Rerank
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
    lowest = min(others.min(), own.min(), 0.0) if how.variant == "paper" else 0.0
    found = Candidates(
        indices=np.arange(len(tiles))[None],
        similarities=own[None] - lowest,  # here, because `components` sees one query and no bank
        reverse_rank=(others > own).sum(axis=0)[None],
        column_sum=(others - lowest).sum(axis=0) + own - lowest,
        min_negative=0.0,
    )
    scores = np.full(len(tiles), -np.inf)
    made = rerank_terms(found, how.variant, how.k, how.xi).scores(how.w1, how.w2)[0]
    scores[: len(made)] = made
    return scores


def as_document(index: Index, answered: Answered) -> dict[str, Any]:
    """An answered query as plain values, for JSON."""
    return {
        "query": answered.query,
        "unknown_words": list(answered.unknown),
        "rerank": answered.rerank,
        "answers": [_plain(index, answer) for answer in answered.answers],
    }


def as_table(answered: Answered) -> str:
    """An answered query as text: place, score, name, tile, and the coordinates of its centre."""
    rows = [("place", "score", "name", "tile (x y width height)", "centre")]
    for answer in answered.answers:
        named = answer.named
        score = answer.cosine if answer.reranked is None else answer.reranked
        mark = "" if answered.rerank == "none" else "*" if answer.reranked is not None else " "
        rows.append(
            (
                str(answer.place),
                f"{score:.4f}{mark}",
                named.name + (f" (and {len(named.also)} more)" if named.also else ""),
                "whole" if named.window[2:] == named.size else " ".join(map(str, named.window)),
                centre(named),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        numbers = [text.rjust(width) for text, width in zip(row[:2], widths, strict=False)]
        words = [text.ljust(width) for text, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  ".join([*numbers, *words]).rstrip())
    return "\n".join(lines)


def centre(named: Named) -> str:
    """Coordinates of a tile's centre with their system; empty where unknown."""
    if named.place is None:
        return ""
    x, y = (sum(axis) / 4 for axis in zip(*corners(named.place, named.window), strict=True))
    system = named.place.system
    return f"{x:.10g} {y:.10g}" + (f" {system}" if system and len(system) < 20 else "")


def source_of(index: Index, named: Named) -> tuple[str, Path]:
    """Kind and path of the source that a tile came from."""
    source = index.about["sources"][named.source]
    return source["kind"], index.path(source["path"])


def _plain(index: Index, answer: Answer) -> dict[str, Any]:
    """An answer as plain values; coordinates are those of the tile's four corners."""
    named = answer.named
    kind, path = source_of(index, named)
    place = named.place
    return {
        "place": answer.place,
        "cosine": round(answer.cosine, 6),
        "reranked": answer.reranked,
        "name": named.name,
        "also": list(named.also),
        "source": {"kind": kind, "path": str(path)},
        "size": list(named.size),
        "window": named.window._asdict(),
        "corners": None if place is None else [list(p) for p in corners(place, named.window)],
        "reference_system": place.system if place else None,
    }
