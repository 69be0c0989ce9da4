"""Recalls, mR, median and mean rank of anybody's similarity matrix, with bootstrap intervals.

IN   S.npy          images by sentences, larger is more alike; or a similarity.h5
     V.npy, T.npy   or the embeddings of images and sentences, whose products are never written down:
                    the same numbers in memory that grows with images plus sentences
     I.npy          (sentences,) integers, the image's row of each sentence; without it a similarity.h5
                    says so itself, and in a .npy each image owns an equal block of neighbours
OUT  metrics.csv    a row, or with --rerank a row for each; recalls and mr in percent, ranks from 1
     ranks.h5       the rank of every query, from 0 (for tabulate)

  galr evaluate --similarity S.npy --output metrics.csv
  galr evaluate --images V.npy --sentences T.npy --output metrics.csv

Reranking with a choice of k, w1 and w2, or of beta, needs a similarity.h5, which holds the validation
matrix to choose on; given one of each, it is done on any matrix. qbnorm always needs one, for its bank of
training images and sentences.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr import provenance, store
from galr.options import OptionGroup, option
from galr.retrieval import bootstrap, files, parallel, qbnorm, table
from galr.retrieval.banks import read_banks
from galr.retrieval.choose import check_grid
from galr.retrieval.evaluation import Compared, Evaluated, Rerank, Source, evaluate
from galr.retrieval.metrics import ceiling
from galr.retrieval.ranks import Ties
from galr.retrieval.relevance import contiguous

REPEATED = ("k", "w1", "w2", "xi", "beta", "resamples", "confidence")  # what `galr verify` needs


@dataclass(frozen=True, kw_only=True)
class Flags(OptionGroup):
    """What comes in, what goes out, and how to count."""

    similarity: Path | None = option(
        "S.npy (images by sentences) or similarity.h5; or give both tables", default=None
    )
    images: Path | None = option("V.npy, an embedding a row", default=None)
    sentences: Path | None = option("T.npy, likewise", default=None)
    image_of_sentence: Path | None = option("I.npy, the image's row of each sentence", default=None)
    ties: Ties = option("who wins a tie: the others, chance, or we", default="pessimistic")
    rerank: tuple[Rerank, ...] = option("reranks, a row each", default=("none",))
    k: tuple[int, ...] = option("candidates to rerank, to choose from", default=(10, 20, 30))
    w1: tuple[float, ...] = option(
        "weights of significance, to choose from", default=(0.0, 0.3, 1.0)
    )
    w2: tuple[float, ...] = option("weights of the reverse place", default=(0.3, 0.7, 1.1))
    xi: float = option("decay a place", default=0.05)
    beta: tuple[float, ...] = option("sharpness of qbnorm, to choose from", default=(20.0,))
    resamples: int = option("bootstrap resamples of the images", default=1000)
    confidence: float = option("share of the resamples in the interval", default=0.95)
    seed: int = option("seed of the bootstrap", default=0)
    device: str = option("of the tables: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    output: Path = option("metrics.csv to write")
    ranks: Path | None = option("ranks.h5 to write", default=None)

    def __post_init__(self) -> None:
        """Refuse what means nothing before any work is done."""
        bootstrap.check(self.resamples, self.confidence, self.seed)
        check_grid("code", self.k, self.w1, self.w2, self.xi)
        qbnorm.check(*self.beta)
        parallel.check(self.threads)
        files.check_road(self.similarity, self.images, self.sentences)


@dataclass(frozen=True, eq=False)
class Asked:
    """What is ranked, and what is known of it.

    test: images and sentences, however they are compared.
    validation: what parameters are chosen on, if there is anything.
    image_of_sentence: (sentences,) of the test split.
    sentences: their text, if anybody knows it.
    origin: where it came from.
    """

    test: Source
    validation: Source | None
    image_of_sentence: np.ndarray
    sentences: Sequence[str] | None
    origin: Mapping[str, Any]


def run(flags: Flags) -> None:
    """Read, rank, write."""
    asked = of_tables(flags) if flags.similarity is None else of_similarity(flags, flags.similarity)
    found = evaluate(
        asked.test,
        asked.validation,
        flags.rerank,
        flags.k,
        flags.w1,
        flags.w2,
        flags.xi,
        flags.beta,
        flags.ties,
    )
    rows = {
        rerank: table.row(
            [each.ranks],
            asked.image_of_sentence,
            flags.resamples,
            flags.confidence,
            bootstrap_seed=flags.seed,
            seed=flags.seed,
        )
        for rerank, each in found.items()
    }
    if flags.ranks is not None:
        write_ranks(flags.ranks, flags, asked, found)
    named = flags.rerank != ("none",)
    files.write_table(
        flags.output, [({"rerank": name} if named else {}) | row for name, row in rows.items()]
    )


def of_similarity(flags: Flags, path: Path) -> Asked:
    """Read a matrix, and what a similarity.h5 holds beside it."""
    given = files.read_similarity(path, flags.image_of_sentence)
    banks = read_banks(path) if "qbnorm" in flags.rerank else None
    test = Compared(given.test, banks.test if banks else None, flags.threads)
    validation = None
    if given.validation is not None:
        validation = Compared(given.validation, banks.validation if banks else None, flags.threads)
    origin = dict(given.provenance) | {"similarity_sha256": provenance.file_sha256(path)}
    return Asked(test, validation, given.test.image_of_sentence, given.sentences, origin)


def of_tables(flags: Flags) -> Asked:
    """Open two embedding tables."""
    import torch  # a matrix does without, and is answered at once

    from galr.devices import resolve_device
    from galr.retrieval.tables.products import Tables
    from galr.retrieval.tables.search import Search

    assert flags.images is not None and flags.sentences is not None
    torch.set_num_threads(flags.threads)
    images, sentences = files.read_array(flags.images), files.read_array(flags.sentences)
    tables = Tables(images, sentences, resolve_device(flags.device))
    if flags.image_of_sentence is None:
        image_of_sentence = contiguous(tables.images, tables.sentences)
    else:
        image_of_sentence = files.read_array(flags.image_of_sentence)
    origin = {
        "images_sha256": provenance.file_sha256(flags.images),
        "sentences_sha256": provenance.file_sha256(flags.sentences),
    }
    return Asked(Search(tables, image_of_sentence), None, image_of_sentence, None, origin)


def write_ranks(path: Path, flags: Flags, asked: Asked, found: Mapping[str, Evaluated]) -> None:
    """Store the ranks under each rerank, and what they were made of and with."""
    origin: dict[str, Any] = {
        "ties": flags.ties,
        "bootstrap_seed": flags.seed,
        "reranks": list(found),
        "evaluated": {key: getattr(flags, key) for key in REPEATED},
        "chosen": {
            name: asdict(each.choice) if each.choice else {} for name, each in found.items()
        },
        "ceiling": ceiling(asked.sentences, asked.image_of_sentence) if asked.sentences else {},
    }
    with store.writing(path, store.RANKS, dict(asked.origin) | origin) as file:
        store.write_arrays(file, image_of_sentence=asked.image_of_sentence.astype(np.int32))
        for name, each in found.items():
            store.write_arrays(file.create_group(name), **vars(each.ranks))
