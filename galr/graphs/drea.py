"""DREA as a whole: from detections to the representation matrix X and the adjacency matrix A."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np

from galr.errors import ConfigError
from galr.graphs.denoise import SimilarityKind, suppress_redundant
from galr.graphs.detections import (
    BOX_FEATURES,
    Detections,
    check_detections,
    iter_batches,
    pad_by_score,
)
from galr.graphs.edges import EdgeConfig, adjacency_matrix
from galr.progress import ProgressBar


@dataclass(frozen=True, eq=False)
class GraphArrays:
    """The graphs of many images.

    Attributes:
        representation: (images, n, d) float32, X; zero rows where padding.
        adjacency: (images, n, n) float32, A; symmetric, no edges to padding, eigenvalues in [-1, 1] if
            normalised.
        mask: (images, n) bool, False where a row is padding.
        region_index: (images, n) int32, number of each row's detection in its image; -1 where padding.
        num_redundant: (images,) int32, detections that were dropped as redundant to a kept one.
    """

    representation: np.ndarray
    adjacency: np.ndarray
    mask: np.ndarray
    region_index: np.ndarray
    num_redundant: np.ndarray


def build_graphs(
    detections: Detections,
    num_classes: int,
    *,
    min_score: float,
    max_regions: int,
    similarity: SimilarityKind,
    similarity_threshold: float,
    edges: EdgeConfig,
) -> GraphArrays:
    """Compute X and A of every image (our reconstruction, `docs/how/drea.md`).

    The order of an image's detections and its size in pixels change nothing, nor do exact duplicates
    unless the similarity is `none`. An image without detections has zeros and an all-False mask.

    Args:
        detections: of all images.
        num_classes: number of the detector's classes.
        min_score: detections of a lower score are dropped, in [0, 1].
        max_regions: n, rows of X.
        similarity: how similar two detections of one class are: `cosine`, `iou` or `class_and_place`; or
            `none`, which keeps the first n.
        similarity_threshold: a detection more similar than this to a better one is dropped, in [0, 1]; 1 drops
            none.
        edges: how edges are weighted.

    Raises:
        ConfigError: an option does not exist or is out of its range.
        DataError: detections contradict themselves.
    """
    _check_options(min_score, max_regions, similarity, similarity_threshold)
    check_detections(detections, num_classes)
    images = len(detections.sizes)
    result = GraphArrays(
        representation=np.zeros(
            (images, max_regions, num_classes + 1 + len(BOX_FEATURES)), np.float32
        ),
        adjacency=np.zeros((images, max_regions, max_regions), np.float32),
        mask=np.zeros((images, max_regions), bool),
        region_index=np.full((images, max_regions), -1, np.int32),
        num_redundant=np.zeros(images, np.int32),
    )
    with ProgressBar(total=images, desc="graphs", unit="image", disable=None, delay=1) as bar:
        for batch in iter_batches(detections.offsets, max_regions):
            region_index, classes, scores, boxes = pad_by_score(detections, batch)
            classes = np.where(scores >= min_score, classes, -1)
            kept, num_redundant = suppress_redundant(
                classes, boxes, max_regions, similarity, similarity_threshold
            )
            mask = kept >= 0
            classes = np.take_along_axis(classes, kept, axis=1)
            scores = np.take_along_axis(scores, kept, axis=1)
            boxes = np.take_along_axis(boxes, kept[None], axis=2)
            result.representation[batch] = node_features(classes, scores, boxes, mask, num_classes)
            result.adjacency[batch] = adjacency_matrix(boxes, scores, mask, edges)
            result.mask[batch] = mask
            result.region_index[batch] = np.where(
                mask, np.take_along_axis(region_index, kept, axis=1), -1
            )
            result.num_redundant[batch] = num_redundant
            bar.update(batch.stop - batch.start)
    return result


def build_kwargs(options: Mapping[str, Any]) -> dict[str, Any]:
    """Turn all of DREA's options by name, as in a config or in graphs.h5, into arguments of `build_graphs`.

    Raises:
        ConfigError: an option of the edges does not exist or is out of its range.
    """
    edge_options = {field.name for field in fields(EdgeConfig)}
    others = {name: value for name, value in options.items() if name not in edge_options}
    return others | {"edges": EdgeConfig.from_options(options)}


def node_features(
    classes: np.ndarray, scores: np.ndarray, boxes: np.ndarray, mask: np.ndarray, num_classes: int
) -> np.ndarray:
    """Compute X: class one-hot, score, centre and size of every kept detection.

    Args:
        classes: (images, n) int.
        scores: (images, n) float in [0, 1].
        boxes: (4, images, n) float, centre and size, relative.
        mask: (images, n) bool, False where padding.
        num_classes: number of the detector's classes.

    Returns:
        (images, n, num_classes + 5) float64, zero where padding.
    """
    one_hot = classes[..., None] == np.arange(num_classes)
    rows = np.concatenate([one_hot, scores[..., None], np.moveaxis(boxes, 0, -1)], axis=-1)
    return rows * mask[..., None]


def feature_names(class_names: Sequence[str]) -> list[str]:
    """Name the d = num_classes + 5 columns of X."""
    return [f"class {name}" for name in class_names] + ["score", *BOX_FEATURES]


def _check_options(
    min_score: float, max_regions: int, similarity: str, similarity_threshold: float
) -> None:
    """Check the options.

    Raises:
        ConfigError: one does not exist or is out of its range; the message says which.
    """
    if similarity not in get_args(SimilarityKind):
        known = ", ".join(get_args(SimilarityKind))
        raise ConfigError(f"similarity '{similarity}' is unknown; choose from {known}")
    if not 0 <= min_score <= 1:
        raise ConfigError(f"min_score must be in [0, 1], got {min_score}")
    if max_regions < 1:
        raise ConfigError(f"max_regions must be at least 1, got {max_regions}")
    if not 0 <= similarity_threshold <= 1:
        raise ConfigError(
            f"similarity_threshold must be in [0, 1], where 1 drops none; got {similarity_threshold}"
        )
