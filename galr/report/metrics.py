"""Read metrics.csv: a row for each variant, fold and rerank, and rows for their mean and spread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from galr.errors import DataError
from galr.evaluate.metrics import RECALL_NAMES
from galr.report.sheets import read_sheet

NAMES = ("dataset", "variant", "fold", "rerank")
MR = ("mr", "mr_low", "mr_high")
NUMBERS = (
    *RECALL_NAMES,
    *MR,
    *("i2t_medr", "t2i_medr", "i2t_meanr", "t2i_meanr"),
    *("images", "sentences", "seed"),
)


@dataclass(frozen=True)
class Result:
    """One variant under one rerank: its mean over folds, their spread, and the folds."""

    variant: str
    rerank: str
    mean: Mapping[str, float]  # by column; recalls, mr, mr_low and mr_high are percentages
    std: Mapping[str, float]  # sample standard deviation over folds; NaN where there is one fold
    folds: Mapping[str, Mapping[str, float]]  # the same columns for each fold, in order

    @property
    def label(self) -> str:
        """What to call it in a line."""
        return self.variant if self.rerank == "none" else f"{self.variant} · {self.rerank}"

    def overlaps(self, other: "Result") -> bool:
        """Say whether the two intervals of mR share a point."""
        return (
            self.mean["mr_low"] <= other.mean["mr_high"]
            and other.mean["mr_low"] <= self.mean["mr_high"]
        )


def read(path: Path) -> pd.DataFrame:
    """Read metrics.csv.

    Returns:
        Its rows in order; names as text, numbers as float, any further columns as they come.

    Raises:
        DataError: missing, no table, without rows or without a column, or words where numbers belong.
    """
    table = read_sheet(path, (*NAMES, *NUMBERS), words=NAMES)
    if table.empty or table[list(NAMES)].isna().any(axis=None):
        raise DataError(
            f"{path} has no rows, or rows without a name; delete it and run snakemake again"
        )
    try:
        return table.astype(dict.fromkeys(NUMBERS, float))
    except ValueError as error:
        raise DataError(f"{path} holds a word where a number belongs: {error}") from error


def results(metrics: pd.DataFrame) -> list[Result]:
    """Gather the rows of each variant and rerank, in the order of the table.

    Raises:
        DataError: a variant and rerank has no row `mean`, or a mean without an mR.
    """
    found = []
    for (variant, rerank), rows in metrics.groupby(["variant", "rerank"], sort=False):
        numbers = rows.set_index("fold").select_dtypes("number")
        if "mean" not in numbers.index or numbers.loc["mean", [*RECALL_NAMES, *MR]].isna().any():
            raise DataError(
                f"metrics.csv lacks the mean of {variant} with rerank {rerank}, or part of it; its folds"
                f" are {', '.join(rows['fold'])}; run galr tabulate again"
            )
        each = {str(fold): _values(row) for fold, row in numbers.iterrows()}
        mean = each.pop("mean")
        std = each.pop("std", dict.fromkeys(mean, nan))
        found.append(Result(str(variant), str(rerank), mean, std, each))
    return found


def best(found: Sequence[Result]) -> Result:
    """The result with the largest mean mR; the first of equals."""
    return max(found, key=lambda result: result.mean["mr"])


def told(metrics: pd.DataFrame, column: str) -> Any:  # noqa: ANN401  whatever the column holds
    """What a further column says of all rows alike: its first value, None where it says nothing."""
    known = metrics[column].dropna().tolist() if column in metrics else []
    return known[0] if known else None


def _values(row: pd.Series) -> dict[str, float]:
    """A row as plain numbers."""
    return {str(column): float(value) for column, value in row.items()}
