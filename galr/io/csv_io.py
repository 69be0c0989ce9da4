"""CSV files of the pipeline, written whole or not at all, and read with their columns checked."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from galr.errors import DataError
from galr.io.atomic import atomic_write
from galr.targets import make_hint

if TYPE_CHECKING:
    import pandas as pd


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a header and rows; without rows, the header alone. None is an empty cell.

    Raises:
        OutputError: the file cannot be written.
    """
    with atomic_write(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def write_rows(
    path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] | None = None
) -> None:
    """Write rows that have the same columns: floats to four decimals, None as an empty cell.

    Args:
        path: the file.
        rows: the rows, at least one unless the columns are given.
        columns: those of the rows, in order.

    Raises:
        OutputError: the file cannot be written.
    """
    cells = (
        [round(value, 4) if isinstance(value, float) else value for value in row.values()]
        for row in rows
    )
    write_csv(path, list(rows[0]) if columns is None else columns, cells)


def read_csv(
    path: Path, columns: Sequence[str], text_columns: Iterable[str] = ()
) -> "pd.DataFrame":
    """Read a CSV file that the pipeline wrote.

    Args:
        path: the file.
        columns: those that it must have.
        text_columns: those that are text whatever they hold, such as `007` or `NA`; an empty cell is missing.

    Returns:
        All its columns and rows, in order.

    Raises:
        DataError: it is missing, not a CSV file, or lacks a column.
    """
    import pandas as pd  # takes a second to import, and not every command that writes needs it

    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(text_columns, str), keep_default_na=False, na_values=""
        )
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; {make_hint(path)}") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is not a CSV file ({error}); {make_hint(path, force=True)}"
        ) from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; expected at least {', '.join(columns)};"
            f" {make_hint(path, force=True)}"
        )
    return table
