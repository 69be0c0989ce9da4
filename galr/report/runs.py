"""A run is one variant on one fold; where its files lie says which."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from galr.errors import DataError


@dataclass(frozen=True, order=True)
class Run:
    """One variant on one fold."""

    variant: str
    fold: int

    def __str__(self) -> str:
        """What to call it in a line."""
        return f"{self.variant}, fold {self.fold}"


def run_of(path: Path) -> Run:
    """Read the variant and the fold off the path of a run's file.

    Raises:
        DataError: the path does not end in `<variant>/fold<k>/<file>`.
    """
    parts = path.absolute().parts[-3:-1]
    fold = re.fullmatch(r"fold(\d+)", parts[-1]) if len(parts) == 2 else None
    if fold is None:
        raise DataError(
            f"{path} does not say which run it is of; expected <variant>/fold<k>/{path.name}"
        )
    return Run(parts[0], int(fold[1]))


def variant_of(path: Path, runs: Iterable[Run]) -> str:
    """Read the variant off the path of its graphs.

    Args:
        path: `<variant>/graphs.h5`.
        runs: all runs.

    Raises:
        DataError: no run is of such a variant.
    """
    variant = path.absolute().parent.name
    known = sorted({run.variant for run in runs})
    if variant not in known:
        raise DataError(
            f"{path} does not say which variant it is of; expected <variant>/{path.name}, the variant"
            f" one of {', '.join(known)}"
        )
    return variant
