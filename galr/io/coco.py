"""Boxes in COCO form: read with their mistakes named, narrowed to a detector's classes, divided.

Detections in the form of COCO results, as other tools write them, read into arrays.

A JSON list of `{"image_id": …, "category_id": …, "bbox": [x, y, width, height], "score": …}`, boxes in
pixels. mmdet, Ultralytics, PaddleDetection and pycocotools write it so. Tools for oriented boxes put them
into the same place; each becomes the upright box around it:

- five numbers, centre x, centre y, width, height and angle in radians: mmrotate;
- eight numbers, four corners: PaddleDetection; Ultralytics writes them as `poly`.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import DataError
from galr.graphs.detections import Detections
from galr.regions.detector_spec import TrainConfig


@dataclass(frozen=True)
class CocoDataset:
    """Images and the boxes on them, classes numbered from 1 in a detector's order.

    images: id, file_name, width and height (pixels) each.
    annotations: id, image_id, category_id, bbox (x, y, width, height in pixels), area, iscrowd each.
    """

    classes: tuple[str, ...]
    images: tuple[dict[str, Any], ...]
    annotations: tuple[dict[str, Any], ...]

    def to_document(self) -> dict[str, Any]:
        """The same as a COCO document."""
        return {
            "info": {},
            "images": list(self.images),
            "annotations": list(self.annotations),
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(self.classes)],
        }

    def subset(self, images: Sequence[dict[str, Any]]) -> "CocoDataset":
        """These images of it, with their boxes."""
        ids = {image["id"] for image in images}
        kept = tuple(each for each in self.annotations if each["image_id"] in ids)
        return CocoDataset(self.classes, tuple(images), kept)


def read_coco(path: Path, classes: Sequence[str], image_dir: Path) -> CocoDataset:
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
        if not (image_dir / image["file_name"]).is_file():
            raise DataError(f"{path} names {image['file_name']}, which is not below {image_dir}")
    kept: list[dict[str, Any]] = []
    for place, each in enumerate(document["annotations"]):
        if each["image_id"] not in known or each["category_id"] not in names:
            raise DataError(
                f"{path}: annotation {place} is of an image or a class that is not there"
            )
        x, y, width, height = _check_bbox(each["bbox"], f"{path}: annotation {place}")
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
    return CocoDataset(tuple(classes), tuple(document["images"]), tuple(kept))


def read_train_val(
    folder: Path, classes: Sequence[str], recipe: TrainConfig
) -> tuple[CocoDataset, CocoDataset]:
    """Read what a detector trains on and what is held out, as its recipe says.

    Args:
        folder: where the recipe's paths start.
        classes: the detector's classes.
        recipe: names the annotations and the images.

    Raises:
        DataError: as in `read_boxes`; the two parts share an image; a single image is to be divided.
    """
    images = folder / recipe.images
    boxes = read_coco(folder / recipe.boxes, classes, images)
    if isinstance(recipe.held_out, str):
        held_out = read_coco(folder / recipe.held_out, classes, images)
        check_disjoint(boxes, held_out)
        return boxes, held_out
    if len(boxes.images) < 2:
        raise DataError(f"{folder / recipe.boxes} has one image; two are needed to hold one out")
    return random_split(boxes, recipe.held_out, recipe.seed)


def random_split(
    boxes: CocoDataset, val_fraction: float, seed: int
) -> tuple[CocoDataset, CocoDataset]:
    """Divide the images by chance into two parts, the second of which is held out.

    Args:
        boxes: two images or more.
        share: of the images to hold out, above 0 and below 1; each part has at least one image.
        seed: the same seed divides the same way.
    """
    order = np.random.default_rng(seed).permutation(len(boxes.images))
    held = min(max(round(val_fraction * len(order)), 1), len(order) - 1)
    parts = np.sort(order[held:]), np.sort(order[:held])
    rest, held_out = (boxes.subset([boxes.images[i] for i in part]) for part in parts)
    return rest, held_out


def check_disjoint(train: CocoDataset, validation: CocoDataset) -> None:
    """Refuse to measure on images that are trained on.

    Raises:
        DataError: the two have a file name in common.
    """
    names = [{image["file_name"] for image in part.images} for part in (train, validation)]
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


def _check_bbox(bbox: Any, where: str) -> list[float]:  # noqa: ANN401  whatever JSON held
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


ROW_FIELDS = "image_id, category_id, bbox [x, y, width, height] and score"
NUMBER_TYPES = frozenset({int, float})  # bool is none: JSON's true is no number
FULL_TURN = 2 * math.pi
MAX_COORDINATE = 1e9  # pixels from the corner of an image; no box lies there
BBOX_FORMATS = {
    4: "x, y, width, height",
    5: "centre x, centre y, width, height, angle, as in the first row",
    8: "four corners of x, y, as in the first row",
}


@dataclass(frozen=True, eq=False)
class CocoResults:
    """Detections of any images, in the order of their file.

    Attributes:
        path: where they were read from.
        ids: every image_id once, in the order of first appearance.
        image: (rows,) int64, place in ids.
        categories: (rows,) int64, category_id.
        boxes: (rows, 4) float64, x1 y1 x2 y2 in pixels, not yet clipped to the image.
        scores: (rows,) float64 in [0, 1].
    """

    path: Path
    image_ids: tuple[int | str, ...]
    image_index: np.ndarray
    category_ids: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def read_results(path: Path) -> CocoResults:
    """Read COCO results; a million rows take a few seconds, most of them spent on JSON itself.

    Raises:
        DataError: the file is missing, no JSON or no list; names the first row that lacks something or
            holds what it should not.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        found = f"an object of {', '.join(list(rows)[:4])}" if isinstance(rows, dict) else "no list"
        raise DataError(f"{path} holds {found}; COCO results are expected, a list of {ROW_FIELDS}")
    ids, image = _parse_image_ids(_column(rows, "image_id", path), path)
    return CocoResults(
        path,
        ids,
        image,
        _parse_category_ids(_column(rows, "category_id", path), path),
        _parse_boxes(_column(rows, _bbox_field(rows), path), path),
        _parse_scores(_column(rows, "score", path), path),
    )


