"""How much faster than the plain definitions are ranks, rerank and bootstrap, in one run on one machine.

    python benchmarks/retrieval.py [images] [sentences an image]

RSICD's test split by default: 1,093 images, 5,465 sentences. The plain loops are spelled out below; the
slow ones run on a sample of their queries, and the time of all is told from it. Peak memory is what
Python and NumPy allocate beside the matrix itself.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from galr.retrieval.bootstrap import interval
from galr.retrieval.choose import choose
from galr.retrieval.ranks import CUTOFFS, Ranks, ranks
from galr.retrieval.rerank import rerank_direction

SAMPLE = 20  # every so many queries are looped over where the loop takes long
K, W1, W2, XI = 30, 0.3, 1.1, 0.05


def main(images: int, each: int) -> None:
    """Time all, print a table."""
    similarity, image_of_sentence = matrix(images, each)
    found = ranks(similarity, image_of_sentence)
    print(f"{images:,} images, {images * each:,} sentences, float32, NumPy {np.__version__}")
    print(f"{'':34}{'ours':>10}{'loop':>10}{'ratio':>8}{'peak':>10}")
    compare(
        "ranks, both directions",
        lambda: ranks(similarity, image_of_sentence),
        lambda: loop_ranks(similarity, image_of_sentence),
    )
    for variant in ("code", "paper"):
        compare(
            f"rerank {variant}, both directions",
            partial(both_directions, similarity, variant),
            partial(loop_both_directions, similarity, variant),
            times=SAMPLE,
        )
    grid = (10, 20, 30), (0.0, 0.3, 1.0), (0.3, 0.7, 1.1)
    compare(
        "choose among 27, both directions",
        lambda: choose(similarity, image_of_sentence, "code", *grid, XI),
        partial(loop_both_directions, similarity, "code"),
        times=27 * SAMPLE,
    )
    compare(
        "bootstrap, 1,000 resamples",
        lambda: interval([found], image_of_sentence, 1000, 0.95, 0),
        lambda: loop_bootstrap(found, image_of_sentence, 1000 // SAMPLE),
        times=SAMPLE,
    )


def matrix(images: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw embeddings that find each other now and then, and compare them."""
    random = np.random.default_rng(0)
    seen = random.normal(size=(images, 64))
    said = np.repeat(seen, each, axis=0) + 3 * random.normal(size=(images * each, 64))
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    said /= np.linalg.norm(said, axis=1, keepdims=True)
    return (seen @ said.T).astype(np.float32), np.repeat(np.arange(images), each)


def compare(name: str, ours: Callable[[], Any], loop: Callable[[], Any], times: int = 1) -> None:
    """Print the best of three runs of ours, one of the loop, their ratio, and the memory of ours."""
    fast = min(seconds(ours) for _ in range(3))
    slow = seconds(loop) * times
    tracemalloc.start()
    ours()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"{name:34}{fast:9.3f}s{slow:9.2f}s{slow / fast:8.0f}{peak / 2**20:7.0f} MB")


def seconds(work: Callable[[], Any]) -> float:
    """Time one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def both_directions(similarity: np.ndarray, variant: str) -> None:
    """Rerank for images and for sentences."""
    for side in ("i2t", "t2i"):
        rerank_direction(similarity, side, variant, K, W1, W2, XI)


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
        for j, candidate in enumerate(candidates):
            reverse = np.exp(-XI * (among[j] + 1)) if variant == "code" else 0.0
            if variant == "paper" and place[j] < K:
                reverse = np.exp(-XI * (place[j] + 1))
            significance = similarity[query, candidate] / total[candidate]
            _ = W1 * significance + np.exp(-XI * (j + 1)) + W2 * reverse


def loop_bootstrap(found: Ranks, image_of_sentence: np.ndarray, resamples: int) -> None:
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
