"""What the ids of COCO results mean: an image_id an image, a category_id a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from galr.data.find_images import image_stem
from galr.errors import ConfigError, DataError
from galr.regions.results import Results, read_json

DIGITS = 18  # of a name that is also a number; longer ones are names alone
IMAGES = "a list of images with id and file_name"


@dataclass(frozen=True)
class Annotations:
    """What a COCO document says of ids.

    Attributes:
        path: where it was read from.
        files: file_name by image_id.
        sizes: width and height in pixels by image_id, where it says so.
        categories: name by category_id; may be empty.
    """

    path: Path
    files: Mapping[int | str, str]
    sizes: Mapping[int | str, tuple[float, float]]
    categories: Mapping[int, str]


def read_annotations(path: Path) -> Annotations:
    """Read the images and the categories of a COCO document; its boxes are not looked at.

    Raises:
        DataError: it is missing, no JSON, has no images, or an image or a category lacks something.
    """
    document = read_json(path)
    images = document.get("images") if isinstance(document, dict) else None
    categories = document.get("categories", []) if isinstance(document, dict) else None
    if not isinstance(images, list) or not isinstance(categories, list):
        raise DataError(f"{path} is no COCO document; expected {IMAGES}, and of categories")
    files: dict[int | str, str] = {}
    sizes: dict[int | str, tuple[float, float]] = {}
    for place, each in enumerate(images):
        number, file = _pair(each, "file_name", f"{path}: images[{place}]", (int, str))
        if number in files:
            raise DataError(f"{path} gives two images the id {number!r}; ids must be unique")
        files[number] = file
        width, height = each.get("width"), each.get("height")
        if isinstance(width, (int, float)) and isinstance(height, (int, float)):
            sizes[number] = (width, height)
    names: dict[int, str] = {}
    for place, each in enumerate(categories):
        number, name = _pair(each, "name", f"{path}: categories[{place}]", (int,))
        if number in names:
            raise DataError(f"{path} gives two categories the id {number}; ids must be unique")
        names[number] = name
    return Annotations(path, files, sizes, names)


def images_of(
    results: Results, names: Sequence[str], sizes: np.ndarray, annotations: Annotations | None
) -> np.ndarray:
    """Find the image of every result.

    An image_id is an id of the annotations if they are given; else, or where they do not know it, it
    is an image's name.

    Args:
        results: the detections.
        names: of the images, without suffix, with or without folders; unique.
        sizes: (images, 2), width and height in pixels.
        annotations: what the ids mean, where it is known.

    Returns:
        (rows,) int64, place in names.

    Raises:
        DataError: an id is no image's, or may be several images', or two ids are one image's, or the
            annotations were made for a picture of another size.
    """
    known = Names(names)
    found: dict[int, int | str] = {}  # image: id
    for said in results.ids:
        file = annotations.files.get(said) if annotations else None
        image = known.find(said if file is None else file)
        if image is None:
            raise DataError(_unknown(said, file, results, names, annotations))
        if image in found:
            raise DataError(
                f"{results.path} calls image {names[image]} both {found[image]!r} and {said!r};"
                " write one image_id for one image"
            )
        if annotations and file is not None:
            _refuse_other_size(annotations, said, names[image], sizes[image].tolist())
        found[image] = said
    return np.fromiter(found, np.int64, len(found))[results.image]


def classes_of(
    results: Results,
    class_names: Sequence[str],
    first_category: int,
    annotations: Annotations | None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Find the class of every result.

    A category_id is a category of the annotations, and its name is a class's; without annotations, or
    where they list no categories, it counts the classes from `first_category` on.

    Args:
        results: the detections.
        class_names: the classes in order; empty takes all categories of the annotations, or else the
            ids found, named "category 3", in ascending order of their ids.
        first_category: category_id of the first class.
        annotations: what the ids mean, where it is known.

    Returns:
        (rows,) int64, place in the classes; and the classes.

    Raises:
        ConfigError: a class is named twice.
        DataError: a category is no class.
    """
    twice = [name for name in class_names if class_names.count(name) > 1]
    if twice:
        raise ConfigError(f"classes name '{twice[0]}' twice; every class has one name")
    ids, row = np.unique(results.categories, return_inverse=True)
    if annotations and annotations.categories:
        named = dict(sorted(annotations.categories.items()))
    elif class_names:
        named = dict(enumerate(class_names, start=first_category))
    else:
        named = {number: f"category {number}" for number in ids.tolist()}
    classes = tuple(class_names) or tuple(dict.fromkeys(named.values()))
    place_of = {name: place for place, name in enumerate(classes)}
    for number in ids.tolist():
        if named.get(number) not in place_of:
            raise DataError(
                f"{results.path} has category_id {number},"
                f" {_no_class(number, named, first_category, annotations)}"
            )
    places = np.array([place_of[named[number]] for number in ids.tolist()], np.int64)
    return places[row], classes


