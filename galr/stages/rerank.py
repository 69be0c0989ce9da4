"""Rerank anybody's similarity matrix (multivariate rerank, MR), or two embedding tables without it.

IN   S.npy          images by sentences, any real numbers, larger is more alike; or a similarity.h5
OUT  R.npy          float64, shape and orientation of S

A query's k best candidates are scored anew; all others get finite scores below theirs and keep
their order. `np.argsort(-R, axis=1, kind="stable")` is the new order of every image's sentences
(for t2i: of every sentence's images, with axis=0).

IN   V.npy, T.npy   floating numbers, a row for each image and sentence; similarity is their product
OUT  top.npz        indices (queries, k) int64, the k first candidates of every query in their new order;
                    scores (queries, k) float32

The same order as by way of the matrix, in memory that grows with images plus sentences. Every product is
made twice.

  galr rerank --similarity S.npy --direction i2t --variant paper --output R.npy
  galr rerank --images V.npy --sentences T.npy --direction t2i --variant code --output top.npz
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from galr.devices import resolve_device
from galr.options import OptionGroup, option
from galr.retrieval import files, parallel
from galr.retrieval.relevance import DirectionName
from galr.retrieval.rerank import Variant, check, least_k, rerank_direction
from galr.retrieval.tables.products import Tables
from galr.retrieval.tables.search import search
from galr.retrieval.tables.top import top


@dataclass(frozen=True, kw_only=True)
class Flags(OptionGroup):
    """What comes in, what goes out, and how to rerank."""

    similarity: Path | None = option(
        "S.npy (images by sentences) or similarity.h5; or give both tables", default=None
    )
    images: Path | None = option("V.npy, an embedding a row", default=None)
    sentences: Path | None = option("T.npy, likewise", default=None)
    direction: DirectionName = option("who asks: images (i2t) or sentences (t2i)")
    variant: Variant = option("as the released code does it, as the paper says, or reverse search")
    k: int = option("candidates to rerank (code: at least 10)", default=30)
    w1: float = option("weight of significance", default=0.3)
    w2: float = option("weight of the reverse place", default=1.1)
    xi: float = option("decay a place", default=0.05)
    device: str = option("of the tables: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    output: Path = option("R.npy, or top.npz of tables, to write")

    def __post_init__(self) -> None:
        """Refuse parameters that mean nothing, and anything but one road."""
        check(self.variant, self.k, self.xi, self.w1, self.w2)
        parallel.check(self.threads)
        files.check_road(self.similarity, self.images, self.sentences)


def run(flags: Flags) -> None:
    """Read, rerank, write."""
    chosen = flags.variant, flags.k, flags.w1, flags.w2, flags.xi
    if flags.similarity is not None:
        similarity = files.read_matrix(flags.similarity)
        reranked = rerank_direction(similarity, flags.direction, *chosen, threads=flags.threads)
        files.write_matrix(flags.output, reranked)
        return
    assert flags.images is not None and flags.sentences is not None
    torch.set_num_threads(flags.threads)
    tables = Tables(
        files.read_array(flags.images),
        files.read_array(flags.sentences),
        resolve_device(flags.device),
    )
    found = search(tables, least_k(flags.variant, flags.k), [flags.direction])
    indices, scores = top(found.candidates[flags.direction], *chosen)
    files.write_top(flags.output, indices, scores)
