"""Embed the images of a dataset, or of any folder, into an index for `galr search`.

IN   results/<dataset>/<variant>/fold<k>   a run: its checkpoint, and beside it dataset.h5, folds.csv and,
                                           for a model with a local branch, graphs.h5
     --folder                              images of any size below it; without it, all images of the dataset,
                                           as stored and with the run's graphs
OUT  a folder: index.json, which describes it; embeddings.npy, vectors.faiss and names.h5 in a subfolder;
     the model's text encoder; and skipped.csv, the images that could not be read

  galr index --run results/rsitmd/corrected/fold0 --output index
  galr index --run results/rsitmd/corrected/fold0 --output index --folder my_images

An image with a longer side of more than --max-untiled pixels is cut into overlapping tiles; smaller ones are
embedded whole. A GeoTIFF is read tile by tile, and its coordinates are kept. Images of more than 8 bits are
stretched between percentiles 2 and 98 of each band, all tiles of an image alike, or between the values of
--range; a line says what was done, and the index remembers --bands and --range.

Regions are detected by the same detector and linked by DREA with the same settings as in training; the hashes of
all files are checked. The detector's files are found in the run's workflow, whatever the current folder is.

An index that exists is brought up to date with the same source: new and changed images are embedded, missing
ones are removed, all others are kept. With another tiling all images count as changed. A second folder is added
to the first. Images that cannot be read are skipped and listed. An interrupted run continues where it stopped,
with the same result to the bit.

--ann flat is exact; beyond a million images hnsw is faster and ivfpq smaller, and their recall@10 is measured and
printed. Changing the kind embeds nothing again.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from galr.errors import ConfigError, DataError, StoreError
from galr.io.pixel_options import PixelOptions
from galr.options import OptionGroup, option
from galr.search import MANIFEST, IndexKind
from galr.targets import make_hint

if TYPE_CHECKING:  # so that --help starts without torch
    import torch

    from galr.model.galr import GaLR
    from galr.search.build import UpdateSummary
    from galr.search.sources import ImageSource
    from galr.search.windows import Tiling
    from galr.similarity.runs import TrainedRun


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The model, the images, their tiling, and the device."""

    run: Path = option("results/<dataset>/<variant>/fold<k>, the run with the model")
    output: Path = option("folder of the index, new or made by the same run")
    folder: Path | None = option("images to index; none takes the dataset's", default=None)
    dataset: Path | None = option("the run's dataset.h5, if it is elsewhere", default=None)
    ann: IndexKind | None = option(
        "kind of the FAISS index; none keeps the kind of the index, or is flat", default=None
    )
    tile: int = option("side of a tile, pixels", default=256)
    overlap: float = option(
        "smallest fraction of a tile's side that neighbours share", default=0.25
    )
    max_untiled: int = option("longest side of an image that is not cut, pixels", default=512)
    bands: tuple[int, ...] | None = option(
        "for --folder: numbers of the bands for red, green and blue of TIFFs, or of one for grey; none reads"
        " them as the run's dataset, which leaves it to each file unless it says otherwise",
        default=None,
    )
    range: tuple[float, ...] | None = option(
        "for --folder: the values that become black and white where images have more than 8 bits; none reads"
        " them as the run's dataset, by percentiles of each image unless it says otherwise",
        default=None,
    )
    detector: Path | None = option(
        "the detector file; none is config/detectors/<name>.yaml of the run's workflow",
        default=None,
    )
    weights: Path | None = option(
        "the detector's weights; none is the file named in the detector file, or"
        " resources/detectors/<name>/checkpoint.pth, of the run's workflow",
        default=None,
    )
    batch: int = option("tiles at a time", default=32)
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)

    def __post_init__(self) -> None:
        """Check the values."""
        self.tiling()
        PixelOptions(self.bands, self.range)
        if self.folder is None and (self.bands, self.range) != (None, None):
            raise ConfigError(
                "--bands and --range say how the images of --folder are read; those of a dataset are stored,"
                " so give bands and range in its file"
            )
        for name in ("batch", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be at least 1, got {getattr(self, name)}")

    def tiling(self) -> "Tiling":
        """How large images are cut."""
        from galr.search.windows import Tiling

        return Tiling(self.tile, self.overlap, self.max_untiled)

    def pixels(self, trained_run: "TrainedRun") -> PixelOptions:
        """How the images are read: as asked, else as those of the run's dataset were."""
        stored = PixelOptions.from_dict(trained_run.checkpoint.provenance.get("pixels"))
        return stored.override(self.bands, self.range)


def run(options: Options) -> None:
    """Open the run and the images, bring the index up to date, print what changed."""
    check_folders(options)
    import faiss
    import torch

    from galr.devices import resolve_device
    from galr.provenance import code_versions
    from galr.search.build import update_index
    from galr.search.index import check_same_run, read_manifest, relative_path
    from galr.search.text_query import write_query_files
    from galr.similarity.runs import open_trained_run

    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    device = resolve_device(options.device)
    trained_run = open_trained_run(options.run, options.dataset)
    model = trained_run.checkpoint.build_model().to(device)
    exists = (options.output / MANIFEST).exists()
    if exists:
        check_same_run(trained_run, read_manifest(options.output), options.output)
    with open_source(options, trained_run, model, device) as source:
        if not exists:
            write_query_files(
                options.output, trained_run, model, batch_size=options.batch, device=device
            )
        provenance = {
            "model": {
                "name": trained_run.name,
                "checkpoint_sha256": trained_run.sha256,
                "run": relative_path(trained_run.folder, options.output),
            },
            "versions": code_versions(),
        }
        summary = update_index(options.output, source, trained_run.sha256, provenance, options.ann)
        for line in source.readings.lines():
            print(f"{options.output}: {line}", file=sys.stderr)
    print(format_summary(summary, options.output), file=sys.stderr)


def check_folders(options: Options) -> None:
    """Check that the run and the folder are there, before anything is loaded.

    Raises:
        StoreError: there is no checkpoint of a run.
        DataError: the folder of images is missing.
    """
    checkpoint = options.run / "checkpoint.pt"
    if not checkpoint.is_file():
        raise StoreError(f"no checkpoint at {checkpoint}; {make_hint(checkpoint, 'galr train')}")
    if options.folder is not None and not options.folder.is_dir():
        raise DataError(f"{options.folder} is no folder; give one that holds images")


@contextmanager
def open_source(
    options: Options, trained_run: "TrainedRun", model: "GaLR", device: "torch.device"
) -> Iterator["ImageSource"]:
    """Open the folder or the dataset, with the encoder of its images."""
    from galr.io.formats import Dataset
    from galr.io.pixel_options import PixelOptions
    from galr.search.region_detector import load_region_detector
    from galr.search.sources import DatasetSource, FolderSource
    from galr.search.tile_encoder import TileEncoder
    from galr.train.graph_store import GraphStore

    if options.folder is not None:
        detector = load_region_detector(
            trained_run.graphs, options.detector, options.weights, device, options.run
        )
        encoder = TileEncoder.from_run(trained_run, model, detector, device)
        yield FolderSource(
            options.folder, encoder, options.tiling(), options.batch, options.pixels(trained_run)
        )
        return
    with Dataset.open(trained_run.dataset) as dataset:
        names = dataset.names
        yield DatasetSource(
            trained_run.dataset,
            dataset.images,
            names,
            dataset.sizes[:],
            GraphStore.open(trained_run.graphs, names),
            TileEncoder.from_run(trained_run, model, None, device),
            options.batch,
            PixelOptions.from_dict(dataset.provenance.get("pixels")),
        )


def format_summary(summary: "UpdateSummary", output: Path) -> str:
    """One line about the index and what changed, and another about skipped images."""
    from galr.search.index import SKIPPED

    kind, recall = summary.ann["kind"], summary.ann["recall"]
    quality = "exact"
    if kind != "flat":
        quality = f"recall@10 {recall['at_10']:.3f} of {recall['queries']} {recall['of']}"
    text = (
        f"{output}: {summary.names} images in {summary.rows} tiles; distinct images:"
        f" {summary.new} new, {summary.kept} kept, {summary.removed} removed; {kind}, {quality}"
    )
    if summary.skipped:
        text += f"\n{len(summary.skipped)} images could not be read; they are listed in {output / SKIPPED}"
    return text
