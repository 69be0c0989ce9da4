"""What a training left, and what it was trained on: found beside it, and held against its hashes."""

from dataclasses import dataclass
from pathlib import Path

from galr import provenance, store
from galr.errors import StoreError
from galr.model import checkpoint as checkpoints
from galr.model.checkpoint import Checkpoint
from galr.train.splits import SplitData, read_folds, split_by_fold


@dataclass(frozen=True)
class TrainedRun:
    """A trained model and the files it came from.

    checkpoint: the model.
    sha256: of checkpoint.pt.
    folder: results/<dataset>/<variant>/fold<k>.
    dataset: dataset.h5.
    graphs: graphs.h5; None for a model without a local branch.
    size: side of the dataset's stored pictures in pixels.
    """

    checkpoint: Checkpoint
    sha256: str
    folder: Path
    dataset: Path
    graphs: Path | None
    image_size: int

    @property
    def name(self) -> str:
        """What it was trained on and as: `rsitmd, corrected, fold 0`."""
        said = self.checkpoint.provenance
        return f"{said['dataset']}, {said['variant']}, fold {said['fold']}"

    @property
    def folds(self) -> Path:
        """folds.csv."""
        return self.dataset.with_name("folds.csv")

    def splits(self) -> dict[str, SplitData]:
        """The parts `train`, `val` and `test` of its fold."""
        with store.reading(self.dataset, store.DATASET) as file:
            return split_by_fold(
                read_folds(self.folds),
                self.checkpoint.provenance["fold"],
                store.texts(file["names"]),
                store.texts(file["sentences"]),
                file["image_of_sentence"][:],
            )


def open_trained_run(folder: Path, dataset: Path | None = None) -> TrainedRun:
    """Open a run and check that what lies beside it is what it was trained on.

    Args:
        folder: results/<dataset>/<variant>/fold<k>, which holds checkpoint.pt.
        dataset: dataset.h5, if it does not lie at results/<dataset>.

    Raises:
        StoreError: a file is missing, damaged, or another than at training.
    """
    path = folder / "checkpoint.pt"
    checkpoint = checkpoints.load_checkpoint(path)
    said = checkpoint.provenance
    place = folder.resolve()
    dataset = dataset or place.parents[1] / "dataset.h5"
    graphs = place.parent / "graphs.h5" if said["graphs_sha256"] else None
    with store.reading(dataset, store.DATASET) as file:
        size = int(file["images"].shape[1])
    check_sha256(dataset, said["dataset_sha256"], path)
    if graphs is not None:
        with store.reading(graphs, store.GRAPHS):
            check_sha256(graphs, said["graphs_sha256"], path)
    return TrainedRun(checkpoint, provenance.file_sha256(path), folder, dataset, graphs, size)


def check_sha256(path: Path, expected: str, checkpoint: Path) -> None:
    """Refuse a file that is not the one of the training.

    Raises:
        StoreError: it hashes to something else.
    """
    if (found := provenance.file_sha256(path)) != expected:
        raise StoreError(
            f"{path} is not the file that {checkpoint} was trained on (sha256 {found[:12]}, expected"
            f" {expected[:12]}); run snakemake for {checkpoint}, or give the run its own files back"
        )