class Names:
    """Finds images by what people call them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._exact = {name: place for place, name in enumerate(names)}
        self._last: dict[str, list[str]] = {}
        self._number: dict[int, list[str]] = {}
        for name in names:
            last = PurePosixPath(name).name
            self._last.setdefault(last, []).append(name)
            if last.isdecimal() and len(last) <= DIGITS:
                self._number.setdefault(int(last), []).append(name)

    def find(self, said: int | str) -> int | None:
        """Find the image of a name: as it stands, or with a suffix, or with more or fewer folders.

        A number is found whatever zeros lead it: Ultralytics makes 7 of `000007.jpg`.

        Returns:
            The place of its name; None where there is none.

        Raises:
            DataError: it may be several images.
        """
        wanted = image_stem(str(said))
        if wanted in self._exact:
            return self._exact[wanted]
        if isinstance(said, int):
            found = self._number.get(said, [])
        else:
            near = self._last.get(PurePosixPath(wanted).name, [])
            found = [name for name in near if _ends_alike(name, wanted)]
        if len(found) > 1:
            raise DataError(
                f"{said!r} may be image {found[0]} or {found[1]}; write the folder into the name too"
            )
        return self._exact[found[0]] if found else None


def _ends_alike(one: str, other: str) -> bool:
    """Whether of two paths one is the end of the other."""
    short, long = sorted((PurePosixPath(one).parts, PurePosixPath(other).parts), key=len)
    return long[len(long) - len(short) :] == short


def _pair(row: object, name: str, where: str, kinds: tuple[type, ...]) -> tuple[Any, str]:
    """Take an id and a text out of a row of a COCO document.

    Raises:
        DataError: one of them is not there, or something else.
    """
    number, text = (row.get("id"), row.get(name)) if isinstance(row, dict) else (None, None)
    if type(number) not in kinds or not isinstance(text, str):
        raise DataError(f"{where} has id {number!r} and {name} {text!r}; both must be there")
    return number, text


def _refuse_other_size(
    annotations: Annotations, said: int | str, name: str, size: Sequence[int]
) -> None:
    """Refuse boxes that were measured on another version of a picture.

    Raises:
        DataError: the annotations give the picture another size.
    """
    measured = annotations.sizes.get(said, size)
    if tuple(measured) != tuple(size):
        raise DataError(
            f"{annotations.path} gives image {name} {measured[0]} x {measured[1]} pixels, and it has"
            f" {size[0]} x {size[1]}; detect on the pictures of this dataset"
        )


def _unknown(
    said: int | str,
    file: str | None,
    results: Results,
    names: Sequence[str],
    annotations: Annotations | None,
) -> str:
    """Say that an image_id is no image's, and what to do."""
    example = f"; images are called like {names[0]}" if names else "; there are no images"
    if file is not None and annotations is not None:
        return (
            f"{results.path} has boxes of image_id {said!r}, which {annotations.path} calls {file},"
            f" and no image has that name{example}; leave its rows out, or correct file_name"
        )
    elsewhere = f", and {annotations.path} does not know it" if annotations else ""
    return (
        f"{results.path} has boxes of image_id {said!r}, which is no image's name{elsewhere}{example};"
        " give the COCO document that the ids come from (annotations), or write names as image_id"
    )


def _no_class(
    number: int, named: Mapping[int, str], first_category: int, annotations: Annotations | None
) -> str:
    """Say why a category is no class, and what to do."""
    if number in named:
        return f"'{named[number]}', which is none of the classes; add it to them"
    if annotations and annotations.categories:
        return f"which {annotations.path} does not list; give the document of these results"
    last = first_category + len(named) - 1
    return (
        f"expected {first_category} to {last} for {len(named)} classes;"
        f" first_category may be wrong (it is {first_category}), or a class is missing"
    )
