"""Names and sizes of anybody's images, from a table or from the pictures' headers; and one picture."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from galr.data.find_images import (
    IMAGE_SUFFIXES,
    image_stem,
    images_by_stem,
    list_files,
    match_image,
)
from galr.errors import DataError
from galr.io.images import DECODE_ERRORS, load_rgb

COLUMNS = ("image_id", "width", "height")


def read_sizes(table: Path) -> tuple[list[str], np.ndarray]:
    """Read a CSV with the columns image_id, width and height (pixels); others are not looked at.

    Returns:
        The images' names without suffix, in order of name; (images, 2) int32 width and height.

    Raises:
        DataError: it is missing, no such table, or names the line that is wrong.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, skipinitialspace=True)
            absent = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if absent:
                raise DataError(
                    f"{table} has no column {absent[0]}; its first line must be {','.join(COLUMNS)}"
                )
            return _sort_by_name(
                [_parse_row(row, f"{table} line {rows.line_num}") for row in rows], table
            )
    except OSError as error:
        raise DataError(
            f"{table} cannot be read ({error.strerror}); a CSV of {', '.join(COLUMNS)} is expected"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is no CSV in UTF-8 ({error}); write it again") from error


def scan_sizes(image_dir: Path) -> tuple[list[str], np.ndarray]:
    """Look up the sizes of all pictures below a folder; only their headers are read.

    Returns:
        The pictures' paths below the folder without suffix, in order; (pictures, 2) int32 width and
        height in pixels.

    Raises:
        DataError: the folder is missing or has no picture, a picture is damaged, or two have one name.
    """
    files = [file for file in list_files(image_dir) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise DataError(f"{image_dir} holds no picture ({', '.join(sorted(IMAGE_SUFFIXES))})")
    watched = tqdm(files, "sizes", unit="image", disable=None)
    return _sort_by_name(
        [(image_stem(str(file)), *_read_header(image_dir / file)) for file in watched], image_dir
    )


def load_image(name: str, size: Sequence[int], image_dir: Path | None) -> Image.Image:
    """Open an image's picture, or a white one of its size where there is no folder to look in.

    Args:
        name: of the image, without suffix.
        size: width and height that its boxes were measured on, in pixels.
        folder: what its picture lies below.

    Returns:
        RGB, of this size.

    Raises:
        DataError: there is no such picture or more than one, it is damaged, or it has another size.
    """
    if image_dir is None:
        return Image.new("RGB", (int(size[0]), int(size[1])), "white")
    found = match_image(name, images_by_stem(list_files(image_dir)))
    if len(found) != 1:
        many = f"holds {len(found)} pictures of image" if found else "holds no picture of image"
        raise DataError(f"{image_dir} {many} {name}; exactly one is expected")
    path = image_dir / found[0]
    shown = load_rgb(path)
    if shown.size != tuple(size):
        raise DataError(
            f"{path} is {shown.width} x {shown.height} pixels, and its boxes were measured on"
            f" {size[0]} x {size[1]}; give the folder that they were found in"
        )
    return shown


def write_png(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG, whatever the name ends in.

    Raises:
        DataError: nothing can be written there.
    """
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.getvalue())
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}); choose another --output"
        ) from error


def _sort_by_name(
    found: Sequence[tuple[str, int, int]], source: Path
) -> tuple[list[str], np.ndarray]:
    """Put images in order of name.

    Raises:
        DataError: two have the same.
    """
    ordered = sorted(found)
    names = [name for name, _, _ in ordered]
    for one, other in pairwise(names):
        if one == other:
            raise DataError(f"{source} has two images called {one}; names must be unique")
    return names, np.array([size for _, *size in ordered], np.int32).reshape(-1, 2)


def _parse_row(row: dict[str, str | None], where: str) -> tuple[str, int, int]:
    """Take a name and a size out of a line of the table.

    Raises:
        DataError: the name is blank, or the size is no two whole numbers above 0.
    """
    said, width, height = ((row[column] or "").strip() for column in COLUMNS)
    name = image_stem(said)
    if not name or "\0" in name:
        raise DataError(f"{where} has image_id {said!r}; a name is expected")
    if not all(re.fullmatch("0*[1-9][0-9]{0,8}", side) for side in (width, height)):
        raise DataError(
            f"{where} has width {width!r} and height {height!r}; pixels are expected, 1 or more each"
        )
    return name, int(width), int(height)


def _read_header(path: Path) -> tuple[int, int]:
    """Read a picture's width and height.

    Raises:
        DataError: it is damaged.
    """
    try:
        with Image.open(path) as picture:
            return picture.size
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is no picture; remove it, or give sizes as a table") from error
    except DECODE_ERRORS as error:
        raise DataError(
            f"{path} cannot be read ({error}); remove it, or give sizes as a table"
        ) from error
