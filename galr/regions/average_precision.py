"""Average precision (AP) of regions against boxes in COCO form, by pycocotools."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galr.io.coco import CocoDataset
from galr.io.csv_io import write_csv
from galr.regions.detect import ImageDetections
from galr.regions.mmdet_imports import COCO, COCOeval, suppress_output

ALL_CLASSES = "all"


@dataclass(frozen=True)
class ClassAP:
    """AP of one class, or of all: the mean over the classes that have boxes.

    name: the class, or `all`.
    images: held-out images that have boxes of it; for all, every held-out image.
    boxes: true boxes.
    ap: mean over intersections over union 0.50, 0.55 … 0.95, in [0, 1]; nan without boxes.
    ap50: at 0.50 alone.
    """

    name: str
    images: int
    boxes: int
    ap: float
    ap50: float


def average_precision(
    ground_truth: CocoDataset, detections: Sequence[ImageDetections]
) -> list[ClassAP]:
    """Measure regions against true boxes, as COCO does: at most 100 regions an image, all areas.

    Args:
        truth: images and their true boxes.
        found: the regions of each of its images, in order.

    Returns:
        One row a class, in order, and one for all.
    """
    precision = _precision_table(ground_truth, detections)  # (10, 101, classes)
    ones = [each for each in ground_truth.annotations if not each["iscrowd"]]
    rows = []
    for place, name in enumerate(ground_truth.classes):
        own = [each["image_id"] for each in ones if each["category_id"] == place + 1]
        ap, ap50 = _mean_ap(precision[:, :, place : place + 1])
        rows.append(ClassAP(name, len(set(own)), len(own), ap, ap50))
    return [*rows, ClassAP(ALL_CLASSES, len(ground_truth.images), len(ones), *_mean_ap(precision))]


def write_ap(path: Path, rows: Sequence[ClassAP]) -> None:
    """Write rows as CSV: class,images,boxes,ap,ap50; what is unknown stays empty."""
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
    """Say the last row in a line."""
    last = rows[-1]
    return f"AP {last.ap:.3f}, AP50 {last.ap50:.3f} on {last.images} held-out images"


def _precision_table(truth: CocoDataset, found: Sequence[ImageDetections]) -> np.ndarray:
    """Precision at each intersection over union and recall: (10, 101, classes), -1 without boxes."""
    with suppress_output():
        known = COCO()
        known.dataset = truth.to_document()
        known.createIndex()
        claims = COCO()
        claims.dataset = {**known.dataset, "annotations": _to_predictions(truth, found)}
        claims.createIndex()
        evaluation = COCOeval(known, claims, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    areas, limits = 0, -1  # of all areas; at most 100 an image
    return evaluation.eval["precision"][:, :, :, areas, limits]


def _to_predictions(
    truth: CocoDataset, found: Sequence[ImageDetections]
) -> list[dict[str, object]]:
    """Write regions as COCO annotations with scores."""
    claims = (
        (image, *claim)
        for image, regions in zip(truth.images, found, strict=True)
        for claim in zip(regions.boxes, regions.scores, regions.classes, strict=True)
    )
    return [
        {
            "id": number,  # from 1: 0 means unmatched
            "image_id": image["id"],
            "category_id": int(place) + 1,
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "area": float((x2 - x1) * (y2 - y1)),
            "iscrowd": 0,
            "score": float(score),
        }
        for number, (image, (x1, y1, x2, y2), score, place) in enumerate(claims, start=1)
    ]


def _mean_ap(precision: np.ndarray) -> tuple[float, float]:
    """AP and AP50 of a (10, 101, classes) table, over the classes that have boxes."""
    known = precision[:, :, (precision > -1).all(axis=(0, 1))]
    if not known.size:
        return math.nan, math.nan
    return float(known.mean()), float(known[0].mean())
