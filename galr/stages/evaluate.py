"""Recalls, mR, median and mean rank of anybody's similarity matrix, with bootstrap intervals.

IN   S.npy          images by sentences, larger is more alike; or a similarity.h5
     I.npy          (sentences,) integers, the image's row of each sentence; without it a similarity.h5
                    says so itself, and in a .npy each image owns an equal block of neighbours
OUT  metrics.csv    a row, or with --rerank a row for each; recalls and mr in percent, ranks from 1
     ranks.h5       the rank of every query, from 0 (for tabulate)

  galr evaluate --similarity S.npy --output metrics.csv

Reranking with a choice of k, w1 and w2 needs a similarity.h5, which holds the validation matrix to
choose on; given one of each, it is done on any matrix.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr import store, versions
from galr.retrieval import bootstrap, files, table
from galr.retrieval.choose import check_grid
from galr.retrieval.evaluation import Evaluated, Rerank, evaluate
from galr.retrieval.metrics import ceiling
from galr.retrieval.ranks import Ties
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """What comes in, what goes out, and how to count."""

    similarity: Path = setting("S.npy (images by sentences) or similarity.h5")
    image_of_sentence: Path | None = setting(
        "I.npy, the image's row of each sentence", default=None
    )
    ties: Ties = setting("who wins a tie: the others, chance, or we", default="pessimistic")
    rerank: tuple[Rerank, ...] = setting("reranks, a row each", default=("none",))
    k: tuple[int, ...] = setting("candidates to rerank, to choose from", default=(10, 20, 30))
    w1: tuple[float, ...] = setting(
        "weights of significance, to choose from", default=(0.0, 0.3, 1.0)
    )
    w2: tuple[float, ...] = setting("weights of the reverse place", default=(0.3, 0.7, 1.1))
    xi: float = setting("decay a place", default=0.05)
    resamples: int = setting("bootstrap resamples of the images", default=1000)
    confidence: float = setting("share of the resamples in the interval", default=0.95)
    seed: int = setting("seed of the bootstrap", default=0)
    output: Path = setting("metrics.csv to write")
    ranks: Path | None = setting("ranks.h5 to write", default=None)

    def __post_init__(self) -> None:
        """Refuse what means nothing before any work is done."""
        bootstrap.check(self.resamples, self.confidence, self.seed)
        check_grid("code", self.k, self.w1, self.w2, self.xi)


def run(flags: Flags) -> None:
    """Read, rank, write."""
    given = files.read_similarity(flags.similarity, flags.image_of_sentence)
    found = evaluate(
        given.test,
        given.validation,
        flags.rerank,
        flags.k,
        flags.w1,
        flags.w2,
        flags.xi,
        flags.ties,
    )
    rows = {
        rerank: table.row(
            [each.ranks],
            given.test.image_of_sentence,
            flags.resamples,
            flags.confidence,
            bootstrap_seed=flags.seed,
            seed=flags.seed,
        )
        for rerank, each in found.items()
    }
    if flags.ranks is not None:
        write_ranks(flags.ranks, flags, given, found)
    named = flags.rerank != ("none",)
    files.write_table(
        flags.output, [({"rerank": name} if named else {}) | row for name, row in rows.items()]
    )


def write_ranks(
    path: Path, flags: Flags, given: files.Similarity, found: Mapping[str, Evaluated]
) -> None:
    """Store the ranks under each rerank, and what they were made of and with."""
    origin: dict[str, Any] = {
        "similarity_sha256": versions.sha256(flags.similarity),
        "ties": flags.ties,
        "bootstrap_seed": flags.seed,
        "reranks": list(found),
        "chosen": {
            name: asdict(each.choice) if each.choice else {} for name, each in found.items()
        },
        "ceiling": ceiling(given.sentences, given.test.image_of_sentence)
        if given.sentences
        else {},
    }
    with store.writing(path, store.RANKS, dict(given.provenance) | origin) as file:
        store.write_arrays(file, image_of_sentence=given.test.image_of_sentence.astype(np.int32))
        for name, each in found.items():
            store.write_arrays(file.create_group(name), **vars(each.ranks))
