"""The whole of DREA: detections in, X and A out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

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


@dataclass(frozen=True, eq=False)
class GraphArrays:
    """What the model reads of many images.

    Attributes:
        representation: (images, n, d) float32, X; zero rows where padding.
        adjacency: (images, n, n) float32, A; symmetric, no edges to padding, eigenvalues in [-1, 1] if
            normalised.
        mask: (images, n) bool, False where a row is padding.
        kept: (images, n) int32, which of the image's detections a row is; -1 where padding.
        redundant: (images,) int32, detections dropped because a kept one already says the same.
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
    """Turn the detections of every image into X and A.

    The order of an image's detections and its size in pixels change nothing, nor do exact duplicates
    under any measure but `none`; an image without detections gets zeros and an all-False mask.

    Args:
        regions: the detections.
        classes: how many the detector knows.
        least_score: detections below it are left out as noise.
        most: n, the most detections to keep of an image.
        measure: how alike two detections are: `cosine`, `iou` or `class_and_place`; or `none`, and the
            first n are kept.
        redundant: a detection more alike than this to a better one is dropped; 1 drops none.
        edges: how near two detections are, and how edges are enhanced and normalised.

    Raises:
        ConfigError: a choice that does not exist or means nothing.
        DataError: detections that contradict themselves.
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
    with tqdm(total=images, desc="graphs", unit="image", disable=None, delay=1) as bar:
        for batch in iter_batches(detections.offsets, max_regions):
            region_index, classes, scores, boxes = pad_by_score(detections, batch)
            classes = np.where(scores >= min_score, classes, -1)
            kept, num_redundant = suppress_redundant(
                classes, boxes, max_regions, similarity, similarity_threshold
            )
            mask = kept >= 0
            classes, scores = (
                np.take_along_axis(table, kept, axis=1) for table in (classes, scores)
            )
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
    """All of DREA's choices by name, as a config or graphs.h5 tells them, in the form that `graphs` takes."""
    edges = {each.name for each in fields(EdgeConfig)}
    plain = {name: choice for name, choice in options.items() if name not in edges}
    return plain | {"edges": EdgeConfig.from_options(options)}


def node_features(
    classes: np.ndarray, scores: np.ndarray, boxes: np.ndarray, mask: np.ndarray, num_classes: int
) -> np.ndarray:
    """Write X: class one-hot, score, centre and size of every kept detection (METHOD 3).

    Args:
        label: (images, n) class.
        score: (images, n).
        boxes: (4, images, n).
        mask: (images, n) bool.
        classes: how many there are.

    Returns:
        (images, n, classes + 5) float64, zero where padding.
    """
    one_hot = classes[..., None] == np.arange(num_classes)
    rows = np.concatenate([one_hot, scores[..., None], np.moveaxis(boxes, 0, -1)], axis=-1)
    return rows * mask[..., None]


def feature_names(class_names: Sequence[str]) -> list[str]:
    """Name the d = classes + 5 columns of X."""
    return [f"class {name}" for name in class_names] + ["score", *BOX_FEATURES]


def _check_options(
    min_score: float, max_regions: int, similarity: str, similarity_threshold: float
) -> None:
    """Refuse choices that do not exist or mean nothing.

    Raises:
        ConfigError: says which.
    """
    if similarity not in get_args(SimilarityKind):
        known = ", ".join(get_args(SimilarityKind))
        raise ConfigError(f"measure '{similarity}' is unknown; choose from {known}")
    if not 0 <= min_score <= 1:
        raise ConfigError(f"least_score is a score in [0, 1], got {min_score}")
    if max_regions < 1:
        raise ConfigError(
            f"most counts the regions kept of an image, at least 1; got {max_regions}"
        )
    if not 0 <= similarity_threshold <= 1:
        raise ConfigError(
            f"redundant is a likeness in [0, 1], 1 drops none; got {similarity_threshold}"
        )
