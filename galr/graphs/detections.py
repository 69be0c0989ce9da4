"""Detections of many images: checked, sorted by score, laid out in padded batches; and boxes relative to their image."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from galr.errors import DataError

BOX_FEATURES = ("centre x", "centre y", "width", "height")
MIN_SIZE = 1e-6  # relative to the image; a box without width or height counts as this wide or high
BATCH_CELLS = 1 << 16  # detections or edges of a batch: its float64 tables fit a core's cache


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of many images, one image after the other.

    Attributes:
        offsets: (images + 1,) int; image i has the detections offsets[i]:offsets[i + 1].
        boxes: (detections, 4) float, x1 y1 x2 y2 in pixels.
        scores: (detections,) float in [0, 1].
        classes: (detections,) int from 0.
        sizes: (images, 2) int, width and height of the images in pixels.
    """

    offsets: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    sizes: np.ndarray


def check_detections(detections: Detections, num_classes: int) -> None:
    """Check that detections do not contradict themselves.

    Raises:
        DataError: offsets, numbers, sizes or classes do; the message says which.
    """
    offsets, count = detections.offsets, len(detections.boxes)
    if (
        len(offsets) != len(detections.sizes) + 1
        or (np.diff(offsets, prepend=0, append=count) < 0).any()
    ):
        raise DataError(
            f"{len(offsets)} offsets do not split {count} regions into {len(detections.sizes)} images;"
            " detect the regions again"
        )
    if not (np.isfinite(detections.boxes).all() and np.isfinite(detections.scores).all()):
        raise DataError("a region's box or score is not a finite number; detect the regions again")
    if (detections.sizes <= 0).any():
        raise DataError("an image has no width or no height; detect the regions again")
    if count and not (0 <= detections.classes.min() and detections.classes.max() < num_classes):
        raise DataError(
            f"regions are of classes {detections.classes.min()} to {detections.classes.max()},"
            f" expected 0 to {num_classes - 1} of a detector with {num_classes}; detect the regions again"
        )


def relative_boxes(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Divide boxes by the size of their image.

    Args:
        boxes: (detections, 4) float, x1 y1 x2 y2 in pixels.
        sizes: (detections, 2) int, width and height of each detection's image in pixels.

    Returns:
        (4, detections) float64: centre x, centre y, width, height.
    """
    (left, top, right, bottom), (width, height) = boxes.T.astype(np.float64), sizes.T
    return np.stack(
        [
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            np.maximum((right - left) / width, MIN_SIZE),
            np.maximum((bottom - top) / height, MIN_SIZE),
        ]
    )


def overlap_areas(first: Any, second: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401  arrays or tensors
    """Compute how pairs of boxes overlap.

    Args:
        first: (4, ...) float, centre and size, array or tensor.
        second: the same, of a shape that broadcasts with `first`.

    Returns:
        Areas (...) float of the intersection, of the union and of the smallest box around both.
    """
    xp = array_namespace(first, second)
    sides = []
    for centre, size in ((0, 2), (1, 3)):
        (low, high), (start, stop) = (
            (box[centre] - box[size] / 2, box[centre] + box[size] / 2) for box in (first, second)
        )
        common = xp.clip(xp.minimum(high, stop) - xp.maximum(low, start), min=0)
        sides.append((common, xp.maximum(high, stop) - xp.minimum(low, start)))
    (common_width, width), (common_height, height) = sides
    intersection = common_width * common_height
    union = first[2] * first[3] + second[2] * second[3] - intersection
    return intersection, union, width * height


def pad_by_score(
    detections: Detections, batch: slice
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lay out a batch of images in tables of m columns, the best detection of each image first.

    Equal scores are ordered by class and box, so that the detector's order changes nothing.

    Args:
        detections: of all images.
        batch: which images, start and stop.

    Returns:
        region_index (images, m) int64, the detection's number in its image; classes (images, m) int64, -1 where
        padding; scores (images, m) float64, 0 where padding; boxes (4, images, m) float64, relative, 1 where
        padding.
    """
    offsets = detections.offsets[batch.start : batch.stop + 1]
    rows = slice(offsets[0], offsets[-1])
    counts = np.diff(offsets)
    image = np.repeat(np.arange(len(counts)), counts)
    boxes = relative_boxes(detections.boxes[rows], detections.sizes[batch][image])
    scores, classes = detections.scores[rows].astype(np.float64), detections.classes[rows]
    order = _order_by_score(image, scores, classes, boxes)
    column = np.arange(len(image)) - (offsets[:-1] - offsets[0])[image]
    shape = (len(counts), max(int(counts.max()), 1))
    region_index, padded_classes = np.zeros(shape, np.int64), np.full(shape, -1)
    padded_scores, padded_boxes = np.zeros(shape), np.ones((len(BOX_FEATURES), *shape))
    flat_index = image * shape[1] + column  # one index is faster than two
    region_index.ravel()[flat_index] = column[order]
    padded_classes.ravel()[flat_index] = classes[order]
    padded_scores.ravel()[flat_index] = scores[order]
    padded_boxes.reshape(len(BOX_FEATURES), -1)[:, flat_index] = boxes[:, order]
    return region_index, padded_classes, padded_scores, padded_boxes


def _order_by_score(
    image: np.ndarray, scores: np.ndarray, classes: np.ndarray, boxes: np.ndarray
) -> np.ndarray:
    """Order detections within their images: by score, then class, then box.

    Detectors return them by score; only images with equal or unsorted scores are sorted.

    Args:
        image: (detections,) int, non-decreasing.
        scores: (detections,) float.
        classes: (detections,) int.
        boxes: (4, detections) float.

    Returns:
        (detections,) int64, a permutation; image[order] is image.
    """
    order = np.arange(len(image))
    unsorted = np.unique(image[1:][(image[1:] == image[:-1]) & (scores[1:] >= scores[:-1])])
    rows = np.flatnonzero(np.isin(image, unsorted))
    keys = (
        *boxes[::-1, rows],
        classes[rows],
        -scores[rows],
        image[rows],
    )  # lexsort: the last is first
    order[rows] = rows[np.lexsort(keys)]
    return order


def iter_batches(offsets: np.ndarray, max_regions: int) -> Iterator[slice]:
    """Split the images into slices whose padded tables hold about `BATCH_CELLS` numbers, at least one image each.

    Args:
        offsets: (images + 1,) int.
        max_regions: n, rows of a graph.
    """
    start, widest = 0, max_regions**2
    for image, count in enumerate(np.diff(offsets).tolist()):
        widest = max(widest, count)
        if image > start and (image + 1 - start) * widest > BATCH_CELLS:
            yield slice(start, image)
            start, widest = image, max(max_regions**2, count)
    if len(offsets) > 1:
        yield slice(start, len(offsets) - 1)
