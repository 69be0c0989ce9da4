"""Counts of what the dataset holds: images and sentences by split, dropped items, detected regions by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galr.io.csv_io import read_csv
from galr.report.curves import BOTTOM, LEFT, RIGHT, TOP, Tick, make_axis
from galr.report.render_images import DetectedRegions

DROPPED_COLUMNS = ("item", "kind", "reason")
SPLIT_NAMES = ("train", "val", "test")


@dataclass(frozen=True)
class SplitStats:
    """Counts of one split.

    Attributes:
        name: train, val or test.
        images: number of images.
        sentences: number of sentences.
        num_distinct: number of different sentences.
        num_shared: number of sentences whose text another image of the split has too.
        min_per_image: smallest number of sentences of an image.
        max_per_image: largest number of sentences of an image.
    """

    name: str
    images: int
    sentences: int
    num_distinct: int
    num_shared: int
    min_per_image: int
    max_per_image: int


@dataclass(frozen=True)
class DroppedItems:
    """The items that were left out of the dataset for one kind of reason.

    Attributes:
        kind: kind of reason.
        count: number of items.
        example: the first item and its reason.
    """

    kind: str
    count: int
    example: str


@dataclass(frozen=True)
class ClassStats:
    """Counts of the detections of one class.

    Attributes:
        name: name of the class.
        regions: number of detections.
        images: number of images with at least one.
        mean_per_image: mean number of detections over all images.
        bar_percent: number of detections, in percent of those of the most frequent class.
    """

    name: str
    regions: int
    images: int
    mean_per_image: float
    bar_percent: float


@dataclass(frozen=True)
class HistogramBar:
    """One bar of a histogram: its rectangle in pixels, and its range and count in words."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """Images by their number of detections, in a panel of the same size as those of the training curves.

    Attributes:
        bars: from left to right.
        x_ticks: numbers of detections.
        y_ticks: numbers of images.
    """

    bars: tuple[HistogramBar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class RegionStats:
    """Counts of the detected regions.

    Attributes:
        images: number of images.
        num_empty: number of images without a detection.
        total: number of detections.
        classes: the classes, the most frequent first.
        histogram: images by their number of detections.
    """

    images: int
    num_empty: int
    total: int
    classes: tuple[ClassStats, ...]
    histogram: Histogram


def split_stats(
    names: Sequence[str], sentences: Sequence[str], image_of_sentence: np.ndarray
) -> list[SplitStats]:
    """Count the images and sentences of every split.

    Args:
        names: (images,) split of each image.
        sentences: (sentences,) text.
        image_of_sentence: (sentences,) int, row of each sentence's image.

    Returns:
        The splits with at least one image, in the order train, val, test.
    """
    split_of_image = np.array(names)
    return [
        _count_split(name, np.flatnonzero(split_of_image == name), sentences, image_of_sentence)
        for name in SPLIT_NAMES
        if name in names
    ]


def _count_split(
    name: str, images: np.ndarray, sentences: Sequence[str], image_of_sentence: np.ndarray
) -> SplitStats:
    """Count one split; two images share a sentence if its text is exactly the same.

    Args:
        name: name of the split.
        images: (split images,) int, rows of its images.
        sentences: (sentences,) text.
        image_of_sentence: (sentences,) int, row of each sentence's image.
    """
    rows = np.flatnonzero(np.isin(image_of_sentence, images))
    images_of_text: dict[str, set[int]] = {}
    for row in rows.tolist():
        images_of_text.setdefault(sentences[row], set()).add(int(image_of_sentence[row]))
    counts = np.bincount(image_of_sentence[rows], minlength=images.max() + 1)[images]
    return SplitStats(
        name,
        len(images),
        len(rows),
        len(images_of_text),
        sum(len(images_of_text[sentences[row]]) > 1 for row in rows.tolist()),
        int(counts.min()),
        int(counts.max()),
    )


def read_dropped(path: Path) -> list[DroppedItems]:
    """Count the items of data_report.csv by kind, the most frequent first.

    Raises:
        DataError: the file is missing, no CSV file, or lacks one of the columns `item`, `kind` and `reason`.
    """
    table = read_csv(path, DROPPED_COLUMNS, text_columns=DROPPED_COLUMNS)
    first = table.drop_duplicates("kind").set_index("kind")
    counts = table["kind"].value_counts()  # sorted by count
    return [
        DroppedItems(
            str(kind), int(counts[kind]), f"{first['item'][kind]}: {first['reason'][kind]}"
        )
        for kind in counts.index
    ]


def region_stats(regions: DetectedRegions) -> RegionStats:
    """Count detections by class and by image."""
    counts = regions.counts
    return RegionStats(
        len(counts),
        int((counts == 0).sum()),
        int(counts.sum()),
        tuple(_class_stats(regions)),
        make_histogram(counts),
    )


def _class_stats(regions: DetectedRegions) -> list[ClassStats]:
    """Count the detections of every class, the most frequent class first."""
    image, num_images = regions.image, len(regions.counts)
    totals = np.bincount(regions.classes, minlength=len(regions.class_names))
    largest = max(int(totals.max(initial=0)), 1)
    return [
        ClassStats(
            regions.class_names[number],
            int(totals[number]),
            len(np.unique(image[regions.classes == number])),
            float(totals[number] / max(num_images, 1)),
            100 * float(totals[number]) / largest,
        )
        for number in np.argsort(-totals, kind="stable")
    ]


def make_histogram(counts: np.ndarray, max_bars: int = 24) -> Histogram:
    """Draw a histogram of the number of detections an image.

    Args:
        counts: (images,) int, number of detections of each image.
        max_bars: largest number of bars; where there are more counts, several neighbours share a bar.
    """
    largest = int(counts.max(initial=0))
    bin_width = max(1, -(-(largest + 1) // max_bars))  # rounded up
    heights = np.bincount(counts // bin_width, minlength=largest // bin_width + 1)
    y_axis = make_axis(heights, BOTTOM, TOP, num_steps=4)
    width = (RIGHT - LEFT) / len(heights)
    bars = tuple(
        HistogramBar(
            round(LEFT + index * width + 1, 2),
            y_axis.position(height),
            round(max(width - 2, 1), 2),
            round(BOTTOM - y_axis.position(height), 2),
            f"{_bin_label(index * bin_width, bin_width)}: {height:,} image{'s' * (height != 1)}",
        )
        for index, height in enumerate(heights.tolist())
    )
    x_ticks = tuple(
        Tick(round(LEFT + (index + 0.5) * width, 2), f"{index * bin_width}")
        for index in range(0, len(heights), max(1, len(heights) // 6))
    )
    return Histogram(bars, x_ticks, tuple(y_axis.ticks()))


def _bin_label(low: int, bin_width: int) -> str:
    """Describe the range of a bar."""
    return f"{low} detections" if bin_width == 1 else f"{low} to {low + bin_width - 1} detections"
