"""Draw every result with its interval on one axis, and say in words which ones overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from galr.report.curves import Tick, make_axis
from galr.report.results import VariantResult, best_result

LEFT, RIGHT = 1.0, 99.0  # percent of the width, so that text keeps its size on a phone
ROW_HEIGHT, TOP_MARGIN = 46, 8  # pixels


@dataclass(frozen=True)
class ResultBar:
    """A result on the axis; places in percent of the width, `y` in pixels."""

    result: VariantResult
    y: int
    low: float
    mean: float
    high: float
    folds: tuple[float, ...]
    is_best: bool
    overlaps: bool


@dataclass(frozen=True)
class Comparison:
    """All results on one axis, with the leader's interval to hold the others against."""

    bars: tuple[ResultBar, ...]
    ticks: tuple[Tick, ...]
    chance: float  # percent of the width
    height: int  # pixels, without the axis labels
    statements: tuple[str, ...]


def compare_results(found: Sequence[VariantResult], chance: float) -> Comparison:
    """Lay out the results, the one with the largest mR as the one to compare with.

    Args:
        found: at least one result.
        chance: mR of a random order, percent.
    """
    leader = best_result(found)
    edges = [
        value for r in found for value in (r.mean["mr_high"], *(f["mr"] for f in r.folds.values()))
    ]
    scale = make_axis([*edges, chance], LEFT, RIGHT)
    bars = tuple(
        ResultBar(
            result,
            y=TOP_MARGIN + row * ROW_HEIGHT,
            low=scale.position(result.mean["mr_low"]),
            mean=scale.position(result.mean["mr"]),
            high=scale.position(result.mean["mr_high"]),
            folds=tuple(
                scale.position(fold["mr"]) for fold in result.folds.values() if isfinite(fold["mr"])
            ),
            is_best=result is leader,
            overlaps=result.overlaps(leader),
        )
        for row, result in enumerate(found)
    )
    return Comparison(
        bars,
        tuple(scale.ticks()),
        scale.position(chance),
        TOP_MARGIN + len(bars) * ROW_HEIGHT,
        tuple(overlap_statements(found)),
    )


def overlap_statements(found: Sequence[VariantResult]) -> list[str]:
    """Hold every other variant against the best one under the same rerank.

    Returns:
        A sentence for each other variant; none where there is one variant.
    """
    leader = best_result([r for r in found if r.rerank == "none"] or found)
    rivals = [r for r in found if r.rerank == leader.rerank and r is not leader]
    return [
        f"{leader.label} {_format_interval(leader)} and {rival.label} {_format_interval(rival)}: the intervals "
        + ("overlap." if rival.overlaps(leader) else "do not overlap.")
        for rival in rivals
    ]


def _format_interval(result: VariantResult) -> str:
    """A result's mR and interval."""
    mean = result.mean
    return f"{mean['mr']:.2f} ({mean['mr_low']:.2f} to {mean['mr_high']:.2f})"
