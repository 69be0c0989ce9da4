"""What a training run left, and what it was trained on: found beside it, and held against its hashes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from galr import store, versions
from galr.data.words import Vocabulary
from galr.errors import ConfigError, StoreError
from galr.model import checkpoint as checkpoints
from galr.model.checkpoint import Checkpoint
from galr.model.galr import GaLR
from galr.search import sentences
from galr.search.index import BANK, ENCODER
from galr.training.embed import embed_sentences
from galr.training.parts import fold_parts, read_folds

BANKED = 5000  # training sentences that stand in for other queries: 10 MB at 512 numbers each


@dataclass(frozen=True)
class Run:
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
    size: int

    @property
    def name(self) -> str:
        """What it was trained on and as: `rsitmd, corrected, fold 0`."""
        said = self.checkpoint.provenance
        return f"{said['dataset']}, {said['variant']}, fold {said['fold']}"

    def training_sentences(self) -> list[str]:
        """The distinct sentences that the fold was trained on, in order of first appearance."""
        with store.reading(self.dataset, store.DATASET) as file:
            parts = fold_parts(
                read_folds(self.dataset.with_name("folds.csv")),
                self.checkpoint.provenance["fold"],
                store.texts(file["names"]),
                store.texts(file["sentences"]),
                file["image_of_sentence"][:],
            )
        return list(dict.fromkeys(parts["train"].sentences))


def open_run(folder: Path, dataset: Path | None = None) -> Run:
    """Open a run and check that what lies beside it is what it was trained on.

    Args:
        folder: results/<dataset>/<variant>/fold<k>, which holds checkpoint.pt.
        dataset: dataset.h5, if it does not lie at results/<dataset>.

    Raises:
        StoreError: a file is missing, damaged, or another than at training.
    """
    path = folder / "checkpoint.pt"
    checkpoint = checkpoints.load(path)
    said = checkpoint.provenance
    place = folder.resolve()
    dataset = dataset or place.parents[1] / "dataset.h5"
    graphs = place.parent / "graphs.h5" if said["graphs_sha256"] else None
    with store.reading(dataset, store.DATASET) as file:
        size = int(file["images"].shape[1])
    _check_sha256(dataset, said["dataset_sha256"], path)
    if graphs is not None:
        with store.reading(graphs, store.GRAPHS):
            _check_sha256(graphs, said["graphs_sha256"], path)
    return Run(checkpoint, versions.sha256(path), folder, dataset, graphs, size)


def write_text_side(
    folder: Path, run: Run, model: GaLR, *, batch: int, device: torch.device
) -> None:
    """Put into an index what sentences need of a run: its encoder, and a bank of embedded sentences.

    The bank holds distinct training sentences, drawn where there are more than 5000.

    Args:
        folder: the index.
        run: the run.
        model: its model, on `device`.
        batch: sentences at a time.
        device: where to compute.
    """
    checkpoint = run.checkpoint
    folder.mkdir(parents=True, exist_ok=True)
    sentences.write(
        folder / ENCODER,
        checkpoint.architecture,
        checkpoint.state,
        checkpoint.words,
        checkpoint.max_words,
    )
    known = run.training_sentences()
    drawn = np.random.default_rng(0).permutation(len(known))[:BANKED]
    vocabulary = Vocabulary(tuple(checkpoint.words))
    numbers = vocabulary.numbers([known[each] for each in drawn], checkpoint.max_words)
    partial = folder / f".partial-{BANK}"
    np.save(partial, embed_sentences(model, numbers, batch=batch, device=device))
    partial.replace(folder / BANK)


def refuse_other(run: Run, sha256: str, name: str, index: Path) -> None:
    """Refuse a run that an index was not made by: its embeddings mean nothing to the index's.

    Raises:
        ConfigError: says whose the index is.
    """
    if run.sha256 != sha256:
        raise ConfigError(
            f"{index} was made by checkpoint {sha256[:12]} ({name}), and {run.folder} holds"
            f" {run.sha256[:12]} ({run.name}); give the run that made the index, or index anew elsewhere"
        )


def _check_sha256(path: Path, expected: str, checkpoint: Path) -> None:
    """Refuse a file that is not the one of the training.

    Raises:
        StoreError: it hashes to something else.
    """
    if (found := versions.sha256(path)) != expected:
        raise StoreError(
            f"{path} is not the file that {checkpoint} was trained on (sha256 {found[:12]}, expected"
            f" {expected[:12]}); run snakemake for {checkpoint}, or give the run its own files back"
        )
