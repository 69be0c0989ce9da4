"""The paired differences of differences.csv that the page shows: each variant minus the chosen one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from galr.errors import DataError
from galr.io.csv_io import read_csv
from galr.report.results import VariantResult
from galr.targets import make_hint

NAMES = ("variant", "against", "rerank")
NUMBERS = ("difference", "low", "high", "above", "difference_expected")


@dataclass(frozen=True)
class Difference:
    """The mR of one variant minus that of another one on the same test images, under the same rerank.

    Attributes:
        variant: name of the variant.
        against: name of the variant that is subtracted.
        rerank: name of the rerank.
        difference: mean over folds, percentage points.
        low: lower end of the interval of the paired bootstrap.
        high: upper end.
        above: fraction of the resamples in which the difference is above 0.
        difference_expected: the difference with ties broken at random, percentage points.
    """

    variant: str
    against: str
    rerank: str
    difference: float
    low: float
    high: float
    above: float
    difference_expected: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval does not hold 0."""
        return self.low > 0 or self.high < 0


def read_differences(path: Path) -> list[Difference]:
    """Read differences.csv.

    Raises:
        DataError: the file is missing, no CSV file or without a column, or a number is missing or text.
    """
    table = read_csv(path, (*NAMES, *NUMBERS), text_columns=NAMES)
    try:
        numbers = table[list(NUMBERS)].astype(float)
    except ValueError as error:
        raise DataError(
            f"{path} holds text where a number belongs ({error}); {make_hint(path, force=True)}"
        ) from error
    if numbers.isna().any(axis=None) or table[list(NAMES)].isna().any(axis=None):
        raise DataError(f"{path} has an empty cell in a row; {make_hint(path, force=True)}")
    rows = zip(table[list(NAMES)].to_numpy().tolist(), numbers.to_numpy().tolist(), strict=True)
    return [Difference(*names, *values) for names, values in rows]


def against_chosen(differences: Sequence[Difference], chosen: VariantResult) -> list[Difference]:
    """Pick the differences to the chosen result: those of its rerank, in the order of the table."""
    return [
        each
        for each in differences
        if each.against == chosen.variant and each.rerank == chosen.rerank
    ]
