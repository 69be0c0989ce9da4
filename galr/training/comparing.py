"""A fold's images and sentences encoded once and compared: all that similarity.h5 holds."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from galr import store, versions
from galr.data.words import Vocabulary
from galr.errors import StoreError
from galr.model import checkpoint as checkpoints
from galr.retrieval.tables.products import similarity
from galr.training.embed import Graphs, embed_images, embed_sentences
from galr.training.parts import Part, fold_parts, read_folds
from galr.training.pictures import Streamed


def write_similarity(
    checkpoint: Path,
    dataset: Path,
    graphs: Path | None,
    folds: Path,
    output: Path,
    *,
    bank: bool,
    batch: int,
    device: torch.device,
) -> None:
    """Encode the test and validation parts of a checkpoint's fold, and compare each in itself.

    Args:
        checkpoint: checkpoint.pt.
        dataset: dataset.h5.
        graphs: graphs.h5; None for a model without a local branch.
        folds: folds.csv.
        output: similarity.h5 to write; how it was computed is told in its provenance, under `encoded`.
        bank: whether to encode the training part too, which qbnorm needs.
        batch: images or sentences at a time.
        device: where to compute.

    Raises:
        StoreError: a file is unusable, or the graphs are of another shape than at training.
        DataError: graphs or folds are of other images.
    """
    trained = checkpoints.load(checkpoint)
    model = trained.model().to(device)
    vocabulary = Vocabulary(tuple(trained.words))
    origin = trained.provenance | {
        "checkpoint_sha256": versions.sha256(checkpoint),
        "epoch": trained.epoch,
        "validation_mr": trained.mr,
        "encoded": computation(batch, device),
    }
    with store.reading(dataset, store.DATASET) as file:
        names = store.texts(file["names"])
        expected = (trained.architecture["regions"], trained.architecture["features"])
        if (known := Graphs.open(graphs, names)).shape != expected:
            raise StoreError(
                f"{checkpoint} was trained on graphs of {expected} (regions, numbers each),"
                f" {graphs} holds {known.shape}; train again or give its own graphs"
            )
        parts = fold_parts(
            read_folds(folds),
            trained.provenance["fold"],
            names,
            store.texts(file["sentences"]),
            file["image_of_sentence"][:],
        )
        known = known.to(device)
        pictures = Streamed(file["images"], device)  # each is looked at once

        def seen(part: Part) -> np.ndarray:
            return embed_images(
                model, pictures, known, part.rows, crop=trained.architecture["crop"], batch=batch
            )

        def said(sentences: list[str]) -> np.ndarray:
            numbers = vocabulary.numbers(sentences, trained.max_words)
            return embed_sentences(model, numbers, batch=batch, device=device)

        with store.writing(output, store.SIMILARITY, origin) as written:
            for group, part in (
                (written, parts["test"]),
                (written.create_group("validation"), parts["val"]),
            ):
                own = [names[row] for row in part.rows]
                _write_part(group, part, own, seen(part), said(part.sentences))
            if bank:
                train = parts["train"]
                store.write_arrays(
                    written.create_group("bank"),
                    image_embeddings=seen(train),
                    sentence_embeddings=said(list(dict.fromkeys(train.sentences))),
                )


def computation(batch: int, device: torch.device) -> dict[str, Any]:
    """What decides, beside the weights, how the sums of an encoding are rounded."""
    return {"device": str(device), "threads": torch.get_num_threads(), "batch": batch}


def _write_part(
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
