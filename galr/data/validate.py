"""Hold what a dataset lists against what it should and what is there; nothing passes silently."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from galr.data.dataset_file import Split
from galr.data.folder import pictures_of
from galr.data.layouts import Listed, Listing
from galr.errors import DataError

Kind = Literal[
    "missing_image",
    "corrupt_image",
    "blank_sentence",
    "wrong_count",
    "duplicate_name",
    "unknown_image",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
Policy = Literal["error", "drop"]

WORD = re.compile(r"\w")


@dataclass(frozen=True)
class Offence:
    """One thing that is not as it should be: what, of which kind, and why."""

    item: str
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Found:
    """A listed image with its picture, relative to the dataset's folder."""

    name: str
    split: Split
    sentences: tuple[str, ...]
    file: PurePosixPath


def validate(
    dataset: str,
    listing: Listing,
    pictures: Mapping[str, Sequence[PurePosixPath]],
    *,
    sentences_per_image: int | None,
    images: int | None,
    policies: Mapping[Kind, Policy],
) -> tuple[list[Found], list[Offence]]:
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
    offences = [Offence(stray.place, "unknown_image", stray.reason) for stray in listing.strays]
    if images is not None and len(listing.images) != images:
        reason = f"lists {len(listing.images)} images, expected {images}"
        offences.append(Offence(dataset, "wrong_count", reason))
    unique, twice = _unique(listing.images)
    counted, miscounted = _counted(unique, sentences_per_image)
    worded, blank = _worded(counted)
    found, absent = _located(worded, pictures)
    offences += twice + miscounted + blank + absent
    refuse(offences, policies)
    kept = [image for image in found if image.sentences]
    emptied = [
        Offence(image.name, "blank_sentence", "none of its sentences holds a word")
        for image in found
        if not image.sentences
    ]
    return kept, offences + emptied


def refuse(offences: Iterable[Offence], policies: Mapping[Kind, Policy]) -> None:
    """Refuse the first offence whose policy is `error`, saying how many there are of its kind.

    Raises:
        DataError: names the offence, the number and the way out.
    """
    offences = list(offences)
    counts = Counter(offence.kind for offence in offences)
    for offence in offences:
        if policies[offence.kind] == "error":
            raise DataError(
                f"{offence.item}: {offence.reason} ({offence.kind}, {counts[offence.kind]} in all);"
                f" correct the data, or set data.{offence.kind}: drop to leave such out and list"
                " them in data_report.csv"
            )


def refuse_empty(images: Iterable[Found], splits: Mapping[Split, Sequence[str]]) -> None:
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


def _unique(images: Iterable[Listed]) -> tuple[list[Listed], list[Offence]]:
    """Keep the first listing of every name."""
    kept: dict[str, Listed] = {}
    offences = []
    for image in images:
        first = kept.setdefault(image.name, image)
        if first is not image:
            reason = f"listed again in {image.split}, first in {first.split}"
            offences.append(Offence(image.name, "duplicate_name", reason))
    return list(kept.values()), offences


def _counted(
    images: Iterable[Listed], sentences_per_image: int | None
) -> tuple[list[Listed], list[Offence]]:
    """Keep images that came with the right number of sentences; none at all is never right."""
    kept, offences = [], []
    for image in images:
        count = len(image.sentences)
        if count and sentences_per_image in (None, count):
            kept.append(image)
        else:
            reason = f"has {count} sentences, expected {sentences_per_image or 'one or more'}"
            offences.append(Offence(image.name, "wrong_count", reason))
    return kept, offences


def _worded(images: Iterable[Listed]) -> tuple[list[Listed], list[Offence]]:
    """Keep sentences that hold a word, and every image, though it may have none left."""
    kept, offences = [], []
    for image in images:
        words = []
        for number, sentence in enumerate(image.sentences, start=1):
            if WORD.search(sentence):
                words.append(sentence)
            else:
                item, reason = f"{image.name} sentence {number}", f"holds no word: '{sentence}'"
                offences.append(Offence(item, "blank_sentence", reason))
        kept.append(replace(image, sentences=tuple(words)))
    return kept, offences


def _located(
    images: Iterable[Listed], pictures: Mapping[str, Sequence[PurePosixPath]]
) -> tuple[list[Found], list[Offence]]:
    """Keep images whose picture is there, is one, and is no other image's."""
    kept: dict[PurePosixPath, Found] = {}
    offences = []
    for image in images:
        files = pictures_of(image.name, pictures)
        if not files:
            reason = "no jpg, jpeg, png, tif, tiff or webp of this name is there"
            offences.append(Offence(image.name, "missing_image", reason))
        elif len(files) > 1:
            reason = f"which of {', '.join(map(str, files))} is meant cannot be known"
            offences.append(Offence(image.name, "duplicate_name", reason))
        elif files[0] in kept:
            reason = f"its picture {files[0]} is also that of {kept[files[0]].name}"
            offences.append(Offence(image.name, "duplicate_name", reason))
        else:
            kept[files[0]] = Found(image.name, image.split, image.sentences, files[0])
    return list(kept.values()), offences
