"""Put the page together: values in, one self-contained HTML text out."""

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
        metrics: as `galr.report.results.read` returns it.
        panels: training curves.
        gallery: queries and what was found for them.
        splits: counts of the data.
        dropped: what was left out of the data.
        regions: counts of the detections.
        outcomes: what every variant's graphs made of them.
        origin: where the files come from.

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
            range_of=mr_range,
            panels=panels,
            folds=sorted({line.fold for panel in panels for line in panel.curves}),
            gallery=example_set,
            seeds=sorted({f"{seed:.0f}" for seed in metrics["seed"].dropna()}),
            splits=split_stats,
            dropped=dropped,
            regions=region_stats,
            outcomes=drea_rows,
            origin=provenance,
            recalls=RECALL_NAMES,
            others=others,
            rows=metrics[others].to_dict("records"),
        )
    )


def _templates() -> jinja2.Environment:
    """The templates beside this file, and how they print numbers."""
    templates = template_environment(TEMPLATES)
    templates.filters |= {"points": format_percent, "thousands": format_count, "cell": format_cell}
    return templates


def format_percent(value: float | None, digits: int = 2) -> str:
    """A percentage or a rank as it is printed; a dash where there is none."""
    return DASH if value is None or not isfinite(value) else f"{value:.{digits}f}"


def format_count(value: float) -> str:
    """A count with its thousands set apart."""
    return f"{value:,.0f}"


def format_cell(value: object) -> str:
    """Anything a column of metrics.csv may hold: numbers to six digits, a dash where there is none."""
    if isinstance(value, float | int):
        return f"{value:.6g}" if isfinite(value) else DASH
    return str(value)
