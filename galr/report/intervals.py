"""Draw every result with its interval on one axis, and say in words which ones overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from galr.report.axis import Tick, axis
from galr.report.metrics import Result, best

LEFT, RIGHT = 1.0, 99.0  # percent of the width, so that text keeps its size on a phone
ROW, TOP = 46, 8  # pixels


@dataclass(frozen=True)
class Bar:
    """A result on the axis; places in percent of the width, `y` in pixels."""

    result: Result
    y: int
    low: float
    mean: float
    high: float
    folds: tuple[float, ...]
    leads: bool
    overlaps: bool


@dataclass(frozen=True)
class Comparison:
    """All results on one axis, with the leader's interval to hold the others against."""

    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    chance: float  # percent of the width
    height: int  # pixels, without the axis labels
    sentences: tuple[str, ...]


def comparison(found: Sequence[Result], chance: float) -> Comparison:
    """Lay out the results, the one with the largest mR as the one to compare with.

    Args:
        found: at least one result.
        chance: mR of a random order, percent.
    """
    leader = best(found)
    edges = [
        value for r in found for value in (r.mean["mr_high"], *(f["mr"] for f in r.folds.values()))
    ]
    scale = axis([*edges, chance], LEFT, RIGHT)
    bars = tuple(
        Bar(
            result,
            y=TOP + row * ROW,
            low=scale.at(result.mean["mr_low"]),
            mean=scale.at(result.mean["mr"]),
            high=scale.at(result.mean["mr_high"]),
            folds=tuple(
                scale.at(fold["mr"]) for fold in result.folds.values() if isfinite(fold["mr"])
            ),
            leads=result is leader,
            overlaps=result.overlaps(leader),
        )
        for row, result in enumerate(found)
    )
    return Comparison(
        bars,
        tuple(scale.ticks()),
        scale.at(chance),
        TOP + len(bars) * ROW,
        tuple(verdicts(found)),
    )


def verdicts(found: Sequence[Result]) -> list[str]:
    """Hold every other variant against the best one under the same rerank.

    Returns:
        A sentence for each other variant; none where there is one variant.
    """
    leader = best([r for r in found if r.rerank == "none"] or found)
    rivals = [r for r in found if r.rerank == leader.rerank and r is not leader]
    return [
        f"{leader.label} {_says(leader)} and {rival.label} {_says(rival)}: the intervals "
        + ("overlap." if rival.overlaps(leader) else "do not overlap.")
        for rival in rivals
    ]


def _says(result: Result) -> str:
    """A result's mR and interval."""
    mean = result.mean
    return f"{mean['mr']:.2f} ({mean['mr_low']:.2f} to {mean['mr_high']:.2f})"
