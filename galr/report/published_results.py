"""Published results on a dataset, grouped by pretraining: context for our numbers, not a ranking."""

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
    """One row of published.csv.

    Attributes:
        method: name of the method.
        recalls: percent, in the order of `RECALL_NAMES`; None where not published.
        mr: mR, percent.
        protocol: how the result was obtained.
        source: where it was published.
        note: a remark; empty where there is none.
        x: position of mR, percent of the width.
    """

    method: str
    recalls: tuple[float | None, ...]
    mr: float
    protocol: str
    source: str
    note: str
    x: float


@dataclass(frozen=True)
class PretrainingGroup:
    """The published results with the same pretraining.

    Attributes:
        pretraining: a key of `PRETRAINING`.
        description: the pretraining in words.
        results: in the order of the file.
        y: top of the group's row in the chart, pixels.
    """

    pretraining: str
    description: str
    results: tuple[PublishedResult, ...]
    y: int


@dataclass(frozen=True)
class PublishedResults:
    """All published results on a dataset, and our interval.

    Attributes:
        groups: one for each pretraining, in the order of `PRETRAINING`.
        ticks: values of mR; positions in percent of the width.
        ours: positions of the lower end, the mean and the upper end of our interval, percent of the width.
        ours_expected: position of our mR with ties broken at random, percent of the width.
        height: of the chart without the labels of its axis, pixels.
    """

    groups: tuple[PretrainingGroup, ...]
    ticks: tuple[Tick, ...]
    ours: tuple[float, float, float]
    ours_expected: float
    height: int


def published_results(dataset: str, ours: VariantResult) -> PublishedResults | None:
    """Read the published results on a dataset.

    Args:
        dataset: name of the dataset.
        ours: the result to show beside them.

    Returns:
        None where nothing is published on the dataset.
    """
    with PUBLISHED_CSV.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == dataset]
    if not rows:
        return None
    mean = ours.mean
    values = [*(float(row["mr"]) for row in rows), mean["mr_high"], mean["mr_expected"]]
    axis = make_axis(values, LEFT, RIGHT)
    used = [kind for kind in PRETRAINING if any(row["pretraining"] == kind for row in rows)]
    groups = tuple(
        PretrainingGroup(
            kind,
            PRETRAINING[kind],
            tuple(_read_result(row, axis) for row in rows if row["pretraining"] == kind),
            y=index * ROW_HEIGHT,
        )
        for index, kind in enumerate(used)
    )
    return PublishedResults(
        groups,
        tuple(axis.ticks()),
        (
            axis.position(mean["mr_low"]),
            axis.position(mean["mr"]),
            axis.position(mean["mr_high"]),
        ),
        axis.position(mean["mr_expected"]),
        len(groups) * ROW_HEIGHT,
    )


def mr_range(results: Sequence[PublishedResult]) -> tuple[float, float]:
    """Return the smallest and the largest mR of some published results, percent."""
    return min(result.mr for result in results), max(result.mr for result in results)


def _read_result(row: Mapping[str, str], axis: Axis) -> PublishedResult:
    """Convert a row of published.csv; an empty cell is a recall that was not published."""
    return PublishedResult(
        row["method"],
        tuple(float(row[column]) if row[column] else None for column in RECALL_NAMES),
        float(row["mr"]),
        row["protocol"],
        row["source"],
        row["note"],
        axis.position(float(row["mr"])),
    )
