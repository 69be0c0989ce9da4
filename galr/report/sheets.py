"""Read a CSV file of ours, refused in one line when it is not what it should be."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from galr.errors import DataError


def read_sheet(path: Path, columns: Iterable[str], words: Iterable[str]) -> pd.DataFrame:
    """Read a table.

    Args:
        path: of the CSV file.
        columns: those it must have.
        words: those that are text whatever stands in them; an empty cell is missing.

    Returns:
        All its columns and rows, in order.

    Raises:
        DataError: missing, no table, or without one of the columns.
    """
    try:
        table = pd.read_csv(
            path, dtype=dict.fromkeys(words, str), keep_default_na=False, na_values=""
        )
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; run: snakemake {path}") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is no table ({error}); delete it and run snakemake again"
        ) from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(
            f"{path} lacks {', '.join(missing)}; expected at least {', '.join(columns)};"
            " delete it and run snakemake again"
        )
    return table
