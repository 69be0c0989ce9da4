"""Average precision (AP) of detected regions, computed by pycocotools."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galr.io.coco import CocoDataset, annotation
from galr.io.csv_io import write_csv
from galr.regions.detector import ImageDetections
from galr.regions.mmdet_imports import COCO, COCOeval, suppress_output

ALL_CLASSES = "all"


@dataclass(frozen=True)
class ClassAP:
    """AP of one class, or its mean over the classes that have boxes.

    Attributes:
        name: the class, or `all`.
        images: number of held-out images with boxes of the class; for `all`, of held-out images.
        boxes: number of ground-truth boxes, without crowd.
        ap: mean AP over the intersection-over-union thresholds 0.50, 0.55 … 0.95, in [0, 1]; nan without boxes.
        ap50: AP at the threshold 0.50, in [0, 1]; nan without boxes.
    """

    name: str
    images: int
    boxes: int
    ap: float
    ap50: float


def average_precision(
    ground_truth: CocoDataset, detections: Sequence[ImageDetections]
) -> list[ClassAP]:
    """Compute the AP of regions as COCO does, with at most 100 regions per image and boxes of all areas.

    Args:
        ground_truth: the images and their boxes.
        detections: the regions of each image, in the order of `ground_truth.images`.

    Returns:
        One row per class, in order, and one for all classes.
    """
    precision = _precision_table(ground_truth, detections)  # (10, 101, classes)
    objects = [each for each in ground_truth.annotations if not each["iscrowd"]]
    rows = []
    for index, name in enumerate(ground_truth.classes):
        image_ids = [each["image_id"] for each in objects if each["category_id"] == index + 1]
        ap, ap50 = _mean_ap(precision[:, :, index : index + 1])
        rows.append(ClassAP(name, len(set(image_ids)), len(image_ids), ap, ap50))
    ap, ap50 = _mean_ap(precision)
    return [*rows, ClassAP(ALL_CLASSES, len(ground_truth.images), len(objects), ap, ap50)]


def write_ap(path: Path, rows: Sequence[ClassAP]) -> None:
    """Write rows as CSV with the columns class, images, boxes, ap and ap50; nan becomes an empty cell."""
    cells = (
        (
            row.name,
            row.images,
            row.boxes,
            *("" if math.isnan(ap) else f"{ap:.4f}" for ap in (row.ap, row.ap50)),
        )
        for row in rows
    )
    write_csv(path, ("class", "images", "boxes", "ap", "ap50"), cells)


def describe_ap(rows: Sequence[ClassAP]) -> str:
    """Describe the last row, that of all classes, in one line."""
    last = rows[-1]
    return f"AP {last.ap:.3f}, AP50 {last.ap50:.3f} on {last.images} held-out images"


def _precision_table(
    ground_truth: CocoDataset, detections: Sequence[ImageDetections]
) -> np.ndarray:
    """Compute the precision at each intersection-over-union threshold and recall.

    Returns:
        (10 thresholds, 101 recalls, classes) float64, in [0, 1], or -1 for a class without boxes.
    """
    with suppress_output():
        expected = COCO()
        expected.dataset = ground_truth.to_document()
        expected.createIndex()
        predicted = COCO()
        predictions = _to_predictions(ground_truth, detections)
        predicted.dataset = {**expected.dataset, "annotations": predictions}
        predicted.createIndex()
        evaluation = COCOeval(expected, predicted, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    all_areas, max_regions = 0, -1  # indices; the last limit is 100 regions per image
    return evaluation.eval["precision"][:, :, :, all_areas, max_regions]


def _to_predictions(
    ground_truth: CocoDataset, detections: Sequence[ImageDetections]
) -> list[dict[str, object]]:
    """Convert regions to COCO annotations with scores."""
    predictions = (
        (image, *region)
        for image, regions in zip(ground_truth.images, detections, strict=True)
        for region in zip(regions.boxes, regions.scores, regions.classes, strict=True)
    )
    return [
        annotation(
            number,
            image["id"],
            int(class_index) + 1,
            (float(x1), float(y1), float(x2 - x1), float(y2 - y1)),
        )
        | {"score": float(score)}
        for number, (image, (x1, y1, x2, y2), score, class_index) in enumerate(predictions, start=1)
    ]


def _mean_ap(precision: np.ndarray) -> tuple[float, float]:
    """Return AP and AP50 of a precision table, averaged over the classes that have boxes; nan without any."""
    measured = precision[:, :, (precision > -1).all(axis=(0, 1))]
    if not measured.size:
        return math.nan, math.nan
    return float(measured.mean()), float(measured[0].mean())
