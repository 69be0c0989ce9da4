"""Embed a dataset's images, or any folder of pictures, into an index that `galr search` looks into.

IN   results/<dataset>/<variant>/fold<k>   a run: its checkpoint, and beside it dataset.h5, folds.csv and,
                                           for a model with a local branch, graphs.h5
     --folder                              pictures of any size below it; without, all of the dataset's
                                           images, as they were stored and with the graphs they were given
OUT  a folder: embeddings.npy, vectors.faiss and names.h5 in a generation, index.json which says what they
     are, the model's text side, and skipped.csv of what could not be read

  galr index --run results/rsitmd/corrected/fold0 --output index
  galr index --run results/rsitmd/corrected/fold0 --output index --folder my_images

A picture whose longer side is over --whole pixels is cut into overlapping tiles; of a GeoTIFF only a tile is
in memory at a time, and coordinates are kept. A smaller one is embedded whole. Bands of 16 bits are read over
their full range: rasters that use 11 or 12 of them come out nearly black, and are to be scaled before. Regions
are found by the same detector and linked by DREA with the same settings as in training; all is checked against
its hash.

Given an index that is there, the same source is brought up to date: new and changed pictures are embedded,
those that are gone are forgotten, all others are kept; cut in another way, all count as changed. A second
folder comes beside the first. What cannot be read is skipped and listed. Interrupted work goes on where it
stopped, to the same bits.

--ann flat is exact; past a million rows hnsw is faster and ivfpq smaller, and recall@10 of either is
measured and said. All kinds are made from embeddings.npy: to change the kind embeds nothing.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import faiss
import torch

from galr import store
from galr.devices import resolve_device
from galr.errors import ConfigError
from galr.model.galr import GaLR
from galr.options import OptionGroup, option
from galr.provenance import code_versions
from galr.search import index as indices
from galr.search.build import UpdateSummary, update_index
from galr.search.index import check_same_run, write_query_files
from galr.search.rasters import Tiling
from galr.search.sources import DatasetSource, FolderSource, ImageSource
from galr.search.tile_encoder import TileEncoder
from galr.search.vector_index import IndexKind
from galr.similarity.runs import TrainedRun, open_trained_run
from galr.train.graph_store import GraphStore


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which model, which pictures, how they are cut, and where to compute."""

    run: Path = option("results/<dataset>/<variant>/fold<k>, the run whose model embeds")
    output: Path = option("the folder of the index, new or one that this run made")
    folder: Path | None = option("pictures to index; none takes the dataset's", default=None)
    dataset: Path | None = option(
        "the run's dataset.h5, if it does not lie beside it", default=None
    )
    ann: IndexKind | None = option(
        "kind of the FAISS index; none keeps it, or is flat", default=None
    )
    tile: int = option("side of a tile, pixels", default=256)
    overlap: float = option(
        "least share of a tile's side that neighbours have in common", default=0.25
    )
    max_untiled: int = option("a picture is not cut up to this longer side, pixels", default=512)
    detector: Path | None = option(
        "the detector file; none is config/detectors/<name>.yaml", default=None
    )
    weights: Path | None = option(
        "the detector's weights; none is what its file names, or"
        " resources/detectors/<name>/checkpoint.pth",
        default=None,
    )
    batch: int = option("tiles at a time", default=32)
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)

    def __post_init__(self) -> None:
        """Refuse what no picture could be cut by, or nothing embedded with."""
        self.tiling()
        for name in ("batch", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be at least 1, got {getattr(self, name)}")

    def tiling(self) -> Tiling:
        """How pictures are cut."""
        return Tiling(self.tile, self.overlap, self.max_untiled)


def run(options: Options) -> None:
    """Open the run and the pictures, bring the index up to date, say what changed."""
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    device = resolve_device(options.device)
    trained_run = open_trained_run(options.run, options.dataset)
    model = trained_run.checkpoint.build_model().to(device)
    if (options.output / indices.MANIFEST).exists():
        known = indices.read_manifest(options.output)["model"]
        check_same_run(trained_run, known["checkpoint_sha256"], known["name"], options.output)
    with open_source(options, trained_run, model, device) as pictures:
        if not (options.output / indices.MANIFEST).exists():
            write_query_files(
                options.output, trained_run, model, batch=options.batch, device=device
            )
        origin = {
            "model": {
                "name": trained_run.name,
                "checkpoint_sha256": trained_run.sha256,
                "run": indices.relative_path(trained_run.folder, options.output),
            },
            "versions": code_versions(),
        }
        summary = update_index(options.output, pictures, trained_run.sha256, origin, options.ann)
    print(format_summary(summary, options.output), file=sys.stderr)


@contextmanager
def open_source(
    options: Options, trained_run: TrainedRun, model: GaLR, device: torch.device
) -> Iterator[ImageSource]:
    """Open the pictures that are asked for, and what embeds them."""
    crop = trained_run.checkpoint.architecture["crop"]
    if options.folder is not None:
        finder = None
        if trained_run.graphs is not None:
            from galr.search.tile_encoder import load_region_detector  # loads mmdet

            finder = load_region_detector(
                trained_run.graphs, options.detector, options.weights, device
            )
        looker = TileEncoder(model, finder, trained_run.image_size, crop, device)
        yield FolderSource(options.folder, looker, options.tiling(), options.batch)
        return
    with store.reading(trained_run.dataset, store.DATASET) as file:
        names = store.texts(file["names"])
        yield DatasetSource(
            trained_run.dataset,
            file["images"],
            names,
            file["sizes"][:],
            GraphStore.open(trained_run.graphs, names),
            TileEncoder(model, None, trained_run.image_size, crop, device),
            options.batch,
        )


def format_summary(summary: UpdateSummary, output: Path) -> str:
    """One line of what a run did, another one of what was skipped."""
    recall = summary.ann["recall"]
    exact = "exact" if summary.ann["kind"] == "flat" else f"recall@10 {recall['at_10']:.3f}"
    lines = [
        f"{output}: {summary.names} pictures in {summary.rows} tiles; of the distinct ones"
        f" {summary.new} new, {summary.kept} kept, {summary.removed} gone; {summary.ann['kind']}, {exact}"
        + (f" of {recall['queries']} {recall['of']}" if exact != "exact" else "")
    ]
    if summary.skipped:
        lines.append(
            f"could not be read and were skipped: {len(summary.skipped)}, listed in"
            f" {output / indices.SKIPPED}"
        )
    return "\n".join(lines)
