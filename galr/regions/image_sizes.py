"""Names and sizes of images that belong to no dataset, from a CSV or from the headers of the files; and one image."""

import csv
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from galr.data.find_images import (
    IMAGE_SUFFIXES,
    image_stem,
    images_by_stem,
    list_files,
    match_image,
)
from galr.errors import DataError
from galr.io.atomic import atomic_write
from galr.io.images import DECODE_ERRORS, load_rgb
from galr.progress import ProgressBar

COLUMNS = ("image_id", "width", "height")


def read_sizes(table: Path) -> tuple[list[str], np.ndarray]:
    """Read a CSV with the columns image_id, width and height (pixels); other columns are ignored.

    pandas does not read it because its errors name no line.

    Returns:
        The names of the images without suffix, sorted; (images, 2) int32, width and height.

    Raises:
        DataError: it is missing or lacks a column; names the line that is wrong.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            absent = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if absent:
                raise DataError(
                    f"{table} has no column {absent[0]}; its first line must be {','.join(COLUMNS)}"
                )
            sizes = [_parse_row(row, f"{table} line {rows.line_num}") for row in rows]
    except OSError as error:
        raise DataError(
            f"{table} cannot be read ({error.strerror}); a CSV of {', '.join(COLUMNS)} is expected"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no CSV in UTF-8 ({error}); write it again") from error
    return _sort_by_name(sizes, table)


def scan_sizes(image_dir: Path) -> tuple[list[str], np.ndarray]:
    """Read the sizes of all images in a folder and the folders in it, from their headers.

    Returns:
        The relative paths of the images without suffix, sorted; (images, 2) int32, width and height in pixels.

    Raises:
        DataError: the folder is missing or has no image, an image is damaged, or two have one name.
    """
    files = [file for file in list_files(image_dir) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise DataError(f"{image_dir} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    sizes = [
        (image_stem(str(file)), *_read_header(image_dir / file))
        for file in ProgressBar(files, "sizes", unit="image", disable=None)
    ]
    return _sort_by_name(sizes, image_dir)


def load_image(name: str, size: Sequence[int], image_dir: Path | None) -> Image.Image:
    """Load an image, or a white one of its size if no folder is given.

    Args:
        name: name of the image, without suffix.
        size: width and height of the image in which its boxes were found, in pixels.
        image_dir: the folder of the images.

    Returns:
        RGB image of this size.

    Raises:
        DataError: there is no such image or more than one, it is damaged, or it has another size.
    """
    if image_dir is None:
        return Image.new("RGB", (int(size[0]), int(size[1])), "white")
    files = match_image(name, images_by_stem(list_files(image_dir)))
    if len(files) != 1:
        number = f"holds {len(files)} images called" if files else "holds no image called"
        raise DataError(f"{image_dir} {number} {name}; exactly one is expected")
    path = image_dir / files[0]
    image = load_rgb(path)
    if image.size != tuple(size):
        raise DataError(
            f"{path} is {image.width} x {image.height} pixels, and its boxes were found in"
            f" {size[0]} x {size[1]}; give the folder of those images"
        )
    return image


def write_png(image: Image.Image, path: Path) -> None:
    """Write an image as PNG, whatever the suffix of the path.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as partial:
        image.save(partial, "PNG", optimize=True)


def _sort_by_name(
    sizes: Sequence[tuple[str, int, int]], source: Path
) -> tuple[list[str], np.ndarray]:
    """Sort images by name.

    Returns:
        The names; (images, 2) int32, width and height in pixels.

    Raises:
        DataError: two have the same name.
    """
    ordered = sorted(sizes)
    names = [name for name, _, _ in ordered]
    for name, following in pairwise(names):
        if name == following:
            raise DataError(f"{source} has two images called {name}; names must be unique")
    return names, np.array([size for _, *size in ordered], np.int32).reshape(-1, 2)


def _parse_row(row: dict[str, str | None], where: str) -> tuple[str, int, int]:
    """Return name, width and height of a line of the table.

    Raises:
        DataError: the name is blank, or width and height are not whole numbers above 0.
    """
    text, width, height = ((row[column] or "").strip() for column in COLUMNS)
    name = image_stem(text)
    if not name or "\0" in name:
        raise DataError(f"{where} has image_id {text!r}; a name is expected")
    if not all(re.fullmatch("0*[1-9][0-9]{0,8}", side) for side in (width, height)):
        raise DataError(
            f"{where} has width {width!r} and height {height!r}; pixels are expected, 1 or more each"
        )
    return name, int(width), int(height)


def _read_header(path: Path) -> tuple[int, int]:
    """Read the width and height of an image in pixels.

    Raises:
        DataError: it is damaged.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is no image; remove it, or give sizes as a table") from error
    except DECODE_ERRORS as error:
        raise DataError(
            f"{path} cannot be read ({error}); remove it, or give sizes as a table"
        ) from error
