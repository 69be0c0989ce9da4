"""Encode the images and sentences of a fold once, and write similarity.h5."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from galr.data.subwords import ClipVocabulary, open_vocabulary
from galr.errors import StoreError
from galr.evaluate.tiled_products import compute_similarity
from galr.features.encoders import map_settings, state_sha256
from galr.io.formats import Dataset, Features, Similarity, SplitSimilarity
from galr.model.checkpoint import load_checkpoint
from galr.model.galr import pretrained_text
from galr.provenance import file_sha256
from galr.train.embed import embed_images, embed_sentence_features, embed_sentences
from galr.train.feature_store import (
    FeatureStore,
    SentenceFeatureStore,
    check_features,
    open_image_features,
)
from galr.train.graph_store import GraphStore
from galr.train.image_store import StreamedImages
from galr.train.splits import SplitData, read_folds, split_by_fold


def write_similarity(
    checkpoint: Path,
    dataset: Path,
    graphs: Path | None,
    folds: Path,
    features: tuple[Path | None, Path | None],
    output: Path,
    *,
    bank: bool,
    batch_size: int,
    device: torch.device,
) -> None:
    """Encode the test and validation splits of a checkpoint's fold, and compare images and sentences of each.

    Args:
        checkpoint: checkpoint.pt.
        dataset: dataset.h5.
        graphs: graphs.h5; None for a model without a local branch.
        folds: folds.csv.
        features: stored features of frozen encoders, of images and of sentences; None computes them.
        output: similarity.h5 to write; its provenance describes the computation under `encoded`.
        bank: whether to encode the training split too, which qbnorm needs.
        batch_size: images or sentences at a time.
        device: where to compute.

    Raises:
        StoreError: a file is unusable, or the graphs have another shape than in training.
        DataError: graphs or folds are of other images.
    """
    trained = load_checkpoint(checkpoint)
    model = trained.build_model().to(device)
    vocabulary = open_vocabulary(trained.vocabulary, trained.tokenizer)
    provenance = trained.provenance | {
        "checkpoint_sha256": file_sha256(checkpoint),
        "epoch": trained.epoch,
        "validation_mr": trained.mr,
        "encoded": encoding_info(batch_size, device),
    }
    image_features, text_features = features
    with ExitStack() as stack:
        file = stack.enter_context(Dataset.open(dataset))
        names = file.names
        graph_store = GraphStore.open(graphs, names)
        expected = (trained.architecture["max_regions"], trained.architecture["node_dim"])
        if graph_store.shape != expected:
            raise StoreError(
                f"{checkpoint} was trained on graphs of {expected} (regions, features of each),"
                f" {graphs} holds {graph_store.shape}; train again or give the graphs of its training"
            )
        splits = split_by_fold(
            read_folds(folds),
            trained.provenance["fold"],
            names,
            file.sentences,
            file.image_of_sentence[:],
        )
        graph_store = graph_store.to(device)
        # Each image is used once.
        images: StreamedImages | FeatureStore = StreamedImages(file.images, device)
        dataset_sha256 = file_sha256(dataset) if any(features) else ""
        if image_features is not None:
            stored = stack.enter_context(Features.open(image_features))
            backbone = model.global_branch.backbone
            settings = map_settings(backbone) | {
                key: trained.architecture[key] for key in ("input_size", "views", "global_feature")
            }
            check_features(image_features, stored.provenance, dataset_sha256, settings)
            _check_state(image_features, stored, backbone)
            images = open_image_features(
                stored, [], device, last_map=backbone.gives_map, max_bytes=-1
            )
        sentence_store: SentenceFeatureStore | None = None
        if text_features is not None:
            stored = stack.enter_context(Features.open(text_features))
            settings = {"max_words": trained.max_words}
            if isinstance(vocabulary, ClipVocabulary):
                settings |= {"prompts": vocabulary.prompts}
            check_features(text_features, stored.provenance, dataset_sha256, settings)
            for network in pretrained_text(model.text_encoder):
                _check_state(text_features, stored, network)
            sentence_store = SentenceFeatureStore(stored)

        def encode_images(split: SplitData) -> np.ndarray:
            return embed_images(
                model,
                images,
                graph_store,
                split.rows,
                input_size=trained.architecture["input_size"],
                batch_size=batch_size,
            )

        def encode_sentences(sentences: list[str]) -> np.ndarray:
            if sentence_store is not None:
                return embed_sentence_features(
                    model,
                    sentence_store.features(sentences),
                    batch_size=batch_size,
                    device=device,
                )
            token_ids = vocabulary.encode(sentences, trained.max_words)
            return embed_sentences(model, token_ids, batch_size=batch_size, device=device)

        with Similarity.create(output, provenance) as written:
            for group, split in (
                (written, splits["test"]),
                (Similarity.validation.create(written), splits["val"]),
            ):
                _write_split(
                    group,
                    split,
                    [names[row] for row in split.rows],
                    encode_images(split),
                    encode_sentences(split.sentences),
                )
            if bank:
                train = splits["train"]
                Similarity.bank.create(written).write(
                    image_embeddings=encode_images(train),
                    sentence_embeddings=encode_sentences(list(dict.fromkeys(train.sentences))),
                )


def _check_state(path: Path, stored: Features, encoder: nn.Module) -> None:
    """Check that features were computed by an encoder with these weights.

    Raises:
        StoreError: they were not.
    """
    if stored.provenance["settings"]["state_sha256"] != state_sha256(encoder):
        raise StoreError(
            f"{path} holds features of an encoder with other weights than the checkpoint's; run snakemake again"
        )


def encoding_info(batch_size: int, device: torch.device) -> dict[str, Any]:
    """What, besides the weights, decides how the sums of an encoding are rounded."""
    return {"device": str(device), "threads": torch.get_num_threads(), "batch": batch_size}


def _write_split(
    group: SplitSimilarity,
    split: SplitData,
    names: list[str],
    image_embeddings: np.ndarray,
    sentence_embeddings: np.ndarray,
) -> None:
    """Write the six tables of a split.

    Args:
        group: where to write.
        split: images and sentences.
        names: (images,) names of the split's images.
        image_embeddings: (images, embed_dim) float32, unit rows.
        sentence_embeddings: (sentences, embed_dim) float32, unit rows.
    """
    group.write(
        similarity=compute_similarity(image_embeddings, sentence_embeddings, torch.device("cpu")),
        image_embeddings=image_embeddings,
        sentence_embeddings=sentence_embeddings,
        image_of_sentence=split.image_of_sentence,
        names=names,
        sentences=split.sentences,
    )
