"""Intervals of mR: percentile bootstrap over the test images."""

from collections.abc import Sequence

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.ranks import CUTOFFS, RetrievalRanks
from galr.evaluate.topk import row_blocks


def bootstrap_interval(
    folds: Sequence[RetrievalRanks],
    image_of_sentence: np.ndarray,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    """Percentile interval of mR, in percent.

    Args:
        folds: ranks of models that were tested on the same images; their mR is averaged.
        image_of_sentence: (sentences,) row of the image that each sentence describes.
        resamples: number of resamples of the images.
        confidence: fraction of the resamples inside the interval, in (0, 1).
        seed: seed of the resampling.

    Returns:
        The lower and the upper end.

    Raises:
        ConfigError: no resamples, a confidence outside (0, 1), or a negative seed.
        ShapeError: no folds, or folds of other images.
    """
    check_bootstrap(resamples, confidence, seed)
    tail = (1 - confidence) / 2
    values = bootstrap_mr(folds, image_of_sentence, resamples, seed)
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def check_bootstrap(resamples: int, confidence: float, seed: int) -> None:
    """Check the options of the bootstrap.

    Raises:
        ConfigError: no resamples, a confidence outside (0, 1), or a negative seed.
    """
    if resamples < 1:
        raise ConfigError(f"resamples must be at least 1, got {resamples}")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is a fraction in (0, 1), such as 0.95; got {confidence}")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, got {seed}")


def bootstrap_mr(
    folds: Sequence[RetrievalRanks], image_of_sentence: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """Resample the images with replacement and compute the mR of each resample.

    Resampling is clustered: an image brings its own image-to-text rank and the text-to-image ranks of all its
    sentences. All folds share the resamples, so images that are hard for every fold widen the interval. To
    compare two models resample by resample, use the same seed.

    Args:
        folds: ranks of models that were tested on the same images.
        image_of_sentence: (sentences,) row of the image that each sentence describes.
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        (resamples,) float64, percent.

    Raises:
        ShapeError: no folds, or folds of other images.
    """
    hits = _hits_per_image(folds, image_of_sentence)
    images = len(hits)
    random = np.random.default_rng(seed)
    values = np.empty(resamples)
    for rows in row_blocks(resamples, images, 1 << 20):
        count = rows.stop - rows.start
        drawn = random.integers(images, size=(count, images)) + images * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images)
        sums = times @ hits  # (resamples of the block, columns of `hits`)
        i2t, t2i = sums[:, : len(CUTOFFS)] / images, sums[:, len(CUTOFFS) : -1] / sums[:, -1:]
        values[rows] = 50 * (i2t.mean(axis=1) + t2i.mean(axis=1))
    return values


def _hits_per_image(folds: Sequence[RetrievalRanks], image_of_sentence: np.ndarray) -> np.ndarray:
    """What each image adds to a resample.

    Returns:
        (images, columns) float64: the image's own hits, the sums of its sentences' hits, and its number of
        sentences; hits are averaged over folds.
    """
    if not folds:
        raise ShapeError("an interval needs the ranks of at least one fold")
    images, sentences = len(folds[0].i2t), len(image_of_sentence)
    for fold in folds:
        if len(fold.i2t) != images or len(fold.t2i) != sentences:
            raise ShapeError(
                f"one fold ranks {len(fold.i2t)} images and {len(fold.t2i)} sentences, another"
                f" {images} and {sentences}; expected all folds to be tested on the same images"
            )
    image_hits = np.mean([fold.i2t_hits for fold in folds], axis=0)
    sentence_hits = np.zeros((images, len(CUTOFFS)))
    np.add.at(sentence_hits, image_of_sentence, np.mean([fold.t2i_hits for fold in folds], axis=0))
    num_sentences = np.bincount(image_of_sentence, minlength=images)
    return np.column_stack([image_hits, sentence_hits, num_sentences])
