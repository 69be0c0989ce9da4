"""What others published on a dataset: context, never a like-for-like ranking."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from galr.evaluate.metrics import RECALL_NAMES
from galr.report.axis import Axis, Tick, axis
from galr.report.metrics import Result

PUBLISHED = Path(__file__).with_name("published.csv")
PRETRAINING = {
    "imagenet": "ImageNet images",
    "clip": "CLIP: image and sentence pairs from the web",
    "clip+rs": "CLIP, then remote-sensing pairs",
    "unknown": "not known here",
}
LEFT, RIGHT = 1.0, 99.0  # percent of the width
ROW = 46  # pixels


@dataclass(frozen=True)
class Peer:
    """One published row; recalls and mR in percent, None where not published."""

    method: str
    recalls: tuple[float | None, ...]
    mr: float
    protocol: str
    source: str
    note: str
    x: float  # of mR, percent of the width


@dataclass(frozen=True)
class Group:
    """The rows that began from the same pretraining."""

    pretraining: str
    meaning: str
    peers: tuple[Peer, ...]
    y: int  # pixels


@dataclass(frozen=True)
class Peers:
    """All published rows of a dataset beside our interval."""

    groups: tuple[Group, ...]
    ticks: tuple[Tick, ...]
    ours: tuple[float, float, float]  # low, mean and high, percent of the width
    height: int  # pixels, without the axis labels


def peers(dataset: str, ours: Result) -> Peers | None:
    """What was published on a dataset, grouped by pretraining, else in the order of the file.

    Returns:
        None where the dataset has no published rows.
    """
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    if not rows:
        return None
    mean = ours.mean
    scale = axis([*(float(row["mr"]) for row in rows), mean["mr_high"]], LEFT, RIGHT)
    known = [kind for kind in PRETRAINING if any(row["pretraining"] == kind for row in rows)]
    groups = tuple(
        Group(
            kind,
            PRETRAINING[kind],
            tuple(_peer(row, scale) for row in rows if row["pretraining"] == kind),
            y=place * ROW,
        )
        for place, kind in enumerate(known)
    )
    return Peers(
        groups,
        tuple(scale.ticks()),
        (scale.at(mean["mr_low"]), scale.at(mean["mr"]), scale.at(mean["mr_high"])),
        len(groups) * ROW,
    )


def range_of(peers: Sequence[Peer]) -> tuple[float, float]:
    """The smallest and the largest published mR of some rows."""
    return min(peer.mr for peer in peers), max(peer.mr for peer in peers)


def _peer(row: Mapping[str, str], scale: Axis) -> Peer:
    """Read one published row; an empty cell was not published."""
    return Peer(
        row["method"],
        tuple(float(row[column]) if row[column] else None for column in RECALL_NAMES),
        float(row["mr"]),
        row["protocol"],
        row["source"],
        row["note"],
        scale.at(float(row["mr"])),
    )
