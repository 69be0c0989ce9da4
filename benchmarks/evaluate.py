"""How much faster ranks, reranks and bootstrap are than their plain definitions, in one run on one machine.

    python benchmarks/evaluate.py [images] [sentences an image]

The size of RSICD's test split by default: 1,093 images, 5,465 sentences. Each loop below computes its definition
directly; a slow one runs on a sample of the queries, and its time is scaled to all of them. Ours and the loop take
turns, and the fastest turn of each counts. `matrices` computes the reranked matrices, everything else ranks only.
Peak memory is what Python and NumPy allocate beside the matrix itself.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from galr.evaluate.bootstrap import bootstrap_interval
from galr.evaluate.directions import prepare_directions, rerank_and_rank
from galr.evaluate.evaluate import MatrixSource
from galr.evaluate.grid_search import grid_search
from galr.evaluate.qbnorm import QueryBank
from galr.evaluate.ranks import CUTOFFS, RetrievalRanks, SimilarityMatrix, compute_ranks
from galr.evaluate.rerank import effective_k, rerank_direction

SAMPLE = 20  # a slow loop takes one of this many queries
TURNS = 5
K, W1, W2, XI, BETA = 30, 0.3, 1.1, 0.05, 20.0
THREADS = 2


def main(images: int, sentences_per_image: int) -> None:
    """Time everything and print a table."""
    source = random_source(images, sentences_per_image)
    similarity, image_of_sentence = source.matrix.similarity, source.matrix.image_of_sentence
    ranks = compute_ranks(similarity, image_of_sentence)
    print(
        f"{images:,} images, {images * sentences_per_image:,} sentences, float32, NumPy {np.__version__}"
    )
    print(f"{'both directions':34}{'ours':>10}{'loop':>10}{'ratio':>8}{'peak':>10}")
    compare(
        "ranks",
        lambda: compute_ranks(similarity, image_of_sentence),
        lambda: loop_ranks(similarity, image_of_sentence),
    )
    for variant in ("code", "paper", "reciprocal"):
        loop = partial(loop_both_directions, similarity, variant)
        for threads in (1, THREADS):
            ours = partial(rerank_ranks, source.matrix, variant, threads)
            compare(f"rerank {variant}, {threads} threads", ours, loop, times=SAMPLE)
    loop = partial(loop_both_directions, similarity, "code")
    compare(
        f"matrices code, {THREADS} threads",
        lambda: rerank_matrices(similarity, "code"),
        loop,
        times=SAMPLE,
    )
    compare(
        f"qbnorm, bank of {7 * images:,} and {7 * images * sentences_per_image:,}",
        lambda: source.count_ranks_qbnorm(BETA),
        lambda: loop_qbnorm(source),
        times=SAMPLE,
    )
    grid = (10, 20, 30), (0.0, 0.3, 1.0), (0.3, 0.7, 1.1)
    compare(
        "grid search, 27 points",
        lambda: grid_search(source.prepare_directions(K), "code", *grid, XI),
        loop,
        times=27 * SAMPLE,
    )
    compare(
        "bootstrap, 1,000 resamples",
        lambda: bootstrap_interval([ranks], image_of_sentence, 1000, 0.95, 0),
        lambda: loop_bootstrap(ranks, image_of_sentence, 1000 // SAMPLE),
        times=SAMPLE,
    )


def random_source(images: int, sentences_per_image: int) -> MatrixSource:
    """Draw embeddings with some correct first answers, and a bank seven times as large."""
    random = np.random.default_rng(0)
    embeddings = random_embeddings(random, images, sentences_per_image)
    bank = random_embeddings(random, 7 * images, sentences_per_image)
    image_of_sentence = np.repeat(np.arange(images), sentences_per_image)
    matrix = SimilarityMatrix(embeddings[0] @ embeddings[1].T, image_of_sentence)
    banks = QueryBank(bank[0], embeddings[1]), QueryBank(bank[1], embeddings[0])
    return MatrixSource(matrix, banks)


def random_embeddings(
    random: np.random.Generator, images: int, sentences_per_image: int
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of 64 numbers for images and for their sentences."""
    image_table = random.normal(size=(images, 64))
    noise = 3 * random.normal(size=(images * sentences_per_image, 64))
    sentence_table = np.repeat(image_table, sentences_per_image, axis=0) + noise
    for table in (image_table, sentence_table):
        table /= np.linalg.norm(table, axis=1, keepdims=True)
    return image_table.astype(np.float32), sentence_table.astype(np.float32)


