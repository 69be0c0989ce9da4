"""Read folders in DOTA's layout and cut their images and boxes into tiles, as `detect` cuts images into slices.

Oriented boxes become the smallest upright boxes around them. Versions 1.0, 1.5 and 2.0 have the same layout
(Xia et al., "DOTA: A Large-scale Dataset for Object Detection in Aerial Images", CVPR 2018). How cut and difficult
objects are treated is our choice, see `DotaTile`.

Boxes are upright before they are cut, so both steps are a line of NumPy and shapely has nothing to replace here.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from galr.data.find_images import IMAGE_SUFFIXES, clean_path, image_stem, list_files
from galr.errors import DataError
from galr.io.coco import CocoDataset, annotation
from galr.regions.tiling import tile_offsets

TRAIN_SPLIT, VAL_SPLIT = "train", "val"  # DOTA's test images have no public labels
EXPECTED_LAYOUT = (
    f"{TRAIN_SPLIT}/images/P0000.png, {TRAIN_SPLIT}/labelTxt/P0000.txt, and {VAL_SPLIT}/ likewise"
)
LINE_FORMAT = "x1 y1 x2 y2 x3 y3 x4 y4 class difficult"
HEADER_PREFIXES = ("imagesource:", "gsd:")
HORIZONTAL_FOLDERS = re.compile("_hbb|reclabel")  # folders with DOTA's own horizontal boxes

Window = tuple[int, int, int, int]  # x1 y1 x2 y2 in pixels of an image


@dataclass(frozen=True)
class DotaLabels:
    """The labelled objects of an image.

    Attributes:
        boxes: (objects, 4) float64, x1 y1 x2 y2 in pixels, upright; they may extend beyond the image.
        names: class name of each object, as in the label file.
        difficult: (objects,) bool, whether DOTA marks the object as difficult.
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    difficult: np.ndarray


@dataclass(frozen=True)
class DotaImage:
    """The file of an image, and the image's labelled objects."""

    image: Path
    labels: DotaLabels


@dataclass(frozen=True)
class DotaTile:
    """A tile of an image, and the visible parts of its objects.

    Attributes:
        window: position of the tile in the image.
        boxes: (objects, 4) float64, x1 y1 x2 y2 in pixels of the tile, inside it and of positive area.
        classes: (objects,) int64, index into the detector's classes.
        crowd: (objects,) bool, whether the object is COCO's `iscrowd`: too little of it is visible, or it is
            difficult and difficult objects are ignored. AP counts neither a detection nor a miss of it. It is not
            trained on as an object; mmdet's detectors train on it as background (RTMDet always, those with
            MaxIoUAssigner unless its ignore_iof_thr is set). This is right for the cut part of an object that a
            neighbouring tile shows whole.
    """

    window: Window
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray

    @property
    def has_objects(self) -> bool:
        """Whether the tile has an object to train on."""
        return not self.crowd.all()

    def file_name(self, image: Path) -> str:
        """Return the tile's file name: the stem of the image, and the tile's left and top edge."""
        return f"{image.stem}_{self.window[0]}_{self.window[1]}.png"


def read_images(folder: Path, split: str) -> tuple[DotaImage, ...]:
    """Find the images of a split and read their labels, ordered by name; no image is opened.

    Args:
        folder: a DOTA folder, see `EXPECTED_LAYOUT`; label files may lie deeper, as in labelTxt-v1.0/labelTxt.
        split: train or val.

    Raises:
        DataError: the folder has another layout, an image has no label file or a label file no image, two images
            have the same stem, or a line is malformed.
    """
    images = folder / split / "images"
    if not images.is_dir():
        raise DataError(f"{images} is no folder; a DOTA folder is expected: {EXPECTED_LAYOUT}")
    image_files: dict[str, list[PurePosixPath]] = {}
    for file in list_files(images):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            image_files.setdefault(image_stem(file.name), []).append(file)
    labels = _label_folder(folder / split)
    label_files = {
        clean_path(file.stem): labels / file
        for file in list_files(labels)
        if file.suffix == ".txt" and len(file.parts) == 1
    }
    if not image_files:
        raise DataError(f"{images} has no images; a DOTA folder is expected: {EXPECTED_LAYOUT}")
    for first, *others in image_files.values():
        if others:
            raise DataError(f"{images} has both {first} and {others[0]}; remove one of them")
    _check_pairs(image_files.keys() - label_files.keys(), f"of the images below {images}", labels)
    _check_pairs(label_files.keys() - image_files.keys(), f"of the label files in {labels}", images)
    return tuple(
        DotaImage(images / file, read_labels(label_files[name]))
        for name, (file,) in sorted(image_files.items())
    )


