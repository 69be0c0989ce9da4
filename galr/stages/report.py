"""Write the report of a dataset: one HTML file that needs no other.

IN   metrics.csv, dataset.h5, regions.h5, graphs.h5, data_report.csv,
     and <variant>/fold<k>/history.csv and similarity.h5 of every run
OUT  report.html   results with intervals, what others published, training curves,
                   retrieved examples, the data, the regions and where all of it comes from

The table of results is also printed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galr import store, versions
from galr.errors import ConfigError
from galr.report import curves, facts, metrics, table
from galr.report.curves import panels
from galr.report.examples import Scored
from galr.report.gallery import gallery, shown_run
from galr.report.origin import origin
from galr.report.page import render
from galr.report.pictures import Images, Regions
from galr.report.runs import run_of
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """What comes in, what goes out, and how much to show."""

    metrics: Path = setting("metrics.csv")
    dataset: Path = setting("dataset.h5")
    regions: Path = setting("regions.h5")
    graphs: Path = setting("graphs.h5")
    data_report: Path = setting("data_report.csv")
    histories: tuple[Path, ...] = setting("history.csv of every run, at <variant>/fold<k>/")
    similarities: tuple[Path, ...] = setting("similarity.h5 of every run, at <variant>/fold<k>/")
    examples: int = setting("queries to show in each direction", default=6)
    seed: int = setting("seed of the draw of those queries", default=0)
    output: Path = setting("report.html to write")

    def __post_init__(self) -> None:
        """Refuse what nobody can draw."""
        if self.examples < 0 or self.seed < 0:
            raise ConfigError(
                f"examples and seed are 0 or more, got {self.examples} and {self.seed}"
            )


def run(flags: Flags) -> None:
    """Read everything, write the page, print the table."""
    scores = metrics.read(flags.metrics)
    similarities = {run_of(path): path for path in flags.similarities}
    shown = shown_run(list(similarities), metrics.best(metrics.results(scores)))
    kept = _regions(flags.regions, flags.graphs)
    with store.reading(flags.dataset, store.DATASET) as dataset:
        sentences = store.texts(dataset["sentences"])
        html = render(
            scores,
            panels({run_of(path): curves.read(path) for path in flags.histories}),
            gallery(
                shown,
                _scored(similarities[shown]),
                Images(dataset["images"], store.texts(dataset["names"]), dataset["sizes"][:]),
                kept,
                count=flags.examples,
                seed=flags.seed,
            ),
            facts.splits(
                store.texts(dataset["splits"]), sentences, dataset["image_of_sentence"][:]
            ),
            facts.dropped(flags.data_report),
            facts.region_facts(kept),
            origin(
                {
                    "metrics.csv": {"sha256": versions.sha256(flags.metrics)},
                    "dataset.h5": store.provenance(dataset),
                    "regions.h5": _provenance(flags.regions, store.REGIONS),
                    "graphs.h5": _provenance(flags.graphs, store.GRAPHS),
                },
                {run: _provenance(path, store.SIMILARITY) for run, path in similarities.items()},
                versions.code(),
            ),
        )
    flags.output.parent.mkdir(parents=True, exist_ok=True)
    flags.output.write_text(html, encoding="utf-8")
    print(table.text(scores), flags.output, sep="\n\n")


def _regions(regions: Path, graphs: Path) -> Regions:
    """Read the detections and which of them the graphs keep."""
    with (
        store.reading(regions, store.REGIONS) as found,
        store.reading(graphs, store.GRAPHS) as graph,
    ):
        return Regions(
            names=store.texts(found["names"]),
            offsets=found["offsets"][:],
            boxes=found["boxes"][:],
            scores=found["scores"][:],
            classes=found["classes"][:],
            class_names=store.texts(found["class_names"]),
            kept=graph["kept"][:],
            redundant=graph["redundant"][:],
        )


def _scored(path: Path) -> Scored:
    """Read a run's similarities of the test split."""
    with store.reading(path, store.SIMILARITY) as file:
        return Scored(
            file["similarity"][:],
            store.texts(file["names"]),
            store.texts(file["sentences"]),
            file["image_of_sentence"][:],
        )


def _provenance(path: Path, layout: store.Layout) -> dict[str, Any]:
    """Read what a file says of its own making."""
    with store.reading(path, layout) as file:
        return store.provenance(file)