def read_json(path: Path) -> Any:  # noqa: ANN401  whatever JSON held
    """Read a JSON document.

    Raises:
        DataError: it is missing or no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}); a JSON file is expected there"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}); write it again") from error


def to_detections(
    results: CocoResults, image: np.ndarray, classes: np.ndarray, sizes: np.ndarray
) -> tuple[Detections, int]:
    """Lay results out as regions: clipped to their image, image after image, the best first.

    Numbers are rounded to single precision, as regions.h5 stores them.

    Args:
        results: the detections.
        image: (rows,) int, which image each is of.
        label: (rows,) int, class.
        sizes: (images, 2) int, width and height in pixels.

    Returns:
        The regions, and how many boxes were dropped because inside their image they have no area.
    """
    edge = np.concatenate([sizes, sizes], axis=1)[image]
    boxes = np.clip(results.boxes, 0, edge).astype(np.float32)
    scores = results.scores.astype(np.float32)
    broad = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    rows = np.flatnonzero(broad)
    rows = rows[np.lexsort((-scores[rows], image[rows]))]  # equal scores keep the file's order
    counts = np.bincount(image[rows], minlength=len(sizes))
    regions = Detections(
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=boxes[rows],
        scores=scores[rows],
        classes=classes[rows].astype(np.int32),
        sizes=sizes,
    )
    return regions, int((~broad).sum())


def _bbox_field(rows: Sequence[Any]) -> str:
    """The field that holds the boxes: `poly` where a tool writes oriented boxes and no others."""
    first = rows[0] if rows and isinstance(rows[0], dict) else {}
    return "poly" if "poly" in first and "bbox" not in first else "bbox"


def _column(rows: Sequence[Any], name: str, path: Path) -> list[Any]:
    """Take one field of all rows.

    Raises:
        DataError: names the first row that lacks it.
    """
    try:
        return [row[name] for row in rows]
    except (KeyError, TypeError) as error:
        place = _first_true(not isinstance(row, dict) or name not in row for row in rows)
        raise DataError(f"{path}[{place}] lacks {name}; a result has {ROW_FIELDS}") from error


def _parse_image_ids(values: Sequence[Any], path: Path) -> tuple[tuple[int | str, ...], np.ndarray]:
    """Number the images: every id once, and (rows,) int64 the place of each row's.

    Raises:
        DataError: names the first row whose id is neither text nor a whole number.
    """
    hashable = set(map(type, values)) <= {int, float, str}
    place_of = {each: n for n, each in enumerate(dict.fromkeys(values))} if hashable else {}
    if not (hashable and all(map(_is_id, place_of))):
        bad = (not _is_id(value) for value in values)
        _check_rows(bad, values, path, "image_id", "a whole number or a text")
    ids = tuple(value if isinstance(value, str) else int(value) for value in place_of)
    return ids, np.fromiter(map(place_of.__getitem__, values), np.int64, len(values))


def _is_id(value: Any) -> bool:  # noqa: ANN401  whatever JSON held
    """Whether a value is a text or a whole number; some writers make 7.0 of 7."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def _parse_category_ids(values: Sequence[Any], path: Path) -> np.ndarray:
    """Make (rows,) int64 of the categories' ids.

    Raises:
        DataError: names the first row whose id is no whole number.
    """
    numbers = _parse_numbers(values, path, "category_id", "a whole number")
    bad = (np.rint(numbers) != numbers) | ~(np.abs(numbers) < 2**53)
    _check_rows(bad, values, path, "category_id", "a whole number")
    return numbers.astype(np.int64)


