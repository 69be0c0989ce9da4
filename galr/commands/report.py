"""Write the report of a dataset: one HTML file that needs no other.

IN   metrics.csv, dataset.h5, regions.h5, data_report.csv,
     <variant>/graphs.h5 of every variant that looks at regions,
     and <variant>/fold<k>/history.csv and similarity.h5 of every run
OUT  report.html   results with intervals, what others published, training curves,
                   retrieved examples, the data, the regions and where all of it comes from

The table of results is also printed.
"""

from dataclasses import dataclass
from pathlib import Path

from galr.errors import ConfigError
from galr.io import formats
from galr.io.atomic import atomic_write
from galr.options import OptionGroup, option
from galr.provenance import code_versions, file_sha256
from galr.report import curves, facts, metrics, table
from galr.report.curves import panels
from galr.report.examples import Scored
from galr.report.gallery import gallery, shown_run
from galr.report.graphs import Graphs, content, outcomes
from galr.report.origin import origin
from galr.report.page import render
from galr.report.pictures import Images, Regions
from galr.report.runs import run_of, variant_of


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What comes in, what goes out, and how much to show."""

    metrics: Path = option("metrics.csv")
    dataset: Path = option("dataset.h5")
    regions: Path = option("regions.h5")
    data_report: Path = option("data_report.csv")
    histories: tuple[Path, ...] = option("history.csv of every run, at <variant>/fold<k>/")
    similarities: tuple[Path, ...] = option("similarity.h5 of every run, at <variant>/fold<k>/")
    graphs: tuple[Path, ...] = option(
        "graphs.h5 of every variant that looks at regions, at <variant>/", default=()
    )
    examples: int = option("queries to show in each direction", default=6)
    seed: int = option("seed of the draw of those queries", default=0)
    output: Path = option("report.html to write")

    def __post_init__(self) -> None:
        """Refuse what nobody can draw."""
        if self.examples < 0 or self.seed < 0:
            raise ConfigError(
                f"examples and seed are 0 or more, got {self.examples} and {self.seed}"
            )


def run(options: Options) -> None:
    """Read everything, write the page, print the table."""
    scores = metrics.read(options.metrics)
    similarities = {run_of(path): path for path in options.similarities}
    shown = shown_run(list(similarities), metrics.best(metrics.results(scores)))
    regions = _regions(options.regions)
    graphs = {variant_of(path, similarities): path for path in options.graphs}
    made = {variant: _graphs(path) for variant, path in graphs.items()}
    became = outcomes(regions, made)
    with formats.Dataset.open(options.dataset) as dataset:
        sentences = dataset.sentences
        html = render(
            scores,
            panels({run_of(path): curves.read(path) for path in options.histories}),
            gallery(
                shown,
                _scored(similarities[shown]),
                Images(dataset.images, dataset.names, dataset.sizes[:]),
                regions,
                made,
                count=options.examples,
                seed=options.seed,
            ),
            facts.splits(dataset.splits, sentences, dataset.image_of_sentence[:]),
            facts.dropped(options.data_report),
            facts.region_facts(regions),
            became,
            origin(
                {
                    "metrics.csv": {"sha256": file_sha256(options.metrics)},
                    "dataset.h5": dataset.provenance,
                    "regions.h5": formats.Regions.read_provenance(options.regions),
                }
                | {
                    f"{variant}/graphs.h5": formats.Graphs.read_provenance(path)
                    for variant, path in graphs.items()
                },
                {
                    run: formats.Similarity.read_provenance(path)
                    for run, path in similarities.items()
                },
                code_versions(),
            ),
        )
    with atomic_write(options.output) as partial:
        partial.write_text(html, encoding="utf-8")
    print(table.text(scores), options.output, sep="\n\n")


def _regions(path: Path) -> Regions:
    """Read the detections."""
    with formats.Regions.open(path) as file:
        return Regions(
            names=file.names,
            offsets=file.offsets[:],
            boxes=file.boxes[:],
            scores=file.scores[:],
            classes=file.classes[:],
            class_names=file.class_names,
        )


def _graphs(path: Path) -> Graphs:
    """Read what a variant's graphs tell of the regions."""
    with formats.Graphs.open(path) as file:
        return Graphs(
            names=file.names,
            mask=file.mask[:],
            kept=file.region_index[:],
            redundant=file.num_redundant[:],
            settings=file.provenance.get("settings", {}),
            content=content(file.arrays().values()),
        )


def _scored(path: Path) -> Scored:
    """Read a run's similarities of the test split."""
    with formats.Similarity.open(path) as file:
        return Scored(
            file.similarity[:],
            file.names,
            file.sentences,
            file.image_of_sentence[:],
        )
