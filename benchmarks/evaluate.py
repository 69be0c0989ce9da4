"""How much faster than the plain definitions are ranks, reranks and bootstrap, in one run on one machine.

    python benchmarks/evaluate.py [images] [sentences an image]

RSICD's test split by default: 1,093 images, 5,465 sentences. The plain loops are spelled out below; the
slow ones run on a sample of their queries, and the time of all is told from it. Ours and the loop take
turns, and the best of each counts. `matrices` writes the reranked matrices down, everything else ends
in ranks. Peak memory is what Python and NumPy allocate beside the matrix itself.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from galr.evaluate.bootstrap import bootstrap_interval
from galr.evaluate.directions import reranked_ranks
from galr.evaluate.evaluate import MatrixSource
from galr.evaluate.grid_search import grid_search
from galr.evaluate.qbnorm import QueryBank
from galr.evaluate.ranks import CUTOFFS, RetrievalRanks, SimilarityMatrix, compute_ranks
from galr.evaluate.rerank import rerank_direction

SAMPLE = 20  # every so many queries are looped over where the loop takes long
TURNS = 5
K, W1, W2, XI, BETA = 30, 0.3, 1.1, 0.05, 20.0
THREADS = 2


def main(images: int, each: int) -> None:
    """Time all, print a table."""
    compared = draw(images, each)
    similarity, image_of_sentence = compared.matrix.similarity, compared.matrix.image_of_sentence
    found = compute_ranks(similarity, image_of_sentence)
    print(f"{images:,} images, {images * each:,} sentences, float32, NumPy {np.__version__}")
    print(f"{'both directions':34}{'ours':>10}{'loop':>10}{'ratio':>8}{'peak':>10}")
    compare(
        "ranks",
        lambda: compute_ranks(similarity, image_of_sentence),
        lambda: loop_ranks(similarity, image_of_sentence),
    )
    for variant in ("code", "paper", "reciprocal"):
        loop = partial(loop_both_directions, similarity, variant)
        for threads in (1, THREADS):
            ours = partial(
                reranked_ranks,
                similarity,
                image_of_sentence,
                variant,
                K,
                W1,
                W2,
                XI,
                threads=threads,
            )
            compare(f"rerank {variant}, {threads} threads", ours, loop, times=SAMPLE)
    loop = partial(loop_both_directions, similarity, "code")
    compare(
        f"matrices code, {THREADS} threads",
        lambda: both_matrices(similarity, "code"),
        loop,
        times=SAMPLE,
    )
    compare(
        f"qbnorm, bank of {7 * images:,} and {7 * images * each:,}",
        lambda: compared.count_ranks_qbnorm(BETA),
        lambda: loop_qbnorm(compared),
        times=SAMPLE,
    )
    grid = (10, 20, 30), (0.0, 0.3, 1.0), (0.3, 0.7, 1.1)
    compare(
        "choose among 27",
        lambda: grid_search(compared.prepare_directions(K), "code", *grid, XI),
        loop,
        times=27 * SAMPLE,
    )
    compare(
        "bootstrap, 1,000 resamples",
        lambda: bootstrap_interval([found], image_of_sentence, 1000, 0.95, 0),
        lambda: loop_bootstrap(found, image_of_sentence, 1000 // SAMPLE),
        times=SAMPLE,
    )


def draw(images: int, each: int) -> MatrixSource:
    """Draw embeddings that find each other now and then, and a bank seven times as large."""
    random = np.random.default_rng(0)
    seen, said = embeddings(random, images, each)
    bank = embeddings(random, 7 * images, each)
    pairs = SimilarityMatrix(seen @ said.T, np.repeat(np.arange(images), each))
    return MatrixSource(pairs, (QueryBank(bank[0], said), QueryBank(bank[1], seen)))


def embeddings(
    random: np.random.Generator, images: int, each: int
) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors of 64 numbers for images and for their sentences."""
    seen = random.normal(size=(images, 64))
    said = np.repeat(seen, each, axis=0) + 3 * random.normal(size=(images * each, 64))
    for table in (seen, said):
        table /= np.linalg.norm(table, axis=1, keepdims=True)
    return seen.astype(np.float32), said.astype(np.float32)


