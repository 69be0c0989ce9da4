"""Edges between detections: how near, how prominent, normalised.

Every function takes NumPy arrays or tensors on any device and gives the same kind back: DREA uses them before
training, and training again when a turned picture moves its boxes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal, Self, get_args

from array_api_compat import array_namespace, device

from galr.errors import ConfigError
from galr.graphs.detections import overlap_areas

Proximity = Literal["gaussian", "iou", "giou", "uniform"]
Normalisation = Literal["symmetric", "none"]
Array = Any  # of one kind in a call: NumPy's or torch's


@dataclass(frozen=True)
class EdgeConfig:
    """How edges are weighed.

    closeness: see `nearness`.
    bandwidth: of the Gaussian, in units of the image's width and height.
    salience: whether prominent detections weigh more; see `enhanced`.
    self_loops: whether a detection keeps some of itself.
    normalisation: `symmetric`, see `normalised`; or `none`.
    """

    proximity: Proximity
    bandwidth: float
    salience: bool = True
    self_loops: bool = True
    normalisation: Normalisation = "symmetric"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Take these out of all of DREA's choices by name; what is not named is as usual."""
        return cls(
            **{each.name: options[each.name] for each in fields(cls) if each.name in options}
        )

    def __post_init__(self) -> None:
        """Refuse choices that do not exist or mean nothing.

        Raises:
            ConfigError: says which.
        """
        for name, known in (("closeness", Proximity), ("normalisation", Normalisation)):
            if (choice := getattr(self, name)) not in get_args(known):
                choices = ", ".join(get_args(known))
                raise ConfigError(f"{name} '{choice}' is unknown; choose from {choices}")
        if not (self.bandwidth > 0 and isfinite(self.bandwidth)):
            raise ConfigError(f"bandwidth is a positive share of the image, got {self.bandwidth}")


def adjacency_matrix(boxes: Array, scores: Array, mask: Array, edges: EdgeConfig) -> Array:
    """Weigh the edges of a batch of graphs: near, enhanced, cut at the padding, normalised.

    Args:
        boxes: (4, images, n) centre and size in units of the image.
        score: (images, n) in [0, 1].
        mask: (images, n) bool, False where padding.
        edges: how they are weighed.

    Returns:
        (images, n, n), A; symmetric, no edges to padding.
    """
    weights = proximity(boxes, edges.proximity, edges.bandwidth)
    if edges.salience:
        weights = weight_by_salience(weights, salience(scores, boxes, mask))
    if not edges.self_loops:
        weights = remove_self_loops(weights)
    weights = weights * (mask[:, :, None] & mask[:, None, :])
    return normalize_symmetric(weights) if edges.normalisation == "symmetric" else weights


def proximity(boxes: Array, kind: Proximity, bandwidth: float) -> Array:
    r"""Weigh every pair of detections by how near they are (our reconstruction).

    - `gaussian`: :math:`e^{-d^2 / 2b^2}` of the distance d of the centres and the bandwidth b, both in
      units of the image's width and height;
    - `iou`: intersection over union, so that only overlapping boxes are neighbours;
    - `giou`: :math:`(1 + \mathrm{GIoU}) / 2`, which also tells how far apart two boxes are;
    - `uniform`: 1, so that all are neighbours alike, as if nobody had thought about edges.

    Args:
        boxes: (4, images, n).
        closeness: one of the four.
        bandwidth: of the Gaussian.

    Returns:
        (images, n, n) in [0, 1], symmetric, 1 on the diagonal.
    """
    xp = array_namespace(boxes)
    first, second = boxes[:, :, :, None], boxes[:, :, None, :]
    if kind == "gaussian":
        return xp.exp(
            ((first[0] - second[0]) ** 2 + (first[1] - second[1]) ** 2) / (-2 * bandwidth**2)
        )
    if kind == "uniform":
        return xp.ones_like(first[0] * second[0])
    intersection, union, hull = overlap_areas(first, second)
    if kind == "iou":
        return xp.clip(intersection / union, 0, 1)
    return xp.clip((1 + intersection / union - (hull - union) / hull) / 2, 0, 1)


def salience(scores: Array, boxes: Array, mask: Array) -> Array:
    r"""Share the attention of an image, salience: :math:`s_i = p_i a_i / \sum_k p_k a_k` (our reconstruction).

    Args:
        score: (images, n), p.
        boxes: (4, images, n), of relative area a.
        mask: (images, n) bool.

    Returns:
        (images, n) in [0, 1], summing to 1 over an image; 0 where padding, or where all scores are 0.
    """
    xp = array_namespace(scores)
    weighted = scores * boxes[2] * boxes[3] * mask
    total = xp.sum(weighted, axis=1, keepdims=True)
    return xp.where(total > 0, weighted / xp.where(total > 0, total, 1.0), 0.0)


def weight_by_salience(proximity: Array, salience: Array) -> Array:
    r"""Raise the edges of prominent detections: :math:`w_{ij} = c_{ij} (1 + \sqrt{s_i s_j})` (our reconstruction).

    As c_ii is 1, a self-loop weighs 1 + s_i: prominent detections also keep more of themselves.

    Args:
        closeness: (images, n, n), c.
        salience: (images, n), s.

    Returns:
        (images, n, n), symmetric where the closeness is.
    """
    root = array_namespace(salience).sqrt(salience)
    return proximity * (1 + root[:, :, None] * root[:, None, :])


def remove_self_loops(weights: Array) -> Array:
    """Cut the edge of every detection to itself: (images, n, n) to the same, 0 on the diagonal."""
    xp = array_namespace(weights)
    index = xp.arange(weights.shape[-1], device=device(weights))
    return weights * (index[:, None] != index[None, :])


def normalize_symmetric(weights: Array) -> Array:
    r"""Normalise symmetrically, :math:`D^{-1/2} W D^{-1/2}` (METHOD 3).

    Args:
        weights: (images, n, n), W; symmetric, not negative.

    Returns:
        (images, n, n), exactly symmetric, eigenvalues in [-1, 1]; a row without edges stays 0.
    """
    xp = array_namespace(weights)
    degree = xp.sum(weights, axis=2)
    root = xp.where(degree > 0, 1 / xp.sqrt(xp.where(degree > 0, degree, 1.0)), 0.0)
    return weights * (root[:, :, None] * root[:, None, :])  # the product first: it is symmetric
