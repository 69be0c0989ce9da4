"""Pictures inside the page: small JPEGs with the regions that the graph keeps drawn on them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from galr.io.html import data_uri

NUM_COLOURS = 7  # classes with a colour of their own; more cannot be told apart on a photograph


@dataclass(frozen=True)
class DatasetImages:
    """All images of a dataset."""

    pixels: Any  # (images, size, size, 3) uint8, RGB; an array or an open HDF5 table
    names: list[str]  # (images,)
    sizes: np.ndarray  # (images, 2) width and height of the originals in pixels


@dataclass(frozen=True)
class DetectedRegions:
    """Detections of all images."""

    names: list[str]  # (images,) as in the dataset
    offsets: np.ndarray  # (images + 1,) int; image i owns rows offsets[i]:offsets[i + 1] below
    boxes: np.ndarray  # (regions, 4) x1 y1 x2 y2 in pixels of the original image
    scores: np.ndarray  # (regions,) in [0, 1]
    classes: np.ndarray  # (regions,) row in class_names
    class_names: list[str]

    @property
    def counts(self) -> np.ndarray:
        """(images,) how many regions an image has."""
        return np.diff(self.offsets)

    @property
    def image(self) -> np.ndarray:
        """(regions,) row of the image that a region is of."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def kept_rows(self, image: int, kept: np.ndarray) -> np.ndarray:
        """Rows of the regions of an image that its graph keeps.

        Args:
            image: its row.
            kept: (images, n) number within the image's regions; -1 where there is none.
        """
        own = kept[image]
        return self.offsets[image] + own[own >= 0]


@dataclass(frozen=True)
class RegionBox:
    """A region to draw, in pixels of the original image."""

    x: float
    y: float
    width: float
    height: float
    name: str
    score: float
    colour: int  # 1 to COLOURS; 0 for the classes that share one


@dataclass(frozen=True)
class PageImage:
    """A picture as an address that holds its bytes, and its size in original pixels."""

    name: str
    data_uri: str
    width: int
    height: int
    boxes: tuple[RegionBox, ...]


def render_images(
    rows: Iterable[int], images: DatasetImages, regions: DetectedRegions, kept: np.ndarray
) -> tuple[dict[int, PageImage], dict[str, int]]:
    """Make the pictures that are shown.

    Args:
        rows: of the images to show; repeated ones are made once.
        images: all of the dataset.
        regions: of the same images.
        kept: (images, n) which of them to draw, as `Regions.kept_of` takes them.

    Returns:
        Pictures by row, and the colour of each class on them, the most frequent first.
    """
    rows = sorted(set(rows))
    colours = class_colours(rows, regions, kept)
    return {
        row: PageImage(
            images.names[row],
            data_uri(images.pixels[row]),
            int(images.sizes[row][0]),
            int(images.sizes[row][1]),
            _region_boxes(regions.kept_rows(row, kept), regions, colours),
        )
        for row in rows
    }, colours


def class_colours(
    rows: Iterable[int], regions: DetectedRegions, kept: np.ndarray
) -> dict[str, int]:
    """Give the classes with the most kept regions on some images a colour each, the rest colour 0."""
    count = Counter(int(regions.classes[r]) for row in rows for r in regions.kept_rows(row, kept))
    ordered = sorted(count, key=lambda number: (-count[number], number))
    return {
        regions.class_names[number]: place if place <= NUM_COLOURS else 0
        for place, number in enumerate(ordered, start=1)
    }


def _region_boxes(
    own: np.ndarray, regions: DetectedRegions, colours: Mapping[str, int]
) -> tuple[RegionBox, ...]:
    """Some regions of an image, by their rows, as boxes to draw."""
    found = []
    for region in own:
        x1, y1, x2, y2 = (round(float(edge), 1) for edge in regions.boxes[region])
        name = regions.class_names[regions.classes[region]]
        width, height = round(x2 - x1, 1), round(y2 - y1, 1)
        found.append(
            RegionBox(x1, y1, width, height, name, float(regions.scores[region]), colours[name])
        )
    return tuple(found)
