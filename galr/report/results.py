"""The results of metrics.csv: the rows of each variant and rerank, as objects and as a table for the console.

A run is one variant on one fold; the path of each of its files ends in `<variant>/fold<k>/<file>`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galr.errors import DataError
from galr.evaluate.metrics import RECALL_NAMES
from galr.evaluate.table import EXPECTED_NOTE, MR_NAMES, chance_notes, format_lines
from galr.io.csv_io import read_csv
from galr.targets import make_hint

if TYPE_CHECKING:
    import pandas as pd

NAME_COLUMNS = ("dataset", "variant", "fold", "rerank")
MR_COLUMNS = (*MR_NAMES, "mr_low", "mr_high")
NUMBER_COLUMNS = (
    *RECALL_NAMES,
    *MR_COLUMNS,
    *("i2t_medr", "t2i_medr", "i2t_meanr", "t2i_meanr"),
    *("images", "sentences", "seed"),
)


@dataclass(frozen=True)
class VariantResult:
    """One variant under one rerank.

    Attributes:
        variant: name of the variant.
        rerank: name of the rerank, `none` without one.
        mean: mean over folds by column; recalls, mr, mr_expected, mr_low and mr_high are percentages.
        std: sample standard deviation over folds by column; NaN where there is one fold.
        folds: the values of each fold by column; folds in the order of the table.
    """

    variant: str
    rerank: str
    mean: Mapping[str, float]
    std: Mapping[str, float]
    folds: Mapping[str, Mapping[str, float]]

    @property
    def label(self) -> str:
        """Name of the variant, followed by the rerank if there is one."""
        return self.variant if self.rerank == "none" else f"{self.variant} · {self.rerank}"

    @property
    def validation_mr(self) -> float:
        """Mean over folds of the mR on validation images, percent; NaN where a fold has none."""
        values = [fold.get("validation_mr", nan) for fold in self.folds.values()]
        return sum(values) / len(values) if values else nan

    def overlaps(self, other: "VariantResult") -> bool:
        """Check whether the two intervals of mR share a point."""
        return (
            self.mean["mr_low"] <= other.mean["mr_high"]
            and other.mean["mr_low"] <= self.mean["mr_high"]
        )


@dataclass(frozen=True, order=True)
class RunId:
    """One variant on one fold."""

    variant: str
    fold: int

    def __str__(self) -> str:
        """Name the variant and the fold."""
        return f"{self.variant}, fold {self.fold}"


def read_metrics(path: Path) -> "pd.DataFrame":
    """Read metrics.csv.

    Returns:
        Its rows in order, with names as text and numbers as float; further columns are as pandas reads them.

    Raises:
        DataError: the file is missing, no CSV file, without rows or without a column, a row has no name, or
            text is where a number belongs.
    """
    table = read_csv(path, (*NAME_COLUMNS, *NUMBER_COLUMNS), text_columns=NAME_COLUMNS)
    if table.empty or table[list(NAME_COLUMNS)].isna().any(axis=None):
        raise DataError(
            f"{path} has no rows, or a row without a name; {make_hint(path, force=True)}"
        )
    try:
        return table.astype(dict.fromkeys(NUMBER_COLUMNS, float))
    except ValueError as error:
        raise DataError(
            f"{path} holds text where a number belongs ({error}); {make_hint(path, force=True)}"
        ) from error


def collect_results(metrics: "pd.DataFrame") -> list[VariantResult]:
    """Group the rows of metrics.csv by variant and rerank.

    Args:
        metrics: as `read_metrics` returns it.

    Returns:
        The results in the order of the table.

    Raises:
        DataError: a variant and rerank has no row `mean`, or one without a recall or mR.
    """
    results = []
    for (variant, rerank), rows in metrics.groupby(["variant", "rerank"], sort=False):
        numbers = rows.set_index("fold").select_dtypes("number")
        if (
            "mean" not in numbers.index
            or numbers.loc["mean", [*RECALL_NAMES, *MR_COLUMNS]].isna().any()
        ):
            raise DataError(
                f"metrics.csv lacks the mean of {variant} with rerank {rerank}, or part of it; its rows"
                f" are {', '.join(rows['fold'])}; run galr aggregate again"
            )
        folds = {str(fold): _row_values(row) for fold, row in numbers.iterrows()}
        mean = folds.pop("mean")
        std = folds.pop("std", dict.fromkeys(mean, nan))
        results.append(VariantResult(str(variant), str(rerank), mean, std, folds))
    return results


def _row_values(row: "pd.Series") -> dict[str, float]:
    """Convert a row to plain numbers by column."""
    return {str(column): float(value) for column, value in row.items()}


def without_validation(results: Sequence[VariantResult]) -> list[VariantResult]:
    """List the results of whose mR on validation images nothing is known."""
    return [result for result in results if isnan(result.validation_mr)]


def best_on_test(results: Sequence[VariantResult]) -> VariantResult:
    """Find the result with the largest mean mR on test, the first of equal ones."""
    return max(results, key=lambda result: result.mean["mr"])


def chosen_result(results: Sequence[VariantResult]) -> VariantResult:
    """Choose the result with the largest mR on validation images, the first of equal ones.

    Where one has none (its ranks.h5 is older than the column), the largest mR on test has to do; the report says so.
    """
    if without_validation(results):
        return best_on_test(results)
    return max(results, key=lambda result: result.validation_mr)


def column_constant(metrics: "pd.DataFrame", column: str) -> Any:  # noqa: ANN401  whatever the column holds
    """Return the first value of a column that is the same in all rows; None where it is absent or empty."""
    values = metrics[column].dropna().tolist() if column in metrics else []
    return values[0] if values else None


def run_from_path(path: Path) -> RunId:
    """Read the variant and the fold from the path of a run's file.

    Raises:
        DataError: the path does not end in `<variant>/fold<k>/<file>`.
    """
    parts = path.absolute().parts[-3:-1]
    fold = re.fullmatch(r"fold(\d+)", parts[-1]) if len(parts) == 2 else None
    if fold is None:
        raise DataError(
            f"the path {path} names no variant and fold; expected <variant>/fold<k>/{path.name}"
        )
    return RunId(parts[0], int(fold[1]))


def variant_from_path(path: Path, runs: Iterable[RunId]) -> str:
    """Read the variant from the path of its graphs.

    Args:
        path: `<variant>/graphs.h5`.
        runs: all runs.

    Raises:
        DataError: no run belongs to a variant of this name.
    """
    variant = path.absolute().parent.name
    known = sorted({run.variant for run in runs})
    if variant not in known:
        raise DataError(
            f"the path {path} names no variant; expected <variant>/{path.name}, where the variant is"
            f" one of {', '.join(known)}"
        )
    return variant


def format_table(metrics: "pd.DataFrame") -> str:
    """Format the mean over folds of every variant and rerank as a table for the console.

    Args:
        metrics: as `read_metrics` returns it.

    Returns:
        ASCII text under 120 columns wide for names of usual length: a title, a line for each result, and a
        note on the numbers; no newline at the end.

    Raises:
        DataError: see `collect_results`.
    """
    results = collect_results(metrics)
    first = results[0]
    folds = f"{len(first.folds)} fold{'s' * (len(first.folds) != 1)}"
    title = (
        f"{metrics['dataset'].iloc[0]}: {first.mean['images']:.0f} test images,"
        f" {first.mean['sentences']:.0f} sentences, {folds}"
    )
    chance = column_constant(metrics, "chance_mr")
    means: dict[tuple[str, ...], Mapping[str, float]] = {
        (result.variant, result.rerank): result.mean for result in results
    }
    stds: dict[tuple[str, ...], float] = {
        (result.variant, result.rerank): result.std["mr"] for result in results
    }
    lines = format_lines(("variant", "rerank"), means, stds, chance=chance)
    note = "Percentages, mean over folds; the interval is of mR, by bootstrap over test images."
    notes = [EXPECTED_NOTE]
    notes += [] if chance is None else chance_notes(means.values(), chance)
    if not without_validation(results):
        chosen = chosen_result(results)
        notes.append(f"Chosen on validation: {chosen.variant}, rerank {chosen.rerank}.")
    return "\n".join([title, "", *lines, note, *notes])
