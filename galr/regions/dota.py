"""DOTA's folders: labels read, oriented boxes made horizontal, images cut as detection cuts them.

Xia et al., "DOTA: A Large-scale Dataset for Object Detection in Aerial Images", CVPR 2018; versions
1.0, 1.5 and 2.0 share the form. What becomes of cut and of difficult objects is our choice, see `Piece`.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from galr.data.find_images import images_by_stem, list_files
from galr.errors import DataError
from galr.io.coco import CocoDataset
from galr.io.images import DECODE_ERRORS, to_rgb
from galr.regions.tiling import tile_offsets

TRAIN_SPLIT, VAL_SPLIT = "train", "val"  # DOTA's test images have no public labels
EXPECTED_LAYOUT = (
    f"{TRAIN_SPLIT}/images/P0000.png, {TRAIN_SPLIT}/labelTxt/P0000.txt, and {VAL_SPLIT}/ likewise"
)
LINE_FORMAT = "x1 y1 x2 y2 x3 y3 x4 y4 class difficult"
HEADER_PREFIXES = ("imagesource:", "gsd:")
HORIZONTAL_FOLDERS = re.compile("_hbb|reclabel")  # folders of DOTA's own horizontal boxes
MAX_PIXELS = 1_000_000_000  # pixels, 3 GB as RGB; DOTA names 20,000 x 20,000 as its largest image

Window = tuple[int, int, int, int]  # x1 y1 x2 y2 in pixels of an image


@dataclass(frozen=True)
class DotaLabels:
    """The objects of an image.

    boxes: (n, 4) float64, x1 y1 x2 y2 in pixels, horizontal; they may reach out of the image.
    names: n classes, as the labels call them.
    difficult: (n,) bool, hard to tell even for people.
    """

    boxes: np.ndarray
    names: tuple[str, ...]
    difficult: np.ndarray


@dataclass(frozen=True)
class DotaImage:
    """An image of any size, and the objects on it."""

    image: Path
    labels: DotaLabels


@dataclass(frozen=True)
class DotaTile:
    """A slice of an image, and the parts of objects that it shows.

    window: where it lies in the image.
    boxes: (n, 4) float64, x1 y1 x2 y2 in pixels of the slice, inside it, of some area.
    classes: (n,) int64, place in the detector's classes.
    crowd: (n,) bool, too much of the object lies outside, or it is difficult and spared. AP counts
        neither finding nor missing it. Nothing is learnt from it as an object; mmdet's detectors
        learn it as background (RTMDet always, those with MaxIoUAssigner unless its ignore_iof_thr is
        set), which suits a stump that a neighbouring slice shows whole.
    """

    window: Window
    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray

    @property
    def has_objects(self) -> bool:
        """Whether there is an object in it to learn from."""
        return not self.crowd.all()

    def file_name(self, image: Path) -> str:
        """Name its file after its image and its place in it."""
        return f"{image.stem}_{self.window[0]}_{self.window[1]}.png"


def read_images(folder: Path, split: str) -> tuple[DotaImage, ...]:
    """Find a split's images and read their labels, ordered by name; no image is opened.

    Args:
        folder: a DOTA folder, see `LAYOUT`; labels may lie deeper, as in labelTxt-v1.0/labelTxt.
        split: train or val.

    Raises:
        DataError: another layout, an image or a label file without the other, a malformed line.
    """
    images = folder / split / "images"
    if not images.is_dir():
        raise DataError(f"{images} is no folder; a DOTA folder is expected: {EXPECTED_LAYOUT}")
    pictures = images_by_stem(list_files(images))
    labels = _label_folder(folder / split)
    texts = {path.stem: path for path in labels.glob("*.txt")}
    if not pictures:
        raise DataError(f"{images} holds no picture; a DOTA folder is expected: {EXPECTED_LAYOUT}")
    for one, *more in pictures.values():
        if more:
            raise DataError(f"{images} holds both {one} and {more[0]}; remove one of them")
    _check_pairs(pictures.keys() - texts.keys(), f"of the images below {images}", labels)
    _check_pairs(texts.keys() - pictures.keys(), f"of the label files in {labels}", images)
    return tuple(
        DotaImage(images / file, read_labels(texts[name]))
        for name, (file,) in sorted(pictures.items())
    )


def read_labels(path: Path) -> DotaLabels:
    """Read a label file: up to two header lines, then an object a line, see `LINE`.

    The last number may be missing, and be 2 for objects that DOTA's own tools cut. Corners may come
    in any order and lie outside the image.

    Raises:
        DataError: it cannot be read, or a line is malformed.
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
    """Enclose quadrilaterals in upright boxes, as small as can be.

    Args:
        corners: (n, 8) x y of four corners each, in any order.

    Returns:
        (n, 4) x1 y1 x2 y2.
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
    """Cut an image where detection would cut it; one that is no larger than a slice stays whole.

    Of a box, what its image shows counts as all of it. A box is clipped as a box: the part of a
    slanting object that the slice shows may be smaller than its clipped box. An object no longer
    than `overlap` times `side` is whole in one slice at least. Objects of other classes, and those
    of which the image shows nothing, are left out.

    Args:
        labels: the image's objects.
        size: the image's width and height in pixels.
        classes: the detector's.
        side: of a slice, pixels.
        overlap: least share of the side that neighbours have in common, in [0, 1).
        visible: least share of a box's area that must lie in a slice to be learnt there, in (0, 1].
        spare_difficult: whether difficult objects become crowd; they are learnt from, and not measured on.
    """
    width, height = size
    place_of = {name: place for place, name in enumerate(classes)}
    places = np.array([place_of.get(name, -1) for name in labels.names], np.int64)
    shown = clip(labels.boxes, (0, 0, width, height))
    known = (places >= 0) & (areas(shown) > 0)
    shown, places, difficult = shown[known], places[known], labels.difficult[known]
    for y in tile_offsets(height, tile_size, overlap):
        for x in tile_offsets(width, tile_size, overlap):
            window = (x, y, min(x + tile_size, width), min(y + tile_size, height))
            parts = clip(shown, window)
            shares = areas(parts) / areas(shown)
            own = shares > 0
            crowd = (difficult[own] & ignore_difficult) | (shares[own] < min_visible)
            yield DotaTile(window, parts[own] - (x, y, x, y), places[own], crowd)


def clip(boxes: np.ndarray, window: Window) -> np.ndarray:
    """Take the part of each of (n, 4) boxes that lies in a window; (n, 4), of no area where none does."""
    return np.clip(boxes, window[:2] * 2, window[2:] * 2)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas of (n, 4) boxes x1 y1 x2 y2: (n,), in square pixels."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def count_outside(labels: DotaLabels, size: tuple[int, int]) -> int:
    """Count the objects of which an image of this width and height shows nothing."""
    return int((areas(clip(labels.boxes, (0, 0, *size))) == 0).sum())


@contextmanager
def open_image(path: Path) -> Iterator[Image.Image]:
    """Decode an image of up to `LARGEST` pixels, in the mode in which it is stored.

    Pillow's own guard against pictures that are small on disk and huge in memory begins at a
    fraction of that; it is set aside while this one picture is opened.

    Raises:
        DataError: it is damaged or too large.
    """
    usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        image = Image.open(path)  # reads its header, and no pixels yet
    except DECODE_ERRORS as error:
        raise DataError(f"{path} cannot be decoded ({error}); replace it") from error
    finally:
        Image.MAX_IMAGE_PIXELS = usual
    with image:
        if math.prod(image.size) > MAX_PIXELS:
            raise DataError(
                f"{path} is {image.width} x {image.height} pixels, more than {MAX_PIXELS:,};"
                " cut it into smaller images"
            )
        try:
            image.load()
        except DECODE_ERRORS as error:
            raise DataError(f"{path} cannot be decoded ({error}); replace it") from error
        yield image


def crop_rgb(image: Image.Image, window: Window, path: Path) -> Image.Image:
    """Take a window of an image as 8-bit RGB; the rest is not converted, which saves memory.

    Raises:
        DataError: its pixels have no known range; `path` is named.
    """
    try:
        return to_rgb(image.crop(window))
    except DataError as error:
        raise DataError(f"{path} cannot be used ({error})") from error


def to_coco(sheet: Sequence[tuple[str, DotaTile]], classes: Sequence[str]) -> CocoDataset:
    """Number slices, file names with what they show, and their boxes from 1, in COCO form."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, (file_name, piece) in enumerate(sheet, start=1):
        left, top, right, bottom = piece.window
        size = {"width": right - left, "height": bottom - top}
        images.append({"id": number, "file_name": file_name} | size)
        rows = zip(piece.boxes.tolist(), piece.classes.tolist(), piece.crowd.tolist(), strict=True)
        for (x1, y1, x2, y2), place, crowd in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": place + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(crowd),
                }
            )
    return CocoDataset(tuple(classes), tuple(images), tuple(annotations))


