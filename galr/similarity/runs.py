"""Trained runs read back: the model, the files it was trained on, and the results that were stored."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import StoreError, VerifyError
from galr.evaluate.ranks import RetrievalRanks
from galr.io.formats import Dataset, Graphs, Ranks, Similarity
from galr.model.checkpoint import Checkpoint, load_checkpoint
from galr.provenance import file_sha256
from galr.targets import make_hint
from galr.train.splits import SplitData, read_folds, split_by_fold


@dataclass(frozen=True)
class TrainedRun:
    """A trained model and the files it was trained on.

    Attributes:
        checkpoint: the model.
        sha256: of checkpoint.pt.
        folder: results/<dataset>/<variant>/fold<k>.
        dataset: dataset.h5.
        graphs: graphs.h5; None for a model without a local branch.
        features: stored features of its frozen encoders, of images and of sentences; None where there are none.
        image_size: side of the dataset's stored images in pixels.
    """

    checkpoint: Checkpoint
    sha256: str
    folder: Path
    dataset: Path
    graphs: Path | None
    features: tuple[Path | None, Path | None]
    image_size: int

    @property
    def name(self) -> str:
        """Dataset, variant and fold: `rsitmd, corrected, fold 0`."""
        provenance = self.checkpoint.provenance
        return f"{provenance['dataset']}, {provenance['variant']}, fold {provenance['fold']}"

    @property
    def folds(self) -> Path:
        """The path of folds.csv."""
        return self.dataset.with_name("folds.csv")

    def splits(self) -> dict[str, SplitData]:
        """The splits `train`, `val` and `test` of its fold, by name."""
        with Dataset.open(self.dataset) as file:
            return split_by_fold(
                read_folds(self.folds),
                self.checkpoint.provenance["fold"],
                file.names,
                file.sentences,
                file.image_of_sentence[:],
            )


def open_trained_run(folder: Path, dataset: Path | None = None) -> TrainedRun:
    """Open a run, and check that the files beside it are those of its training.

    Args:
        folder: results/<dataset>/<variant>/fold<k>, which holds checkpoint.pt.
        dataset: dataset.h5, if it is not in results/<dataset>.

    Raises:
        StoreError: a file is missing, damaged, or not the one of the training.
    """
    path = folder / "checkpoint.pt"
    checkpoint = load_checkpoint(path)
    provenance = checkpoint.provenance
    resolved = folder.resolve()
    dataset = dataset or resolved.parents[1] / "dataset.h5"
    graphs = resolved.parent / "graphs.h5" if provenance["graphs_sha256"] else None
    with Dataset.open(dataset) as file:
        image_size = int(file.images.shape[1])
    check_sha256(dataset, provenance["dataset_sha256"], path)
    if graphs is not None:
        with Graphs.open(graphs):
            check_sha256(graphs, provenance["graphs_sha256"], path)
    stored = [name and dataset.parent / "features" / name for name in provenance["features"]]
    image_features, text_features = (
        each if each is not None and each.is_file() else None for each in stored
    )
    features = (image_features, text_features)
    return TrainedRun(checkpoint, file_sha256(path), folder, dataset, graphs, features, image_size)


def check_sha256(path: Path, expected: str, checkpoint: Path) -> None:
    """Check that a file is the one that a checkpoint was trained on.

    Raises:
        StoreError: its hash differs.
    """
    if (actual := file_sha256(path)) != expected:
        raise StoreError(
            f"{path} is not the file that {checkpoint} was trained on (sha256 {actual[:12]}, expected"
            f" {expected[:12]}); run snakemake for {checkpoint}, or restore the run's own files"
        )


@dataclass(frozen=True, eq=False)
class StoredRun:
    """The results that the pipeline stored for a run.

    Attributes:
        similarity_path: similarity.h5.
        ranks_path: ranks.h5.
        metrics_path: metrics.csv.
        encoding: how similarity.h5 was computed: device, threads, batch.
        provenance: of ranks.h5.
        image_of_sentence: (sentences,) int, image of each sentence of the test split.
        ranks_by_rerank: the stored ranks.
        metric_rows: the rows of metrics.csv, cells as text.
    """

    similarity_path: Path
    ranks_path: Path
    metrics_path: Path
    encoding: Mapping[str, Any]
    provenance: Mapping[str, Any]
    image_of_sentence: np.ndarray
    ranks_by_rerank: Mapping[str, RetrievalRanks]
    metric_rows: list[dict[str, str]]


def open_stored(run: TrainedRun) -> StoredRun:
    """Read a run's results, and check that each file follows from the one before it.

    Raises:
        StoreError: a file is missing or damaged, or lacks a part of its provenance.
        VerifyError: a file was computed from another one than is stored beside it.
    """
    similarity, ranks = run.folder / "similarity.h5", run.folder / "ranks.h5"
    metrics = run.folder / "metrics.csv"
    with Similarity.open(similarity) as file:
        similarity_provenance = file.provenance
    with Ranks.open(ranks) as file:
        provenance = file.provenance
        image_of_sentence = file.image_of_sentence[:]
        ranks_by_rerank = {
            rerank: RetrievalRanks(**file.reranks[rerank].arrays())
            for rerank in provenance["reranks"]
        }
    _check_provenance(similarity, similarity_provenance, "encoded", "checkpoint_sha256")
    _check_provenance(ranks, provenance, "evaluated", "similarity_sha256")
    _check_source(
        similarity, similarity_provenance["checkpoint_sha256"], run.folder / "checkpoint.pt"
    )
    _check_source(ranks, provenance["similarity_sha256"], similarity)
    return StoredRun(
        similarity,
        ranks,
        metrics,
        similarity_provenance["encoded"],
        provenance,
        image_of_sentence,
        ranks_by_rerank,
        read_metric_rows(metrics),
    )


def read_metric_rows(metrics: Path) -> list[dict[str, str]]:
    """Read the rows of metrics.csv, cells as text.

    Raises:
        StoreError: the file does not exist.
    """
    if not metrics.is_file():
        raise StoreError(f"{metrics} does not exist; {make_hint(metrics, 'galr evaluate')}")
    with metrics.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return list(csv.DictReader(file))


def _check_provenance(path: Path, provenance: Mapping[str, Any], *keys: str) -> None:
    """Check that a file's provenance has some keys."""
    if missing := [key for key in keys if key not in provenance]:
        raise StoreError(
            f"{path} has no {', '.join(missing)} in its provenance; delete it and run snakemake again"
        )


def _check_source(path: Path, expected: str, source: Path) -> None:
    """Check that a file was computed from the source that is stored beside it."""
    if (actual := file_sha256(source)) != expected:
        raise VerifyError(
            f"{path} was computed from another {source.name} than {source} (sha256 {expected[:12]}, now"
            f" {actual[:12]}); one of them was changed: delete {path} and run snakemake again"
        )
