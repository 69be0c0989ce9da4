"""The meaning of the ids in COCO results: the image of an image_id and the class of a category_id."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import numpy as np

from galr.data.find_images import image_stem
from galr.data.image_names import ImageNames
from galr.errors import ConfigError, DataError
from galr.io.coco import CocoIndex, IdMeaning, whole_number
from galr.io.coco_results import CocoResults

MAX_DIGITS = 18  # of a name that is also a number; a longer one is a name only


def match_images(
    results: CocoResults,
    names: Sequence[str],
    sizes: np.ndarray,
    index: CocoIndex | None,
    *,
    files: Sequence[str] = (),
    ids: IdMeaning = "auto",
) -> np.ndarray:
    """Find the image of each detection.

    With `auto`, an image_id that the COCO document lists is the image that the document names, also where one of the
    two writes a number as text. Other text is the name of an image. A number that is not listed is refused: it may be
    the number of an image in a list that is not here, and images called 1.jpg, 2.jpg, … would get each other's boxes.

    Args:
        results: the detections.
        names: names of the images; unique.
        sizes: (images, 2), width and height in pixels.
        index: the ids of the COCO document, or None.
        files: the images' paths below their folder, or nothing.
        ids: what an image_id is: `annotations`, an id of the document; `names`, the name of an image, where a number
            has any leading zeros; `auto`, either.

    Returns:
        (detections,) int64, index into names.

    Raises:
        ConfigError: ids of annotations, and there are none.
        DataError: an id belongs to no image or may belong to several, two ids belong to one image, or the document
            gives an image another size.
    """
    if ids == "annotations" and index is None:
        raise ConfigError("ids: annotations needs the COCO document of the ids; give annotations")
    matcher = ImageNameMatcher(names, files)
    id_of: dict[int, int | str] = {}  # by index of the image, in the order of results.image_ids
    for image_id in results.image_ids:
        listed = index.find_image(image_id) if index and ids != "names" else None
        file_name = index.file_names[listed] if index and listed is not None else None
        if listed is None and ids != "names":
            _check_unlisted(image_id, results, index, ids)
        image = matcher.find(image_id if file_name is None else file_name)
        if image is None:
            raise DataError(_unknown_image(image_id, file_name, results, names, index))
        if ids == "auto" and isinstance(image_id, str) and listed not in (None, image_id):
            _check_name(image_id, listed, image, matcher, names, results)
        if image in id_of:
            raise DataError(
                f"{results.path} calls image {names[image]} both {id_of[image]!r} and {image_id!r};"
                " write one image_id for one image"
            )
        if index and listed is not None:
            _check_size(index, listed, names[image], sizes[image].tolist())
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
        names: names of the images; unique.
        files: the images' paths below their folder, or nothing.
    """

    def __init__(self, names: Sequence[str], files: Sequence[str] = ()) -> None:
        self._names = names
        self._by_text = ImageNames(names, files)
        self._by_number: dict[int, list[int]] = {}
        for index, name in enumerate(names):
            last = PurePosixPath(image_stem(name)).name
            if last.isdecimal() and len(last) <= MAX_DIGITS:
                self._by_number.setdefault(int(last), []).append(index)

    def find(self, name_or_number: int | str) -> int | None:
        """Find an image by its name, see `ImageNames`; a number matches with any leading zeros.

        Returns:
            The index of the image; None if there is none.

        Raises:
            DataError: the name may belong to several images.
        """
        if isinstance(name_or_number, int):
            matches = self._by_number.get(name_or_number, [])
            matches = [i for i in matches if self._names[i] == str(name_or_number)] or matches
        else:
            matches = self._by_text.find(name_or_number)
        if len(matches) > 1:
            first, second = (self._names[index] for index in matches[:2])
            raise DataError(
                f"{name_or_number!r} may be image {first} or {second};"
                " write the folder and the suffix into the name too"
            )
        return matches[0] if matches else None


def _check_unlisted(
    image_id: int | str, results: CocoResults, index: CocoIndex | None, ids: IdMeaning
) -> None:
    """Check that an image_id that no document lists can only be a name.

    Raises:
        DataError: it is a number, or is meant to be listed.
    """
    number = isinstance(image_id, int) or (
        index is not None and index.has_numbers and whole_number(image_id) is not None
    )
    if number or ids == "annotations":
        lacking = f"{index.path} does not list it" if index else "nothing says which image that is"
        cure = (
            "correct annotations" if index else "give the COCO document it comes from (annotations)"
        )
        raise DataError(
            f"{results.path} has image_id {image_id!r}, and {lacking}; {cure}, or, if the image_ids are"
            " names of images (7 for 000007.jpg), say ids: names in the detector file, or --ids names"
        )


def _check_name(
    image_id: str,
    listed: int | str | None,
    image: int,
    matcher: ImageNameMatcher,
    names: Sequence[str],
    results: CocoResults,
) -> None:
    """Check that text which is the number of one image is not the name of another.

    Raises:
        DataError: it is.
    """
    named = matcher.find(image_id)
    if named not in (None, image):
        raise DataError(
            f"{results.path} has image_id {image_id!r}, which is the name of image {names[named or 0]}, and id"
            f" {listed!r} of the annotations is image {names[image]}; say which is meant with ids: annotations"
            " or ids: names in the detector file, or with --ids"
        )


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
