"""Detections in the form of COCO results, as other tools write them, read into arrays.

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

ROW = "image_id, category_id, bbox [x, y, width, height] and score"
NUMBER = frozenset({int, float})  # bool is none: JSON's true is no number
FULL_TURN = 2 * math.pi
FARTHEST = 1e9  # pixels from the corner of an image; no box lies there
SHAPES = {
    4: "x, y, width, height",
    5: "centre x, centre y, width, height, angle, as in the first row",
    8: "four corners of x, y, as in the first row",
}


@dataclass(frozen=True, eq=False)
class Results:
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
    ids: tuple[int | str, ...]
    image: np.ndarray
    categories: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


def read_results(path: Path) -> Results:
    """Read COCO results; a million rows take a few seconds, most of them spent on JSON itself.

    Raises:
        DataError: the file is missing, no JSON or no list; names the first row that lacks something or
            holds what it should not.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        found = f"an object of {', '.join(list(rows)[:4])}" if isinstance(rows, dict) else "no list"
        raise DataError(f"{path} holds {found}; COCO results are expected, a list of {ROW}")
    ids, image = _images(_field(rows, "image_id", path), path)
    return Results(
        path,
        ids,
        image,
        _categories(_field(rows, "category_id", path), path),
        _boxes(_field(rows, _name_of_boxes(rows), path), path),
        _scores(_field(rows, "score", path), path),
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


def as_regions(
    results: Results, image: np.ndarray, label: np.ndarray, sizes: np.ndarray
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
        classes=label[rows].astype(np.int32),
        sizes=sizes,
    )
    return regions, int((~broad).sum())


def _name_of_boxes(rows: Sequence[Any]) -> str:
    """The field that holds the boxes: `poly` where a tool writes oriented boxes and no others."""
    first = rows[0] if rows and isinstance(rows[0], dict) else {}
    return "poly" if "poly" in first and "bbox" not in first else "bbox"


def _field(rows: Sequence[Any], name: str, path: Path) -> list[Any]:
    """Take one field of all rows.

    Raises:
        DataError: names the first row that lacks it.
    """
    try:
        return [row[name] for row in rows]
    except (KeyError, TypeError) as error:
        place = _first(not isinstance(row, dict) or name not in row for row in rows)
        raise DataError(f"{path}[{place}] lacks {name}; a result has {ROW}") from error


def _images(values: Sequence[Any], path: Path) -> tuple[tuple[int | str, ...], np.ndarray]:
    """Number the images: every id once, and (rows,) int64 the place of each row's.

    Raises:
        DataError: names the first row whose id is neither text nor a whole number.
    """
    hashable = set(map(type, values)) <= {int, float, str}
    place_of = {each: n for n, each in enumerate(dict.fromkeys(values))} if hashable else {}
    if not (hashable and all(map(_is_id, place_of))):
        bad = (not _is_id(value) for value in values)
        _refuse_where(bad, values, path, "image_id", "a whole number or a text")
    ids = tuple(value if isinstance(value, str) else int(value) for value in place_of)
    return ids, np.fromiter(map(place_of.__getitem__, values), np.int64, len(values))


def _is_id(value: Any) -> bool:  # noqa: ANN401  whatever JSON held
    """Whether a value is a text or a whole number; some writers make 7.0 of 7."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def _categories(values: Sequence[Any], path: Path) -> np.ndarray:
    """Make (rows,) int64 of the categories' ids.

    Raises:
        DataError: names the first row whose id is no whole number.
    """
    numbers = _numbers(values, path, "category_id", "a whole number")
    bad = (np.rint(numbers) != numbers) | ~(np.abs(numbers) < 2**53)
    _refuse_where(bad, values, path, "category_id", "a whole number")
    return numbers.astype(np.int64)


def _scores(values: Sequence[Any], path: Path) -> np.ndarray:
    """Make (rows,) float64 of the scores.

    Raises:
        DataError: names the first row whose score is no number in [0, 1].
    """
    scores = _numbers(values, path, "score", "a number in [0, 1]")
    _refuse_where(~((scores >= 0) & (scores <= 1)), values, path, "score", "a number in [0, 1]")
    return scores


def _boxes(values: Sequence[Any], path: Path) -> np.ndarray:
    """Make (rows, 4) float64, x1 y1 x2 y2, of upright or oriented boxes.

    Raises:
        DataError: names the first row whose box is not four finite numbers (five or eight, where the
            first row has so many), or whose width, height or angle means nothing.
    """
    first = len(values[0]) if values and isinstance(values[0], list) else 4
    length = first if first in SHAPES else 4
    expected = SHAPES[length]
    if set(map(type, values)) - {list} or set(map(len, values)) - {length}:
        bad = (type(value) is not list or len(value) != length for value in values)
        _refuse_where(bad, values, path, "bbox", expected)
    if not set(map(type, chain.from_iterable(values))) <= NUMBER:
        bad = (not set(map(type, value)) <= NUMBER for value in values)
        _refuse_where(bad, values, path, "bbox", expected)
    numbers = _floats(chain.from_iterable(values)).reshape(-1, length)
    far = (~(np.abs(numbers) < FARTHEST)).any(axis=1)
    _refuse_where(far, values, path, "bbox", f"finite {expected}")
    if length == 8:
        return _around_corners(numbers)
    inside_out = np.minimum(numbers[:, 2], numbers[:, 3]) < 0
    _refuse_where(inside_out, values, path, "bbox", "a width and height of 0 or more")
    if length == 5:
        beyond = np.abs(numbers[:, 4]) > FULL_TURN
        _refuse_where(beyond, values, path, "bbox", "an angle in radians; else write four corners")
        return _around_turned(numbers)
    return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)


def _around_turned(numbers: np.ndarray) -> np.ndarray:
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


def _around_corners(numbers: np.ndarray) -> np.ndarray:
    """Upright boxes x1 y1 x2 y2 (rows, 4) around four corners (rows, 8)."""
    corners = numbers.reshape(-1, 4, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def _numbers(values: Sequence[Any], path: Path, name: str, expected: str) -> np.ndarray:
    """Make (rows,) float64 of numbers.

    Raises:
        DataError: names the first row that holds something else.
    """
    if not set(map(type, values)) <= NUMBER:
        bad = (type(value) not in NUMBER for value in values)
        _refuse_where(bad, values, path, name, expected)
    return _floats(values)


def _floats(numbers: Iterable[float]) -> np.ndarray:
    """Make float64 of JSON's numbers; whole ones that are too large become infinite."""
    numbers = list(numbers)
    try:
        return np.array(numbers, np.float64)
    except OverflowError:
        return np.array([math.inf if abs(each) > 2**1000 else each for each in numbers], np.float64)


def _refuse_where(
    bad: Iterable[bool] | np.ndarray, values: Sequence[Any], path: Path, name: str, expected: str
) -> None:
    """Refuse a field of which something is true in a row.

    Raises:
        DataError: names the first row.
    """
    place = _first(bad)
    if place is not None:
        said = json.dumps(values[place])
        shown = said if len(said) < 60 else f"{said[:57]}..."
        raise DataError(f"{path}[{place}] has {name} {shown}; expected {expected}")


def _first(bad: Iterable[bool] | np.ndarray) -> int | None:
    """Place of the first True; None where there is none."""
    if isinstance(bad, np.ndarray):
        return int(bad.argmax()) if bad.any() else None
    return next((place for place, each in enumerate(bad) if each), None)