def compare(name: str, ours: Callable[[], Any], loop: Callable[[], Any], times: int = 1) -> None:
    """Print the best of some turns of ours and of the loop, their ratio, and the memory of ours."""
    turns = [(seconds(ours), seconds(loop)) for _ in range(TURNS)]
    fast, slow = (min(each) for each in zip(*turns, strict=True))
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


def both_matrices(similarity: np.ndarray, variant: str) -> None:
    """Rerank for images and for sentences."""
    for side in ("i2t", "t2i"):
        rerank_direction(similarity, side, variant, K, W1, W2, XI, threads=THREADS)


def loop_both_directions(similarity: np.ndarray, variant: str) -> None:
    """The same, said out loud."""
    for table in (similarity, similarity.T):
        loop_rerank(table, variant)


def loop_ranks(similarity: np.ndarray, image_of_sentence: np.ndarray) -> None:
    """One sort for each query, then look for what is relevant."""
    for image, row in enumerate(similarity):
        np.flatnonzero(image_of_sentence[np.argsort(-row)] == image)[0]
    for sentence, column in enumerate(similarity.T):
        np.flatnonzero(np.argsort(-column) == image_of_sentence[sentence])[0]


def loop_rerank(similarity: np.ndarray, variant: str) -> None:
    """Sort each query's list, and for each of its k candidates that one's own list."""
    total = similarity.sum(axis=0)
    for query in range(0, len(similarity), SAMPLE):
        candidates = np.argsort(-similarity[query])[:K]
        place = [np.flatnonzero(np.argsort(-similarity[:, c]) == query)[0] for c in candidates]
        among = np.argsort(np.argsort(place, kind="stable"))
        if variant == "reciprocal":
            continue
        for j, candidate in enumerate(candidates):
            reverse = np.exp(-XI * (among[j] + 1)) if variant == "code" else 0.0
            if variant == "paper" and place[j] < K:
                reverse = np.exp(-XI * (place[j] + 1))
            significance = similarity[query, candidate] / total[candidate]
            _ = W1 * significance + np.exp(-XI * (j + 1)) + W2 * reverse


def loop_qbnorm(compared: MatrixSource) -> None:
    """Ask each of the bank for its favourite, each candidate for its favour, then divide each query's list."""
    assert compared.banks is not None
    tables = (compared.matrix.similarity, compared.matrix.similarity.T)
    for table, bank in zip(tables, compared.banks, strict=True):
        favourites = {np.argmax(bank.candidates @ query) for query in bank.queries[::SAMPLE]}
        favour = np.ones(len(bank.candidates))
        for candidate in range(0, len(favour), SAMPLE):
            favour[candidate] = np.exp(BETA * (bank.queries @ bank.candidates[candidate])).sum()
        for row in table[::SAMPLE]:
            scores = np.exp(BETA * row) / favour if np.argmax(row) in favourites else row
            np.argsort(-scores)


def loop_bootstrap(found: RetrievalRanks, image_of_sentence: np.ndarray, resamples: int) -> None:
    """Draw images, gather their ranks and those of their sentences, count."""
    random = np.random.default_rng(0)
    images = len(found.i2t)
    sentences_of = [np.flatnonzero(image_of_sentence == image) for image in range(images)]
    for _ in range(resamples):
        drawn = random.integers(images, size=images)
        i2t = found.i2t[drawn]
        t2i = found.t2i[np.concatenate([sentences_of[image] for image in drawn])]
        _ = np.mean([np.mean(side < cutoff) for side in (i2t, t2i) for cutoff in CUTOFFS])


if __name__ == "__main__":
    main(*(map(int, sys.argv[1:3]) if len(sys.argv) == 3 else (1093, 5)))
