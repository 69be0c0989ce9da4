"""A fold's images and sentences encoded once and compared: all that similarity.h5 holds."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from galr import provenance, store
from galr.data.vocabulary import Vocabulary
from galr.errors import StoreError
from galr.evaluate.tiled_products import compute_similarity
from galr.model import checkpoint as checkpoints
from galr.train.embed import GraphStore, embed_images, embed_sentences
from galr.train.image_store import StreamedImages
from galr.train.splits import SplitData, read_folds, split_by_fold


def write_similarity(
    checkpoint: Path,
    dataset: Path,
    graphs: Path | None,
    folds: Path,
    output: Path,
    *,
    bank: bool,
    batch_size: int,
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
    trained = checkpoints.load_checkpoint(checkpoint)
    model = trained.build_model().to(device)
    vocabulary = Vocabulary(tuple(trained.vocabulary))
    provenance = trained.provenance | {
        "checkpoint_sha256": provenance.file_sha256(checkpoint),
        "epoch": trained.epoch,
        "validation_mr": trained.mr,
        "encoded": encoding_info(batch_size, device),
    }
    with store.reading(dataset, store.DATASET) as file:
        names = store.texts(file["names"])
        expected = (trained.architecture["regions"], trained.architecture["features"])
        if (graph_store := GraphStore.open(graphs, names)).shape != expected:
            raise StoreError(
                f"{checkpoint} was trained on graphs of {expected} (regions, numbers each),"
                f" {graphs} holds {graph_store.shape}; train again or give its own graphs"
            )
        splits = split_by_fold(
            read_folds(folds),
            trained.provenance["fold"],
            names,
            store.texts(file["sentences"]),
            file["image_of_sentence"][:],
        )
        graph_store = graph_store.to(device)
        image_store = StreamedImages(file["images"], device)  # each is looked at once

        def encode_images(part: SplitData) -> np.ndarray:
            return embed_images(
                model,
                image_store,
                graph_store,
                part.rows,
                input_size=trained.architecture["crop"],
                batch_size=batch_size,
            )

        def encode_sentences(sentences: list[str]) -> np.ndarray:
            numbers = vocabulary.encode(sentences, trained.max_words)
            return embed_sentences(model, numbers, batch_size=batch_size, device=device)

        with store.writing(output, store.SIMILARITY, provenance) as written:
            for group, part in (
                (written, splits["test"]),
                (written.create_group("validation"), splits["val"]),
            ):
                own = [names[row] for row in part.rows]
                _write_split(
                    group, part, own, encode_images(part), encode_sentences(part.sentences)
                )
            if bank:
                train = splits["train"]
                store.write_arrays(
                    written.create_group("bank"),
                    image_embeddings=encode_images(train),
                    sentence_embeddings=encode_sentences(list(dict.fromkeys(train.sentences))),
                )


def encoding_info(batch_size: int, device: torch.device) -> dict[str, Any]:
    """What decides, beside the weights, how the sums of an encoding are rounded."""
    return {"device": str(device), "threads": torch.get_num_threads(), "batch": batch_size}


def _write_split(
    group: h5py.Group,
    split: SplitData,
    names: list[str],
    image_embeddings: np.ndarray,
    sentence_embeddings: np.ndarray,
) -> None:
    """Store one part's six tables."""
    store.write_arrays(
        group,
        similarity=compute_similarity(image_embeddings, sentence_embeddings, torch.device("cpu")),
        image_embeddings=image_embeddings,
        sentence_embeddings=sentence_embeddings,
        image_of_sentence=split.image_of_sentence,
    )
    store.write_texts(group, "names", names)
    store.write_texts(group, "sentences", split.sentences)
