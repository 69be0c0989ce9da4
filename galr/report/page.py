"""Put the page together: values in, one self-contained HTML text out."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

import jinja2
import pandas as pd

from galr.evaluate.metrics import RECALL_NAMES
from galr.io.html import template_environment
from galr.report.curves import Panel
from galr.report.facts import Dropped, RegionFacts, Split
from galr.report.gallery import Gallery
from galr.report.graphs import Outcomes
from galr.report.intervals import comparison
from galr.report.metrics import best, results, told
from galr.report.origin import Origin
from galr.report.peers import peers, range_of

TEMPLATES = Path(__file__).parent
SHOWN = (*RECALL_NAMES, "mr", "mr_low", "mr_high", "i2t_medr", "t2i_medr")
CEILINGS = tuple(f"ceiling_{column}" for column in RECALL_NAMES if column.startswith("t2i"))
DASH = "\N{EN DASH}"


def render(
    metrics: pd.DataFrame,
    panels: Sequence[Panel],
    gallery: Gallery,
    splits: Sequence[Split],
    dropped: Sequence[Dropped],
    regions: RegionFacts,
    outcomes: Outcomes,
    origin: Origin,
) -> str:
    """Write the report.

    Args:
        metrics: as `galr.report.metrics.read` returns it.
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
    found = results(metrics)
    leader = best(found)
    dataset = str(metrics["dataset"].iloc[0])
    others = [column for column in metrics if column not in (*SHOWN, "dataset")]
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
            chance=gallery.chance,
            ties=told(metrics, "ties"),
            confidence=told(metrics, "confidence"),
            ceilings=[
                most for most in (told(metrics, name) for name in CEILINGS) if most is not None
            ],
            reranks=list(dict.fromkeys(result.rerank for result in found)),
            comparison=comparison(found, gallery.chance),
            peers=peers(dataset, leader),
            range_of=range_of,
            panels=panels,
            folds=sorted({line.fold for panel in panels for line in panel.lines}),
            gallery=gallery,
            seeds=sorted({f"{seed:.0f}" for seed in metrics["seed"].dropna()}),
            splits=splits,
            dropped=dropped,
            regions=regions,
            outcomes=outcomes,
            origin=origin,
            recalls=RECALL_NAMES,
            others=others,
            rows=metrics[others].to_dict("records"),
        )
    )


def _templates() -> jinja2.Environment:
    """The templates beside this file, and how they print numbers."""
    templates = template_environment(TEMPLATES)
    templates.filters |= {"points": points, "thousands": thousands, "cell": cell}
    return templates


def points(value: float | None, digits: int = 2) -> str:
    """A percentage or a rank as it is printed; a dash where there is none."""
    return DASH if value is None or not isfinite(value) else f"{value:.{digits}f}"


def thousands(value: float) -> str:
    """A count with its thousands set apart."""
    return f"{value:,.0f}"


def cell(value: object) -> str:
    """Anything a column of metrics.csv may hold: numbers to six digits, a dash where there is none."""
    if isinstance(value, float | int):
        return f"{value:.6g}" if isfinite(value) else DASH
    return str(value)
