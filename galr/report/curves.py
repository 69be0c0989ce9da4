"""Draw how training went: loss and validation mR by epoch, one panel a variant, one line a fold.

Axes: round numbers to mark, and where a value stands on the page.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from pathlib import Path

import pandas as pd

from galr.io.csv_io import read_csv
from galr.report.results import RunId

PANEL_WIDTH, PANEL_HEIGHT = (
    360,
    200,
)  # pixels; about the width of a phone, so that text is never scaled far down
LEFT, RIGHT, TOP, BOTTOM = 40, 350, 10, 170  # of the plot within them
QUANTITIES = {"loss": "Training loss, mean over pairs", "mr": "Validation mR, percent"}


@dataclass(frozen=True)
class Tick:
    """A marked value: where it stands and what is written there."""

    position: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, drawn from `start` to `end` (any unit; may run backwards)."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def position(self, value: float) -> float:
        """Where a value stands, to a hundredth of the unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[Tick]:
        """Every multiple of the step on the axis."""
        first, last = ceil(self.low / self.step - 1e-9), floor(self.high / self.step + 1e-9)
        values = [number * self.step for number in range(first, last + 1)]
        return [Tick(self.position(value), f"{round(value, 9):g}") for value in values]


def make_axis(
    values: Iterable[float], start: float, end: float, *, marks: int = 5, zero: bool = True
) -> Axis:
    """Lay an axis of round numbers over some values.

    Args:
        values: what must fit; NaN and infinities are passed over.
        start: where the lowest number stands.
        end: where the highest stands.
        marks: about how many steps.
        zero: begin at 0, so that lengths can be compared.

    Returns:
        An axis whose ends are round numbers; from 0 to 1 where there are no values.
    """
    found = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low, high = min(found), max(found)
    low = min(0.0, low) if zero else low
    if low == high:
        low, high = (low, low + 1) if zero else (low - 0.5, high + 0.5)
    step = _round_step((high - low) / marks)
    return Axis(floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, start, end, step)


def epoch_axis(last: float, start: float, end: float, *, marks: int = 5) -> Axis:
    """Lay an axis over 1 to `last` and no further, marked at whole numbers.

    Args:
        last: a whole number; what stands alone stands in the middle.
        start: where 1 stands.
        end: where the last stands.
        marks: about how many steps.
    """
    low, high = (1.0, float(last)) if last > 1 else (0.5, 1.5)
    step = _round_step(max((high - low) / marks, 1.0))
    return Axis(low, high, start, end, step if step.is_integer() else 2 * step)


def _round_step(size: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `size`."""
    power = 10.0 ** floor(log10(size))
    return next(step for step in STEPS if step * power >= size * (1 - 1e-9)) * power


@dataclass(frozen=True)
class BestEpoch:
    """The epoch whose weights were kept."""

    epoch: int
    value: float
    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """One fold: its points as SVG takes them, and the kept epoch."""

    fold: int
    points: str
    best: BestEpoch | None


@dataclass(frozen=True)
class Panel:
    """One measure of one variant; all panels of a measure share their axes."""

    variant: str
    quantity: str
    title: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def read_history(path: Path) -> pd.DataFrame:
    """Read history.csv.

    Returns:
        A row an epoch: `epoch`, `loss`, `mr` (validation, percent) and `best` (True on the kept one).

    Raises:
        DataError: missing, no table, or without one of those columns.
    """
    return read_csv(path, ("epoch", *QUANTITIES, "best"), text_columns=())


def make_panels(histories: Mapping[RunId, pd.DataFrame]) -> list[Panel]:
    """Lay out every variant's curves, two panels a variant in the order they come."""
    if not histories:
        return []
    last = max(history["epoch"].max() for history in histories.values())
    across = epoch_axis(last, LEFT, RIGHT)
    up = {
        measure: make_axis(
            (v for h in histories.values() for v in h[measure]), BOTTOM, TOP, marks=4
        )
        for measure in QUANTITIES
    }
    return [
        Panel(
            variant,
            measure,
            meaning,
            tuple(
                _curve(run.fold, history, measure, across, up[measure])
                for run, history in sorted(histories.items(), key=lambda item: item[0])
                if run.variant == variant
            ),
            tuple(across.ticks()),
            tuple(up[measure].ticks()),
        )
        for variant in dict.fromkeys(run.variant for run in histories)
        for measure, meaning in QUANTITIES.items()
    ]


def _curve(fold: int, history: pd.DataFrame, measure: str, across: Axis, up: Axis) -> Curve:
    """One fold's curve; epochs without the measure are passed over."""
    pairs = [(e, v) for e, v in zip(history["epoch"], history[measure], strict=True) if isfinite(v)]
    kept = history[history["best"].astype(bool) & history[measure].notna()]
    return Curve(
        fold,
        " ".join(f"{across.position(epoch):g},{up.position(value):g}" for epoch, value in pairs),
        None
        if kept.empty
        else _best_epoch(kept["epoch"].iloc[-1], kept[measure].iloc[-1], across, up),
    )


def _best_epoch(epoch: float, value: float, across: Axis, up: Axis) -> BestEpoch:
    """Where the kept epoch stands."""
    return BestEpoch(int(epoch), float(value), across.position(epoch), up.position(value))


STEPS = (1, 2, 2.5, 5, 10)
