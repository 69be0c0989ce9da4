"""Encode every image and sentence once and compare them all.

IN   checkpoint.pt, dataset.h5, graphs.h5, folds.csv
OUT  similarity.h5   the test split's matrix and both embedding tables; the same of the fold's
                     validation images under /validation, for choosing rerank parameters; both tables
                     of its training images and their distinct sentences under /bank, for qbnorm
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from galr import store, versions
from galr.data.words import Vocabulary
from galr.devices import device_of
from galr.errors import StoreError
from galr.model import checkpoint as checkpoints
from galr.retrieval.tables.products import similarity
from galr.settings import Settings, setting
from galr.training.embed import Graphs, embed_images, embed_sentences
from galr.training.parts import Part, fold_parts, read_folds
from galr.training.pictures import Streamed


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """What comes in, what goes out, and where to compute."""

    checkpoint: Path = setting("checkpoint.pt of a fold")
    dataset: Path = setting("dataset.h5")
    graphs: Path | None = setting(
        "graphs.h5; none for a model without a local branch", default=None
    )
    folds: Path = setting("folds.csv")
    batch: int = setting("images or sentences at a time", default=64)
    device: str = setting("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = setting("CPU threads", default=1)
    bank: bool = setting("encode the training images too, which qbnorm needs", default=True)
    output: Path = setting("similarity.h5 to write")


def run(flags: Flags) -> None:
    """Load the model, encode both parts, write what was found."""
    torch.set_num_threads(flags.threads)
    device = device_of(flags.device)
    checkpoint = checkpoints.load(flags.checkpoint)
    with store.reading(flags.dataset, store.DATASET) as dataset:
        names = store.texts(dataset["names"])
        graphs = Graphs.open(flags.graphs, names)
        expected = (checkpoint.architecture["regions"], checkpoint.architecture["features"])
        if graphs.shape != expected:
            raise StoreError(
                f"{flags.checkpoint} was trained on graphs of {expected} (regions, numbers each),"
                f" {flags.graphs} holds {graphs.shape}; train again or give its own graphs"
            )
        parts = fold_parts(
            read_folds(flags.folds),
            checkpoint.provenance["fold"],
            names,
            store.texts(dataset["sentences"]),
            dataset["image_of_sentence"][:],
        )
        graphs = graphs.to(device)
        pictures = Streamed(dataset["images"], device)  # each is looked at once
        model = checkpoint.model().to(device)
        vocabulary = Vocabulary(tuple(checkpoint.words))
        origin = checkpoint.provenance | {
            "checkpoint_sha256": versions.sha256(flags.checkpoint),
            "epoch": checkpoint.epoch,
            "validation_mr": checkpoint.mr,
        }

        def seen(part: Part) -> np.ndarray:
            return embed_images(
                model,
                pictures,
                graphs,
                part.rows,
                crop=checkpoint.architecture["crop"],
                batch=flags.batch,
            )

        def said(sentences: list[str]) -> np.ndarray:
            numbers = vocabulary.numbers(sentences, checkpoint.max_words)
            return embed_sentences(model, numbers, batch=flags.batch, device=device)

        with store.writing(flags.output, store.SIMILARITY, origin) as output:
            for group, part in (
                (output, parts["test"]),
                (output.create_group("validation"), parts["val"]),
            ):
                write(
                    group, part, [names[row] for row in part.rows], seen(part), said(part.sentences)
                )
            if flags.bank:
                train = parts["train"]
                store.write_arrays(
                    output.create_group("bank"),
                    image_embeddings=seen(train),
                    sentence_embeddings=said(list(dict.fromkeys(train.sentences))),
                )


def write(
    group: h5py.Group, part: Part, names: list[str], seen: np.ndarray, said: np.ndarray
) -> None:
    """Store one part's six tables."""
    store.write_arrays(
        group,
        similarity=similarity(seen, said, torch.device("cpu")),
        image_embeddings=seen,
        sentence_embeddings=said,
        image_of_sentence=part.image_of_sentence,
    )
    store.write_texts(group, "names", names)
    store.write_texts(group, "sentences", part.sentences)
