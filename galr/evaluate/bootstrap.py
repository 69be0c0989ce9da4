"""How far mR moves when other images of the same kind had been drawn: percentile bootstrap over images."""

from collections.abc import Sequence

import numpy as np

from galr.errors import ConfigError, ShapeError
from galr.evaluate.ranks import CUTOFFS, RetrievalRanks, row_blocks


def bootstrap_interval(
    folds: Sequence[RetrievalRanks],
    image_of_sentence: np.ndarray,
    resamples: int,
    confidence: float,
    seed: int,
) -> tuple[float, float]:
    """Percentile interval of mR, in percent.

    Args:
        folds: ranks of models that were tested on the same images; their mRs are averaged.
        image_of_sentence: (sentences,) row of the image a sentence speaks of.
        resamples: draws of as many images as there are, with replacement.
        confidence: share of the draws that lie inside, in (0, 1).
        seed: of the draws.

    Raises:
        ConfigError: no resample, a confidence outside (0, 1), or a negative seed.
        ShapeError: no folds, or folds of other images.
    """
    check_bootstrap(resamples, confidence, seed)
    outside = (1 - confidence) / 2
    drawn = bootstrap_mr(folds, image_of_sentence, resamples, seed)
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return float(low), float(high)


def check_bootstrap(resamples: int, confidence: float, seed: int) -> None:
    """Refuse what gives no interval.

    Raises:
        ConfigError: no resample, a confidence outside (0, 1), or a negative seed.
    """
    if resamples < 1:
        raise ConfigError(f"resamples must be at least 1, got {resamples}")
    if not 0 < confidence < 1:
        raise ConfigError(f"confidence is a share in (0, 1), such as 0.95; got {confidence}")
    if seed < 0:
        raise ConfigError(f"seed must be at least 0, got {seed}")


def bootstrap_mr(
    folds: Sequence[RetrievalRanks], image_of_sentence: np.ndarray, resamples: int, seed: int
) -> np.ndarray:
    """Draw images with replacement, again and again, and compute mR of each draw.

    An image brings its own image-to-text rank and the text-to-image ranks of all its sentences, which
    stand or fall together. Folds meet the same draws, so what is hard for all of them stays in the
    interval. Two models compared draw by draw need the same seed.

    Returns:
        (resamples,) float64, percent.

    Raises:
        ShapeError: no folds, or folds of other images.
    """
    table = _hits_per_image(folds, image_of_sentence)
    images = len(table)
    random = np.random.default_rng(seed)
    found = np.empty(resamples)
    for draws in row_blocks(resamples, images, 1 << 20):
        count = draws.stop - draws.start
        drawn = random.integers(images, size=(count, images)) + images * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images)
        sums = times @ table  # (draws, columns of the table)
        i2t, t2i = sums[:, : len(CUTOFFS)] / images, sums[:, len(CUTOFFS) : -1] / sums[:, -1:]
        found[draws] = 50 * (i2t.mean(axis=1) + t2i.mean(axis=1))
    return found


def _hits_per_image(folds: Sequence[RetrievalRanks], image_of_sentence: np.ndarray) -> np.ndarray:
    """What each image brings into a draw.

    Returns:
        (images, columns) float64: its own hits, the sums of its sentences' hits, and how many
        sentences it has; hits are averaged over folds.
    """
    if not folds:
        raise ShapeError("an interval needs the ranks of one fold at least")
    images, sentences = len(folds[0].i2t), len(image_of_sentence)
    for fold in folds:
        if len(fold.i2t) != images or len(fold.t2i) != sentences:
            raise ShapeError(
                f"a fold ranks {len(fold.i2t)} images and {len(fold.t2i)} sentences, another"
                f" {images} and {sentences}; expected all folds to be tested on the same images"
            )
    own = np.mean([fold.i2t_hits for fold in folds], axis=0)
    spoken = np.zeros((images, len(CUTOFFS)))
    np.add.at(spoken, image_of_sentence, np.mean([fold.t2i_hits for fold in folds], axis=0))
    return np.column_stack([own, spoken, np.bincount(image_of_sentence, minlength=images)])
