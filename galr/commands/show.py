"""Print the table of results and where the report lies.

IN   metrics.csv, report.html
OUT  nothing but what is printed
"""

from dataclasses import dataclass
from pathlib import Path

from galr.errors import DataError
from galr.options import OptionGroup, option
from galr.report import results
from galr.targets import make_hint


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What to print."""

    metrics: Path = option("metrics.csv")
    report: Path = option("report.html")


def run(options: Options) -> None:
    """Print the table, then the report's path."""
    if not options.report.exists():
        raise DataError(
            f"{options.report} does not exist; {make_hint(options.report, 'galr report')}"
        )
    print(results.format_table(results.read_metrics(options.metrics)), options.report, sep="\n\n")