def compare(name: str, ours: Callable[[], Any], loop: Callable[[], Any], times: int = 1) -> None:
    """Print the fastest turn of ours and of the loop, their ratio, and the peak memory of ours."""
    turns = [(seconds(ours), seconds(loop)) for _ in range(TURNS)]
    fast, slow = (min(times) for times in zip(*turns, strict=True))
    tracemalloc.start()
    ours()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ratio = slow * times / fast
    print(f"{name:34}{fast:9.3f}s{slow * times:9.2f}s{ratio:8.0f}{peak / 2**20:7.0f} MB")


def seconds(work: Callable[[], Any]) -> float:
    """Time one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rerank_ranks(matrix: SimilarityMatrix, variant: str, threads: int) -> RetrievalRanks:
    """Ranks after a rerank of both directions."""
    directions = prepare_directions(matrix, effective_k(variant, K), threads)
    return rerank_and_rank(directions, variant, K, W1, W2, XI)


def rerank_matrices(similarity: np.ndarray, variant: str) -> None:
    """The reranked matrices of both directions."""
    for direction in ("i2t", "t2i"):
        rerank_direction(similarity, direction, variant, K, W1, W2, XI, threads=THREADS)


def loop_both_directions(similarity: np.ndarray, variant: str) -> None:
    """Rerank both directions query by query."""
    for table in (similarity, similarity.T):
        loop_rerank(table, variant)


def loop_ranks(similarity: np.ndarray, image_of_sentence: np.ndarray) -> None:
    """Sort the candidates of every query and find the relevant one."""
    for image, row in enumerate(similarity):
        np.flatnonzero(image_of_sentence[np.argsort(-row)] == image)[0]
    for sentence, column in enumerate(similarity.T):
        np.flatnonzero(np.argsort(-column) == image_of_sentence[sentence])[0]


def loop_rerank(similarity: np.ndarray, variant: str) -> None:
    """Sort the list of every query, and the list of each of its k candidates."""
    total = similarity.sum(axis=0)
    for query in range(0, len(similarity), SAMPLE):
        candidates = np.argsort(-similarity[query])[:K]
        rank = [np.flatnonzero(np.argsort(-similarity[:, c]) == query)[0] for c in candidates]
        position = np.argsort(np.argsort(rank, kind="stable"))
        if variant == "reciprocal":
            continue
        for j, candidate in enumerate(candidates):
            reverse = np.exp(-XI * (position[j] + 1)) if variant == "code" else 0.0
            if variant == "paper" and rank[j] < K:
                reverse = np.exp(-XI * (rank[j] + 1))
            significance = similarity[query, candidate] / total[candidate]
            _ = W1 * significance + np.exp(-XI * (j + 1)) + W2 * reverse


def loop_qbnorm(source: MatrixSource) -> None:
    """Find the best candidate of every bank query, sum each candidate over the bank, and divide every query's list."""
    assert source.banks is not None
    tables = (source.matrix.similarity, source.matrix.similarity.T)
    for table, bank in zip(tables, source.banks, strict=True):
        best_candidates = {np.argmax(bank.candidates @ query) for query in bank.queries[::SAMPLE]}
        bank_sum = np.ones(len(bank.candidates))
        for candidate in range(0, len(bank_sum), SAMPLE):
            bank_sum[candidate] = np.exp(BETA * (bank.queries @ bank.candidates[candidate])).sum()
        for row in table[::SAMPLE]:
            scores = np.exp(BETA * row) / bank_sum if np.argmax(row) in best_candidates else row
            np.argsort(-scores)


def loop_bootstrap(ranks: RetrievalRanks, image_of_sentence: np.ndarray, resamples: int) -> None:
    """Draw images with replacement and average the recalls of their ranks and of their sentences' ranks."""
    random = np.random.default_rng(0)
    images = len(ranks.i2t)
    sentences_of = [np.flatnonzero(image_of_sentence == image) for image in range(images)]
    for _ in range(resamples):
        drawn = random.integers(images, size=images)
        i2t = ranks.i2t[drawn]
        t2i = ranks.t2i[np.concatenate([sentences_of[image] for image in drawn])]
        _ = np.mean([np.mean(direction < cutoff) for direction in (i2t, t2i) for cutoff in CUTOFFS])


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:3]) if len(sys.argv) == 3 else (1093, 5)))
