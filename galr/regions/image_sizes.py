"""Names and sizes of images that belong to no dataset, from a CSV or from the headers of the files; and one image."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from galr.data.find_images import IMAGE_SUFFIXES, clean_path, image_stem, list_files
from galr.data.image_names import ImageFiles, name_images
from galr.errors import DataError
from galr.io.atomic import atomic_write
from galr.io.images import image_size, load_rgb
from galr.progress import ProgressBar

COLUMNS = ("image_id", "width", "height")


def read_sizes(table: Path) -> tuple[list[str], np.ndarray]:
    """Read a CSV with the columns image_id, width and height (pixels); other columns are ignored.

    pandas does not read it because its errors name no line.

    Returns:
        The names of the images as `name_images` gives them, sorted; (images, 2) int32, width and height.

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
        The names of the images as `name_images` gives them, sorted; (images, 2) int32, width and height in pixels.

    Raises:
        DataError: the folder is missing or has no image, an image is damaged, or two have one name.
    """
    files = [file for file in list_files(image_dir) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise DataError(f"{image_dir} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})")
    sizes = [
        (clean_path(str(file)), *_read_header(image_dir / file))
        for file in ProgressBar(files, "sizes", unit="image", disable=None)
    ]
    return _sort_by_name(sizes, image_dir)


def load_image(name: str, size: Sequence[int], image_dir: Path | None) -> Image.Image:
    """Load an image, or a white one of its size if no folder is given.

    Args:
        name: name of the image.
        size: width and height of the image in which its boxes were found, in pixels.
        image_dir: the folder of the images.

    Returns:
        RGB image of this size.

    Raises:
        DataError: there is no such image or more than one, it is damaged, or it has another size.
    """
    if image_dir is None:
        return Image.new("RGB", (int(size[0]), int(size[1])), "white")
    files = ImageFiles(list_files(image_dir)).find(name).files
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
    """Name images, and sort them by name.

    Returns:
        The names; (images, 2) int32, width and height in pixels.

    Raises:
        DataError: two have the same name.
    """
    named = zip(name_images([path for path, _, _ in sizes]), sizes, strict=True)
    ordered = sorted((name, width, height) for name, (_, width, height) in named)
    names = [name for name, _, _ in ordered]
    known: set[str] = set()
    for name in names:  # sorted, so that `a` comes before `a.png`
        if name in known or image_stem(name) in known:
            raise DataError(
                f"{source} has two images called {image_stem(name)}; names must be unique"
            )
        known.add(name)
    return names, np.array([size for _, *size in ordered], np.int32).reshape(-1, 2)


def _parse_row(row: dict[str, str | None], where: str) -> tuple[str, int, int]:
    """Return path, width and height of a line of the table.

    Raises:
        DataError: the name is blank, or width and height are not whole numbers above 0.
    """
    text, width, height = ((row[column] or "").strip() for column in COLUMNS)
    name = clean_path(text)
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
        return image_size(path)
    except DataError as error:
        raise DataError(f"{error}; remove it, or give sizes as a table") from error