def _parse_scores(values: Sequence[Any], path: Path) -> np.ndarray:
    """Make (rows,) float64 of the scores.

    Raises:
        DataError: names the first row whose score is no number in [0, 1].
    """
    scores = _parse_numbers(values, path, "score", "a number in [0, 1]")
    _check_rows(~((scores >= 0) & (scores <= 1)), values, path, "score", "a number in [0, 1]")
    return scores


def _parse_boxes(values: Sequence[Any], path: Path) -> np.ndarray:
    """Make (rows, 4) float64, x1 y1 x2 y2, of upright or oriented boxes.

    Raises:
        DataError: names the first row whose box is not four finite numbers (five or eight, where the
            first row has so many), or whose width, height or angle means nothing.
    """
    first = len(values[0]) if values and isinstance(values[0], list) else 4
    length = first if first in BBOX_FORMATS else 4
    expected = BBOX_FORMATS[length]
    if set(map(type, values)) - {list} or set(map(len, values)) - {length}:
        bad = (type(value) is not list or len(value) != length for value in values)
        _check_rows(bad, values, path, "bbox", expected)
    if not set(map(type, chain.from_iterable(values))) <= NUMBER_TYPES:
        bad = (not set(map(type, value)) <= NUMBER_TYPES for value in values)
        _check_rows(bad, values, path, "bbox", expected)
    numbers = _to_float64(chain.from_iterable(values)).reshape(-1, length)
    far = (~(np.abs(numbers) < MAX_COORDINATE)).any(axis=1)
    _check_rows(far, values, path, "bbox", f"finite {expected}")
    if length == 8:
        return _enclose_corners(numbers)
    inside_out = np.minimum(numbers[:, 2], numbers[:, 3]) < 0
    _check_rows(inside_out, values, path, "bbox", "a width and height of 0 or more")
    if length == 5:
        beyond = np.abs(numbers[:, 4]) > FULL_TURN
        _check_rows(beyond, values, path, "bbox", "an angle in radians; else write four corners")
        return _enclose_rotated(numbers)
    return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)


def _enclose_rotated(numbers: np.ndarray) -> np.ndarray:
    r"""Upright boxes around turned ones: :math:`w' = w|\cos a| + h|\sin a|`, and h' likewise.

    Args:
        numbers: (rows, 5) centre x, centre y, width, height, angle in radians, turned either way.

    Returns:
        (rows, 4), x1 y1 x2 y2.
    """
    along, across = np.abs(np.cos(numbers[:, 4])), np.abs(np.sin(numbers[:, 4]))
    width, height = numbers[:, 2], numbers[:, 3]
    half = np.stack([width * along + height * across, width * across + height * along], axis=1) / 2
    return np.concatenate([numbers[:, :2] - half, numbers[:, :2] + half], axis=1)


def _enclose_corners(numbers: np.ndarray) -> np.ndarray:
    """Upright boxes x1 y1 x2 y2 (rows, 4) around four corners (rows, 8)."""
    corners = numbers.reshape(-1, 4, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _parse_numbers(values: Sequence[Any], path: Path, name: str, expected: str) -> np.ndarray:
    """Make (rows,) float64 of numbers.

    Raises:
        DataError: names the first row that holds something else.
    """
    if not set(map(type, values)) <= NUMBER_TYPES:
        bad = (type(value) not in NUMBER_TYPES for value in values)
        _check_rows(bad, values, path, name, expected)
    return _to_float64(values)


def _to_float64(numbers: Iterable[float]) -> np.ndarray:
    """Make float64 of JSON's numbers; whole ones that are too large become infinite."""
    numbers = list(numbers)
    try:
        return np.array(numbers, np.float64)
    except OverflowError:
        return np.array([math.inf if abs(each) > 2**1000 else each for each in numbers], np.float64)


def _check_rows(
    bad: Iterable[bool] | np.ndarray, values: Sequence[Any], path: Path, name: str, expected: str
) -> None:
    """Refuse a field of which something is true in a row.

    Raises:
        DataError: names the first row.
    """
    place = _first_true(bad)
    if place is not None:
        said = json.dumps(values[place])
        shown = said if len(said) < 60 else f"{said[:57]}..."
        raise DataError(f"{path}[{place}] has {name} {shown}; expected {expected}")


def _first_true(bad: Iterable[bool] | np.ndarray) -> int | None:
    """Place of the first True; None where there is none."""
    if isinstance(bad, np.ndarray):
        return int(bad.argmax()) if bad.any() else None
    return next((place for place, each in enumerate(bad) if each), None)
