"""Recalls, mR, median and mean rank of a similarity matrix, with bootstrap intervals.

IN   S.npy          (images, sentences), larger is more similar; or a similarity.h5
     V.npy, T.npy   or the embeddings of images and sentences: the same numbers without the matrix, in memory
                    that grows with images plus sentences
     I.npy          (sentences,) integers, the row of each sentence's image; without it a similarity.h5 has its
                    own, and in a .npy each image has an equal block of neighbouring sentences
OUT  metrics.csv    a row, or with --rerank a row for each; recalls, mr and mr_expected (mR with ties
                    broken at random, whatever --ties is) in percent, ranks from 1; also printed
     ranks.h5       the rank of each query, from 0 (for `galr aggregate`)

  galr evaluate --similarity S.npy --output metrics.csv
  galr evaluate --images V.npy --sentences T.npy --output metrics.csv

To choose k, w1 and w2, or beta, a similarity.h5 is needed, which holds the validation matrix to choose on; with
one value of each, any matrix is reranked. qbnorm always needs a similarity.h5, for its bank of training images and
sentences.

Some scripts save each image's row once for each of its sentences. Identical rows are noticed; --images-repeat 5 keeps
one of five and ranks images once. Where there are as many rows as sentences, row i is the image of sentence i; I.npy
may count all rows or the kept ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.evaluate import bootstrap, qbnorm, table, topk
from galr.evaluate.evaluate import MatrixSource, RankingSource, RerankName, RerankResult, evaluate
from galr.evaluate.grid_search import check_grid
from galr.evaluate.metrics import t2i_upper_bound
from galr.evaluate.ranks import TieRule
from galr.evaluate.repeats import kept_relevance
from galr.io.arrays import read_array
from galr.io.atomic import print_result
from galr.io.csv_io import write_rows
from galr.io.formats import Ranks
from galr.options import option
from galr.provenance import file_sha256
from galr.similarity import matrix_files

VERIFY_KEYS = ("k", "w1", "w2", "xi", "beta", "resamples", "confidence")  # what `galr verify` needs


@dataclass(frozen=True, kw_only=True)
class Options(matrix_files.RepeatOptions):
    """Input, output, tie rule and reranks."""

    similarity: Path | None = option(
        "S.npy (images, sentences) or similarity.h5; or give both tables", default=None
    )
    images: Path | None = option("V.npy, an embedding a row", default=None)
    sentences: Path | None = option("T.npy, an embedding a row", default=None)
    image_of_sentence: Path | None = option("I.npy, the row of each sentence's image", default=None)
    ties: TieRule = option(
        "rank of tied candidates: the worst, the mean or the best", default="pessimistic"
    )
    rerank: tuple[RerankName, ...] = option("reranks, a row each", default=("none",))
    k: tuple[int, ...] = option("candidates to rerank, to choose from", default=(10, 20, 30))
    w1: tuple[float, ...] = option(
        "weights of significance, to choose from", default=(0.0, 0.3, 1.0)
    )
    w2: tuple[float, ...] = option(
        "weights of the reverse rank, to choose from", default=(0.3, 0.7, 1.1)
    )
    xi: float = option("decay for each rank", default=0.05)
    beta: tuple[float, ...] = option(
        "inverse temperatures of qbnorm, to choose from", default=(20.0,)
    )
    resamples: int = option("bootstrap resamples of the images", default=1000)
    confidence: float = option("confidence of the interval", default=0.95)
    seed: int = option("seed of the bootstrap", default=0)
    device: str = option("device for embeddings: auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    output: Path = option("metrics.csv to write")
    ranks: Path | None = option("ranks.h5 to write", default=None)

    def __post_init__(self) -> None:
        """Check the options before any work is done.

        Raises:
            ConfigError: an option is out of its range, or the input is not one of the two kinds.
        """
        bootstrap.check_bootstrap(self.resamples, self.confidence, self.seed)
        check_grid("code", self.k, self.w1, self.w2, self.xi)
        qbnorm.check_beta(*self.beta)
        topk.check_threads(self.threads)
        matrix_files.check_inputs(self.similarity, self.images, self.sentences)
        self.check_repeats(self.similarity)


@dataclass(frozen=True, eq=False)
class EvaluateInputs:
    """The inputs of an evaluation.

    Attributes:
        test: the test split, as a matrix or as embeddings.
        validation: the split that parameters are chosen on; None where there is none.
        image_of_sentence: (sentences,) row of the image of each sentence of the test split.
        sentences: (sentences,) text; None where it is not known.
        provenance: of the inputs.
    """

    test: RankingSource
    validation: RankingSource | None
    image_of_sentence: np.ndarray
    sentences: Sequence[str] | None
    provenance: Mapping[str, Any]


def run(options: Options) -> None:
    """Read, rank, write and print the table."""
    inputs = (
        read_embedding_inputs(options)
        if options.similarity is None
        else read_matrix_inputs(options, options.similarity)
    )
    results = evaluate(
        inputs.test,
        inputs.validation,
        options.rerank,
        options.k,
        options.w1,
        options.w2,
        options.xi,
        options.beta,
        options.ties,
    )
    matrix_files.log_repeats(options.similarity, options.images, options.sentences, options)
    rows = {
        rerank: table.metrics_row(
            [result.ranks],
            inputs.image_of_sentence,
            options.resamples,
            options.confidence,
            bootstrap_seed=options.seed,
            seed=options.seed,
        )
        for rerank, result in results.items()
    }
    if options.ranks is not None:
        write_ranks(options.ranks, options, inputs, results)
    named = options.rerank != ("none",)
    write_rows(
        options.output,
        [{**({"rerank": name} if named else {}), **row} for name, row in rows.items()],
    )
    print_result(options.output, table.format_rows(rows, inputs.image_of_sentence))


def read_matrix_inputs(options: Options, path: Path) -> EvaluateInputs:
    """Read a matrix, with what a similarity.h5 holds beside it."""
    given = matrix_files.read_similarity(path, options.image_of_sentence, options)
    banks = matrix_files.read_banks(path) if "qbnorm" in options.rerank else None
    test = MatrixSource(given.test, banks.test if banks else None, options.threads)
    validation = None
    if given.validation is not None:
        validation = MatrixSource(
            given.validation, banks.validation if banks else None, options.threads
        )
    origin = dict(given.provenance) | {"similarity_sha256": file_sha256(path)} | options.as_stated()
    return EvaluateInputs(test, validation, given.test.image_of_sentence, given.sentences, origin)


def read_embedding_inputs(options: Options) -> EvaluateInputs:
    """Open two tables of embeddings."""
    import torch  # not needed for a matrix

    from galr.devices import resolve_device
    from galr.evaluate.large import EmbeddingSource
    from galr.evaluate.tiled_products import EmbeddingPair

    assert options.images is not None and options.sentences is not None
    torch.set_num_threads(options.threads)
    images, sentences, kept_images, kept_sentences = matrix_files.read_embeddings(
        options.images, options.sentences, options
    )
    tables = EmbeddingPair(images, sentences, resolve_device(options.device))
    given = None if options.image_of_sentence is None else read_array(options.image_of_sentence)
    image_of_sentence = kept_relevance(given, kept_images, kept_sentences)
    origin = {
        "images_sha256": file_sha256(options.images),
        "sentences_sha256": file_sha256(options.sentences),
    } | options.as_stated()
    return EvaluateInputs(
        EmbeddingSource(tables, image_of_sentence), None, image_of_sentence, None, origin
    )


def write_ranks(
    path: Path, options: Options, inputs: EvaluateInputs, results: Mapping[str, RerankResult]
) -> None:
    """Write the ranks under each rerank, with the provenance that `galr verify` needs."""
    evaluation: dict[str, Any] = {
        "ties": options.ties,
        "bootstrap_seed": options.seed,
        "reranks": list(results),
        "evaluated": {key: getattr(options, key) for key in VERIFY_KEYS},
        "chosen": {
            name: asdict(result.params) if result.params else {} for name, result in results.items()
        },
        "validation_mr_by_rerank": {name: result.validation_mr for name, result in results.items()},
        "ceiling": t2i_upper_bound(inputs.sentences, inputs.image_of_sentence)
        if inputs.sentences
        else {},
    }
    with Ranks.create(path, dict(inputs.provenance) | evaluation) as file:
        file.write(image_of_sentence=inputs.image_of_sentence)
        for name, result in results.items():
            Ranks.reranks.create(file, name).write(**vars(result.ranks))
