"""Recalls, mR, median and mean rank; what chance reaches, and what repeated sentences leave to reach."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from galr.errors import ShapeError
from galr.evaluate.ranks import CUTOFFS, RankCounts, RetrievalRanks

RECALL_NAMES = tuple(f"{side}_r{cutoff}" for side, cutoff in product(("i2t", "t2i"), CUTOFFS))


def recalls(ranks: RetrievalRanks) -> dict[str, float]:
    """R@1, R@5 and R@10 of both directions: the share of queries, in percent."""
    fractions = np.concatenate([ranks.i2t_hits.mean(axis=0), ranks.t2i_hits.mean(axis=0)])
    return dict(zip(RECALL_NAMES, (100 * fractions).tolist(), strict=True))


def retrieval_metrics(ranks: RetrievalRanks) -> dict[str, float]:
    """Everything one reads in a table (METHOD 7).

    Returns:
        i2t_r1, i2t_r5, i2t_r10, t2i_r1, t2i_r5, t2i_r10 and their mean `mr` in percent; then
        i2t_medr, t2i_medr, i2t_meanr, t2i_meanr: median and mean rank counted *from 1*, as the literature
        prints them, although `Ranks` count from 0.
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
    """Expected `scores` of a random order: those of a matrix whose entries are all equal.

    Args:
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        images: how many there are; each has one sentence at least.
    """
    sentences = len(image_of_sentence)
    own = np.bincount(image_of_sentence, minlength=num_images)
    i2t = RankCounts(np.zeros(num_images, np.int64), sentences - own, own)
    one = np.ones(sentences, np.int64)
    t2i = RankCounts(0 * one, (num_images - 1) * one, one)
    return retrieval_metrics(RetrievalRanks.from_counts(i2t, t2i, "expected"))


def t2i_upper_bound(sentences: Sequence[str], image_of_sentence: np.ndarray) -> dict[str, float]:
    """Text-to-image recalls that a model which only reads the sentence can expect at best, in percent.

    A sentence that g images share finds its own among the first K with chance min(1, K / g): all g
    deserve the first place and tie for it (the tie rule `expected`). It is no bound for one lucky
    order: a model that puts first the image which has the sentence most often gets a little more.

    Args:
        sentences: (sentences,) text; the same to a model where all but case and spaces is equal.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.

    Returns:
        t2i_r1, t2i_r5 and t2i_r10.

    Raises:
        ShapeError: more sentences than images of sentences, or fewer.
    """
    if len(sentences) != len(image_of_sentence):
        raise ShapeError(
            f"{len(sentences)} sentences for {len(image_of_sentence)} images of sentences;"
            " expected one for each"
        )
    normalized = [" ".join(sentence.lower().split()) for sentence in sentences]
    images_of_text: dict[str, set[int]] = {}
    for sentence, image in zip(normalized, image_of_sentence.tolist(), strict=True):
        images_of_text.setdefault(sentence, set()).add(image)
    num_tied = np.array([len(images_of_text[sentence]) - 1 for sentence in normalized])
    fractions = (
        RankCounts(np.zeros_like(num_tied), num_tied, np.ones_like(num_tied))
        .hits("expected")
        .mean(axis=0)
    )
    return dict(zip(RECALL_NAMES[len(CUTOFFS) :], (100 * fractions).tolist(), strict=True))