def check_classes(scenes: Iterable[DotaImage], classes: Sequence[str], folder: Path) -> None:
    """Refuse classes of which a folder's training scenes have no object to learn from.

    Raises:
        DataError: a class has no object.
    """
    has = {name for scene in scenes for name in scene.labels.names}
    for absent in sorted(set(classes) - has):
        raise DataError(
            f"{folder} has no object of class '{absent}' to learn from in {TRAIN_SPLIT}; it has:"
            f" {', '.join(sorted(has)) or 'none'}; correct the detector's classes"
        )


def count_other_classes(scenes: Iterable[DotaImage], classes: Sequence[str]) -> Counter[str]:
    """Count the objects of each class that a detector lacks."""
    names = (name for scene in scenes for name in scene.labels.names)
    return Counter(f"of class {name}" for name in names if name not in classes)


def describe_split(split: str, images: int, boxes: CocoDataset, left_out: Counter[str]) -> str:
    """Say what became of a split's images: the boxes of its slices, how many of what were left out."""
    learnt = Counter(each["category_id"] for each in boxes.annotations if not each["iscrowd"])
    counts = ", ".join(f"{name} {learnt[i]}" for i, name in enumerate(boxes.classes, start=1))
    gone = ", ".join(f"{count} {what}" for what, count in sorted(left_out.items()) if count)
    return (
        f"{split}: {images} images, {len(boxes.images)} slices, {learnt.total()} boxes ({counts}),"
        f" {len(boxes.annotations) - learnt.total()} cut or spared; left out: {gone or 'nothing'}"
    )


