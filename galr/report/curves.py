"""Draw how training went: loss and validation mR by epoch, one panel a variant, one line a fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import pandas as pd

from galr.report.axis import Axis, Tick, axis, counting
from galr.report.runs import Run
from galr.report.sheets import read_sheet

WIDTH, HEIGHT = (
    360,
    200,
)  # pixels; about the width of a phone, so that text is never scaled far down
LEFT, RIGHT, TOP, BOTTOM = 40, 350, 10, 170  # of the plot within them
MEASURES = {"loss": "Training loss, mean over pairs", "mr": "Validation mR, percent"}


@dataclass(frozen=True)
class Kept:
    """The epoch whose weights were kept."""

    epoch: int
    value: float
    x: float
    y: float


@dataclass(frozen=True)
class Line:
    """One fold: its points as SVG takes them, and the kept epoch."""

    fold: int
    points: str
    kept: Kept | None


@dataclass(frozen=True)
class Panel:
    """One measure of one variant; all panels of a measure share their axes."""

    variant: str
    measure: str
    meaning: str
    lines: tuple[Line, ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def read(path: Path) -> pd.DataFrame:
    """Read history.csv.

    Returns:
        A row an epoch: `epoch`, `loss`, `mr` (validation, percent) and `best` (True on the kept one).

    Raises:
        DataError: missing, no table, or without one of those columns.
    """
    return read_sheet(path, ("epoch", *MEASURES, "best"), words=())


def panels(histories: Mapping[Run, pd.DataFrame]) -> list[Panel]:
    """Lay out every variant's curves, two panels a variant in the order they come."""
    if not histories:
        return []
    last = max(history["epoch"].max() for history in histories.values())
    across = counting(last, LEFT, RIGHT)
    up = {
        measure: axis((v for h in histories.values() for v in h[measure]), BOTTOM, TOP, marks=4)
        for measure in MEASURES
    }
    return [
        Panel(
            variant,
            measure,
            meaning,
            tuple(
                _line(run.fold, history, measure, across, up[measure])
                for run, history in sorted(histories.items(), key=lambda item: item[0])
                if run.variant == variant
            ),
            tuple(across.ticks()),
            tuple(up[measure].ticks()),
        )
        for variant in dict.fromkeys(run.variant for run in histories)
        for measure, meaning in MEASURES.items()
    ]


def _line(fold: int, history: pd.DataFrame, measure: str, across: Axis, up: Axis) -> Line:
    """One fold's curve; epochs without the measure are passed over."""
    pairs = [(e, v) for e, v in zip(history["epoch"], history[measure], strict=True) if isfinite(v)]
    kept = history[history["best"].astype(bool) & history[measure].notna()]
    return Line(
        fold,
        " ".join(f"{across.at(epoch):g},{up.at(value):g}" for epoch, value in pairs),
        None if kept.empty else _kept(kept["epoch"].iloc[-1], kept[measure].iloc[-1], across, up),
    )


def _kept(epoch: float, value: float, across: Axis, up: Axis) -> Kept:
    """Where the kept epoch stands."""
    return Kept(int(epoch), float(value), across.at(epoch), up.at(value))
