"""Counts of a dataset's sentences: how many there are, how often they repeat, and which words they have."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from galr.data.dataset_spec import Split
from galr.data.validate import MatchedImage
from galr.data.vocabulary import UnknownWords, Vocabulary
from galr.errors import GalrError
from galr.evaluate.metrics import normalize_sentence


@dataclass(frozen=True)
class SplitCounts:
    """Counts of a split; two sentences are the same if they differ only in case and spaces.

    Attributes:
        images: number of images.
        sentences: number of sentences.
        per_image: smallest, median and largest number of sentences of an image.
        repeated_within: sentences that repeat an earlier one of their image.
        shared: sentences that another image of the split has too.
        also_in: sentences that another split has too, by the other split.
    """

    images: int
    sentences: int
    per_image: tuple[int, float, int]
    repeated_within: int
    shared: int
    also_in: Mapping[str, int]


@dataclass(frozen=True)
class WordCounts:
    """The vocabulary of all train sentences, and what it does not know of each split.

    Attributes:
        min_count: occurrences from which a word is known.
        known: number of words in the vocabulary.
        unknown: by split.
        error: why there is no vocabulary, and training is refused; empty otherwise.
    """

    min_count: int
    known: int
    unknown: Mapping[str, UnknownWords]
    error: str


def count_splits(images: Mapping[Split, Sequence[MatchedImage]]) -> dict[str, SplitCounts]:
    """Count images, sentences and repeated sentences of every split that has images."""
    texts = {
        split: [[normalize_sentence(text) for text in image.sentences] for image in members]
        for split, members in images.items()
        if members
    }
    distinct = {
        split: {text for image in members for text in image} for split, members in texts.items()
    }
    counts = {}
    for split, members in texts.items():
        per_image = [len(image) for image in members]
        owners = Counter(text for image in members for text in set(image))
        counts[str(split)] = SplitCounts(
            images=len(members),
            sentences=sum(per_image),
            per_image=(min(per_image), float(np.median(per_image)), max(per_image)),
            repeated_within=sum(len(image) - len(set(image)) for image in members),
            shared=sum(owners[text] > 1 for image in members for text in image),
            also_in={
                str(other): sum(text in distinct[other] for image in members for text in image)
                for other in texts
                if other != split
            },
        )
    return counts


def count_words(images: Mapping[Split, Sequence[MatchedImage]], min_count: int) -> WordCounts:
    """Build the vocabulary of all train sentences, and count what it does not know of every split."""
    sentences = {
        str(split): [text for image in members for text in image.sentences]
        for split, members in images.items()
        if members
    }
    try:
        vocabulary = Vocabulary.build(sentences.get("train", ()), min_count)
    except GalrError as error:
        return WordCounts(min_count, 0, {}, f"training will be refused: {error}")
    return WordCounts(
        min_count, len(vocabulary.tokens), vocabulary.count_unknown(sentences), error=""
    )
