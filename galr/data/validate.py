"""Check a dataset's annotations against its files and the expected numbers; every problem is reported."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal, get_args

from galr.data.dataset_spec import Split
from galr.data.image_names import Grade, ImageFiles, ImageMatch, name_images
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
MAX_HINTS = 20  # problems that are looked up among all files


@dataclass(frozen=True)
class Problem:
    """A problem of the dataset: the item, the kind of the problem and the reason."""

    item: str
    kind: ProblemKind
    reason: str


@dataclass(frozen=True)
class MatchedImage:
    """An annotated image with its file, relative to the dataset's folder."""

    name: str
    split: Split
    sentences: tuple[str, ...]
    file: PurePosixPath


def validate(
    dataset: str,
    index: DatasetIndex,
    image_files: ImageFiles,
    *,
    sentences_per_image: int | None,
    num_images: int | None,
    policies: Mapping[ProblemKind, Policy],
) -> tuple[list[MatchedImage], list[Problem]]:
    """Check everything that can be checked without decoding an image.

    Args:
        dataset: the dataset's name, for messages.
        index: the annotations.
        image_files: the image files of the dataset.
        sentences_per_image: expected number of sentences per image; None for any number.
        num_images: expected number of images; None for any number.
        policies: the policy for each kind of problem.

    Returns:
        The images to keep, in the order of the annotations, and the problems that were dropped.

    Raises:
        DataError: a problem has the policy `error`.
    """
    problems = [Problem(stray.location, "unknown_image", stray.reason) for stray in index.unmatched]
    if num_images is not None and len(index.images) != num_images:
        reason = f"has {len(index.images)} images, expected {num_images}"
        problems.append(Problem(dataset, "wrong_count", reason))
    unique, twice = _drop_duplicates(_name_apart(index.images))
    counted, miscounted = _check_counts(unique, sentences_per_image)
    worded, blank = _drop_blank_sentences(counted)
    matched, missing = _match_files(worded, image_files)
    problems += twice + miscounted + blank + missing
    apply_policies(problems, policies)
    kept = [image for image in matched if image.sentences]
    emptied = [
        Problem(image.name, "blank_sentence", "none of its sentences has a word")
        for image in matched
        if not image.sentences
    ]
    return kept, problems + emptied


def apply_policies(problems: Iterable[Problem], policies: Mapping[ProblemKind, Policy]) -> None:
    """Raise the first problem with the policy `error`.

    Raises:
        DataError: the problem, the number of its kind, and what to do.
    """
    problems = list(problems)
    counts = Counter(problem.kind for problem in problems)
    for problem in problems:
        if policies[problem.kind] == "error":
            raise DataError(
                f"{problem.item}: {problem.reason} ({problem.kind}, {counts[problem.kind]} in all);"
                f" correct the data, or set data.{problem.kind}: drop to leave such items out and list"
                " them in data_report.csv"
            )


def check_splits(images: Iterable[MatchedImage], splits: Mapping[Split, Sequence[str]]) -> None:
    """Check that every split that the dataset file assigns has an image left.

    Raises:
        DataError: a split is empty.
    """
    filled = {image.split for image in images}
    for split, sources in splits.items():
        if sources and split not in filled:
            raise DataError(
                f"no image is left in the {split} split; see what is dropped by setting the"
                " policies of data to error, and correct it"
            )


def _name_apart(images: Sequence[ImageEntry]) -> list[ImageEntry]:
    """Name images of one stem by their paths."""
    names = name_images([image.path or image.name for image in images], [i.name for i in images])
    return [replace(image, name=name) for image, name in zip(images, names, strict=True)]


def _drop_duplicates(images: Iterable[ImageEntry]) -> tuple[list[ImageEntry], list[Problem]]:
    """Keep the first image of each name."""
    kept: dict[str, ImageEntry] = {}
    problems = []
    for image in images:
        first = kept.setdefault(image.name, image)
        if first is not image:
            reason = f"annotated twice, in {first.split} and in {image.split}"
            problems.append(Problem(image.name, "duplicate_name", reason))
    return list(kept.values()), problems


def _check_counts(
    images: Iterable[ImageEntry], sentences_per_image: int | None
) -> tuple[list[ImageEntry], list[Problem]]:
    """Keep the images with the expected number of sentences; an image without any is always dropped."""
    kept, problems = [], []
    for image in images:
        count = len(image.sentences)
        if count and sentences_per_image in (None, count):
            kept.append(image)
        else:
            reason = f"has {count} sentences, expected {sentences_per_image or 'one or more'}"
            problems.append(Problem(image.name, "wrong_count", reason))
    return kept, problems


def _drop_blank_sentences(images: Iterable[ImageEntry]) -> tuple[list[ImageEntry], list[Problem]]:
    """Keep the sentences that have a word; an image may have none left."""
    kept, problems = [], []
    for image in images:
        words = []
        for number, sentence in enumerate(image.sentences, start=1):
            if WORD.search(sentence):
                words.append(sentence)
            else:
                item, reason = f"{image.name} sentence {number}", f"has no word: '{sentence}'"
                problems.append(Problem(item, "blank_sentence", reason))
        kept.append(replace(image, sentences=tuple(words)))
    return kept, problems


def _match_files(
    images: Sequence[ImageEntry], image_files: ImageFiles
) -> tuple[list[MatchedImage], list[Problem]]:
    """Keep the images with exactly one file that fits no other image as well."""
    matches = [image_files.find(image.path or image.name) for image in images]
    claims: dict[PurePosixPath, list[int]] = {}  # the images that a file fits, the best first
    for row in sorted(range(len(images)), key=lambda row: -matches[row].grade):
        if len(matches[row].files) == 1:
            claims.setdefault(matches[row].files[0], []).append(row)
    kept: list[MatchedImage] = []
    problems: list[Problem] = []
    for row, (image, match) in enumerate(zip(images, matches, strict=True)):
        if not match.files:
            hint = image_files.near(image.path or image.name) if len(problems) < MAX_HINTS else None
            similar = f"; the most similar file is {hint}" if hint else ""
            reason = f"there is no jpg, jpeg, png, tif, tiff or webp of this name{similar}"
            problems.append(Problem(image.name, "missing_image", reason))
        elif len(match.files) > 1:
            reason = f"several files have its name: {', '.join(map(str, match.files))}"
            problems.append(Problem(image.name, "duplicate_name", reason))
        elif (other := _other_owner(row, claims[match.files[0]], matches)) is not None:
            reason = f"its file {match.files[0]} also belongs to {images[other].name}"
            problems.append(Problem(image.name, "duplicate_name", reason))
        else:
            kept.append(MatchedImage(image.name, image.split, image.sentences, match.files[0]))
    return kept, problems


def _other_owner(row: int, claims: Sequence[int], matches: Sequence[ImageMatch]) -> int | None:
    """Return another image that a file fits better, or as well where it fits neither by its path.

    Args:
        row: an image.
        claims: the images that the file fits, the best first.
        matches: how well each image fits its file.
    """
    first, *others = claims
    if first != row:
        return first
    tied = others and matches[others[0]].grade == matches[first].grade != Grade.PATH
    return others[0] if tied else None
