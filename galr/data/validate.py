"""Hold what a dataset lists against what it should and what is there; nothing passes silently."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from galr.data.dataset_spec import Split
from galr.data.find_images import match_image
from galr.data.layouts import DatasetIndex, ImageEntry
from galr.errors import DataError

ProblemKind = Literal[
    "missing_image",
    "corrupt_image",
    "blank_sentence",
    "wrong_count",
    "duplicate_name",
    "unknown_image",
]
PROBLEM_KINDS: tuple[ProblemKind, ...] = get_args(ProblemKind)
Policy = Literal["error", "drop"]

WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be: what, of which kind, and why."""

    item: str
    kind: ProblemKind
    reason: str


@dataclass(frozen=True)
class MatchedImage:
    """A listed image with its picture, relative to the dataset's folder."""

    name: str
    split: Split
    sentences: tuple[str, ...]
    file: PurePosixPath


def validate(
    dataset: str,
    index: DatasetIndex,
    image_files: Mapping[str, Sequence[PurePosixPath]],
    *,
    sentences_per_image: int | None,
    num_images: int | None,
    policies: Mapping[ProblemKind, Policy],
) -> tuple[list[MatchedImage], list[Problem]]:
    """Check everything that can be known without decoding a picture.

    Args:
        dataset: its name, for messages.
        listing: what it lists.
        pictures: what is there, from `folder.pictures_by_stem`.
        sentences_per_image: how many every image should have; None where any number will do.
        images: how many images the dataset should list; None where any number will do.
        policies: what to do about each kind of offence.

    Returns:
        The images to keep, in the listing's order, and the offences that were dropped.

    Raises:
        DataError: an offence whose policy is `error`.
    """
    problems = [Problem(stray.location, "unknown_image", stray.reason) for stray in index.unmatched]
    if num_images is not None and len(index.images) != num_images:
        reason = f"lists {len(index.images)} images, expected {num_images}"
        problems.append(Problem(dataset, "wrong_count", reason))
    unique, twice = _drop_duplicates(index.images)
    counted, miscounted = _check_counts(unique, sentences_per_image)
    worded, blank = _drop_blank_sentences(counted)
    found, absent = _match_files(worded, image_files)
    problems += twice + miscounted + blank + absent
    apply_policies(problems, policies)
    kept = [image for image in found if image.sentences]
    emptied = [
        Problem(image.name, "blank_sentence", "none of its sentences holds a word")
        for image in found
        if not image.sentences
    ]
    return kept, problems + emptied


def apply_policies(problems: Iterable[Problem], policies: Mapping[ProblemKind, Policy]) -> None:
    """Refuse the first offence whose policy is `error`, saying how many there are of its kind.

    Raises:
        DataError: names the offence, the number and the way out.
    """
    problems = list(problems)
    counts = Counter(offence.kind for offence in problems)
    for offence in problems:
        if policies[offence.kind] == "error":
            raise DataError(
                f"{offence.item}: {offence.reason} ({offence.kind}, {counts[offence.kind]} in all);"
                f" correct the data, or set data.{offence.kind}: drop to leave such out and list"
                " them in data_report.csv"
            )


def check_splits(images: Iterable[MatchedImage], splits: Mapping[Split, Sequence[str]]) -> None:
    """Refuse a dataset that has nothing left in a split that its file names.

    Raises:
        DataError: names the split.
    """
    filled = {image.split for image in images}
    for split, sources in splits.items():
        if sources and split not in filled:
            raise DataError(
                f"no image is left in the {split} split; see what is dropped by setting the"
                " policies of data to error, and correct it"
            )


def _drop_duplicates(images: Iterable[ImageEntry]) -> tuple[list[ImageEntry], list[Problem]]:
    """Keep the first listing of every name."""
    kept: dict[str, ImageEntry] = {}
    offences = []
    for image in images:
        first = kept.setdefault(image.name, image)
        if first is not image:
            reason = f"listed again in {image.split}, first in {first.split}"
            offences.append(Problem(image.name, "duplicate_name", reason))
    return list(kept.values()), offences


def _check_counts(
    images: Iterable[ImageEntry], sentences_per_image: int | None
) -> tuple[list[ImageEntry], list[Problem]]:
    """Keep images that came with the right number of sentences; none at all is never right."""
    kept, offences = [], []
    for image in images:
        count = len(image.sentences)
        if count and sentences_per_image in (None, count):
            kept.append(image)
        else:
            reason = f"has {count} sentences, expected {sentences_per_image or 'one or more'}"
            offences.append(Problem(image.name, "wrong_count", reason))
    return kept, offences


def _drop_blank_sentences(images: Iterable[ImageEntry]) -> tuple[list[ImageEntry], list[Problem]]:
    """Keep sentences that hold a word, and every image, though it may have none left."""
    kept, offences = [], []
    for image in images:
        words = []
        for number, sentence in enumerate(image.sentences, start=1):
            if WORD.search(sentence):
                words.append(sentence)
            else:
                item, reason = f"{image.name} sentence {number}", f"holds no word: '{sentence}'"
                offences.append(Problem(item, "blank_sentence", reason))
        kept.append(replace(image, sentences=tuple(words)))
    return kept, offences


def _match_files(
    images: Iterable[ImageEntry], image_files: Mapping[str, Sequence[PurePosixPath]]
) -> tuple[list[MatchedImage], list[Problem]]:
    """Keep images whose picture is there, is one, and is no other image's."""
    kept: dict[PurePosixPath, MatchedImage] = {}
    offences = []
    for image in images:
        files = match_image(image.name, image_files)
        if not files:
            reason = "no jpg, jpeg, png, tif, tiff or webp of this name is there"
            offences.append(Problem(image.name, "missing_image", reason))
        elif len(files) > 1:
            reason = f"which of {', '.join(map(str, files))} is meant cannot be known"
            offences.append(Problem(image.name, "duplicate_name", reason))
        elif files[0] in kept:
            reason = f"its picture {files[0]} is also that of {kept[files[0]].name}"
            offences.append(Problem(image.name, "duplicate_name", reason))
        else:
            kept[files[0]] = MatchedImage(image.name, image.split, image.sentences, files[0])
    return list(kept.values()), offences