def read_labels(path: Path) -> DotaLabels:
    """Read a label file: up to two header lines, then one object per line, see `LINE_FORMAT`.

    `difficult` may be missing; it is 2 for objects that DOTA's own tools have cut. The corners may be in any order
    and lie outside the image.

    Raises:
        DataError: the file cannot be read, or a line is malformed.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}); replace it") from error
    objects = [
        _parse_line(line, f"{path} line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith(HEADER_PREFIXES)
    ]
    return DotaLabels(
        to_axis_aligned(
            np.array([corners for corners, _, _ in objects], np.float64).reshape(-1, 8)
        ),
        tuple(name for _, name, _ in objects),
        np.array([difficult for _, _, difficult in objects], bool),
    )


def to_axis_aligned(corners: np.ndarray) -> np.ndarray:
    """Return the smallest upright box around each quadrilateral.

    Args:
        corners: (objects, 8) float64, x and y of four corners in pixels, in any order.

    Returns:
        (objects, 4) float64, x1 y1 x2 y2 in pixels.
    """
    x, y = corners[:, 0::2], corners[:, 1::2]
    return np.stack([x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)], axis=1)


def tile_image(
    labels: DotaLabels,
    size: tuple[int, int],
    classes: Sequence[str],
    *,
    tile_size: int,
    overlap: float,
    min_visible: float,
    ignore_difficult: bool,
) -> Iterator[DotaTile]:
    """Cut an image into tiles, as `detect` cuts it into slices; an image no larger than a tile is one tile.

    Boxes are first clipped to the image, and `min_visible` refers to the clipped box. Only boxes are clipped, so
    that less of a slanted object may be visible than its box suggests. An object no longer than `overlap` times
    `tile_size` is whole in at least one tile. Objects of other classes and objects outside the image are left out.

    Args:
        labels: the objects of the image.
        size: width and height of the image in pixels.
        classes: the detector's classes.
        tile_size: side of a tile in pixels.
        overlap: smallest fraction of the side that neighbours share, in [0, 1).
        min_visible: smallest fraction of a box's area that must lie in a tile to train on it there, in (0, 1].
        ignore_difficult: whether difficult objects become crowd, as they do where AP is measured; they are
            trained on otherwise.

    Yields:
        A tile, row by row.
    """
    width, height = size
    class_index = {name: index for index, name in enumerate(classes)}
    indices = np.array([class_index.get(name, -1) for name in labels.names], np.int64)
    boxes = clip(labels.boxes, (0, 0, width, height))
    used = (indices >= 0) & (areas(boxes) > 0)
    boxes, indices, difficult = boxes[used], indices[used], labels.difficult[used]
    for y in tile_offsets(height, tile_size, overlap):
        for x in tile_offsets(width, tile_size, overlap):
            window = (x, y, min(x + tile_size, width), min(y + tile_size, height))
            clipped = clip(boxes, window)
            fractions = areas(clipped) / areas(boxes)
            inside = fractions > 0
            crowd = (difficult[inside] & ignore_difficult) | (fractions[inside] < min_visible)
            yield DotaTile(window, clipped[inside] - (x, y, x, y), indices[inside], crowd)


def clip(boxes: np.ndarray, window: Window) -> np.ndarray:
    """Clip boxes to a window; a box outside the window gets area 0.

    Args:
        boxes: (boxes, 4) float64, x1 y1 x2 y2 in pixels of the image.
        window: x1 y1 x2 y2 in pixels of the image.

    Returns:
        (boxes, 4) float64, x1 y1 x2 y2 in pixels of the image.
    """
    return np.clip(boxes, window[:2] * 2, window[2:] * 2)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Compute the areas of boxes.

    Args:
        boxes: (boxes, 4) float64, x1 y1 x2 y2 in pixels.

    Returns:
        (boxes,) float64, in square pixels.
    """
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def count_outside(labels: DotaLabels, size: tuple[int, int]) -> int:
    """Count the objects that lie outside an image of this width and height (pixels)."""
    return int((areas(clip(labels.boxes, (0, 0, *size))) == 0).sum())


