"""The whole of DREA: detections in, X and A out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
from tqdm import tqdm

from galr.errors import ConfigError
from galr.graph.adjacency import Edges, adjacency
from galr.graph.boxes import BOX
from galr.graph.denoise import Measure, denoised
from galr.graph.detections import Regions, batches, check, in_order


@dataclass(frozen=True, eq=False)
class Graphs:
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
    kept: np.ndarray
    redundant: np.ndarray


def graphs(
    regions: Regions,
    classes: int,
    *,
    least_score: float,
    most: int,
    measure: Measure,
    redundant: float,
    edges: Edges,
) -> Graphs:
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
    _check_choices(least_score, most, measure, redundant)
    check(regions, classes)
    images = len(regions.sizes)
    found = Graphs(
        representation=np.zeros((images, most, classes + 1 + len(BOX)), np.float32),
        adjacency=np.zeros((images, most, most), np.float32),
        mask=np.zeros((images, most), bool),
        kept=np.full((images, most), -1, np.int32),
        redundant=np.zeros(images, np.int32),
    )
    with tqdm(total=images, desc="graphs", unit="image", disable=None, delay=1) as bar:
        for batch in batches(regions.offsets, most):
            source, label, score, boxes = in_order(regions, batch)
            label = np.where(score >= least_score, label, -1)
            columns, dropped = denoised(label, boxes, most, measure, redundant)
            mask = columns >= 0
            label, score = (np.take_along_axis(table, columns, axis=1) for table in (label, score))
            boxes = np.take_along_axis(boxes, columns[None], axis=2)
            found.representation[batch] = represented(label, score, boxes, mask, classes)
            found.adjacency[batch] = adjacency(boxes, score, mask, edges)
            found.mask[batch] = mask
            found.kept[batch] = np.where(mask, np.take_along_axis(source, columns, axis=1), -1)
            found.redundant[batch] = dropped
            bar.update(batch.stop - batch.start)
    return found


def arguments(choices: Mapping[str, Any]) -> dict[str, Any]:
    """All of DREA's choices by name, as a config or graphs.h5 tells them, in the form that `graphs` takes."""
    edges = {each.name for each in fields(Edges)}
    plain = {name: choice for name, choice in choices.items() if name not in edges}
    return plain | {"edges": Edges.of(choices)}


def represented(
    label: np.ndarray, score: np.ndarray, boxes: np.ndarray, mask: np.ndarray, classes: int
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
    one_hot = label[..., None] == np.arange(classes)
    rows = np.concatenate([one_hot, score[..., None], np.moveaxis(boxes, 0, -1)], axis=-1)
    return rows * mask[..., None]


def columns(class_names: Sequence[str]) -> list[str]:
    """Name the d = classes + 5 columns of X."""
    return [f"class {name}" for name in class_names] + ["score", *BOX]


def _check_choices(least_score: float, most: int, measure: str, redundant: float) -> None:
    """Refuse choices that do not exist or mean nothing.

    Raises:
        ConfigError: says which.
    """
    if measure not in get_args(Measure):
        known = ", ".join(get_args(Measure))
        raise ConfigError(f"measure '{measure}' is unknown; choose from {known}")
    if not 0 <= least_score <= 1:
        raise ConfigError(f"least_score is a score in [0, 1], got {least_score}")
    if most < 1:
        raise ConfigError(f"most counts the regions kept of an image, at least 1; got {most}")
    if not 0 <= redundant <= 1:
        raise ConfigError(f"redundant is a likeness in [0, 1], 1 drops none; got {redundant}")
