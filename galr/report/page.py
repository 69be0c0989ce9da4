"""The page of the report as one self-contained HTML text."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from galr.evaluate.metrics import RECALL_NAMES
from galr.evaluate.table import at_chance
from galr.io.html import template_environment
from galr.report.comparison import compare_results, compared_result
from galr.report.curves import Panel
from galr.report.dataset_summary import DroppedItems, RegionStats, SplitStats
from galr.report.differences_view import Difference, against_chosen
from galr.report.drea_summary import DreaRows
from galr.report.examples_view import ExampleSet
from galr.report.provenance_view import ProvenanceView
from galr.report.published_results import mr_range, published_results
from galr.report.results import (
    MR_COLUMNS,
    best_on_test,
    chosen_result,
    collect_results,
    column_constant,
    without_validation,
)

if TYPE_CHECKING:
    import pandas as pd

TEMPLATES = Path(__file__).parent
SHOWN_COLUMNS = (*RECALL_NAMES, *MR_COLUMNS, "i2t_medr", "t2i_medr")
UPPER_BOUND_COLUMNS = tuple(
    f"ceiling_{column}" for column in RECALL_NAMES if column.startswith("t2i")
)
DASH = "\N{EN DASH}"


def render_page(
    metrics: "pd.DataFrame",
    differences: Sequence[Difference],
    panels: Sequence[Panel],
    example_set: ExampleSet,
    split_stats: Sequence[SplitStats],
    dropped: Sequence[DroppedItems],
    region_stats: RegionStats,
    drea_rows: DreaRows,
    provenance: ProvenanceView,
) -> str:
    """Render the report.

    Args:
        metrics: as `galr.report.results.read_metrics` returns it.
        differences: between variants, as in differences.csv; none where it was not given.
        panels: training curves.
        example_set: queries with their candidates.
        split_stats: counts of each split.
        dropped: items that were left out of the dataset.
        region_stats: counts of the detected regions.
        drea_rows: counts of the regions in the graphs of each variant.
        provenance: of all files.

    Returns:
        HTML that needs no other file and no network.

    Raises:
        DataError: see `galr.report.results.collect_results`.
    """
    results = collect_results(metrics)
    chosen = chosen_result(results)
    without = without_validation(results)
    dataset = str(metrics["dataset"].iloc[0])
    others = [column for column in metrics if column not in (*SHOWN_COLUMNS, "dataset")]
    upper_bounds = [column_constant(metrics, name) for name in UPPER_BOUND_COLUMNS]
    return (
        _templates()
        .get_template("report.html")
        .render(
            dataset=dataset,
            results=results,
            chosen=chosen,
            on_validation=not without,
            without_validation=without,
            best_on_test=best_on_test(results),
            at_chance=at_chance,
            without_rerank=next(
                (r for r in results if r.variant == chosen.variant and r.rerank == "none"), chosen
            ),
            chance=example_set.random_mr,
            ties=column_constant(metrics, "ties"),
            confidence=column_constant(metrics, "confidence"),
            upper_bounds=[bound for bound in upper_bounds if bound is not None],
            reranks=list(dict.fromkeys(result.rerank for result in results)),
            comparison=compare_results(results, example_set.random_mr),
            differences=against_chosen(differences, compared_result(results)),
            published=published_results(dataset, chosen),
            mr_range=mr_range,
            panels=panels,
            folds=sorted({curve.fold for panel in panels for curve in panel.curves}),
            example_set=example_set,
            seeds=sorted({f"{seed:.0f}" for seed in metrics["seed"].dropna()}),
            splits=split_stats,
            dropped=dropped,
            region_stats=region_stats,
            drea_rows=drea_rows,
            provenance=provenance,
            recalls=RECALL_NAMES,
            others=others,
            rows=metrics[others].to_dict("records"),
        )
    )


def _templates() -> jinja2.Environment:
    """Load the templates beside this file, with the filters that format numbers."""
    templates = template_environment(TEMPLATES)
    for format_value in (format_percent, format_signed, format_count, format_cell):
        templates.filters[format_value.__name__] = format_value
    return templates


def format_percent(value: float | None, digits: int = 2) -> str:
    """Format a number with a fixed number of decimals, or a dash for None, NaN and infinities."""
    return DASH if value is None or not isfinite(value) else f"{value:.{digits}f}"


def format_signed(value: float) -> str:
    """Format a difference with its sign and two decimals."""
    return f"{value:+.2f}"


def format_count(value: float) -> str:
    """Format a count with a comma between thousands."""
    return f"{value:,.0f}"


def format_cell(value: object) -> str:
    """Format a value of metrics.csv: numbers to six digits, NaN and infinities as a dash."""
    if isinstance(value, float | int):
        return f"{value:.6g}" if isfinite(value) else DASH
    return str(value)
