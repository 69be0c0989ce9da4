"""The page of the report: values in, one self-contained HTML text out."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import jinja2
import pandas as pd

from galr.evaluate.metrics import RECALL_NAMES
from galr.io.html import template_environment
from galr.report.comparison import compare_results
from galr.report.curves import Panel
from galr.report.dataset_summary import DroppedItems, RegionStats, SplitStats
from galr.report.drea_summary import DreaRows
from galr.report.examples_view import ExampleSet
from galr.report.provenance_view import ProvenanceView
from galr.report.published_results import mr_range, published_results
from galr.report.results import best_result, collect_results, column_constant

TEMPLATES = Path(__file__).parent
SHOWN_COLUMNS = (*RECALL_NAMES, "mr", "mr_low", "mr_high", "i2t_medr", "t2i_medr")
UPPER_BOUND_COLUMNS = tuple(
    f"ceiling_{column}" for column in RECALL_NAMES if column.startswith("t2i")
)
DASH = "\N{EN DASH}"


def render_page(
    metrics: pd.DataFrame,
    panels: Sequence[Panel],
    example_set: ExampleSet,
    split_stats: Sequence[SplitStats],
    dropped: Sequence[DroppedItems],
    region_stats: RegionStats,
    drea_rows: DreaRows,
    provenance: ProvenanceView,
) -> str:
    """Write the report.

    Args:
        metrics: as `galr.report.results.read_metrics` returns it.
        panels: training curves.
        example_set: queries with their candidates.
        split_stats: counts of each split.
        dropped: items that were left out of the data.
        region_stats: counts of the detected regions.
        drea_rows: counts of the regions in the graphs of each variant.
        provenance: of all files.

    Returns:
        HTML that needs no other file and no network.
    """
    found = collect_results(metrics)
    leader = best_result(found)
    dataset = str(metrics["dataset"].iloc[0])
    others = [column for column in metrics if column not in (*SHOWN_COLUMNS, "dataset")]
    return (
        _templates()
        .get_template("report.html")
        .render(
            dataset=dataset,
            found=found,
            leader=leader,
            plain=next(
                (r for r in found if r.variant == leader.variant and r.rerank == "none"), leader
            ),
            chance=example_set.random_mr,
            ties=column_constant(metrics, "ties"),
            confidence=column_constant(metrics, "confidence"),
            ceilings=[
                most
                for most in (column_constant(metrics, name) for name in UPPER_BOUND_COLUMNS)
                if most is not None
            ],
            reranks=list(dict.fromkeys(result.rerank for result in found)),
            comparison=compare_results(found, example_set.random_mr),
            peers=published_results(dataset, leader),
            mr_range=mr_range,
            panels=panels,
            folds=sorted({line.fold for panel in panels for line in panel.curves}),
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
    for format_value in (format_percent, format_count, format_cell):
        templates.filters[format_value.__name__] = format_value
    return templates


def format_percent(value: float | None, digits: int = 2) -> str:
    """Format a percentage or a rank; a dash where there is none."""
    return DASH if value is None or not isfinite(value) else f"{value:.{digits}f}"


def format_count(value: float) -> str:
    """Format a count with a comma between thousands."""
    return f"{value:,.0f}"


def format_cell(value: object) -> str:
    """Format a value of metrics.csv: numbers to six digits, a dash where there is none."""
    if isinstance(value, float | int):
        return f"{value:.6g}" if isfinite(value) else DASH
    return str(value)
