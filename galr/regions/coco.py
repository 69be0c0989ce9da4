"""Boxes in COCO form: read with their mistakes named, narrowed to a detector's classes, divided."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import DataError
from galr.regions.detector import Training


@dataclass(frozen=True)
class Boxes:
    """Images and the boxes on them, classes numbered from 1 in a detector's order.

    images: id, file_name, width and height (pixels) each.
    annotations: id, image_id, category_id, bbox (x, y, width, height in pixels), area, iscrowd each.
    """

    classes: tuple[str, ...]
    images: tuple[dict[str, Any], ...]
    annotations: tuple[dict[str, Any], ...]

    def document(self) -> dict[str, Any]:
        """The same as a COCO document."""
        return {
            "info": {},
            "images": list(self.images),
            "annotations": list(self.annotations),
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(self.classes)],
        }

    def only(self, images: Sequence[dict[str, Any]]) -> "Boxes":
        """These images of it, with their boxes."""
        ids = {image["id"] for image in images}
        kept = tuple(each for each in self.annotations if each["image_id"] in ids)
        return Boxes(self.classes, tuple(images), kept)


def read_boxes(path: Path, classes: Sequence[str], images: Path) -> Boxes:
    """Read a COCO file's boxes of some classes; those of its other classes are left out.

    Categories are numbered anew, in the order of `classes`: mmdet takes the order of the file, and
    names would belong to the wrong outputs wherever the two differ.

    Args:
        path: the annotations, COCO JSON.
        classes: a detector's classes.
        images: the folder that the file names start from.

    Raises:
        DataError: the file is missing, no COCO JSON, lacks a class, or contradicts itself; an image is missing.
    """
    document = _read_document(path)
    number_of = {name: place + 1 for place, name in enumerate(classes)}
    names = {each["id"]: each["name"] for each in document["categories"]}
    for absent in sorted(set(classes) - set(names.values())):
        has = ", ".join(sorted(names.values()))
        raise DataError(
            f"{path} has no class '{absent}'; it has: {has}; correct the detector's classes"
        )
    known = {image["id"] for image in document["images"]}
    if len(known) < len(document["images"]):
        raise DataError(f"{path} gives two images the same id; ids must be unique")
    for image in document["images"]:
        if not (images / image["file_name"]).is_file():
            raise DataError(f"{path} names {image['file_name']}, which is not below {images}")
    kept: list[dict[str, Any]] = []
    for place, each in enumerate(document["annotations"]):
        if each["image_id"] not in known or each["category_id"] not in names:
            raise DataError(
                f"{path}: annotation {place} is of an image or a class that is not there"
            )
        x, y, width, height = _numbers(each["bbox"], f"{path}: annotation {place}")
        if names[each["category_id"]] in number_of:
            kept.append(
                {
                    "id": len(kept) + 1,
                    "image_id": each["image_id"],
                    "category_id": number_of[names[each["category_id"]]],
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "iscrowd": int(each.get("iscrowd", 0)),
                }
            )
    if not kept:
        raise DataError(f"{path} has no box of {', '.join(classes)}")
    return Boxes(tuple(classes), tuple(document["images"]), tuple(kept))


def read_parts(folder: Path, classes: Sequence[str], recipe: Training) -> tuple[Boxes, Boxes]:
    """Read what a detector trains on and what is held out, as its recipe says.

    Args:
        folder: where the recipe's paths start.
        classes: the detector's classes.
        recipe: names the annotations and the images.

    Raises:
        DataError: as in `read_boxes`; the two parts share an image; a single image is to be divided.
    """
    images = folder / recipe.images
    boxes = read_boxes(folder / recipe.boxes, classes, images)
    if isinstance(recipe.held_out, str):
        held_out = read_boxes(folder / recipe.held_out, classes, images)
        refuse_shared(boxes, held_out)
        return boxes, held_out
    if len(boxes.images) < 2:
        raise DataError(f"{folder / recipe.boxes} has one image; two are needed to hold one out")
    return divide(boxes, recipe.held_out, recipe.seed)


def divide(boxes: Boxes, share: float, seed: int) -> tuple[Boxes, Boxes]:
    """Divide the images by chance into two parts, the second of which is held out.

    Args:
        boxes: two images or more.
        share: of the images to hold out, above 0 and below 1; each part has at least one image.
        seed: the same seed divides the same way.
    """
    order = np.random.default_rng(seed).permutation(len(boxes.images))
    held = min(max(round(share * len(order)), 1), len(order) - 1)
    parts = np.sort(order[held:]), np.sort(order[:held])
    rest, held_out = (boxes.only([boxes.images[i] for i in part]) for part in parts)
    return rest, held_out


def refuse_shared(training: Boxes, held_out: Boxes) -> None:
    """Refuse to measure on images that are trained on.

    Raises:
        DataError: the two have a file name in common.
    """
    names = [{image["file_name"] for image in part.images} for part in (training, held_out)]
    shared = sorted(names[0] & names[1])
    if shared:
        raise DataError(
            f"{len(shared)} images are both trained on and held out, {shared[0]} among them;"
            " take them out of one of the two files"
        )


def _read_document(path: Path) -> dict[str, Any]:
    """Read a COCO document and see that its tables have what is needed.

    Raises:
        DataError: it is missing, no JSON, or lacks a table or a field.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); COCO boxes are expected there"
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error})") from error
    needed = {
        "images": {"id", "file_name", "width", "height"},
        "annotations": {"image_id", "category_id", "bbox"},
        "categories": {"id", "name"},
    }
    for table, fields in needed.items():
        rows = document.get(table) if isinstance(document, dict) else None
        if not isinstance(rows, list):
            raise DataError(f"{path} has no list of {table}; boxes in COCO form are expected")
        for place, row in enumerate(rows):
            lacks = sorted(fields - set(row)) if isinstance(row, dict) else sorted(fields)
            if lacks:
                raise DataError(f"{path}: {table}[{place}] lacks {lacks[0]}")
    return document


def _numbers(bbox: Any, where: str) -> list[float]:  # noqa: ANN401  whatever JSON held
    """Take a box's four numbers.

    Raises:
        DataError: they are not four finite numbers with a width and height of 0 or more.
    """
    try:
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} has bbox {bbox}; x, y, width, height are expected") from error
    if not all(map(math.isfinite, (x, y, width, height))) or width < 0 or height < 0:
        raise DataError(f"{where} has bbox {bbox}; finite x, y, width, height are expected")
    return [x, y, width, height]
