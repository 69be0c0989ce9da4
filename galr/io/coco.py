"""COCO documents: images, their boxes and their classes, read, checked and written.

pycocotools does not read them here because it checks nothing: a missing image or a wrong box would end a training
in a traceback.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from galr.errors import DataError
from galr.io.atomic import atomic_write

IdMeaning = Literal["auto", "annotations", "names"]  # of an image_id in results, see `match_images`
NUMBER_TEXT = re.compile(r"(-?[0-9]{1,18})(?:\.0+)?")  # of an id; a longer one is a name only


@dataclass(frozen=True)
class CocoDataset:
    """Images and their boxes; classes are numbered from 1 in the order of a detector.

    Attributes:
        classes: names of the classes.
        images: id, file_name, width and height (pixels) of each image.
        annotations: the boxes, as `annotation` makes them.
    """

    classes: tuple[str, ...]
    images: tuple[dict[str, Any], ...]
    annotations: tuple[dict[str, Any], ...]

    def to_document(self) -> dict[str, Any]:
        """Return the dataset as a COCO document."""
        return {
            "info": {},
            "images": list(self.images),
            "annotations": list(self.annotations),
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(self.classes)],
        }

    def save(self, path: Path) -> None:
        """Write the dataset as a COCO document.

        Raises:
            OutputError: the file cannot be written.
        """
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(self.to_document()), encoding="utf-8")

    def subset(self, images: Sequence[dict[str, Any]]) -> "CocoDataset":
        """Return some of the images with their boxes."""
        ids = {image["id"] for image in images}
        boxes = tuple(box for box in self.annotations if box["image_id"] in ids)
        return CocoDataset(self.classes, tuple(images), boxes)


@dataclass(frozen=True)
class CocoIndex:
    """The meaning of the ids in a COCO document.

    Attributes:
        path: the document.
        file_names: file_name by image_id.
        sizes: width and height in pixels by image_id, of the images that have them.
        categories: name by category_id; may be empty.
    """

    path: Path
    file_names: Mapping[int | str, str]
    sizes: Mapping[int | str, tuple[float, float]]
    categories: Mapping[int, str]

    def find_image(self, image_id: object) -> int | str | None:
        """Find an image_id as the document writes it, or else as the same number (7, 7.0, "7", "007").

        Returns:
            The id in `file_names`; None if it is not listed, or no id at all.
        """
        if isinstance(image_id, str) and image_id in self.file_names:
            return image_id
        number = whole_number(image_id)
        if number is None or number in self.file_names:
            return number
        return str(number) if str(number) in self.file_names else None

    @cached_property
    def has_numbers(self) -> bool:
        """Whether any image_id is a number, or text that is one."""
        return any(whole_number(image_id) is not None for image_id in self.file_names)


def whole_number(value: object) -> int | None:
    """Return an id as a whole number, 7 for 7, 7.0, "7", "007" and "7.0"; None if it is none."""
    if isinstance(value, str):
        match = NUMBER_TEXT.fullmatch(value.strip())
        return int(match[1]) if match else None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


def annotation(
    number: int,
    image_id: int | str,
    category_id: int,
    bbox: Sequence[float],
    *,
    iscrowd: int = 0,
) -> dict[str, Any]:
    """Make the COCO annotation of a box.

    Args:
        number: id of the annotation, from 1 (pycocotools takes 0 for "no match").
        image_id: id of its image.
        category_id: id of its class.
        bbox: x, y, width, height in pixels.
        iscrowd: 1 if finding the box counts neither as right nor as wrong, else 0.
    """
    x, y, width, height = bbox
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": [x, y, width, height],
        "area": width * height,
        "iscrowd": iscrowd,
    }


def read_coco(
    path: Path,
    classes: Sequence[str],
    image_dir: Path,
    find_file: Callable[[str], str | None] = lambda file_name: None,
) -> CocoDataset:
    """Read the images of a COCO document and their boxes of some classes; other boxes are left out.

    Categories are numbered anew in the order of `classes`: mmdet numbers them in the order of the file,
    which would give the network's outputs the names of other classes wherever the two orders differ.

    Args:
        path: the document, JSON.
        classes: the classes of a detector.
        image_dir: the folder that file names are relative to.
        find_file: finds the path of an image in that folder by a file_name that is not its path.

    Raises:
        DataError: the file is missing, no COCO document, lacks a class, or contradicts itself; an image is missing,
            or two have one file.
    """
    document = read_json(path)
    index = _index(document, path)
    images = _table(document, "images", ("width", "height"), path)
    for absent in sorted(set(classes) - set(index.categories.values())):
        has = ", ".join(sorted(index.categories.values()))
        raise DataError(
            f"{path} has no class '{absent}'; it has: {has}; correct the detector's classes"
        )
    images = _locate_images(images, index, image_dir, find_file)
    boxes: list[dict[str, Any]] = []
    fields = ("image_id", "category_id", "bbox")
    for row, entry in enumerate(_table(document, "annotations", fields, path)):
        image_id = index.find_image(entry["image_id"])
        category = whole_number(entry["category_id"])
        if image_id is None or category is None or category not in index.categories:
            raise DataError(
                f"{path}: annotations[{row}] refers to an image or a category that the file does not list"
            )
        bbox = _check_bbox(entry["bbox"], f"{path}: annotations[{row}]")
        name = index.categories[category]
        if name in classes:
            category_id = classes.index(name) + 1
            crowd = int(entry.get("iscrowd", 0))
            boxes.append(annotation(len(boxes) + 1, image_id, category_id, bbox, iscrowd=crowd))
    if not boxes:
        raise DataError(f"{path} has no box of {', '.join(classes)}")
    return CocoDataset(tuple(classes), tuple(images), tuple(boxes))


def read_coco_index(path: Path) -> CocoIndex:
    """Read the images and the categories of a COCO document; its boxes are not read.

    Raises:
        DataError: it is missing, no JSON, has no images, an image or a category lacks a field, or two have one id.
    """
    document = read_json(path)
    return _index({"categories": []} | document if isinstance(document, dict) else document, path)


def read_json(path: Path) -> Any:  # noqa: ANN401  any JSON
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


def _index(document: Any, path: Path) -> CocoIndex:  # noqa: ANN401  any JSON
    """Read the ids of a COCO document.

    Raises:
        DataError: a table is missing, an image or a category lacks a field, or two have one id.
    """
    images = _table(document, "images", (), path)
    file_names = _names_by_id(images, "images", "file_name", (int, str), path)
    categories = _table(document, "categories", (), path)
    sizes = {
        image_id: (image["width"], image["height"])
        for image_id, image in zip(file_names, images, strict=True)
        if all(isinstance(image.get(side), (int, float)) for side in ("width", "height"))
    }
    names = _names_by_id(categories, "categories", "name", (int,), path)
    return CocoIndex(path, file_names, sizes, names)


def _locate_images(
    images: Sequence[dict[str, Any]],
    index: CocoIndex,
    image_dir: Path,
    find_file: Callable[[str], str | None],
) -> list[dict[str, Any]]:
    """Give images their ids as numbers and their paths in a folder.

    Raises:
        DataError: an image has no file, or one that is not its own path and is another's too.
    """
    located: list[dict[str, Any]] = []
    owners: dict[str, list[int | str]] = {}
    for image, (image_id, file_name) in zip(images, index.file_names.items(), strict=True):
        exists = (image_dir / file_name).is_file()
        found = file_name if exists else find_file(file_name)
        if found is None:
            raise DataError(f"{index.path} names {file_name}, which does not exist in {image_dir}")
        owners.setdefault(found, []).append(image_id)
        located.append(image | {"id": image_id, "file_name": found})
    for image in located:
        found, ids = image["file_name"], owners[image["file_name"]]
        if len(ids) > 1 and any(index.file_names[image_id] != found for image_id in ids):
            raise DataError(
                f"{index.path}: {found} may be image {ids[0]!r} or {ids[1]!r}; correct file_name"
            )
    return located


def _table(document: Any, name: str, fields: Sequence[str], path: Path) -> list[dict[str, Any]]:  # noqa: ANN401  any JSON
    """Return a list of objects in a COCO document.

    Raises:
        DataError: it is missing or no list, or names the first row that is no object or lacks one of `fields`.
    """
    rows = document.get(name) if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise DataError(
            f"{path} has no list of {name}; a COCO document is expected: images with id and file_name, categories"
        )
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path}: {name}[{number}] is {row!r}; an object is expected")
        for field in fields:
            if field not in row:
                raise DataError(f"{path}: {name}[{number}] lacks {field}")
    return rows


def _names_by_id(
    rows: Sequence[dict[str, Any]], table: str, field: str, types: tuple[type, ...], path: Path
) -> dict[Any, str]:
    """Map the ids in a table to a text field.

    Raises:
        DataError: names the first row whose id or text is missing or of another type, or whose id occurred before.
    """
    names: dict[Any, str] = {}
    for number, row in enumerate(rows):
        key, text = row.get("id"), row.get(field)
        as_number = None if isinstance(key, str) and str in types else whole_number(key)
        key = key if as_number is None else as_number  # 7 for 7.0, and for a category's "7"
        if type(key) not in types or not isinstance(text, str):
            raise DataError(
                f"{path}: {table}[{number}] has id {key!r} and {field} {text!r}; both must be there"
            )
        if key in names:
            raise DataError(f"{path} gives two {table} the id {key!r}; ids must be unique")
        names[key] = text
    return names


def _check_bbox(bbox: Any, where: str) -> list[float]:  # noqa: ANN401  any JSON
    """Return x, y, width, height of a box.

    Raises:
        DataError: they are not four finite numbers, or width or height is negative.
    """
    try:
        x, y, width, height = map(float, bbox)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where} has bbox {bbox}; x, y, width, height are expected") from error
    if not all(map(math.isfinite, (x, y, width, height))) or width < 0 or height < 0:
        raise DataError(f"{where} has bbox {bbox}; finite x, y, width, height are expected")
    return [x, y, width, height]
