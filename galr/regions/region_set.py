"""What DREA starts from: the regions of our own file, or anybody's ready boxes.

What the ids of COCO results mean: an image_id an image, a category_id a class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from galr import store
from galr.data.find_images import image_stem
from galr.errors import ConfigError, DataError
from galr.graphs.detections import Detections
from galr.io.coco import CocoResults, read_json, read_results, to_detections
from galr.provenance import file_sha256


@dataclass(frozen=True, eq=False)
class RegionSet:
    """The regions of many images, what they are called, and where they came from.

    Attributes:
        names: (images,) names.
        class_names: (classes,) names.
        regions: the detections, image after image in the order of names.
        origin: what a file made of them says of their making.
        dropped: boxes that were left out because inside their image they have no area.
    """

    names: list[str]
    class_names: tuple[str, ...]
    detections: Detections
    provenance: dict[str, Any]
    num_dropped: int

    def describe(self) -> str:
        """Say in a line what was read."""
        return (
            f"{len(self.detections.scores)} regions in {len(self.names)} images;"
            f" {self.num_dropped} boxes of no area dropped"
        )

    def index_of(self, name: str) -> int:
        """Find an image by its name, with or without folders and suffix.

        Raises:
            DataError: there is none, or more than one.
        """
        place = ImageNameMatcher(self.names).find(name)
        if place is None:
            called = f"they are called like {self.names[0]}" if self.names else "there are none"
            raise DataError(f"no image is called {name}; of {len(self.names)} images {called}")
        return place


def read_regions(path: Path) -> RegionSet:
    """Read regions.h5.

    Raises:
        StoreError: it is missing, damaged, or something else.
    """
    with store.reading(path, store.REGIONS) as file:
        tables = ("offsets", "boxes", "scores", "classes", "sizes")
        said = store.provenance(file)
        origin = {
            "dataset": said.get("dataset"),
            "detector": said.get("detector"),
            "regions_sha256": file_sha256(path),
        }
        return RegionSet(
            store.texts(file["names"]),
            tuple(store.texts(file["class_names"])),
            Detections(**{table: file[table][:] for table in tables}),
            origin,
            num_dropped=0,
        )


def read_coco_results(
    path: Path,
    names: Sequence[str],
    sizes: np.ndarray,
    *,
    annotations: Path | None,
    class_names: Sequence[str],
    first_category: int,
    detector: str,
) -> RegionSet:
    """Read COCO results as regions of given images; images without a result have none.

    Args:
        path: the results, JSON.
        names: of the images, in order, without suffix.
        sizes: (images, 2) int32, width and height in pixels.
        annotations: a COCO document that says what the ids mean.
        class_names: the classes in order; empty takes those that the results and annotations have.
        first_category: the category_id of the first class, where no annotations say so.
        detector: what to call whatever found the boxes.

    Raises:
        ConfigError: a class is named twice.
        DataError: a file is missing or damaged, or an id is no image's or no class's.
    """
    results = read_results(path)
    known = None if annotations is None else read_coco_index(annotations)
    image = match_images(results, names, sizes, known)
    label, classes = match_classes(results, class_names, first_category, known)
    regions, dropped = to_detections(results, image, label, sizes)
    origin = {
        "detector": {
            "name": detector,
            "results_sha256": file_sha256(path),
            "annotations_sha256": None if annotations is None else file_sha256(annotations),
        }
    }
    return RegionSet(list(names), classes, regions, origin, dropped)


MAX_DIGITS = 18  # of a name that is also a number; longer ones are names alone
IMAGES_TABLE = "a list of images with id and file_name"


@dataclass(frozen=True)
class CocoIndex:
    """What a COCO document says of ids.

    Attributes:
        path: where it was read from.
        files: file_name by image_id.
        sizes: width and height in pixels by image_id, where it says so.
        categories: name by category_id; may be empty.
    """

    path: Path
    file_names: Mapping[int | str, str]
    sizes: Mapping[int | str, tuple[float, float]]
    categories: Mapping[int, str]


def read_coco_index(path: Path) -> CocoIndex:
    """Read the images and the categories of a COCO document; its boxes are not looked at.

    Raises:
        DataError: it is missing, no JSON, has no images, or an image or a category lacks something.
    """
    document = read_json(path)
    images = document.get("images") if isinstance(document, dict) else None
    categories = document.get("categories", []) if isinstance(document, dict) else None
    if not isinstance(images, list) or not isinstance(categories, list):
        raise DataError(f"{path} is no COCO document; expected {IMAGES_TABLE}, and of categories")
    files: dict[int | str, str] = {}
    sizes: dict[int | str, tuple[float, float]] = {}
    for place, each in enumerate(images):
        number, file = _id_and_text(each, "file_name", f"{path}: images[{place}]", (int, str))
        if number in files:
            raise DataError(f"{path} gives two images the id {number!r}; ids must be unique")
        files[number] = file
        width, height = each.get("width"), each.get("height")
        if isinstance(width, (int, float)) and isinstance(height, (int, float)):
            sizes[number] = (width, height)
    names: dict[int, str] = {}
    for place, each in enumerate(categories):
        number, name = _id_and_text(each, "name", f"{path}: categories[{place}]", (int,))
        if number in names:
            raise DataError(f"{path} gives two categories the id {number}; ids must be unique")
        names[number] = name
    return CocoIndex(path, files, sizes, names)


def match_images(
    results: CocoResults, names: Sequence[str], sizes: np.ndarray, annotations: CocoIndex | None
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
    known = ImageNameMatcher(names)
    found: dict[int, int | str] = {}  # image: id
    for said in results.image_ids:
        file = annotations.file_names.get(said) if annotations else None
        image = known.find(said if file is None else file)
        if image is None:
            raise DataError(_unknown_image_message(said, file, results, names, annotations))
        if image in found:
            raise DataError(
                f"{results.path} calls image {names[image]} both {found[image]!r} and {said!r};"
                " write one image_id for one image"
            )
        if annotations and file is not None:
            _check_size(annotations, said, names[image], sizes[image].tolist())
        found[image] = said
    return np.fromiter(found, np.int64, len(found))[results.image_index]


def match_classes(
    results: CocoResults,
    class_names: Sequence[str],
    first_category: int,
    annotations: CocoIndex | None,
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
    ids, row = np.unique(results.category_ids, return_inverse=True)
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
                f" {_unknown_category_message(number, named, first_category, annotations)}"
            )
    places = np.array([place_of[named[number]] for number in ids.tolist()], np.int64)
    return places[row], classes


class ImageNameMatcher:
    """Finds images by what people call them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._exact = {name: place for place, name in enumerate(names)}
        self._last: dict[str, list[str]] = {}
        self._number: dict[int, list[str]] = {}
        for name in names:
            last = PurePosixPath(name).name
            self._last.setdefault(last, []).append(name)
            if last.isdecimal() and len(last) <= MAX_DIGITS:
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
            found = [name for name in near if _is_path_suffix(name, wanted)]
        if len(found) > 1:
            raise DataError(
                f"{said!r} may be image {found[0]} or {found[1]}; write the folder into the name too"
            )
        return self._exact[found[0]] if found else None


def _is_path_suffix(one: str, other: str) -> bool:
    """Whether of two paths one is the end of the other."""
    short, long = sorted((PurePosixPath(one).parts, PurePosixPath(other).parts), key=len)
    return long[len(long) - len(short) :] == short


def _id_and_text(row: object, name: str, where: str, kinds: tuple[type, ...]) -> tuple[Any, str]:
    """Take an id and a text out of a row of a COCO document.

    Raises:
        DataError: one of them is not there, or something else.
    """
    number, text = (row.get("id"), row.get(name)) if isinstance(row, dict) else (None, None)
    if type(number) not in kinds or not isinstance(text, str):
        raise DataError(f"{where} has id {number!r} and {name} {text!r}; both must be there")
    return number, text


def _check_size(annotations: CocoIndex, said: int | str, name: str, size: Sequence[int]) -> None:
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


def _unknown_image_message(
    said: int | str,
    file: str | None,
    results: CocoResults,
    names: Sequence[str],
    annotations: CocoIndex | None,
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


def _unknown_category_message(
    number: int, named: Mapping[int, str], first_category: int, annotations: CocoIndex | None
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
