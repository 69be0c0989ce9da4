"""Axes: round numbers to mark, and where a value stands on the page."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

STEPS = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Tick:
    """A marked value: where it stands and what is written there."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, drawn from `start` to `end` (any unit; may run backwards)."""

    low: float
    high: float
    start: float
    end: float
    step: float

    def at(self, value: float) -> float:
        """Where a value stands, to a hundredth of the unit."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self) -> list[Tick]:
        """Every multiple of the step on the axis."""
        first, last = ceil(self.low / self.step - 1e-9), floor(self.high / self.step + 1e-9)
        values = [number * self.step for number in range(first, last + 1)]
        return [Tick(self.at(value), f"{round(value, 9):g}") for value in values]


def axis(
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


def counting(last: float, start: float, end: float, *, marks: int = 5) -> Axis:
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
