"""Axes with round ticks, and the training curves drawn on them.

Every variant has two panels, the training loss and the validation mR by epoch, with a line for each fold. The panels
of a quantity share their axes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from pathlib import Path
from typing import TYPE_CHECKING

from galr.io.csv_io import read_csv
from galr.report.results import RunId

if TYPE_CHECKING:
    import pandas as pd

# A panel is 360 x 200 pixels (`charts.html`), about the width of a phone, so that its text is never scaled far down.
LEFT, RIGHT, TOP, BOTTOM = 40, 350, 10, 170  # pixels, the edges of the plot within a panel
QUANTITIES = ("loss", "mr")  # columns of history.csv
STEPS = (1, 2, 2.5, 5, 10)  # between two ticks, times a power of ten


@dataclass(frozen=True)
class Tick:
    """A marked value of an axis: its position, in the unit of the axis, and its label."""

    position: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A linear map from values to positions.

    Attributes:
        low: the smallest value.
        high: the largest value.
        start: position of the smallest value, in pixels or percent of the width.
        end: position of the largest value; smaller than `start` for an axis that points up.
        step: difference of two ticks.
    """

    low: float
    high: float
    start: float
    end: float
    step: float

    def position(self, value: float) -> float:
        """Compute the position of a value, rounded to a hundredth of the unit."""
        fraction = (value - self.low) / (self.high - self.low)
        return round(self.start + fraction * (self.end - self.start), 2)

    def ticks(self) -> list[Tick]:
        """Mark every multiple of the step."""
        first, last = ceil(self.low / self.step - 1e-9), floor(self.high / self.step + 1e-9)
        values = [number * self.step for number in range(first, last + 1)]
        return [Tick(self.position(value), f"{round(value, 9):g}") for value in values]


@dataclass(frozen=True)
class BestEpoch:
    """The epoch with the largest validation mR, whose weights were kept.

    Attributes:
        epoch: its number, from 1.
        value: the panel's quantity at this epoch.
        x: position of the epoch, pixels.
        y: position of the value, pixels.
    """

    epoch: int
    value: float
    x: float
    y: float


@dataclass(frozen=True)
class Curve:
    """One fold's line in a panel.

    Attributes:
        fold: number of the fold, from 0.
        points: pixels `x,y x,y …`, as the SVG attribute of this name.
        best: None where the history marks no epoch as the best.
    """

    fold: int
    points: str
    best: BestEpoch | None


@dataclass(frozen=True)
class Panel:
    """One quantity of one variant by epoch.

    Attributes:
        variant: name of the variant.
        quantity: `loss` or `mr`.
        title: the quantity in words.
        curves: one a fold.
        x_ticks: epochs.
        y_ticks: values of the quantity.
    """

    variant: str
    quantity: str
    title: str
    curves: tuple[Curve, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def make_axis(
    values: Iterable[float], start: float, end: float, *, num_steps: int = 5, zero: bool = True
) -> Axis:
    """Make an axis with round ends that covers some values.

    Args:
        values: NaN and infinities are ignored.
        start: position of the smallest value.
        end: position of the largest value.
        num_steps: approximate number of steps between ticks.
        zero: include 0, so that lengths can be compared.

    Returns:
        An axis whose ends are multiples of its step; from 0 to 1 where there are no values.
    """
    finite = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    low = min(0.0, low) if zero else low
    if low == high:
        low, high = (low, low + 1) if zero else (low - 0.5, high + 0.5)
    step = _round_step((high - low) / num_steps)
    return Axis(floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, start, end, step)


def epoch_axis(
    last: float, start: float, end: float, *, first: float = 1, num_steps: int = 5
) -> Axis:
    """Make an axis from the first epoch to the last, with ticks at whole numbers.

    Args:
        last: the last epoch, a whole number. Where it is the first, it is in the middle of the axis.
        start: position of the first epoch.
        end: position of the last epoch.
        first: the first epoch: 1, or 0 where a variant was not trained.
        num_steps: approximate number of steps between ticks.
    """
    low, high = (float(first), float(last)) if last > first else (first - 0.5, first + 0.5)
    step = _round_step(max((high - low) / num_steps, 1.0))
    return Axis(low, high, start, end, step if step.is_integer() else 2 * step)


def _round_step(size: float) -> float:
    """Find the smallest of 1, 2, 2.5 and 5 times a power of ten that is at least `size`."""
    power = 10.0 ** floor(log10(size))
    return next(step for step in STEPS if step * power >= size * (1 - 1e-9)) * power


def read_history(path: Path) -> "pd.DataFrame":
    """Read history.csv.

    Returns:
        A row an epoch: `epoch`, `loss`, `mr` (validation, percent) and `best` (True on the kept one).

    Raises:
        DataError: the file is missing, no CSV file, or lacks one of these columns.
    """
    return read_csv(path, ("epoch", *QUANTITIES, "best"), text_columns=())


def make_panels(
    histories: Mapping[RunId, "pd.DataFrame"], losses: Mapping[str, str] | None = None
) -> list[Panel]:
    """Lay out the training curves of all variants.

    Args:
        histories: of each run, as `read_history` returns it.
        losses: name of the loss by variant; the title of a variant that is not in it names none.

    Returns:
        Two panels a variant, loss and mR, with the variants in the order of the histories.
    """
    if not histories:
        return []
    losses = losses or {}
    first = min(history["epoch"].min() for history in histories.values())
    last = max(history["epoch"].max() for history in histories.values())
    x_axis = epoch_axis(last, LEFT, RIGHT, first=min(first, 1))
    y_axes = {
        quantity: make_axis(
            (value for history in histories.values() for value in history[quantity]),
            BOTTOM,
            TOP,
            num_steps=4,
        )
        for quantity in QUANTITIES
    }
    return [
        Panel(
            variant,
            quantity,
            _title(quantity, losses.get(variant)),
            tuple(
                _make_curve(run.fold, history, quantity, x_axis, y_axes[quantity])
                for run, history in sorted(histories.items(), key=lambda item: item[0])
                if run.variant == variant
            ),
            tuple(x_axis.ticks()),
            tuple(y_axes[quantity].ticks()),
        )
        for variant in dict.fromkeys(run.variant for run in histories)
        for quantity in QUANTITIES
    ]


def _title(quantity: str, loss: str | None) -> str:
    """Describe a quantity, with the name of the loss if it is known."""
    if quantity == "mr":
        return "Validation mR, percent"
    return f"Training loss{f' {loss}' if loss else ''}, mean over pairs"


def _make_curve(
    fold: int, history: "pd.DataFrame", quantity: str, x_axis: Axis, y_axis: Axis
) -> Curve:
    """Lay out one fold's curve; epochs without a finite value are left out."""
    points = [
        (epoch, value)
        for epoch, value in zip(history["epoch"], history[quantity], strict=True)
        if isfinite(value)
    ]
    best = history[history["best"].astype(bool) & history[quantity].notna()]
    return Curve(
        fold,
        " ".join(
            f"{x_axis.position(epoch):g},{y_axis.position(value):g}" for epoch, value in points
        ),
        None
        if best.empty
        else _best_epoch(best["epoch"].iloc[-1], best[quantity].iloc[-1], x_axis, y_axis),
    )


def _best_epoch(epoch: float, value: float, x_axis: Axis, y_axis: Axis) -> BestEpoch:
    """Position the kept epoch in its panel."""
    return BestEpoch(int(epoch), float(value), x_axis.position(epoch), y_axis.position(value))