def to_coco(tiles: Sequence[tuple[str, DotaTile]], classes: Sequence[str]) -> CocoDataset:
    """Make a COCO dataset of tiles; images, annotations and categories are numbered from 1.

    Args:
        tiles: each tile with its file name.
        classes: the detector's classes.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (file_name, tile) in enumerate(tiles, start=1):
        left, top, right, bottom = tile.window
        size = {"width": right - left, "height": bottom - top}
        images.append({"id": image_id, "file_name": file_name} | size)
        rows = zip(tile.boxes.tolist(), tile.classes.tolist(), tile.crowd.tolist(), strict=True)
        for (x1, y1, x2, y2), class_index, crowd in rows:
            number, bbox = len(annotations) + 1, (x1, y1, x2 - x1, y2 - y1)
            annotations.append(
                annotation(number, image_id, class_index + 1, bbox, iscrowd=int(crowd))
            )
    return CocoDataset(tuple(classes), tuple(images), tuple(annotations))


def check_classes(images: Iterable[DotaImage], classes: Sequence[str], folder: Path) -> None:
    """Check that the training images have an object of each class.

    Args:
        images: the training images.
        classes: the detector's classes.
        folder: the DOTA folder, for the error message.

    Raises:
        DataError: a class has no object.
    """
    known = {name for image in images for name in image.labels.names}
    for missing in sorted(set(classes) - known):
        raise DataError(
            f"{folder} has no object of class '{missing}' to train on in {TRAIN_SPLIT}; it has:"
            f" {', '.join(sorted(known)) or 'none'}; correct the detector's classes"
        )


def count_other_classes(images: Iterable[DotaImage], classes: Sequence[str]) -> Counter[str]:
    """Count the objects of classes that the detector does not have, by "of class <name>"."""
    names = (name for image in images for name in image.labels.names)
    return Counter(f"of class {name}" for name in names if name not in classes)


def describe_split(split: str, images: int, boxes: CocoDataset, left_out: Counter[str]) -> str:
    """Describe a tiled split in one line.

    Args:
        split: train or val.
        images: number of images that were tiled.
        boxes: the tiles and their boxes.
        left_out: number of things left out, by description.
    """
    objects = Counter(each["category_id"] for each in boxes.annotations if not each["iscrowd"])
    counts = ", ".join(f"{name} {objects[i]}" for i, name in enumerate(boxes.classes, start=1))
    omitted = ", ".join(f"{count} {what}" for what, count in sorted(left_out.items()) if count)
    return (
        f"{split}: {images} images, {len(boxes.images)} tiles, {objects.total()} boxes ({counts}),"
        f" {len(boxes.annotations) - objects.total()} crowd; left out: {omitted or 'nothing'}"
    )


def _label_folder(folder: Path) -> Path:
    """Find the folder of a split that has its labels; oriented labels are preferred to horizontal ones.

    Raises:
        DataError: there is none, or more than one.
    """
    parents = {file.parent for file in list_files(folder) if file.suffix == ".txt"}
    below = sorted(str(each) for each in parents if each.parts[:1] not in ((), ("images",)))
    oriented = [each for each in below if not HORIZONTAL_FOLDERS.search(each)] or below
    if not oriented:
        raise DataError(f"{folder} has no labels; a DOTA folder is expected: {EXPECTED_LAYOUT}")
    if len(oriented) > 1:
        raise DataError(
            f"{folder} has labels in {' and in '.join(oriented)}, which may differ; keep one of them"
        )
    return folder / oriented[0]


def _check_pairs(unmatched: set[str], which: str, missing_in: Path) -> None:
    """Check that no image lacks its labels and no label file its image.

    Raises:
        DataError: `unmatched` is not empty.
    """
    if unmatched:
        raise DataError(
            f"{len(unmatched)} {which} have no counterpart in {missing_in}, for example {min(unmatched)};"
            " add the missing files, or remove these"
        )


def _parse_line(line: str, location: str) -> tuple[list[float], str, bool]:
    """Parse a line into eight coordinates in pixels, a class name, and whether the object is difficult.

    Raises:
        DataError: the line is malformed; the message starts with `location`.
    """
    fields = line.split()
    if len(fields) == 9:
        fields.append("0")
    try:
        corners = [float(field) for field in fields[:8]]
        if (
            len(fields) != 10
            or not all(map(math.isfinite, corners))
            or fields[9] not in {"0", "1", "2"}
        ):
            raise ValueError
    except ValueError as error:
        raise DataError(f"{location} is '{line.strip()[:100]}'; expected: {LINE_FORMAT}") from error
    return corners, fields[8], fields[9] != "0"
