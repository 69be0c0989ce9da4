"""The boxes that a detector is trained on and those that its average precision is measured on."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from galr.data.find_images import list_files
from galr.data.image_names import ImageFiles
from galr.errors import DataError
from galr.io.coco import CocoDataset, read_coco
from galr.regions.detector_spec import TrainConfig


def read_train_val(
    folder: Path, classes: Sequence[str], config: TrainConfig
) -> tuple[CocoDataset, CocoDataset]:
    """Read the boxes to train on and the boxes that are held out.

    Args:
        folder: the folder that the paths of the config are relative to.
        classes: the detector's classes.
        config: the detector's training section, which names the annotations and the images.

    Raises:
        DataError: as in `read_coco`; both have an image in common; there is a single image to split.
    """
    images = folder / config.images
    find_file = _FileFinder(images)
    boxes = read_coco(folder / config.boxes, classes, images, find_file)
    if isinstance(config.held_out, str):
        held_out = read_coco(folder / config.held_out, classes, images, find_file)
        check_disjoint(boxes, held_out)
        return boxes, held_out
    if len(boxes.images) < 2:
        raise DataError(f"{folder / config.boxes} has one image; two are needed to hold one out")
    return random_split(boxes, config.held_out, config.seed)


class _FileFinder:
    """Finds the path of an image below a folder by what annotations call it; lists the folder when first asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, file_name: str) -> str | None:
        """Return the path of the only file that a name fits, relative to the folder; None if there is none."""
        files = self._files.find(file_name).files
        return str(files[0]) if len(files) == 1 else None

    @cached_property
    def _files(self) -> ImageFiles:
        return ImageFiles(list_files(self._folder))


def random_split(
    boxes: CocoDataset, val_fraction: float, seed: int
) -> tuple[CocoDataset, CocoDataset]:
    """Split the images at random into those to train on and those that are held out.

    Args:
        boxes: two images or more.
        val_fraction: fraction of the images to hold out, in (0, 1); each part has at least one image.
        seed: the same seed gives the same split.
    """
    order = np.random.default_rng(seed).permutation(len(boxes.images))
    num_held_out = min(max(round(val_fraction * len(order)), 1), len(order) - 1)
    parts = np.sort(order[num_held_out:]), np.sort(order[:num_held_out])
    train, held_out = (boxes.subset([boxes.images[i] for i in part]) for part in parts)
    return train, held_out


def check_disjoint(train: CocoDataset, held_out: CocoDataset) -> None:
    """Check that no image is both trained on and measured on.

    Raises:
        DataError: both have a file name in common.
    """
    names = [{image["file_name"] for image in part.images} for part in (train, held_out)]
    shared = sorted(names[0] & names[1])
    if shared:
        raise DataError(
            f"{len(shared)} images are both trained on and held out, {shared[0]} among them;"
            " take them out of one of the two files"
        )
