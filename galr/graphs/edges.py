"""Enhanced adjacency: proximity of the regions, salience, self-loops, normalisation (our reconstruction).

Every function takes NumPy arrays or tensors on any device and returns the same kind: DREA calls them before
training, and training again when a rotated image moves its boxes. The formulas: `docs/how/drea.md`.
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
Array = Any  # NumPy's or torch's, one kind in a call


@dataclass(frozen=True)
class EdgeConfig:
    """How edges are weighted.

    Attributes:
        proximity: see the function `proximity`.
        bandwidth: of the Gaussian, relative to the image's width and height.
        salience: whether edges of prominent regions weigh more; see `weight_by_salience`.
        self_loops: whether a region has an edge to itself.
        normalisation: `symmetric`, see `normalize_symmetric`; or `none`.

    Raises:
        ConfigError: a choice does not exist, or the bandwidth is not positive.
    """

    proximity: Proximity
    bandwidth: float
    salience: bool = True
    self_loops: bool = True
    normalisation: Normalisation = "symmetric"

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        """Select these out of all of DREA's options by name; a missing one gets its default."""
        return cls(
            **{field.name: options[field.name] for field in fields(cls) if field.name in options}
        )

    def __post_init__(self) -> None:
        """Check the choices."""
        for name, kind in (("proximity", Proximity), ("normalisation", Normalisation)):
            if (choice := getattr(self, name)) not in get_args(kind):
                choices = ", ".join(get_args(kind))
                raise ConfigError(f"{name} '{choice}' is unknown; choose from {choices}")
        if not (self.bandwidth > 0 and isfinite(self.bandwidth)):
            raise ConfigError(
                f"bandwidth must be positive, relative to the image; got {self.bandwidth}"
            )


def adjacency_matrix(boxes: Array, scores: Array, mask: Array, edges: EdgeConfig) -> Array:
    """Compute A of a batch of graphs: proximity, salience, self-loops, padding, normalisation.

    Args:
        boxes: (4, images, n) float, centre and size, relative.
        scores: (images, n) float in [0, 1].
        mask: (images, n) bool, False where padding.
        edges: how edges are weighted.

    Returns:
        (images, n, n) float; symmetric, no edges to padding.
    """
    weights = proximity(boxes, edges.proximity, edges.bandwidth)
    if edges.salience:
        weights = weight_by_salience(weights, salience(scores, boxes, mask))
    if not edges.self_loops:
        weights = remove_self_loops(weights)
    weights = weights * (mask[:, :, None] & mask[:, None, :])
    return normalize_symmetric(weights) if edges.normalisation == "symmetric" else weights


def proximity(boxes: Array, kind: Proximity, bandwidth: float) -> Array:
    r"""Weight every pair of regions by how near they are (our reconstruction).

    - `gaussian`: :math:`e^{-d^2 / 2b^2}` of the distance d of the centres and the bandwidth b, both
      relative to the image's width and height;
    - `iou`: intersection over union, so that only overlapping boxes are neighbours;
    - `giou`: :math:`(1 + \mathrm{GIoU}) / 2`, which also depends on how far apart two boxes are;
    - `uniform`: 1 for all pairs, the baseline.

    Args:
        boxes: (4, images, n) float, centre and size, relative.
        kind: one of the four.
        bandwidth: of the Gaussian.

    Returns:
        (images, n, n) float in [0, 1], symmetric, 1 on the diagonal.
    """
    xp = array_namespace(boxes)
    first, second = boxes[:, :, :, None], boxes[:, :, None, :]
    if kind == "gaussian":
        squared_distance = (first[0] - second[0]) ** 2 + (first[1] - second[1]) ** 2
        return xp.exp(squared_distance / (-2 * bandwidth**2))
    if kind == "uniform":
        return xp.ones_like(first[0] * second[0])
    intersection, union, hull = overlap_areas(first, second)
    if kind == "iou":
        return xp.clip(intersection / union, 0, 1)
    return xp.clip((1 + intersection / union - (hull - union) / hull) / 2, 0, 1)


def salience(scores: Array, boxes: Array, mask: Array) -> Array:
    r"""Compute each region's part of its image's salience, :math:`s_i = p_i a_i / \sum_k p_k a_k` (our reconstruction).

    Args:
        scores: (images, n) float, p.
        boxes: (4, images, n) float, of relative area a.
        mask: (images, n) bool, False where padding.

    Returns:
        (images, n) float in [0, 1] with sum 1 over an image; 0 where padding, or where all scores are 0.
    """
    xp = array_namespace(scores)
    weighted = scores * boxes[2] * boxes[3] * mask
    total = xp.sum(weighted, axis=1, keepdims=True)
    return xp.where(total > 0, weighted / xp.where(total > 0, total, 1.0), 0.0)


def weight_by_salience(proximity: Array, salience: Array) -> Array:
    r"""Raise the edges of prominent regions: :math:`w_{ij} = c_{ij} (1 + \sqrt{s_i s_j})` (our reconstruction).

    As c_ii is 1, a self-loop weighs 1 + s_i: a prominent region also keeps more of itself.

    Args:
        proximity: (images, n, n) float, c.
        salience: (images, n) float, s.

    Returns:
        (images, n, n) float, symmetric where the proximity is.
    """
    root = array_namespace(salience).sqrt(salience)
    return proximity * (1 + root[:, :, None] * root[:, None, :])


def remove_self_loops(weights: Array) -> Array:
    """Set the diagonal to 0: (images, n, n) float to the same."""
    xp = array_namespace(weights)
    index = xp.arange(weights.shape[-1], device=device(weights))
    return weights * (index[:, None] != index[None, :])


def normalize_symmetric(weights: Array) -> Array:
    r"""Normalise by the degrees, :math:`D^{-1/2} W D^{-1/2}` with :math:`D` the row sums of :math:`W`.

    Source: Kipf and Welling 2017 (arXiv 1609.02907), equation 2, whose self-loops are already in W.

    Args:
        weights: (images, n, n) float, W; symmetric, not negative.

    Returns:
        (images, n, n) float, exactly symmetric, eigenvalues in [-1, 1]; a row without edges stays 0.
    """
    xp = array_namespace(weights)
    degree = xp.sum(weights, axis=2)
    root = xp.where(degree > 0, 1 / xp.sqrt(xp.where(degree > 0, degree, 1.0)), 0.0)
    return weights * (root[:, :, None] * root[:, None, :])  # the symmetric product first
