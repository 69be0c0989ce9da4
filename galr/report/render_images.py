"""The images of the page: small JPEGs inside it, with the regions that a variant's graphs keep as boxes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from galr.io.html import data_uri
from galr.palette import COLOURS

NUM_COLOURS = len(COLOURS)  # classes with a colour of their own


@dataclass(frozen=True)
class DatasetImages:
    """All images of a dataset.

    Attributes:
        pixels: (images, size, size, 3) uint8, RGB; an array or an open HDF5 table.
        names: (images,) names.
        sizes: (images, 2) int, width and height of the original images, pixels.
    """

    pixels: Any
    names: list[str]
    sizes: np.ndarray


@dataclass(frozen=True)
class DetectedRegions:
    """The detections of all images, as regions.h5 holds them.

    Attributes:
        names: (images,) names, as in the dataset.
        offsets: (images + 1,) int; the regions of image i are the rows offsets[i]:offsets[i + 1].
        boxes: (regions, 4) float, x1, y1, x2, y2 in pixels of the original image.
        scores: (regions,) float in [0, 1].
        classes: (regions,) int, row in `class_names`.
        class_names: (classes,) names.
    """

    names: list[str]
    offsets: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    class_names: list[str]

    @property
    def counts(self) -> np.ndarray:
        """(images,) int, number of regions of each image."""
        return np.diff(self.offsets)

    @property
    def image(self) -> np.ndarray:
        """(regions,) int, row of each region's image."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def kept_rows(self, image: int, region_index: np.ndarray) -> np.ndarray:
        """Find the regions of an image that its graph keeps.

        Args:
            image: row of the image.
            region_index: (images, n) int, number of the region within its image; -1 where there is none.

        Returns:
            (kept regions,) int, their rows.
        """
        kept = region_index[image]
        return self.offsets[image] + kept[kept >= 0]


@dataclass(frozen=True)
class RegionBox:
    """A region to draw.

    Attributes:
        x: left edge, pixels of the original image.
        y: top edge, likewise.
        width: likewise.
        height: likewise.
        name: name of the class.
        score: of the detector, in [0, 1].
        colour: 1 to `NUM_COLOURS`; 0 for all classes without a colour of their own.
    """

    x: float
    y: float
    width: float
    height: float
    name: str
    score: float
    colour: int


@dataclass(frozen=True)
class PageImage:
    """An image as the page shows it.

    Attributes:
        name: name of the image.
        data_uri: the JPEG as a data URI.
        width: of the original image, pixels.
        height: likewise.
        boxes: the regions to draw.
    """

    name: str
    data_uri: str
    width: int
    height: int
    boxes: tuple[RegionBox, ...]


def render_images(
    rows: Iterable[int], images: DatasetImages, regions: DetectedRegions, region_index: np.ndarray
) -> tuple[dict[int, PageImage], dict[str, int]]:
    """Render images with their kept regions.

    Args:
        rows: of the images to show, in any order; repeated rows are rendered once.
        images: all images of the dataset.
        regions: the detections of all images.
        region_index: (images, n) int, the regions to draw, see `DetectedRegions.kept_rows`.

    Returns:
        The images by row, and the colour of each class on them, the most frequent class first.
    """
    rows = sorted(set(rows))
    colours = class_colours(rows, regions, region_index)
    return {
        row: PageImage(
            images.names[row],
            data_uri(images.pixels[row]),
            int(images.sizes[row][0]),
            int(images.sizes[row][1]),
            _region_boxes(regions.kept_rows(row, region_index), regions, colours),
        )
        for row in rows
    }, colours


def class_colours(
    rows: Iterable[int], regions: DetectedRegions, region_index: np.ndarray
) -> dict[str, int]:
    """Assign colours to the classes of the kept regions of some images.

    Args:
        rows: of the images.
        regions: the detections of all images.
        region_index: (images, n) int, see `DetectedRegions.kept_rows`.

    Returns:
        Colours by class, the most frequent class first: 1 to `NUM_COLOURS`, then 0 for the rest.
    """
    count = Counter(
        int(regions.classes[region])
        for row in rows
        for region in regions.kept_rows(row, region_index)
    )
    ordered = sorted(count, key=lambda number: (-count[number], number))
    return {
        regions.class_names[number]: colour if colour <= NUM_COLOURS else 0
        for colour, number in enumerate(ordered, start=1)
    }


def _region_boxes(
    rows: np.ndarray, regions: DetectedRegions, colours: Mapping[str, int]
) -> tuple[RegionBox, ...]:
    """Convert regions to boxes with colours.

    Args:
        rows: (kept regions,) int.
        regions: the detections of all images.
        colours: by class.
    """
    boxes = []
    for row in rows:
        x1, y1, x2, y2 = (round(float(edge), 1) for edge in regions.boxes[row])
        name = regions.class_names[regions.classes[row]]
        width, height = round(x2 - x1, 1), round(y2 - y1, 1)
        boxes.append(
            RegionBox(x1, y1, width, height, name, float(regions.scores[row]), colours[name])
        )
    return tuple(boxes)
