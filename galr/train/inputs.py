"""What a training reads: dataset, graphs, folds, vocabulary, and the stored features of frozen encoders."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import h5py
import torch
from torch import Tensor

from galr.data.subwords import AnyVocabulary, ClipVocabulary, SubwordVocabulary
from galr.data.vocabulary import UnknownWords, Vocabulary
from galr.errors import ConfigError
from galr.features.encoders import image_settings, text_settings
from galr.io.formats import Dataset, Features
from galr.model.galr import GaLR, pretrained_text
from galr.model.pretrained import (
    PretrainedText,
    check_max_tokens,
    read_transformer,
)
from galr.train.feature_store import (
    FeatureStore,
    SentenceFeatureStore,
    check_features,
    open_image_features,
)
from galr.train.graph_store import GraphStore
from galr.train.image_store import ImageStore, Rows, open_image_store
from galr.train.options import VariantOptions
from galr.train.splits import SplitData, read_folds, split_by_fold


@dataclass(frozen=True)
class TrainInputs:
    """What a training reads.

    Attributes:
        images: (images, size, size, 3) uint8, in the open dataset.h5.
        splits: the splits `train`, `val` and `test` of the fold, by name.
        graphs: of all images.
        vocabulary: built from the training sentences alone, or the tokenizer of a pretrained encoder.
        unknown: what it does not know of each split.
        pretrained_text: the pretrained sentence encoder; None for one that is trained from the beginning.
    """

    images: h5py.Dataset
    splits: Mapping[str, SplitData]
    graphs: GraphStore
    vocabulary: AnyVocabulary
    unknown: Mapping[str, UnknownWords]
    pretrained_text: PretrainedText | None

    def warnings(self) -> list[str]:
        """What is wrong with the words of each split, one line each."""
        return [line for split, counts in self.unknown.items() for line in counts.warnings(split)]


def load_inputs(
    dataset: Dataset, graphs: Path | None, folds: Path, fold: int, options: VariantOptions
) -> TrainInputs:
    """Load the inputs of a training, and check that they fit its options.

    Args:
        dataset: the open dataset.h5; it must stay open during the training.
        graphs: graphs.h5; None for a model without a local branch.
        folds: folds.csv.
        fold: which fold, from 0.
        options: the variant's options.

    Raises:
        ConfigError: the dataset's images are smaller than the model's input, there is no such fold, or
            regions cannot be augmented because it is unknown how their edges were weighed, or no word is left
            for the vocabulary.
        DataError: graphs or folds are of other images, a split is empty, or the sentences have no word.
        StoreError: a file is damaged.
    """
    if (size := dataset.images.shape[1]) < options.input_size:
        raise ConfigError(
            f"model.input_size is {options.input_size} and data.size {size};"
            " input_size is at most size"
        )
    names = dataset.names
    splits = split_by_fold(
        read_folds(folds),
        fold,
        names,
        dataset.sentences,
        dataset.image_of_sentence[:],
    )
    graph_store = GraphStore.open(graphs, names)
    if options.augment_regions and graphs is not None and graph_store.edges is None:
        raise ConfigError(
            f"train.augment_regions needs graphs that DREA made here; the provenance of {graphs} does"
            " not hold how its edges were weighed; set augment_regions: false for this variant"
        )
    pretrained_text: PretrainedText | None = None
    if options.text_encoder == "transformer":
        pretrained_text = read_transformer(options.text_weights)
        check_max_tokens(pretrained_text, options.max_words)
        vocabulary: AnyVocabulary = SubwordVocabulary(pretrained_text.tokenizer)
    elif options.text_encoder == "clip":
        vocabulary = ClipVocabulary.of_prompts(options.prompts)
    else:
        vocabulary = Vocabulary.build(
            splits["train"].sentences, options.min_word_count, stop_words=options.stop_words
        )
    unknown = vocabulary.count_unknown(
        {name: split.sentences for name, split in splits.items()}, stop_words=options.stop_words
    )
    return TrainInputs(dataset.images, splits, graph_store, vocabulary, unknown, pretrained_text)


@dataclass(frozen=True)
class FeatureFiles:
    """The stored features of frozen encoders, open.

    Attributes:
        image: of images; None where they are computed.
        text: of sentences; None where they are computed.
    """

    image: Features | None = None
    text: SentenceFeatureStore | None = None


def open_features(
    image: Path | None,
    text: Path | None,
    dataset_sha256: str,
    model: GaLR,
    options: VariantOptions,
    stack: ExitStack,
) -> FeatureFiles:
    """Open stored features, and check that they are of this dataset and of the model's frozen encoders.

    Args:
        image: features.h5 of images; None computes them.
        text: features.h5 of sentences; None computes them.
        dataset_sha256: of dataset.h5.
        model: with its pretrained weights.
        options: the variant's options.
        stack: closes the files.

    Raises:
        ConfigError: an encoder is trained, so its features change.
        DataError: the features are of another dataset.
        StoreError: they are of another encoder, or a file is damaged.
    """
    for part, path in (("image", image), ("text", text)):
        if path is not None and part not in options.freeze:
            raise ConfigError(
                f"stored features of {part} were given, and train.freeze does not have {part}; leave them out, or"
                f" freeze {part}"
            )
    image_file = stack.enter_context(Features.open(image)) if image else None
    text_file = stack.enter_context(Features.open(text)) if text else None
    if image_file is not None:
        settings = image_settings(options, model.global_branch.backbone)
        check_features(image_file.path, image_file.provenance, dataset_sha256, settings)
    if text_file is not None:
        (network,) = pretrained_text(model.text_encoder)
        settings = text_settings(options, network, options.max_words)
        check_features(text_file.path, text_file.provenance, dataset_sha256, settings)
    return FeatureFiles(image_file, SentenceFeatureStore(text_file) if text_file else None)


def open_images(
    inputs: TrainInputs,
    features: FeatureFiles,
    rows: Rows,
    device: torch.device,
    *,
    last_map: bool,
    max_bytes: int,
) -> ImageStore | FeatureStore:
    """Open the stored features of images, those that the model reads, or else their pixels."""
    if features.image is not None:
        return open_image_features(
            features.image, rows, device, last_map=last_map, max_bytes=max_bytes
        )
    return open_image_store(inputs.images, rows, device, max_bytes=max_bytes)


def sentence_inputs(
    inputs: TrainInputs, features: FeatureFiles, split: SplitData, max_words: int
) -> list[list[int]] | Tensor:
    """The stored features of a split's sentences, or else their token ids."""
    if features.text is not None:
        return features.text.features(split.sentences)
    return inputs.vocabulary.encode(split.sentences, max_words)