def _label_folder(folder: Path) -> Path:
    """Find the one folder of a split that holds its labels, the oriented ones if there are others.

    Raises:
        DataError: there is none, or more than one.
    """
    holding = {file.parent for file in list_files(folder) if file.suffix == ".txt"}
    below = sorted(str(each) for each in holding if each.parts[:1] not in ((), ("images",)))
    found = [each for each in below if not HORIZONTAL_FOLDERS.search(each)] or below
    if not found:
        raise DataError(f"{folder} holds no labels; a DOTA folder is expected: {EXPECTED_LAYOUT}")
    if len(found) > 1:
        raise DataError(
            f"{folder} holds labels in {' and in '.join(found)}, which may differ; leave one there"
        )
    return folder / found[0]


def _check_pairs(names: set[str], which: str, missing_in: Path) -> None:
    """Refuse images without labels, and labels without images.

    Raises:
        DataError: there is one.
    """
    if names:
        raise DataError(
            f"{len(names)} {which} have no counterpart in {missing_in}, {min(names)} among them;"
            " complete the folder, or remove them"
        )


def _parse_line(line: str, where: str) -> tuple[list[float], str, bool]:
    """Read a line: eight coordinates in pixels, a class, whether it is difficult.

    Raises:
        DataError: it is malformed.
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
        raise DataError(f"{where} is '{line.strip()[:100]}'; expected: {LINE_FORMAT}") from error
    return corners, fields[8], fields[9] != "0"
