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

from galr import provenance, store
from galr.devices import resolve_device
from galr.errors import ConfigError
from galr.model.galr import GaLR
from galr.options import OptionGroup, option
from galr.search import index as indices
from galr.search.looking import Looker
from galr.search.making import Change, update
from galr.search.nearest import Kind
from galr.search.runs import refuse_other, write_text_side
from galr.search.sources import Dataset, Folder, Source
from galr.search.tiles import Tiling
from galr.similarity.runs import TrainedRun, open_trained_run
from galr.train.embed import GraphStore


@dataclass(frozen=True, kw_only=True)
class Flags(OptionGroup):
    """Which model, which pictures, how they are cut, and where to compute."""

    run: Path = option("results/<dataset>/<variant>/fold<k>, the run whose model embeds")
    output: Path = option("the folder of the index, new or one that this run made")
    folder: Path | None = option("pictures to index; none takes the dataset's", default=None)
    dataset: Path | None = option(
        "the run's dataset.h5, if it does not lie beside it", default=None
    )
    ann: Kind | None = option("kind of the FAISS index; none keeps it, or is flat", default=None)
    tile: int = option("side of a tile, pixels", default=256)
    overlap: float = option(
        "least share of a tile's side that neighbours have in common", default=0.25
    )
    whole: int = option("a picture is not cut up to this longer side, pixels", default=512)
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
        return Tiling(self.tile, self.overlap, self.whole)


def run(flags: Flags) -> None:
    """Open the run and the pictures, bring the index up to date, say what changed."""
    torch.set_num_threads(flags.threads)
    faiss.omp_set_num_threads(flags.threads)
    device = resolve_device(flags.device)
    made_by = open_trained_run(flags.run, flags.dataset)
    model = made_by.checkpoint.build_model().to(device)
    if (flags.output / indices.ABOUT).exists():
        known = indices.read_about(flags.output)["model"]
        refuse_other(made_by, known["checkpoint_sha256"], known["name"], flags.output)
    with source(flags, made_by, model, device) as pictures:
        if not (flags.output / indices.ABOUT).exists():
            write_text_side(flags.output, made_by, model, batch=flags.batch, device=device)
        origin = {
            "model": {
                "name": made_by.name,
                "checkpoint_sha256": made_by.sha256,
                "run": indices.relative(made_by.folder, flags.output),
            },
            "versions": provenance.code_versions(),
        }
        change = update(flags.output, pictures, made_by.sha256, origin, flags.ann)
    print(said(change, flags.output), file=sys.stderr)


@contextmanager
def source(
    flags: Flags, made_by: TrainedRun, model: GaLR, device: torch.device
) -> Iterator[Source]:
    """Open the pictures that are asked for, and what embeds them."""
    crop = made_by.checkpoint.architecture["crop"]
    if flags.folder is not None:
        finder = None
        if made_by.graphs is not None:
            from galr.search.finding import open_finder  # loads mmdet

            finder = open_finder(made_by.graphs, flags.detector, flags.weights, device)
        looker = Looker(model, finder, made_by.image_size, crop, device)
        yield Folder(flags.folder, looker, flags.tiling(), flags.batch)
        return
    with store.reading(made_by.dataset, store.DATASET) as file:
        names = store.texts(file["names"])
        yield Dataset(
            made_by.dataset,
            file["images"],
            names,
            file["sizes"][:],
            GraphStore.open(made_by.graphs, names),
            Looker(model, None, made_by.image_size, crop, device),
            flags.batch,
        )


def said(change: Change, output: Path) -> str:
    """One line of what a run did, another one of what was skipped."""
    recall = change.ann["recall"]
    exact = "exact" if change.ann["kind"] == "flat" else f"recall@10 {recall['at_10']:.3f}"
    lines = [
        f"{output}: {change.names} pictures in {change.rows} tiles; of the distinct ones"
        f" {change.new} new, {change.kept} kept, {change.gone} gone; {change.ann['kind']}, {exact}"
        + (f" of {recall['queries']} {recall['of']}" if exact != "exact" else "")
    ]
    if change.skipped:
        lines.append(
            f"could not be read and were skipped: {len(change.skipped)}, listed in"
            f" {output / indices.SKIPPED}"
        )
    return "\n".join(lines)
