"""Print the table of results and the path of the report.

IN   metrics.csv, report.html
OUT  no file
"""

from dataclasses import dataclass
from pathlib import Path

from galr.errors import DataError
from galr.options import OptionGroup, option
from galr.targets import make_hint


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The files of the results."""

    metrics: Path = option("metrics.csv")
    report: Path = option("report.html")


def run(options: Options) -> None:
    """Print the table, then the path of the report.

    Raises:
        DataError: a file is missing, or metrics.csv is no table of results.
    """
    from galr.report.results import format_table, read_metrics  # numpy, which --help does without

    if not options.report.exists():
        raise DataError(
            f"{options.report} does not exist; {make_hint(options.report, 'galr report')}"
        )
    print(format_table(read_metrics(options.metrics)), options.report, sep="\n\n")
