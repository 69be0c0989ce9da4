"""Count what came in: images and sentences by split, dropped items, regions by class."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galr.io.csv_io import read_csv
from galr.report.curves import Tick, make_axis
from galr.report.render_images import DetectedRegions

DROPPED_COLUMNS = ("item", "kind", "reason")
SPLIT_NAMES = ("train", "val", "test")
LEFT, RIGHT, TOP, BOTTOM = (
    40,
    350,
    10,
    170,
)  # pixels, of the plot within a panel of the curves' size


@dataclass(frozen=True)
class SplitStats:
    """What one split holds."""

    name: str
    images: int
    sentences: int
    num_distinct: int  # sentences that differ
    num_shared: int  # sentences whose very words another image of the split also has
    min_per_image: int  # sentences an image
    max_per_image: int


@dataclass(frozen=True)
class DroppedItems:
    """The items left out of the data for one kind of reason."""

    kind: str
    count: int
    example: str  # the first of them and what was wrong with it


@dataclass(frozen=True)
class ClassStats:
    """The detections of one class."""

    name: str
    regions: int
    images: int  # that have at least one
    mean_per_image: float  # mean over all images
    bar_percent: float  # of the most frequent class, percent


@dataclass(frozen=True)
class HistogramBar:
    """One bar of a histogram, in pixels."""

    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """How many images have how many detections."""

    bars: tuple[HistogramBar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class RegionStats:
    """What the detector found."""

    images: int
    num_empty: int  # images without a detection
    total: int
    classes: tuple[ClassStats, ...]
    histogram: Histogram


def split_stats(
    names: Sequence[str], sentences: Sequence[str], image_of_sentence: np.ndarray
) -> list[SplitStats]:
    """Count every split.

    Args:
        names: (images,) split of each image.
        sentences: (sentences,) text.
        image_of_sentence: (sentences,) row of each one's image.

    Returns:
        Splits with at least one image: train, val, test.
    """
    of_image = np.array(names)
    return [
        _stats_of_split(name, np.flatnonzero(of_image == name), sentences, image_of_sentence)
        for name in SPLIT_NAMES
        if name in names
    ]


def _stats_of_split(
    name: str, images: np.ndarray, sentences: Sequence[str], image_of_sentence: np.ndarray
) -> SplitStats:
    """Count one split; two images share a sentence when the text is the same to the letter."""
    rows = np.flatnonzero(np.isin(image_of_sentence, images))
    owners: dict[str, set[int]] = {}
    for row in rows.tolist():
        owners.setdefault(sentences[row], set()).add(int(image_of_sentence[row]))
    counts = np.bincount(image_of_sentence[rows], minlength=images.max() + 1)[images]
    return SplitStats(
        name,
        len(images),
        len(rows),
        len(owners),
        sum(len(owners[sentences[row]]) > 1 for row in rows.tolist()),
        int(counts.min()),
        int(counts.max()),
    )


def read_dropped(path: Path) -> list[DroppedItems]:
    """Count the items of data_report.csv by kind, the most frequent first.

    Raises:
        DataError: missing, no table, or without the columns `item`, `kind` and `reason`.
    """
    table = read_csv(path, DROPPED_COLUMNS, text_columns=DROPPED_COLUMNS)
    first = table.drop_duplicates("kind").set_index("kind")
    counts = table["kind"].value_counts()  # the most frequent first
    return [
        DroppedItems(
            str(kind), int(counts[kind]), f"{first['item'][kind]}: {first['reason'][kind]}"
        )
        for kind in counts.index
    ]


def region_stats(regions: DetectedRegions) -> RegionStats:
    """Count detections by class and by image."""
    each = regions.counts
    return RegionStats(
        len(each),
        int((each == 0).sum()),
        int(each.sum()),
        tuple(_class_stats(regions)),
        make_histogram(each),
    )


def _class_stats(regions: DetectedRegions) -> list[ClassStats]:
    """Count every class, the most frequent first, those never found last."""
    image, images = regions.image, len(regions.counts)
    total = np.bincount(regions.classes, minlength=len(regions.class_names))
    most = max(int(total.max(initial=0)), 1)
    return [
        ClassStats(
            regions.class_names[number],
            int(total[number]),
            len(np.unique(image[regions.classes == number])),
            float(total[number] / max(images, 1)),
            100 * float(total[number]) / most,
        )
        for number in np.argsort(-total, kind="stable")
    ]


def make_histogram(each: np.ndarray, bins: int = 24) -> Histogram:
    """Draw how many images have how many detections; neighbours share a bar beyond `bins` of them.

    Args:
        each: (images,) int, detections of every image.
        bins: most bars.
    """
    most = int(each.max(initial=0))
    span = max(1, -(-(most + 1) // bins))  # counts a bar, rounded up
    height = np.bincount(each // span, minlength=most // span + 1)
    up = make_axis(height, BOTTOM, TOP, marks=4)
    width = (RIGHT - LEFT) / len(height)
    bars = tuple(
        HistogramBar(
            round(LEFT + place * width + 1, 2),
            up.position(count),
            round(max(width - 2, 1), 2),
            round(BOTTOM - up.position(count), 2),
            f"{_bin_label(place * span, span)}: {count:,} image{'s' * (count != 1)}",
        )
        for place, count in enumerate(height.tolist())
    )
    every = max(1, len(height) // 6)
    across = tuple(
        Tick(round(LEFT + (place + 0.5) * width, 2), f"{place * span}")
        for place in range(0, len(height), every)
    )
    return Histogram(bars, across, tuple(up.ticks()))


def _bin_label(low: int, span: int) -> str:
    """Name the detections of a bar."""
    return f"{low} detections" if span == 1 else f"{low} to {low + span - 1} detections"
