"""What became of one image's detections: kept, or why not."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from galr.graphs.denoise import SIMILARITY_FUNCTIONS, SimilarityKind
from galr.graphs.detections import Detections, pad_by_score
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig

RegionStatus = Literal["kept", "redundant", "beyond", "weak"]
STATUSES: tuple[RegionStatus, ...] = get_args(RegionStatus)


@dataclass(frozen=True, eq=False)
class DenoiseReport:
    """One image's detections and what DREA made of them.

    Attributes:
        boxes: (detections, 4), x1 y1 x2 y2 in pixels.
        scores: (detections,) in [0, 1].
        classes: (detections,) int.
        fates: (detections,) text, one of `FATES`.
        kept: (k,) int, the detections that are rows of X, in its order; k is at most n.
        adjacency: (k, k), the edges between them.
        meanings: what each fate means under the choices that were made, in words.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    status: np.ndarray
    kept: np.ndarray
    adjacency: np.ndarray
    descriptions: dict[RegionStatus, str]

    def count(self, status: RegionStatus) -> int:
        """How many detections had this fate."""
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
    """Run DREA on one image, and tell why each detection that is not in the graph is not.

    Args:
        regions: the detections of many images.
        image: which image, from 0.
        classes: how many the detector knows.
        least_score: a lower score is `weak`.
        most: n; what is neither weak nor redundant and no longer fits is `beyond`.
        measure: how alike two detections are.
        redundant: what is more alike than this to a kept one of its class is `redundant`.
        edges: how edges are weighed.

    Raises:
        ConfigError: a choice that does not exist or means nothing.
        DataError: detections that contradict themselves.
    """
    rows = slice(int(detections.offsets[image]), int(detections.offsets[image + 1]))
    alone = Detections(
        np.array([0, rows.stop - rows.start]),
        detections.boxes[rows],
        detections.scores[rows],
        detections.classes[rows],
        detections.sizes[image : image + 1],
    )
    graph = build_graphs(
        alone,
        num_classes,
        min_score=min_score,
        max_regions=max_regions,
        similarity=similarity,
        similarity_threshold=similarity_threshold,
        edges=edges,
    )
    kept = graph.region_index[0][graph.mask[0]]
    status = np.full(len(alone.scores), "beyond", dtype="U9")
    if similarity != "none":
        status[_find_redundant(alone, kept, similarity, similarity_threshold)] = "redundant"
    status[alone.scores.astype(np.float64) < min_score] = "weak"  # compared as `graphs` does
    status[kept] = "kept"
    edge = graph.adjacency[0][: len(kept), : len(kept)]
    descriptions = _describe_statuses(min_score, max_regions, similarity, similarity_threshold)
    return DenoiseReport(alone.boxes, alone.scores, alone.classes, status, kept, edge, descriptions)


def _describe_statuses(
    min_score: float, max_regions: int, similarity: SimilarityKind, similarity_threshold: float
) -> dict[RegionStatus, str]:
    """Say in words what each fate means under some choices."""
    descriptions: dict[RegionStatus, str] = {"kept": "kept"}
    if similarity != "none":
        descriptions["redundant"] = (
            f"redundant, {similarity.replace('_', ' ')} > {similarity_threshold:g}"
        )
    return descriptions | {
        "beyond": f"beyond the first {max_regions}",
        "weak": f"score below {min_score:g}",
    }


def _find_redundant(
    alone: Detections, kept: np.ndarray, similarity: SimilarityKind, similarity_threshold: float
) -> np.ndarray:
    """Find the detections that some kept one of their class makes redundant.

    The walk of `denoise.denoised` only goes on to a detection that none kept before it makes redundant, so
    looking at all that were kept in the end, whatever their order, finds the same.

    Returns:
        (detections,) bool; of kept ones it means nothing.
    """
    region_index, classes, _, boxes = pad_by_score(alone, slice(0, 1))
    redundant = np.zeros(len(alone.scores), bool)
    if not len(redundant):
        return redundant
    column_of = np.empty_like(region_index[0])
    column_of[region_index[0]] = np.arange(len(column_of))  # the column of each detection
    for column in column_of[kept]:
        pairs = np.flatnonzero(classes[0] == classes[0, column])
        better = np.repeat(boxes[:, 0, [column]], len(pairs), axis=1)
        again = SIMILARITY_FUNCTIONS[similarity](better, boxes[:, 0, pairs]) > similarity_threshold
        redundant[region_index[0, pairs[again]]] = True
    return redundant
