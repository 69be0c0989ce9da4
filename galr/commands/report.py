"""Write the report of a dataset: one HTML file that needs no other.

IN   metrics.csv, differences.csv, dataset.h5, regions.h5, data_report.csv,
     <variant>/graphs.h5 of every variant that has graphs,
     and <variant>/fold<k>/history.csv and similarity.h5 of every run
OUT  report.html   results with intervals, published results, training curves, retrieved
                   examples, counts of the data and the regions, provenance

The table of results is also printed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galr.errors import ConfigError
from galr.options import OptionGroup, option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from galr.report.drea_summary import VariantGraphs
    from galr.report.examples_view import RunScores
    from galr.report.render_images import DetectedRegions
    from galr.report.results import RunId


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Inputs, output, and the number of examples.

    Raises:
        ConfigError: `examples` or `seed` is negative.
    """

    metrics: Path = option("metrics.csv")
    differences: Path | None = option("differences.csv", default=None)
    dataset: Path = option("dataset.h5")
    regions: Path = option("regions.h5")
    data_report: Path = option("data_report.csv")
    histories: tuple[Path, ...] = option("history.csv of every run, at <variant>/fold<k>/")
    similarities: tuple[Path, ...] = option("similarity.h5 of every run, at <variant>/fold<k>/")
    graphs: tuple[Path, ...] = option(
        "graphs.h5 of every variant that has graphs, at <variant>/", default=()
    )
    examples: int = option("queries to show in each direction", default=6)
    seed: int = option("seed with which these queries are drawn", default=0)
    output: Path = option("report.html to write")

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.examples < 0 or self.seed < 0:
            raise ConfigError(
                f"examples and seed must be 0 or more, got {self.examples} and {self.seed}"
            )


def run(options: Options) -> None:
    """Read all files, write the page and print the table."""
    # h5py, jinja2 and pandas, which --help does without
    from galr.io import formats
    from galr.io.atomic import atomic_write
    from galr.provenance import code_versions, file_sha256
    from galr.report import curves, dataset_summary, differences_view, results
    from galr.report.drea_summary import make_drea_rows
    from galr.report.examples_view import make_example_set, select_run
    from galr.report.page import render_page
    from galr.report.provenance_view import make_provenance_view
    from galr.report.render_images import DatasetImages

    metrics = results.read_metrics(options.metrics)
    similarities = {results.run_from_path(path): path for path in options.similarities}
    shown_run = select_run(
        list(similarities), results.chosen_result(results.collect_results(metrics))
    )
    regions = _read_regions(options.regions)
    graph_paths = {results.variant_from_path(path, similarities): path for path in options.graphs}
    graphs = {variant: _read_graphs(path) for variant, path in graph_paths.items()}
    drea_rows = make_drea_rows(regions, graphs)
    run_provenance = {
        run_id: formats.Similarity.read_provenance(path) for run_id, path in similarities.items()
    }
    with formats.Dataset.open(options.dataset) as dataset:
        html = render_page(
            metrics,
            []
            if options.differences is None
            else differences_view.read_differences(options.differences),
            curves.make_panels(
                {
                    results.run_from_path(path): curves.read_history(path)
                    for path in options.histories
                },
                _losses(run_provenance.items()),
            ),
            make_example_set(
                shown_run,
                _read_scores(similarities[shown_run]),
                DatasetImages(dataset.images, dataset.names, dataset.sizes[:]),
                regions,
                graphs,
                count=options.examples,
                seed=options.seed,
            ),
            dataset_summary.split_stats(
                dataset.splits, dataset.sentences, dataset.image_of_sentence[:]
            ),
            dataset_summary.read_dropped(options.data_report),
            dataset_summary.region_stats(regions),
            drea_rows,
            make_provenance_view(
                {
                    "metrics.csv": {"sha256": file_sha256(options.metrics)},
                    "dataset.h5": dataset.provenance,
                    "regions.h5": formats.Regions.read_provenance(options.regions),
                }
                | {
                    f"{variant}/graphs.h5": formats.Graphs.read_provenance(path)
                    for variant, path in graph_paths.items()
                },
                run_provenance,
                code_versions(),
            ),
        )
    with atomic_write(options.output) as partial:
        partial.write_text(html, encoding="utf-8")
    print(results.format_table(metrics), options.output, sep="\n\n")


def _read_regions(path: Path) -> "DetectedRegions":
    """Read all of regions.h5."""
    from galr.io import formats
    from galr.report.render_images import DetectedRegions

    with formats.Regions.open(path) as file:
        return DetectedRegions(
            names=file.names,
            offsets=file.offsets[:],
            boxes=file.boxes[:],
            scores=file.scores[:],
            classes=file.classes[:],
            class_names=file.class_names,
        )


def _read_graphs(path: Path) -> "VariantGraphs":
    """Read the parts of graphs.h5 that the report shows."""
    from galr.io import formats
    from galr.report.drea_summary import VariantGraphs, hash_tables

    with formats.Graphs.open(path) as file:
        return VariantGraphs(
            names=file.names,
            mask=file.mask[:],
            region_index=file.region_index[:],
            num_redundant=file.num_redundant[:],
            settings=file.provenance.get("settings", {}),
            content_hash=hash_tables(file.arrays().values()),
            path=path,
        )


def _read_scores(path: Path) -> "RunScores":
    """Read the similarity matrix of similarity.h5 and its names."""
    from galr.io import formats
    from galr.report.examples_view import RunScores

    with formats.Similarity.open(path) as file:
        return RunScores(
            file.similarity[:], file.names, file.sentences, file.image_of_sentence[:], path
        )


def _losses(provenance: "Iterable[tuple[RunId, Mapping[str, Any]]]") -> dict[str, str]:
    """Return the name of the training loss by variant, where the provenance of its runs holds it."""
    settings = {run_id.variant: each.get("settings", {}) for run_id, each in provenance}
    return {variant: each["loss"] for variant, each in settings.items() if "loss" in each}
