"""What DREA did with each detection of one image: kept it, or dropped it and why."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from galr.graphs.denoise import SIMILARITY_FUNCTIONS, SimilarityKind
from galr.graphs.detections import Detections, pad_by_score
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig

RegionStatus = Literal["kept", "redundant", "over_limit", "low_score"]
STATUSES: tuple[RegionStatus, ...] = get_args(RegionStatus)


@dataclass(frozen=True, eq=False)
class DenoiseReport:
    """The detections of one image with their status.

    Attributes:
        boxes: (detections, 4) float, x1 y1 x2 y2 in pixels.
        scores: (detections,) float in [0, 1].
        classes: (detections,) int.
        status: (detections,) str, one of `STATUSES`.
        kept: (k,) int, the detections that are rows of X, in its order; k is at most n.
        adjacency: (k, k) float32, the edges between them.
        descriptions: each status in words, with the options that decided it.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    status: np.ndarray
    kept: np.ndarray
    adjacency: np.ndarray
    descriptions: dict[RegionStatus, str]

    def count(self, status: RegionStatus) -> int:
        """Count the detections with a status."""
        return int((self.status == status).sum())


def explain_image(
    detections: Detections,
    image: int,
    num_classes: int,
    *,
    min_score: float,
    max_regions: int,
    similarity: SimilarityKind,
    similarity_threshold: float,
    edges: EdgeConfig,
) -> DenoiseReport:
    """Run DREA on one image and find out why each dropped detection was dropped.

    Args:
        detections: of many images.
        image: index of the image.
        num_classes: number of the detector's classes.
        min_score: a lower score is `low_score`.
        max_regions: n; a detection that is neither `low_score` nor `redundant` and no longer fits is `over_limit`.
        similarity: how similar two detections of one class are.
        similarity_threshold: a detection more similar than this to a kept one of its class is `redundant`.
        edges: how edges are weighted.

    Raises:
        ConfigError: an option does not exist or is out of its range.
        DataError: detections contradict themselves.
    """
    rows = slice(int(detections.offsets[image]), int(detections.offsets[image + 1]))
    one_image = Detections(
        np.array([0, rows.stop - rows.start]),
        detections.boxes[rows],
        detections.scores[rows],
        detections.classes[rows],
        detections.sizes[image : image + 1],
    )
    graph = build_graphs(
        one_image,
        num_classes,
        min_score=min_score,
        max_regions=max_regions,
        similarity=similarity,
        similarity_threshold=similarity_threshold,
        edges=edges,
    )
    kept = graph.region_index[0][graph.mask[0]]
    status = np.full(len(one_image.scores), "over_limit")
    if similarity != "none":
        status[_find_redundant(one_image, kept, similarity, similarity_threshold)] = "redundant"
    status[one_image.scores.astype(np.float64) < min_score] = (
        "low_score"  # as `build_graphs` compares
    )
    status[kept] = "kept"
    return DenoiseReport(
        boxes=one_image.boxes,
        scores=one_image.scores,
        classes=one_image.classes,
        status=status,
        kept=kept,
        adjacency=graph.adjacency[0][: len(kept), : len(kept)],
        descriptions=_describe_statuses(min_score, max_regions, similarity, similarity_threshold),
    )


def _describe_statuses(
    min_score: float, max_regions: int, similarity: SimilarityKind, similarity_threshold: float
) -> dict[RegionStatus, str]:
    """Describe in words when a detection has each status."""
    descriptions: dict[RegionStatus, str] = {"kept": "kept"}
    if similarity != "none":
        descriptions["redundant"] = (
            f"redundant, {similarity.replace('_', ' ')} > {similarity_threshold:g}"
        )
    return descriptions | {
        "over_limit": f"beyond the first {max_regions}",
        "low_score": f"score below {min_score:g}",
    }


def _find_redundant(
    one_image: Detections, kept: np.ndarray, similarity: SimilarityKind, similarity_threshold: float
) -> np.ndarray:
    """Find the detections that are redundant to a kept one of their class.

    `suppress_redundant` keeps a detection only if it is not redundant to one kept before it, so comparing with all
    kept ones, whatever their order, finds the same detections.

    Returns:
        (detections,) bool; without meaning for kept ones.
    """
    region_index, classes, _, boxes = pad_by_score(one_image, slice(0, 1))
    redundant = np.zeros(len(one_image.scores), bool)
    if not len(redundant):
        return redundant
    column_of = np.empty_like(region_index[0])
    column_of[region_index[0]] = np.arange(len(column_of))
    for column in column_of[kept]:
        same_class = np.flatnonzero(classes[0] == classes[0, column])
        better = np.repeat(boxes[:, 0, [column]], len(same_class), axis=1)
        similarities = SIMILARITY_FUNCTIONS[similarity](better, boxes[:, 0, same_class])
        redundant[region_index[0, same_class[similarities > similarity_threshold]]] = True
    return redundant
