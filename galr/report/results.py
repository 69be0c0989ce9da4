"""Read metrics.csv: a row for each variant, fold and rerank, and rows for their mean and spread.

A run is one variant on one fold; where its files lie says which.

The table of results for a console: plain text, ASCII, under 100 columns.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import pandas as pd

from galr.errors import DataError
from galr.evaluate.metrics import RECALL_NAMES
from galr.io.csv_io import read_csv

NAME_COLUMNS = ("dataset", "variant", "fold", "rerank")
MR_COLUMNS = ("mr", "mr_low", "mr_high")
NUMBER_COLUMNS = (
    *RECALL_NAMES,
    *MR_COLUMNS,
    *("i2t_medr", "t2i_medr", "i2t_meanr", "t2i_meanr"),
    *("images", "sentences", "seed"),
)


@dataclass(frozen=True)
class VariantResult:
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

    def overlaps(self, other: "VariantResult") -> bool:
        """Say whether the two intervals of mR share a point."""
        return (
            self.mean["mr_low"] <= other.mean["mr_high"]
            and other.mean["mr_low"] <= self.mean["mr_high"]
        )


def read_metrics(path: Path) -> pd.DataFrame:
    """Read metrics.csv.

    Returns:
        Its rows in order; names as text, numbers as float, any further columns as they come.

    Raises:
        DataError: missing, no table, without rows or without a column, or words where numbers belong.
    """
    table = read_csv(path, (*NAME_COLUMNS, *NUMBER_COLUMNS), text_columns=NAME_COLUMNS)
    if table.empty or table[list(NAME_COLUMNS)].isna().any(axis=None):
        raise DataError(
            f"{path} has no rows, or rows without a name; delete it and run snakemake again"
        )
    try:
        return table.astype(dict.fromkeys(NUMBER_COLUMNS, float))
    except ValueError as error:
        raise DataError(f"{path} holds a word where a number belongs: {error}") from error


def collect_results(metrics: pd.DataFrame) -> list[VariantResult]:
    """Gather the rows of each variant and rerank, in the order of the table.

    Raises:
        DataError: a variant and rerank has no row `mean`, or a mean without an mR.
    """
    found = []
    for (variant, rerank), rows in metrics.groupby(["variant", "rerank"], sort=False):
        numbers = rows.set_index("fold").select_dtypes("number")
        if (
            "mean" not in numbers.index
            or numbers.loc["mean", [*RECALL_NAMES, *MR_COLUMNS]].isna().any()
        ):
            raise DataError(
                f"metrics.csv lacks the mean of {variant} with rerank {rerank}, or part of it; its folds"
                f" are {', '.join(rows['fold'])}; run galr aggregate again"
            )
        each = {str(fold): _row_values(row) for fold, row in numbers.iterrows()}
        mean = each.pop("mean")
        std = each.pop("std", dict.fromkeys(mean, nan))
        found.append(VariantResult(str(variant), str(rerank), mean, std, each))
    return found


def best_result(found: Sequence[VariantResult]) -> VariantResult:
    """The result with the largest mean mR; the first of equals."""
    return max(found, key=lambda result: result.mean["mr"])


def column_constant(metrics: pd.DataFrame, column: str) -> Any:  # noqa: ANN401  whatever the column holds
    """What a further column says of all rows alike: its first value, None where it says nothing."""
    known = metrics[column].dropna().tolist() if column in metrics else []
    return known[0] if known else None


def _row_values(row: pd.Series) -> dict[str, float]:
    """A row as plain numbers."""
    return {str(column): float(value) for column, value in row.items()}


@dataclass(frozen=True, order=True)
class RunId:
    """One variant on one fold."""

    variant: str
    fold: int

    def __str__(self) -> str:
        """What to call it in a line."""
        return f"{self.variant}, fold {self.fold}"


def run_from_path(path: Path) -> RunId:
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
    return RunId(parts[0], int(fold[1]))


def variant_from_path(path: Path, runs: Iterable[RunId]) -> str:
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


def format_table(metrics: pd.DataFrame) -> str:
    """Set the mean over folds of every variant and rerank as text.

    Args:
        metrics: as `galr.report.results.read` returns it.

    Returns:
        A heading, a line for each result, and what the numbers are; no newline at the end.

    Raises:
        DataError: a variant and rerank has no row `mean`.
    """
    found = collect_results(metrics)
    first = found[0]
    wide = max(len("variant"), *(len(result.variant) for result in found))
    high = max(len("rerank"), *(len(result.rerank) for result in found))
    names = f"{'variant':<{wide}}  {'rerank':<{high}}"
    recalls = _right_align(("R@1", "R@5", "R@10"))
    title = (
        f"{metrics['dataset'].iloc[0]}: {first.mean['images']:.0f} test images,"
        f" {first.mean['sentences']:.0f} sentences, {_count_folds(first)}"
    )
    above = f"{'':<{len(names)}}  {'image to sentence':^20}  {'sentence to image':^20}"
    heads = f"{names}  {recalls}  {recalls}  {'mR':>6} {'std':>5}  interval"
    lines = [f"{r.variant:<{wide}}  {r.rerank:<{high}}  {_format_numbers(r)}" for r in found]
    rule = "-" * max(map(len, (heads, *lines)))
    note = "Percentages, mean over folds; the interval is of mR, by bootstrap over test images."
    chance = column_constant(metrics, "chance_mr")
    if chance is not None:
        note += f"\nA random order gets an mR of {chance:.2f}."
    return "\n".join([title, "", above.rstrip(), heads, rule, *lines, rule, note])


def _count_folds(result: VariantResult) -> str:
    """How many folds a mean is of."""
    return f"{len(result.folds)} fold{'s' * (len(result.folds) != 1)}"


def _right_align(words: tuple[str, ...]) -> str:
    """Three right-aligned words under one direction."""
    return " ".join(f"{word:>6}" for word in words)


def _format_numbers(result: VariantResult) -> str:
    """A result's recalls, mR, spread and interval, as wide as the heading."""
    recalls = [f"{result.mean[column]:.2f}" for column in RECALL_NAMES]
    std = result.std["mr"]
    spread = "-" if isnan(std) else f"{std:.2f}"  # one fold has no spread
    return (
        f"{_right_align(tuple(recalls[:3]))}  {_right_align(tuple(recalls[3:]))}  {result.mean['mr']:>6.2f}"
        f" {spread:>5}  {result.mean['mr_low']:.2f} to {result.mean['mr_high']:.2f}"
    )
