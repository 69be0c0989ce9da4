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

from galr.evaluate import bootstrap, qbnorm, table, topk
from galr.evaluate.evaluate import MatrixSource, RankingSource, RerankName, RerankResult, evaluate
from galr.evaluate.grid_search import check_grid
from galr.evaluate.metrics import t2i_upper_bound
from galr.evaluate.ranks import TieRule, default_image_of_sentence
from galr.io import matrix_files
from galr.io.formats import Ranks
from galr.io.matrix_files import read_banks
from galr.options import OptionGroup, option
from galr.provenance import file_sha256

VERIFY_KEYS = ("k", "w1", "w2", "xi", "beta", "resamples", "confidence")  # what `galr verify` needs


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What comes in, what goes out, and how to count."""

    similarity: Path | None = option(
        "S.npy (images by sentences) or similarity.h5; or give both tables", default=None
    )
    images: Path | None = option("V.npy, an embedding a row", default=None)
    sentences: Path | None = option("T.npy, likewise", default=None)
    image_of_sentence: Path | None = option("I.npy, the image's row of each sentence", default=None)
    ties: TieRule = option("who wins a tie: the others, chance, or we", default="pessimistic")
    rerank: tuple[RerankName, ...] = option("reranks, a row each", default=("none",))
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
        bootstrap.check_bootstrap(self.resamples, self.confidence, self.seed)
        check_grid("code", self.k, self.w1, self.w2, self.xi)
        qbnorm.check_beta(*self.beta)
        topk.check_threads(self.threads)
        matrix_files.check_inputs(self.similarity, self.images, self.sentences)


@dataclass(frozen=True, eq=False)
class EvaluateInputs:
    """What is ranked, and what is known of it.

    test: images and sentences, however they are compared.
    validation: what parameters are chosen on, if there is anything.
    image_of_sentence: (sentences,) of the test split.
    sentences: their text, if anybody knows it.
    origin: where it came from.
    """

    test: RankingSource
    validation: RankingSource | None
    image_of_sentence: np.ndarray
    sentences: Sequence[str] | None
    provenance: Mapping[str, Any]


def run(options: Options) -> None:
    """Read, rank, write."""
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
    rows = {
        rerank: table.metrics_row(
            [each.ranks],
            inputs.image_of_sentence,
            options.resamples,
            options.confidence,
            bootstrap_seed=options.seed,
            seed=options.seed,
        )
        for rerank, each in results.items()
    }
    if options.ranks is not None:
        write_ranks(options.ranks, options, inputs, results)
    named = options.rerank != ("none",)
    matrix_files.write_table(
        options.output, [({"rerank": name} if named else {}) | row for name, row in rows.items()]
    )


def read_matrix_inputs(options: Options, path: Path) -> EvaluateInputs:
    """Read a matrix, and what a similarity.h5 holds beside it."""
    given = matrix_files.read_similarity(path, options.image_of_sentence)
    banks = read_banks(path) if "qbnorm" in options.rerank else None
    test = MatrixSource(given.test, banks.test if banks else None, options.threads)
    validation = None
    if given.validation is not None:
        validation = MatrixSource(
            given.validation, banks.validation if banks else None, options.threads
        )
    origin = dict(given.provenance) | {"similarity_sha256": file_sha256(path)}
    return EvaluateInputs(test, validation, given.test.image_of_sentence, given.sentences, origin)


def read_embedding_inputs(options: Options) -> EvaluateInputs:
    """Open two embedding tables."""
    import torch  # a matrix does without, and is answered at once

    from galr.devices import resolve_device
    from galr.evaluate.large import EmbeddingSource
    from galr.evaluate.tiled_products import EmbeddingPair

    assert options.images is not None and options.sentences is not None
    torch.set_num_threads(options.threads)
    images, sentences = (
        matrix_files.read_array(options.images),
        matrix_files.read_array(options.sentences),
    )
    tables = EmbeddingPair(images, sentences, resolve_device(options.device))
    if options.image_of_sentence is None:
        image_of_sentence = default_image_of_sentence(tables.num_images, tables.num_sentences)
    else:
        image_of_sentence = matrix_files.read_array(options.image_of_sentence)
    origin = {
        "images_sha256": file_sha256(options.images),
        "sentences_sha256": file_sha256(options.sentences),
    }
    return EvaluateInputs(
        EmbeddingSource(tables, image_of_sentence), None, image_of_sentence, None, origin
    )


def write_ranks(
    path: Path, options: Options, inputs: EvaluateInputs, results: Mapping[str, RerankResult]
) -> None:
    """Store the ranks under each rerank, and what they were made of and with."""
    origin: dict[str, Any] = {
        "ties": options.ties,
        "bootstrap_seed": options.seed,
        "reranks": list(results),
        "evaluated": {key: getattr(options, key) for key in VERIFY_KEYS},
        "chosen": {
            name: asdict(each.params) if each.params else {} for name, each in results.items()
        },
        "ceiling": t2i_upper_bound(inputs.sentences, inputs.image_of_sentence)
        if inputs.sentences
        else {},
    }
    with Ranks.create(path, dict(inputs.provenance) | origin) as file:
        file.write(image_of_sentence=inputs.image_of_sentence)
        for name, each in results.items():
            Ranks.reranks.create(file, name).write(**vars(each.ranks))
