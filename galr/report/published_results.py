"""What others published on a dataset: context, never a like-for-like ranking."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from galr.evaluate.metrics import RECALL_NAMES
from galr.report.curves import Axis, Tick, make_axis
from galr.report.results import VariantResult

PUBLISHED_CSV = Path(__file__).with_name("published.csv")
PRETRAINING = {
    "imagenet": "ImageNet images",
    "clip": "CLIP: image and sentence pairs from the web",
    "clip+rs": "CLIP, then remote-sensing pairs",
    "unknown": "not known here",
}
LEFT, RIGHT = 1.0, 99.0  # percent of the width
ROW_HEIGHT = 46  # pixels


@dataclass(frozen=True)
class PublishedResult:
    """One published row; recalls and mR in percent, None where not published."""

    method: str
    recalls: tuple[float | None, ...]
    mr: float
    protocol: str
    source: str
    note: str
    x: float  # of mR, percent of the width


@dataclass(frozen=True)
class PretrainingGroup:
    """The rows that began from the same pretraining."""

    pretraining: str
    description: str
    results: tuple[PublishedResult, ...]
    y: int  # pixels


@dataclass(frozen=True)
class PublishedResults:
    """All published rows of a dataset beside our interval."""

    groups: tuple[PretrainingGroup, ...]
    ticks: tuple[Tick, ...]
    ours: tuple[float, float, float]  # low, mean and high, percent of the width
    height: int  # pixels, without the axis labels


def published_results(dataset: str, ours: VariantResult) -> PublishedResults | None:
    """What was published on a dataset, grouped by pretraining, else in the order of the file.

    Returns:
        None where the dataset has no published rows.
    """
    with PUBLISHED_CSV.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    if not rows:
        return None
    mean = ours.mean
    scale = make_axis([*(float(row["mr"]) for row in rows), mean["mr_high"]], LEFT, RIGHT)
    known = [kind for kind in PRETRAINING if any(row["pretraining"] == kind for row in rows)]
    groups = tuple(
        PretrainingGroup(
            kind,
            PRETRAINING[kind],
            tuple(_read_result(row, scale) for row in rows if row["pretraining"] == kind),
            y=place * ROW_HEIGHT,
        )
        for place, kind in enumerate(known)
    )
    return PublishedResults(
        groups,
        tuple(scale.ticks()),
        (
            scale.position(mean["mr_low"]),
            scale.position(mean["mr"]),
            scale.position(mean["mr_high"]),
        ),
        len(groups) * ROW_HEIGHT,
    )


def mr_range(peers: Sequence[PublishedResult]) -> tuple[float, float]:
    """The smallest and the largest published mR of some rows."""
    return min(peer.mr for peer in peers), max(peer.mr for peer in peers)


def _read_result(row: Mapping[str, str], scale: Axis) -> PublishedResult:
    """Read one published row; an empty cell was not published."""
    return PublishedResult(
        row["method"],
        tuple(float(row[column]) if row[column] else None for column in RECALL_NAMES),
        float(row["mr"]),
        row["protocol"],
        row["source"],
        row["note"],
        scale.position(float(row["mr"])),
    )
