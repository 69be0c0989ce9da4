"""Boxes in units of their image, and how they overlap."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

BOX = ("centre x", "centre y", "width", "height")
LEAST_SIZE = 1e-6  # of the image; a box without width or height counts as this wide or high


def relative_boxes(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Measure boxes in units of their image.

    Args:
        boxes: (detections, 4), x1 y1 x2 y2 in pixels.
        sizes: (detections, 2), width and height of the image of each in pixels.

    Returns:
        (4, detections) float64: centre x, centre y, width, height.
    """
    (left, top, right, bottom), (width, height) = boxes.T.astype(np.float64), sizes.T
    return np.stack(
        [
            (left + right) / 2 / width,
            (top + bottom) / 2 / height,
            np.maximum((right - left) / width, LEAST_SIZE),
            np.maximum((bottom - top) / height, LEAST_SIZE),
        ]
    )


def overlaps(one: Any, other: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401  arrays or tensors
    """Areas of the intersection, the union and the smallest box around both, of boxes (4, ...)."""
    xp = array_namespace(one, other)
    sides = []
    for centre, size in ((0, 2), (1, 3)):
        (low, high), (start, stop) = (
            (box[centre] - box[size] / 2, box[centre] + box[size] / 2) for box in (one, other)
        )
        common = xp.clip(xp.minimum(high, stop) - xp.maximum(low, start), min=0)
        sides.append((common, xp.maximum(high, stop) - xp.minimum(low, start)))
    (across, width), (down, height) = sides
    intersection = across * down
    union = one[2] * one[3] + other[2] * other[3] - intersection
    return intersection, union, width * height
