"""Edges between detections: how near, how prominent, normalised."""

from typing import Literal

import numpy as np

from galr.graph.boxes import overlaps

Closeness = Literal["gaussian", "iou", "giou"]


def nearness(boxes: np.ndarray, closeness: Closeness, bandwidth: float) -> np.ndarray:
    r"""Weigh every pair of detections by how near they are (our reconstruction).

    - `gaussian`: :math:`e^{-d^2 / 2b^2}` of the distance d of the centres and the bandwidth b, both in
      units of the image's width and height;
    - `iou`: intersection over union, so that only overlapping boxes are neighbours;
    - `giou`: :math:`(1 + \mathrm{GIoU}) / 2`, which also tells how far apart two boxes are.

    Args:
        boxes: (4, images, n).
        closeness: one of the three.
        bandwidth: of the Gaussian.

    Returns:
        (images, n, n) in [0, 1], symmetric, 1 on the diagonal.
    """
    one, other = boxes[:, :, :, None], boxes[:, :, None, :]
    if closeness == "gaussian":
        return np.exp(-((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) / (2 * bandwidth**2))
    intersection, union, hull = overlaps(one, other)
    if closeness == "iou":
        return np.minimum(intersection / union, 1)
    return np.clip((1 + intersection / union - (hull - union) / hull) / 2, 0, 1)


def salience(score: np.ndarray, boxes: np.ndarray, mask: np.ndarray) -> np.ndarray:
    r"""Share the attention of an image: :math:`s_i = p_i a_i / \sum_k p_k a_k` (our reconstruction).

    Args:
        score: (images, n), p.
        boxes: (4, images, n), of relative area a.
        mask: (images, n) bool.

    Returns:
        (images, n) in [0, 1], summing to 1 over an image; 0 where padding, or where all scores are 0.
    """
    seen = score * boxes[2] * boxes[3] * mask
    total = seen.sum(axis=1, keepdims=True)
    return np.divide(seen, total, out=np.zeros_like(seen), where=total > 0)


def enhanced(closeness: np.ndarray, salience: np.ndarray) -> np.ndarray:
    r"""Raise the edges of prominent detections: :math:`w_{ij} = c_{ij} (1 + \sqrt{s_i s_j})` (our reconstruction).

    As c_ii is 1, a self-loop weighs 1 + s_i: prominent detections also keep more of themselves.

    Args:
        closeness: (images, n, n), c.
        salience: (images, n), s.

    Returns:
        (images, n, n), symmetric where the closeness is.
    """
    root = np.sqrt(salience)
    return closeness * (1 + root[:, :, None] * root[:, None, :])


def normalised(weights: np.ndarray, mask: np.ndarray) -> np.ndarray:
    r"""Normalise symmetrically, :math:`D^{-1/2} W D^{-1/2}`, and cut all edges of padding (METHOD 3).

    Args:
        weights: (images, n, n), W; symmetric, not negative, positive on the diagonal.
        mask: (images, n) bool.

    Returns:
        (images, n, n), exactly symmetric, eigenvalues in [-1, 1].
    """
    weights = weights * (mask[:, :, None] & mask[:, None, :])
    degree = weights.sum(axis=2)
    root = np.divide(1, np.sqrt(degree), out=np.zeros_like(degree), where=mask)
    return weights * (root[:, :, None] * root[:, None, :])  # the product first: it is symmetric
