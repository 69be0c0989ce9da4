"""Detections of many images: checked, put in order, laid out in batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from galr.errors import DataError
from galr.graph.boxes import BOX, relative_boxes

CELLS = 1 << 16  # detections or edges of a batch: its float64 tables fit a core's cache


@dataclass(frozen=True, eq=False)
class Regions:
    """The detections of many images, one image after the other.

    Attributes:
        offsets: (images + 1,) integers; image i owns detections offsets[i]:offsets[i + 1].
        boxes: (detections, 4), x1 y1 x2 y2 in pixels.
        scores: (detections,) in [0, 1].
        classes: (detections,) integers from 0.
        sizes: (images, 2), width and height of the images in pixels.
    """

    offsets: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray


def check(regions: Regions, classes: int) -> None:
    """Refuse detections that contradict themselves.

    Raises:
        DataError: says what was found.
    """
    offsets, count = regions.offsets, len(regions.boxes)
    if (
        len(offsets) != len(regions.sizes) + 1
        or (np.diff(offsets, prepend=0, append=count) < 0).any()
    ):
        raise DataError(
            f"{len(offsets)} offsets do not cut {count} regions into {len(regions.sizes)} images;"
            " detect the regions again"
        )
    if not (np.isfinite(regions.boxes).all() and np.isfinite(regions.scores).all()):
        raise DataError("a region's box or score is not a finite number; detect the regions again")
    if (regions.sizes <= 0).any():
        raise DataError("an image has no width or no height; detect the regions again")
    if count and not (0 <= regions.classes.min() and regions.classes.max() < classes):
        raise DataError(
            f"regions are of classes {regions.classes.min()} to {regions.classes.max()},"
            f" expected 0 to {classes - 1} of a detector with {classes}; detect the regions again"
        )


def in_order(
    regions: Regions, batch: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lay out a batch of images, the best detection of each first.

    Equal scores are ordered by class and place, so that the order the detector gave means nothing.

    Returns:
        source (images, m) int64, number of the detection in its image; class (images, m) int64, -1 where
        there is none; score (images, m); boxes (4, images, m), 1 where there is none.
    """
    offsets = regions.offsets[batch.start : batch.stop + 1]
    own = slice(offsets[0], offsets[-1])
    counts = np.diff(offsets)
    image = np.repeat(np.arange(len(counts)), counts)
    boxes = relative_boxes(regions.boxes[own], regions.sizes[batch][image])
    scores, classes = regions.scores[own].astype(np.float64), regions.classes[own]
    order = _best_first(image, scores, classes, boxes)
    column = np.arange(len(image)) - (offsets[:-1] - offsets[0])[image]
    shape = (len(counts), max(int(counts.max()), 1))
    source, label = np.zeros(shape, np.int64), np.full(shape, -1)
    score, laid = np.zeros(shape), np.ones((len(BOX), *shape))
    place = image * shape[1] + column  # in the flat tables: one index is faster than two
    source.ravel()[place] = column[order]
    label.ravel()[place] = classes[order]
    score.ravel()[place] = scores[order]
    laid.reshape(len(BOX), -1)[:, place] = boxes[:, order]
    return source, label, score, laid


def _best_first(
    image: np.ndarray, scores: np.ndarray, classes: np.ndarray, boxes: np.ndarray
) -> np.ndarray:
    """Order detections within their images: by score, then class, then place and size.

    Detectors deliver them by score, and only images where that does not settle the order are sorted.

    Args:
        image: (detections,) non-decreasing.
        scores: (detections,).
        classes: (detections,).
        boxes: (4, detections).

    Returns:
        (detections,) int64; image[order] is image.
    """
    order = np.arange(len(image))
    unsettled = np.unique(image[1:][(image[1:] == image[:-1]) & (scores[1:] >= scores[:-1])])
    rows = np.flatnonzero(np.isin(image, unsettled))
    keys = (*boxes[::-1, rows], classes[rows], -scores[rows], image[rows])  # the last key rules
    order[rows] = rows[np.lexsort(keys)]
    return order


def batches(offsets: np.ndarray, most: int) -> Iterator[slice]:
    """Cut the images into runs whose padded tables hold about `CELLS` numbers, one image at least."""
    start, widest = 0, most**2
    for image, count in enumerate(np.diff(offsets).tolist()):
        widest = max(widest, count)
        if image > start and (image + 1 - start) * widest > CELLS:
            yield slice(start, image)
            start, widest = image, max(most**2, count)
    if len(offsets) > 1:
        yield slice(start, len(offsets) - 1)
