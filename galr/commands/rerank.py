"""Rerank a similarity matrix (multivariate rerank, MR), or two tables of embeddings without the matrix.

IN   S.npy          (images, sentences), any real numbers, larger is more similar; or a similarity.h5
OUT  R.npy          float64, shape and orientation of S

A query's k best candidates get new scores; all others get finite scores below those and keep their order.
`np.argsort(-R, axis=1, kind="stable")` is the new order of each image's sentences (for t2i: of each sentence's
images, with axis=0).

IN   V.npy, T.npy   floating-point embeddings, a row for each image and each sentence; similarity is their product
OUT  top.npz        indices (queries, k) int64, the k best candidates of each query in their new order;
                    scores (queries, k) float32

The order is the same as with the matrix, in memory that grows with images plus sentences; each product is
computed twice.

The new order of the first queries is also printed. Identical rows are noticed; --images-repeat 5 keeps one of five, and
the output then holds the kept ones.

  galr rerank --similarity S.npy --direction i2t --variant paper --output R.npy
  galr rerank --images V.npy --sentences T.npy --direction t2i --variant code --output top.npz
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galr.evaluate import topk
from galr.evaluate.ranks import Direction
from galr.evaluate.rerank import (
    RerankVariant,
    check_rerank_parameters,
    effective_k,
    rerank_direction,
)
from galr.io.arrays import write_array, write_arrays
from galr.io.atomic import print_result
from galr.options import option
from galr.similarity import matrix_files

PRINTED_QUERIES, PRINTED_CANDIDATES = 5, 8


@dataclass(frozen=True, kw_only=True)
class Options(matrix_files.RepeatOptions):
    """Input, output and parameters of the rerank."""

    similarity: Path | None = option(
        "S.npy (images, sentences) or similarity.h5; or give both tables", default=None
    )
    images: Path | None = option("V.npy, an embedding a row", default=None)
    sentences: Path | None = option("T.npy, an embedding a row", default=None)
    direction: Direction = option("queries: images (i2t) or sentences (t2i)")
    variant: RerankVariant = option(
        "as in the released code, as in the paper, or by reverse rank alone"
    )
    k: int = option("candidates to rerank (code: at least 10)", default=30)
    w1: float = option("weight of significance", default=0.3)
    w2: float = option("weight of the reverse rank", default=1.1)
    xi: float = option("decay for each rank", default=0.05)
    device: str = option("device for embeddings: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    output: Path = option("R.npy, or top.npz for embeddings, to write")

    def __post_init__(self) -> None:
        """Check the options before any work is done.

        Raises:
            ConfigError: a parameter is out of its range, or the input is not one of the two kinds.
        """
        check_rerank_parameters(self.variant, self.k, self.xi, self.w1, self.w2)
        topk.check_threads(self.threads)
        matrix_files.check_inputs(self.similarity, self.images, self.sentences)
        self.check_repeats(self.similarity)


def run(options: Options) -> None:
    """Read, rerank, write, and print the new order of the first queries."""
    parameters = options.variant, options.k, options.w1, options.w2, options.xi
    if options.similarity is not None:
        similarity = matrix_files.read_matrix(options.similarity, options)
        reranked = rerank_direction(
            similarity, options.direction, *parameters, threads=options.threads
        )
        matrix_files.log_repeats(options.similarity, None, None, options)
        write_array(options.output, reranked)
        queries = reranked if options.direction == "i2t" else reranked.T
        first = queries[:PRINTED_QUERIES]
        order = np.argsort(-first, axis=1, kind="stable")[:, :PRINTED_CANDIDATES]
        scores = np.take_along_axis(first, order, axis=1)
        print_result(options.output, format_order(options.direction, len(queries), order, scores))
        return
    import torch  # not needed for a matrix

    from galr.devices import resolve_device
    from galr.evaluate.large import rerank_topk, two_pass_search
    from galr.evaluate.tiled_products import EmbeddingPair

    assert options.images is not None and options.sentences is not None
    torch.set_num_threads(options.threads)
    images, sentences, _, _ = matrix_files.read_embeddings(
        options.images, options.sentences, options
    )
    tables = EmbeddingPair(images, sentences, resolve_device(options.device))
    max_k = effective_k(options.variant, options.k)
    result = two_pass_search(tables, max_k, [options.direction])
    indices, scores = rerank_topk(result.candidates[options.direction], *parameters)
    matrix_files.log_repeats(None, options.images, options.sentences, options)
    write_arrays(options.output, indices=indices, scores=scores)
    print_result(options.output, format_order(options.direction, len(indices), indices, scores))


def format_order(
    direction: Direction, num_queries: int, order: np.ndarray, scores: np.ndarray
) -> str:
    """Format the best candidates of the first queries as a table for the console.

    Args:
        direction: of the queries.
        num_queries: number of all queries.
        order: (queries, candidates) int, candidates of the first queries or of all, best first; counted from 0.
        scores: (queries, candidates) float, their new scores.

    Returns:
        Text without a newline at the end.
    """
    query, candidates = ("image", "sentences") if direction == "i2t" else ("sentence", "images")
    order, scores = (
        table[:PRINTED_QUERIES, :PRINTED_CANDIDATES].tolist() for table in (order, scores)
    )
    cells = [[query, *map(str, range(len(order)))]]
    for rank, column in enumerate(zip(*order, strict=True)):
        pairs = zip(column, (row[rank] for row in scores), strict=True)
        cells.append([str(rank + 1), *(f"{index} ({score:.3g})" for index, score in pairs)])
    columns = [[f"{cell:<{max(map(len, column))}}" for cell in column] for column in cells]
    lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
    title = (
        f"The best {candidates} of the first {len(order)} of {num_queries} queries after the rerank, with their new"
        " scores; counted from 0:"
    )
    return "\n".join([title, "", *lines])
