"""Denoised representation: keep the best detections that do not repeat each other."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from galr.graphs.detections import overlap_areas

SimilarityKind = Literal["cosine", "iou", "class_and_place", "none"]


def suppress_redundant(
    classes: np.ndarray,
    boxes: np.ndarray,
    max_regions: int,
    similarity: SimilarityKind,
    similarity_threshold: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Keep the first n detections that are not redundant to a better one (our reconstruction, `docs/how/drea.md`).

    Going down the list, a detection is kept unless its similarity to one of its class that was kept is over the
    threshold; the list ends at n. All images are processed at once, and a detection is only compared with kept ones:
    time and memory grow with n · m and not with m².

    Args:
        classes: (images, m) int, -1 where there is no detection; the best detection first.
        boxes: (4, images, m) float, centre and size, in the same order.
        max_regions: n.
        similarity: how similar two detections are; `none` keeps the first n, however similar.
        similarity_threshold: above it the later of two detections is redundant.

    Returns:
        kept (images, n) int64, columns, -1 after the last; num_redundant (images,) int64, detections
        that are redundant to a kept one.
    """
    if similarity == "none":
        return top_n(classes, max_regions), np.zeros(len(classes), np.int64)
    similarity_fn = SIMILARITY_FUNCTIONS[similarity]
    images, width = classes.shape
    narrowest = np.min_scalar_type(-1 - classes.max(initial=0))  # the fastest to compare
    classes = classes.astype(narrowest)
    flat = boxes.reshape(4, -1)  # column c of image i is at i · width + c
    starts = np.arange(images) * width
    is_candidate = classes >= 0
    kept = np.full((images, max_regions), -1)
    num_redundant = np.zeros(images, np.int64)
    for step in range(max_regions):
        best = is_candidate.argmax(axis=1)  # the first candidate
        has_candidate = is_candidate.ravel()[starts + best]
        if not has_candidate.any():
            break
        kept[has_candidate, step] = best[has_candidate]
        is_candidate.ravel()[starts + best] = False
        same_class = classes == classes.ravel()[starts + best][:, None]
        others = np.flatnonzero(is_candidate & same_class)
        image = others // width
        similarities = similarity_fn(flat[:, (starts + best)[image]], flat[:, others])
        is_redundant = similarities > similarity_threshold
        is_candidate.ravel()[others[is_redundant]] = False
        num_redundant += np.bincount(image[is_redundant], minlength=images)
    return kept, num_redundant


def top_n(classes: np.ndarray, max_regions: int) -> np.ndarray:
    """Keep the first n detections of every image, however similar.

    Args:
        classes: (images, m) int, -1 where there is no detection.
        max_regions: n.

    Returns:
        (images, n) int64, columns, -1 after the last.
    """
    kept = np.full((len(classes), max_regions), -1)
    is_detection = classes[:, :max_regions] >= 0
    kept[:, : is_detection.shape[1]] = np.where(is_detection, np.arange(is_detection.shape[1]), -1)
    return kept


def cosine_similarity(kept: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    r"""Cosine of two representations, with position and size in units of the kept box (our reconstruction).

    .. math:: \cos\bigl((1, 0, 0, 1, 1),\; (1, \Delta x/w, \Delta y/h, w'/w, h'/h)\bigr)

    The leading 1 is the class, which both share. A cosine over 0.98 means: moved by less than a third of its own
    size, or of two thirds to 1.6 times its width and height.

    The cosine of the plain rows of X would not do: class and score outweigh the box there, and the box is measured
    from the corner of the image. Two parked cars side by side, 10 by 5 of 256 pixels, have 0.9999; one large
    object detected twice with an offset of 30 % has 0.998, and one box detected with scores 0.9 and 0.3 has 0.92: no
    threshold keeps both cars and drops the second detections.
    Here these pairs have 0.81, 0.985 and 1. Two ships moored side by side at 45°, whose upright boxes overlap
    by half, have 0.961, so 0.98 lies between. The score has no influence: a weaker detection of an object is
    not another object.

    Args:
        kept: (4, pairs) float, boxes.
        boxes: (4, pairs) float, the box that each is compared with.

    Returns:
        (pairs,) float in [-1, 1].
    """
    x, y, width, height = kept
    dx, dy = (boxes[0] - x) / width, (boxes[1] - y) / height
    width_ratio, height_ratio = boxes[2] / width, boxes[3] / height
    length = np.sqrt(1 + dx**2 + dy**2 + width_ratio**2 + height_ratio**2)
    return np.minimum((1 + width_ratio + height_ratio) / (np.sqrt(3) * length), 1)


def iou_similarity(kept: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union.

    Args:
        kept: (4, pairs) float, boxes.
        boxes: (4, pairs) float, the box that each is compared with.

    Returns:
        (pairs,) float in [0, 1].
    """
    intersection, union, _ = overlap_areas(kept, boxes)
    return np.minimum(intersection / union, 1)


def location_similarity(kept: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Proximity of the centres, whatever the sizes: 1 - max(|Δx| / w, |Δy| / h), at least 0 (our reconstruction).

    1 at the centre of the kept box, ½ on its edge.

    Args:
        kept: (4, pairs) float, boxes.
        boxes: (4, pairs) float, the box that each is compared with.

    Returns:
        (pairs,) float in [0, 1].
    """
    x, y, width, height = kept
    distance = np.maximum(np.abs(boxes[0] - x) / width, np.abs(boxes[1] - y) / height)
    return np.maximum(1 - distance, 0)


SIMILARITY_FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "cosine": cosine_similarity,
    "iou": iou_similarity,
    "class_and_place": location_similarity,
}
