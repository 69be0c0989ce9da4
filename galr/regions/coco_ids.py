"""The meaning of the ids in COCO results: the image of an image_id and the class of a category_id."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from galr.data.find_images import image_stem
from galr.errors import ConfigError, DataError
from galr.io.coco import CocoIndex
from galr.io.coco_results import CocoResults

MAX_DIGITS = 18  # of a name that is also a number; a longer one is a name only


def match_images(
    results: CocoResults, names: Sequence[str], sizes: np.ndarray, index: CocoIndex | None
) -> np.ndarray:
    """Find the image of each detection.

    An image_id is looked up in the COCO document, if there is one; an id that it does not list, or any id
    without a document, is the name of an image.

    Args:
        results: the detections.
        names: names of the images, without suffix, with or without folders; unique.
        sizes: (images, 2), width and height in pixels.
        index: the ids of the COCO document, or None.

    Returns:
        (detections,) int64, index into names.

    Raises:
        DataError: an id belongs to no image or may belong to several, two ids belong to one image, or the document
            gives an image another size.
    """
    matcher = ImageNameMatcher(names)
    id_of: dict[int, int | str] = {}  # by index of the image, in the order of results.image_ids
    for image_id in results.image_ids:
        file_name = index.file_names.get(image_id) if index else None
        image = matcher.find(image_id if file_name is None else file_name)
        if image is None:
            raise DataError(_unknown_image(image_id, file_name, results, names, index))
        if image in id_of:
            raise DataError(
                f"{results.path} calls image {names[image]} both {id_of[image]!r} and {image_id!r};"
                " write one image_id for one image"
            )
        if index and file_name is not None:
            _check_size(index, image_id, names[image], sizes[image].tolist())
        id_of[image] = image_id
    return np.fromiter(id_of, np.int64, len(id_of))[results.image_index]


def match_classes(
    results: CocoResults,
    class_names: Sequence[str],
    first_category: int,
    index: CocoIndex | None,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Find the class of each detection.

    A category_id is looked up in the COCO document and its name is the name of a class; without a document, or if
    it lists no categories, classes are numbered from `first_category`.

    Args:
        results: the detections.
        class_names: the classes in order; if empty, all categories of the document, or else the ids that occur,
            named "category 3", in ascending order of their ids.
        first_category: category_id of the first class.
        index: the ids of the COCO document, or None.

    Returns:
        (detections,) int64, index into the classes; and the classes.

    Raises:
        ConfigError: a class is named twice.
        DataError: a category is no class.
    """
    repeated = [name for name in class_names if class_names.count(name) > 1]
    if repeated:
        raise ConfigError(f"classes name '{repeated[0]}' twice; every class has one name")
    ids, row = np.unique(results.category_ids, return_inverse=True)
    if index and index.categories:
        name_of = dict(sorted(index.categories.items()))
    elif class_names:
        name_of = dict(enumerate(class_names, start=first_category))
    else:
        name_of = {number: f"category {number}" for number in ids.tolist()}
    classes = tuple(class_names) or tuple(dict.fromkeys(name_of.values()))
    index_of = {name: number for number, name in enumerate(classes)}
    for category in ids.tolist():
        if name_of.get(category) not in index_of:
            reason = _unknown_category(category, name_of, first_category, index)
            raise DataError(f"{results.path} has category_id {category}, {reason}")
    return np.array([index_of[name_of[number]] for number in ids.tolist()], np.int64)[row], classes


class ImageNameMatcher:
    """Find images by the names that other tools give them.

    Args:
        names: names of the images, without suffix; unique.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._index = {name: index for index, name in enumerate(names)}
        self._by_file_name: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        for name in names:
            last = PurePosixPath(name).name
            self._by_file_name.setdefault(last, []).append(name)
            if last.isdecimal() and len(last) <= MAX_DIGITS:
                self._by_number.setdefault(int(last), []).append(name)

    def find(self, name_or_number: int | str) -> int | None:
        """Find an image by its exact name, or one with a suffix or with more or fewer folders.

        A number matches with any leading zeros: Ultralytics writes 7 for `000007.jpg`.

        Returns:
            The index of the image; None if there is none.

        Raises:
            DataError: the name may belong to several images.
        """
        stem = image_stem(str(name_or_number))
        if stem in self._index:
            return self._index[stem]
        if isinstance(name_or_number, int):
            matches = self._by_number.get(name_or_number, [])
        else:
            candidates = self._by_file_name.get(PurePosixPath(stem).name, [])
            matches = [name for name in candidates if _is_path_suffix(name, stem)]
        if len(matches) > 1:
            raise DataError(
                f"{name_or_number!r} may be image {matches[0]} or {matches[1]};"
                " write the folder into the name too"
            )
        return self._index[matches[0]] if matches else None


def _is_path_suffix(first: str, second: str) -> bool:
    """Whether one of two paths ends in the other."""
    short, long = sorted((PurePosixPath(first).parts, PurePosixPath(second).parts), key=len)
    return long[len(long) - len(short) :] == short


def _check_size(index: CocoIndex, image_id: int | str, name: str, size: Sequence[int]) -> None:
    """Check that boxes were found in the image as it is here.

    Raises:
        DataError: the COCO document gives the image another size.
    """
    width, height = index.sizes.get(image_id, size)
    if (width, height) != tuple(size):
        raise DataError(
            f"{index.path} gives image {name} {width} x {height} pixels, and it has"
            f" {size[0]} x {size[1]}; detect in the images of this dataset"
        )


def _unknown_image(
    image_id: int | str,
    file_name: str | None,
    results: CocoResults,
    names: Sequence[str],
    index: CocoIndex | None,
) -> str:
    """Explain that an image_id belongs to no image."""
    example = f"; images have names like {names[0]}" if names else "; there are no images"
    if file_name is not None and index is not None:
        return (
            f"{results.path} has boxes of image_id {image_id!r}, which {index.path} calls {file_name},"
            f" and no image has that name{example}; leave its rows out, or correct file_name"
        )
    unlisted = f", and {index.path} does not list it" if index else ""
    return (
        f"{results.path} has boxes of image_id {image_id!r}, which is not the name of an image{unlisted}{example};"
        " give the COCO document that the ids come from (annotations), or write names as image_id"
    )


def _unknown_category(
    category: int, name_of: Mapping[int, str], first_category: int, index: CocoIndex | None
) -> str:
    """Explain that a category_id belongs to no class."""
    if category in name_of:
        return f"'{name_of[category]}', which is none of the classes; add it to them"
    if index and index.categories:
        return f"which {index.path} does not list; give the document of these results"
    last = first_category + len(name_of) - 1
    return (
        f"expected {first_category} to {last} for {len(name_of)} classes;"
        f" first_category may be wrong (it is {first_category}), or a class is missing"
    )
