"""Read the annotations of a dataset in any layout, and draw its validation images where the dataset file says so."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from galr.data.csv_layout import read_csv_layout
from galr.data.dataset_spec import (
    CAPTIONS,
    CsvLayout,
    DatasetSpec,
    DrawnValidation,
    KarpathyLayout,
    NwpuLayout,
    PrecompLayout,
    see_layouts,
)
from galr.data.find_images import find_file
from galr.data.layouts import DatasetIndex, read_annotations
from galr.data.nwpu_layout import read_nwpu
from galr.errors import DataError


def read_dataset(
    dataset: DatasetSpec, folder: Path, files: Sequence[PurePosixPath]
) -> DatasetIndex:
    """Read the annotations of a dataset.

    Args:
        dataset: the dataset file.
        folder: the dataset's folder; of a packed dataset, the one that `galr unpack` wrote.
        files: relative paths of the files in it, from `list_files`.

    Raises:
        DataError: a file is missing or not in the layout, or a split is missing or not assigned; the message names
            the page that shows the layout.
    """
    try:
        index = _read(dataset, folder, files)
    except DataError as error:
        raise DataError(f"{error}; {see_layouts(dataset.layout.kind)}") from error
    if dataset.drawn_validation is None:
        return index
    return draw_validation(index, dataset.drawn_validation)


def _read(dataset: DatasetSpec, folder: Path, files: Sequence[PurePosixPath]) -> DatasetIndex:
    """Read the annotations in the dataset's layout.

    Raises:
        DataError: see `read_dataset`.
    """
    layout, splits, unused = dataset.layout, dataset.splits, dataset.unused
    if isinstance(layout, CsvLayout):
        return read_csv_layout(folder, files, layout, splits, unused)
    if isinstance(layout, NwpuLayout):
        return read_nwpu(find_file(layout.files, files, folder), splits, unused)
    if isinstance(layout, KarpathyLayout | PrecompLayout):
        return read_annotations(folder, files, layout, splits, unused)
    if PurePosixPath(CAPTIONS) not in files:
        raise DataError(
            f"{folder} has no {CAPTIONS}, so it was not unpacked; run galr unpack, and give its output as"
            " --folder"
        )
    unpacked = [PurePosixPath(CAPTIONS)]
    return read_annotations(folder, unpacked, KarpathyLayout((CAPTIONS,)), splits, ())


def draw_validation(index: DatasetIndex, drawn: DrawnValidation) -> DatasetIndex:
    """Move a share of the train images to validation, each with all its sentences.

    The images with the smallest hashes of the seed and their path are drawn, so the order of the annotations does
    not matter, and an image that is added or left out moves few others.

    Args:
        index: the annotations; an image that stands in several entries is moved with all of them.
        drawn: the share, rounded to whole images, at least one and not all; and the seed.

    Raises:
        DataError: there are too few train images.
    """
    paths = {image.path or image.name for image in index.images if image.split == "train"}
    if len(paths) < 2:
        raise DataError(
            f"{len(paths)} train images cannot be split; expected at least 2 for splits.val.share"
        )

    def order(path: str) -> bytes:
        return hashlib.sha256(f"{drawn.seed}\0{path}".encode()).digest()

    count = max(1, min(len(paths) - 1, round(drawn.share * len(paths))))
    validation = set(sorted(paths, key=order)[:count])
    images = tuple(
        replace(image, split="val")
        if image.split == "train" and (image.path or image.name) in validation
        else image
        for image in index.images
    )
    return replace(index, images=images)
