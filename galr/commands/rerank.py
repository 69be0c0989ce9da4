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
from galr.evaluate import topk
from galr.evaluate.large import rerank_topk, two_pass_search
from galr.evaluate.ranks import Direction
from galr.evaluate.rerank import (
    RerankVariant,
    check_rerank_parameters,
    effective_k,
    rerank_direction,
)
from galr.evaluate.tiled_products import EmbeddingPair
from galr.io import matrix_files
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What comes in, what goes out, and how to rerank."""

    similarity: Path | None = option(
        "S.npy (images by sentences) or similarity.h5; or give both tables", default=None
    )
    images: Path | None = option("V.npy, an embedding a row", default=None)
    sentences: Path | None = option("T.npy, likewise", default=None)
    direction: Direction = option("who asks: images (i2t) or sentences (t2i)")
    variant: RerankVariant = option(
        "as the released code does it, as the paper says, or reverse search"
    )
    k: int = option("candidates to rerank (code: at least 10)", default=30)
    w1: float = option("weight of significance", default=0.3)
    w2: float = option("weight of the reverse place", default=1.1)
    xi: float = option("decay a place", default=0.05)
    device: str = option("of the tables: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    output: Path = option("R.npy, or top.npz of tables, to write")

    def __post_init__(self) -> None:
        """Refuse parameters that mean nothing, and anything but one road."""
        check_rerank_parameters(self.variant, self.k, self.xi, self.w1, self.w2)
        topk.check_threads(self.threads)
        matrix_files.check_inputs(self.similarity, self.images, self.sentences)


def run(options: Options) -> None:
    """Read, rerank, write."""
    chosen = options.variant, options.k, options.w1, options.w2, options.xi
    if options.similarity is not None:
        similarity = matrix_files.read_matrix(options.similarity)
        reranked = rerank_direction(similarity, options.direction, *chosen, threads=options.threads)
        matrix_files.write_array(options.output, reranked)
        return
    assert options.images is not None and options.sentences is not None
    torch.set_num_threads(options.threads)
    tables = EmbeddingPair(
        matrix_files.read_array(options.images),
        matrix_files.read_array(options.sentences),
        resolve_device(options.device),
    )
    found = two_pass_search(tables, effective_k(options.variant, options.k), [options.direction])
    indices, scores = rerank_topk(found.candidates[options.direction], *chosen)
    matrix_files.write_topk(options.output, indices, scores)
