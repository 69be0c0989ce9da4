"""The intervals of all results on one axis, and sentences about which of them overlap."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from galr.report.curves import Tick, make_axis
from galr.report.results import VariantResult, chosen_result

LEFT, RIGHT = 1.0, 99.0  # percent of the width, so that text keeps its size on a phone
ROW_HEIGHT, TOP_MARGIN = 46, 8  # pixels


@dataclass(frozen=True)
class ResultBar:
    """One result's row in the chart; horizontal positions are in percent of the width.

    Attributes:
        result: the result.
        y: top of the row, pixels.
        low: lower end of the interval of mR.
        mean: mean mR over folds.
        high: upper end of the interval of mR.
        folds: mR of each fold; folds without one are left out.
        is_best: whether it is the best result on validation, which was chosen.
        overlaps: whether its interval overlaps that of the chosen result.
    """

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
    """The chart of all results.

    Attributes:
        bars: one a result.
        ticks: values of mR; positions in percent of the width.
        chance: position of the mR of a random order, percent of the width.
        height: of the chart without the labels of its axis, pixels.
        statements: sentences about overlaps, see `overlap_statements`.
    """

    bars: tuple[ResultBar, ...]
    ticks: tuple[Tick, ...]
    chance: float
    height: int
    statements: tuple[str, ...]


def compare_results(results: Sequence[VariantResult], chance: float) -> Comparison:
    """Lay out the chart of results, each compared with the one that validation chose.

    Args:
        results: at least one.
        chance: mR of a random order, percent.
    """
    chosen = chosen_result(results)
    values = [
        value
        for result in results
        for value in (result.mean["mr_high"], *(fold["mr"] for fold in result.folds.values()))
    ]
    axis = make_axis([*values, chance], LEFT, RIGHT)
    bars = tuple(
        ResultBar(
            result,
            y=TOP_MARGIN + row * ROW_HEIGHT,
            low=axis.position(result.mean["mr_low"]),
            mean=axis.position(result.mean["mr"]),
            high=axis.position(result.mean["mr_high"]),
            folds=tuple(
                axis.position(fold["mr"]) for fold in result.folds.values() if isfinite(fold["mr"])
            ),
            is_best=result is chosen,
            overlaps=result.overlaps(chosen),
        )
        for row, result in enumerate(results)
    )
    return Comparison(
        bars,
        tuple(axis.ticks()),
        axis.position(chance),
        TOP_MARGIN + len(bars) * ROW_HEIGHT,
        tuple(overlap_statements(results)),
    )


def overlap_statements(results: Sequence[VariantResult]) -> list[str]:
    """State whether the interval of the chosen variant overlaps that of each other variant.

    Among the results without a rerank, if there are any, validation chooses the variant; it is compared under its own
    rerank only.

    Returns:
        One sentence for each other variant; none where there is one variant.
    """
    chosen = compared_result(results)
    others = [r for r in results if r.rerank == chosen.rerank and r is not chosen]
    return [
        f"{chosen.label} {_format_interval(chosen)} and {other.label} {_format_interval(other)}:"
        f" the intervals {'overlap' if other.overlaps(chosen) else 'do not overlap'}."
        for other in others
    ]


def compared_result(results: Sequence[VariantResult]) -> VariantResult:
    """Choose, on validation, the result that the other variants are compared with: without a rerank if there are any."""
    return chosen_result([r for r in results if r.rerank == "none"] or results)


def _format_interval(result: VariantResult) -> str:
    """Format the mR of a result and its interval."""
    mean = result.mean
    return f"{mean['mr']:.2f} ({mean['mr_low']:.2f} to {mean['mr_high']:.2f})"
