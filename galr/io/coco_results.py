"""COCO results: the detections of other tools, read and checked.

A results file is a JSON list of `{"image_id": …, "category_id": …, "bbox": [x, y, width, height], "score": …}`
with boxes in pixels, as mmdet, Ultralytics, PaddleDetection and pycocotools write it. Tools for oriented boxes
write them in the same field; each is replaced by the smallest axis-aligned box around it:

- five numbers, centre x, centre y, width, height and angle in radians: mmrotate;
- eight numbers, four corners: PaddleDetection; Ultralytics names the field `poly`.

pandas does not read them: it turns null, true and large integers into other values before they can be reported.
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
from galr.io.coco import read_json, whole_number

RESULT_FIELDS = "image_id, category_id, bbox [x, y, width, height] and score"
NUMBER_TYPES = frozenset({int, float})  # without bool: JSON's true is no number
FULL_TURN = 2 * math.pi
MAX_COORDINATE = 1e9  # pixels; no image is that large
BBOX_FORMATS = {
    4: "x, y, width, height",
    5: "centre x, centre y, width, height, angle, as in the first row",
    8: "four corners of x, y, as in the first row",
}


@dataclass(frozen=True, eq=False)
class CocoResults:
    """Detections in any images, in the order of their file.

    Attributes:
        path: the file.
        image_ids: each image_id once, in the order of its first appearance.
        image_index: (detections,) int64, index into image_ids.
        category_ids: (detections,) int64.
        boxes: (detections, 4) float64, x1 y1 x2 y2 in pixels, not yet clipped to the image.
        scores: (detections,) float64 in [0, 1].
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
        DataError: the file is missing, no JSON or no list; names the first row that lacks a field or has a wrong value.
    """
    rows = read_json(path)
    if not isinstance(rows, list):
        content = (
            f"an object of {', '.join(list(rows)[:4])}" if isinstance(rows, dict) else "no list"
        )
        raise DataError(
            f"{path} holds {content}; COCO results are expected, a list of {RESULT_FIELDS}"
        )
    image_ids, image_index = _parse_image_ids(_column(rows, "image_id", path), path)
    return CocoResults(
        path,
        image_ids,
        image_index,
        _parse_category_ids(_column(rows, "category_id", path), path),
        _parse_boxes(_column(rows, _bbox_field(rows), path), path),
        _parse_scores(_column(rows, "score", path), path),
    )


def _bbox_field(rows: Sequence[Any]) -> str:
    """Return the field of the boxes: `poly` if the first row has it and no `bbox`."""
    first = rows[0] if rows and isinstance(rows[0], dict) else {}
    return "poly" if "poly" in first and "bbox" not in first else "bbox"


def _column(rows: Sequence[Any], name: str, path: Path) -> list[Any]:
    """Return one field of all rows.

    Raises:
        DataError: names the first row that lacks it.
    """
    try:
        return [row[name] for row in rows]
    except (KeyError, TypeError) as error:
        number = _first_true(not isinstance(row, dict) or name not in row for row in rows)
        raise DataError(f"{path}[{number}] lacks {name}; a result has {RESULT_FIELDS}") from error


def _parse_image_ids(values: Sequence[Any], path: Path) -> tuple[tuple[int | str, ...], np.ndarray]:
    """Number the image ids.

    Returns:
        Each id once, and (detections,) int64, the index of each row's id among them.

    Raises:
        DataError: names the first row whose id is neither a text nor a whole number.
    """
    hashable = set(map(type, values)) <= {int, float, str}
    index_of = {value: n for n, value in enumerate(dict.fromkeys(values))} if hashable else {}
    if not (hashable and all(map(_is_id, index_of))):
        wrong = (not _is_id(value) for value in values)
        _check_rows(wrong, values, path, "image_id", "a whole number or a text")
    ids = tuple(value if isinstance(value, str) else int(value) for value in index_of)
    return ids, np.fromiter(map(index_of.__getitem__, values), np.int64, len(values))


def _is_id(value: Any) -> bool:  # noqa: ANN401  any JSON
    """Whether a value is a text or a whole number; some tools write 7 as 7.0."""
    return type(value) in (int, str) or (type(value) is float and value.is_integer())


def _parse_category_ids(values: Sequence[Any], path: Path) -> np.ndarray:
    """Convert category ids to (detections,) int64.

    Raises:
        DataError: names the first row whose id is no whole number.
    """
    if str in set(map(type, values)):  # some tools write "3"
        whole = map(whole_number, values)
        values = [v if n is None else n for v, n in zip(values, whole, strict=True)]
    numbers = _parse_numbers(values, path, "category_id", "a whole number")
    wrong = (np.rint(numbers) != numbers) | ~(np.abs(numbers) < 2**53)
    _check_rows(wrong, values, path, "category_id", "a whole number")
    return numbers.astype(np.int64)


def _parse_scores(values: Sequence[Any], path: Path) -> np.ndarray:
    """Convert scores to (detections,) float64.

    Raises:
        DataError: names the first row whose score is no number in [0, 1].
    """
    scores = _parse_numbers(values, path, "score", "a number in [0, 1]")
    _check_rows(~((scores >= 0) & (scores <= 1)), values, path, "score", "a number in [0, 1]")
    return scores


def _parse_boxes(values: Sequence[Any], path: Path) -> np.ndarray:
    """Convert axis-aligned or oriented boxes to (detections, 4) float64, x1 y1 x2 y2 in pixels.

    Raises:
        DataError: names the first row whose box has another form than the first one's, or no finite numbers.
    """
    first = len(values[0]) if values and isinstance(values[0], list) else 4
    length = first if first in BBOX_FORMATS else 4
    expected = BBOX_FORMATS[length]
    if set(map(type, values)) - {list} or set(map(len, values)) - {length}:
        wrong = (type(value) is not list or len(value) != length for value in values)
        _check_rows(wrong, values, path, "bbox", expected)
    if not set(map(type, chain.from_iterable(values))) <= NUMBER_TYPES:
        wrong = (not set(map(type, value)) <= NUMBER_TYPES for value in values)
        _check_rows(wrong, values, path, "bbox", expected)
    numbers = _to_float64(chain.from_iterable(values)).reshape(-1, length)
    too_large = (~(np.abs(numbers) < MAX_COORDINATE)).any(axis=1)
    _check_rows(too_large, values, path, "bbox", f"finite {expected}")
    if length == 8:
        corners = numbers.reshape(-1, 4, 2)
        return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    negative = np.minimum(numbers[:, 2], numbers[:, 3]) < 0
    _check_rows(negative, values, path, "bbox", "a width and height of 0 or more")
    if length == 5:
        degrees = np.abs(numbers[:, 4]) > FULL_TURN
        _check_rows(degrees, values, path, "bbox", "an angle in radians; else write four corners")
        return _enclose_rotated(numbers)
    return np.concatenate([numbers[:, :2], numbers[:, :2] + numbers[:, 2:]], axis=1)


def _enclose_rotated(numbers: np.ndarray) -> np.ndarray:
    r"""Enclose rotated boxes: :math:`w' = w|\cos a| + h|\sin a|`, :math:`h' = w|\sin a| + h|\cos a|`.

    Args:
        numbers: (detections, 5) float64: centre x, centre y, width, height (pixels), angle in radians.

    Returns:
        (detections, 4) float64, x1 y1 x2 y2 in pixels.
    """
    cos, sin = np.abs(np.cos(numbers[:, 4])), np.abs(np.sin(numbers[:, 4]))
    width, height = numbers[:, 2], numbers[:, 3]
    half = np.stack([width * cos + height * sin, width * sin + height * cos], axis=1) / 2
    return np.concatenate([numbers[:, :2] - half, numbers[:, :2] + half], axis=1)


def _parse_numbers(values: Sequence[Any], path: Path, name: str, expected: str) -> np.ndarray:
    """Convert a column to (detections,) float64.

    Raises:
        DataError: names the first row that holds no number.
    """
    if not set(map(type, values)) <= NUMBER_TYPES:
        wrong = (type(value) not in NUMBER_TYPES for value in values)
        _check_rows(wrong, values, path, name, expected)
    return _to_float64(values)


def _to_float64(numbers: Iterable[float]) -> np.ndarray:
    """Convert JSON's numbers to float64; integers that are too large become infinite."""
    numbers = list(numbers)
    try:
        return np.array(numbers, np.float64)
    except OverflowError:
        return np.array(
            [math.inf if abs(number) > 2**1000 else number for number in numbers], np.float64
        )


def _check_rows(
    wrong: Iterable[bool] | np.ndarray, values: Sequence[Any], path: Path, name: str, expected: str
) -> None:
    """Check that no value of a column is wrong.

    Raises:
        DataError: names the first row with a wrong value.
    """
    row = _first_true(wrong)
    if row is not None:
        text = json.dumps(values[row])
        short = text if len(text) < 60 else f"{text[:57]}..."
        raise DataError(f"{path}[{row}] has {name} {short}; expected {expected}")


def _first_true(flags: Iterable[bool] | np.ndarray) -> int | None:
    """Return the index of the first True; None if there is none."""
    if isinstance(flags, np.ndarray):
        return int(flags.argmax()) if flags.any() else None
    return next((index for index, flag in enumerate(flags) if flag), None)
