"""Recalls, mR, median and mean rank; the metrics of a random order, and the limit that repeated sentences set."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from galr.errors import ShapeError
from galr.evaluate.ranks import CUTOFFS, RankCounts, RetrievalRanks

RECALL_NAMES = tuple(
    f"{direction}_r{cutoff}" for direction, cutoff in product(("i2t", "t2i"), CUTOFFS)
)


def recalls(ranks: RetrievalRanks) -> dict[str, float]:
    """R@1, R@5 and R@10 of both directions by name: the fraction of queries that hit, in percent."""
    fractions = np.concatenate([ranks.i2t_hits.mean(axis=0), ranks.t2i_hits.mean(axis=0)])
    return dict(zip(RECALL_NAMES, (100 * fractions).tolist(), strict=True))


def expected_mr(ranks: RetrievalRanks) -> float:
    """The mR with ties broken at random, in percent: its exact expectation, whatever the tie rule of the ranks is."""
    hits = ranks.i2t_expected_hits, ranks.t2i_expected_hits
    return float(100 * np.concatenate([table.mean(axis=0) for table in hits]).mean())


def retrieval_metrics(ranks: RetrievalRanks) -> dict[str, float]:
    """All metrics of a set of ranks (docs/how/ranks.md).

    Returns:
        i2t_r1, i2t_r5, i2t_r10, t2i_r1, t2i_r5, t2i_r10 and their mean `mr` in percent; then i2t_medr, t2i_medr,
        i2t_meanr, t2i_meanr: median and mean rank counted *from 1*, as they are published, although
        `RetrievalRanks` count from 0.
    """
    values = recalls(ranks)
    return values | {
        "mr": float(np.mean(list(values.values()))),
        "i2t_medr": float(np.median(ranks.i2t)) + 1,
        "t2i_medr": float(np.median(ranks.t2i)) + 1,
        "i2t_meanr": float(ranks.i2t.mean()) + 1,
        "t2i_meanr": float(ranks.t2i.mean()) + 1,
    }


def random_metrics(image_of_sentence: np.ndarray, num_images: int) -> dict[str, float]:
    """Expected `retrieval_metrics` of a random order: those of a constant matrix under `expected` ties.

    Args:
        image_of_sentence: (sentences,) row of the image that each sentence describes.
        num_images: number of images; each has at least one sentence.
    """
    num_sentences = len(image_of_sentence)
    sentences_of_image = np.bincount(image_of_sentence, minlength=num_images)
    i2t = RankCounts(
        np.zeros(num_images, np.int64), num_sentences - sentences_of_image, sentences_of_image
    )
    ones = np.ones(num_sentences, np.int64)
    t2i = RankCounts(0 * ones, (num_images - 1) * ones, ones)
    return retrieval_metrics(RetrievalRanks.from_counts(i2t, t2i, "expected"))


def normalize_sentence(sentence: str) -> str:
    """Make two sentences that differ only in case and spaces the same."""
    return " ".join(sentence.lower().split())


def t2i_upper_bound(sentences: Sequence[str], image_of_sentence: np.ndarray) -> dict[str, float]:
    """Best expected text-to-image recalls of a model that knows only the sentence, in percent.

    Where g images share a sentence, no model can tell which one is meant: each is among the first K with
    probability min(1, K / g). This is an expectation: a single order that puts first the image that has the
    sentence most often can exceed it a little.

    Args:
        sentences: (sentences,) text; two are the same if they differ only in case and spaces.
        image_of_sentence: (sentences,) row of the image that each sentence describes.

    Returns:
        t2i_r1, t2i_r5 and t2i_r10.

    Raises:
        ShapeError: the two lengths differ.
    """
    if len(sentences) != len(image_of_sentence):
        raise ShapeError(
            f"{len(sentences)} sentences for {len(image_of_sentence)} images of sentences;"
            " expected one for each"
        )
    normalized = [normalize_sentence(sentence) for sentence in sentences]
    images_of_text: dict[str, set[int]] = {}
    for text, image in zip(normalized, image_of_sentence.tolist(), strict=True):
        images_of_text.setdefault(text, set()).add(image)
    num_tied = np.array([len(images_of_text[text]) - 1 for text in normalized])
    counts = RankCounts(np.zeros_like(num_tied), num_tied, np.ones_like(num_tied))
    fractions = counts.hits("expected").mean(axis=0)
    return dict(zip(RECALL_NAMES[len(CUTOFFS) :], (100 * fractions).tolist(), strict=True))
