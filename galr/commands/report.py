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
from galr.report import curves, dataset_summary, results
from galr.report.curves import make_panels
from galr.report.drea_summary import VariantGraphs, hash_tables, make_drea_rows
from galr.report.examples_view import RunScores, make_example_set, select_run
from galr.report.page import render_page
from galr.report.provenance_view import make_provenance_view
from galr.report.render_images import DatasetImages, DetectedRegions
from galr.report.results import run_from_path, variant_from_path


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
    scores = results.read_metrics(options.metrics)
    similarities = {run_from_path(path): path for path in options.similarities}
    shown = select_run(list(similarities), results.best_result(results.collect_results(scores)))
    regions = _regions(options.regions)
    graphs = {variant_from_path(path, similarities): path for path in options.graphs}
    made = {variant: _graphs(path) for variant, path in graphs.items()}
    became = make_drea_rows(regions, made)
    with formats.Dataset.open(options.dataset) as dataset:
        sentences = dataset.sentences
        html = render_page(
            scores,
            make_panels(
                {run_from_path(path): curves.read_history(path) for path in options.histories}
            ),
            make_example_set(
                shown,
                _scored(similarities[shown]),
                DatasetImages(dataset.images, dataset.names, dataset.sizes[:]),
                regions,
                made,
                count=options.examples,
                seed=options.seed,
            ),
            dataset_summary.split_stats(dataset.splits, sentences, dataset.image_of_sentence[:]),
            dataset_summary.read_dropped(options.data_report),
            dataset_summary.region_stats(regions),
            became,
            make_provenance_view(
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
    print(results.format_table(scores), options.output, sep="\n\n")


def _regions(path: Path) -> DetectedRegions:
    """Read the detections."""
    with formats.Regions.open(path) as file:
        return DetectedRegions(
            names=file.names,
            offsets=file.offsets[:],
            boxes=file.boxes[:],
            scores=file.scores[:],
            classes=file.classes[:],
            class_names=file.class_names,
        )


def _graphs(path: Path) -> VariantGraphs:
    """Read what a variant's graphs tell of the regions."""
    with formats.Graphs.open(path) as file:
        return VariantGraphs(
            names=file.names,
            mask=file.mask[:],
            region_index=file.region_index[:],
            num_redundant=file.num_redundant[:],
            settings=file.provenance.get("settings", {}),
            content_hash=hash_tables(file.arrays().values()),
        )


def _scored(path: Path) -> RunScores:
    """Read a run's similarities of the test split."""
    with formats.Similarity.open(path) as file:
        return RunScores(
            file.similarity[:],
            file.names,
            file.sentences,
            file.image_of_sentence[:],
        )
