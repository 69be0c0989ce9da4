"""All that `galr check` says about a dataset, as values: counts, problems, duplicates, words and ceilings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from galr.data.annotations import read_dataset
from galr.data.count_sentences import SplitCounts, WordCounts, count_splits, count_words
from galr.data.dataset_spec import SPLITS, DatasetSpec
from galr.data.duplicates import Duplicates, find_duplicates
from galr.data.find_images import list_files
from galr.data.image_names import ImageFiles
from galr.data.layouts import DatasetIndex
from galr.data.scan_images import ScannedImages, scan_images
from galr.data.validate import (
    PROBLEM_KINDS,
    MatchedImage,
    Policy,
    Problem,
    ProblemKind,
    apply_policies,
    check_splits,
    validate,
)
from galr.errors import DataError
from galr.evaluate.ceilings import recall_ceilings
from galr.evaluate.metrics import normalize_sentence

IMAGE_PROBLEMS = ("missing_image", "corrupt_image")
LEAKS = (("val", "train"), ("test", "train"), ("test", "val"))
DROP_ALL: Mapping[ProblemKind, Policy] = dict.fromkeys(PROBLEM_KINDS, "drop")
TIE_RULES = ("pessimistic", "expected")


class LabelledImage(NamedTuple):
    """An image in a list of duplicates: its name, its split, its file in its dataset's folder."""

    name: str
    split: str
    file: str


@dataclass(frozen=True)
class DatasetCheck:
    """What was found in a dataset.

    Attributes:
        name: of the dataset.
        folder: of its files.
        images: the images that can be used, in order.
        splits: counts by split.
        problems: all that is wrong with single items.
        num_unused: image files that are not annotated.
        scanned: hashes of the images, and what they are read as.
        others: images of other datasets that were compared; their split is `<dataset> <split>`.
        duplicates: pairs of rows of `images` with `others` behind them, at least one of each pair in `images`.
        max_distance: bits in which the hashes of two duplicates may differ.
        words: of the sentences.
        ceilings: bounds of the recalls on a split, by split and tie rule.
        refusal: why `galr data` refuses the dataset; None if it does not.
    """

    name: str
    folder: Path
    images: Sequence[MatchedImage]
    splits: Mapping[str, SplitCounts]
    problems: Sequence[Problem]
    num_unused: int
    scanned: ScannedImages
    others: Sequence[LabelledImage]
    duplicates: Duplicates
    max_distance: int
    words: WordCounts
    ceilings: Mapping[str, Mapping[str, Mapping[str, float]]]
    refusal: DataError | None

    def items(self, kind: ProblemKind) -> list[Problem]:
        """The problems of one kind."""
        return [problem for problem in self.problems if problem.kind == kind]

    def warnings(self) -> list[str]:
        """What a user should know before training, one line each, without the images that cannot be used."""
        kinds = Counter(problem.kind for problem in self.problems)
        lines = [
            f"{count} {kind.replace('_', ' ')}{'s' * (count != 1)}, for example"
            f" {self.items(kind)[0].item}: {self.items(kind)[0].reason}"
            for kind in PROBLEM_KINDS
            if (count := kinds[kind]) and kind not in IMAGE_PROBLEMS
        ]
        lines += [
            f"{count} of {self.splits[split].images} {split} images are also in {other}; what {split} measures"
            " is then partly learnt by heart"
            for (split, other), count in self.duplicates.images_in.items()
            if (split, other) in LEAKS
        ]
        lines += [self.words.error] if self.words.error else []
        for split, counts in self.words.unknown.items():
            lines += counts.warnings(split)
        return lines

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "dataset": self.name,
            "folder": str(self.folder),
            "usable": self.refusal is None,
            "reason": None if self.refusal is None else str(self.refusal),
            "warnings": self.warnings(),
            "splits": {name: vars(counts) for name, counts in self.splits.items()},
            "problems": [vars(problem) for problem in self.problems],
            "unused_files": self.num_unused,
            "read_as": self.scanned.readings.lines(plain=True),
            "duplicates": {
                "max_distance": self.max_distance,
                "equal_files": self.duplicates.num_equal,
                "similar": self.duplicates.num_similar,
                "across_splits": self.duplicates.num_across,
                "images_also_in": {
                    f"{split} in {other}": count
                    for (split, other), count in self.duplicates.images_in.items()
                },
            },
            "words": vars(self.words)
            | {
                "unknown": {
                    split: vars(counts) | {"share": counts.share}
                    for split, counts in self.words.unknown.items()
                }
            },
            "ceilings": self.ceilings,
        }


def scan_dataset(dataset: DatasetSpec, folder: Path) -> ScannedImages:
    """Read all images of a dataset that can be used.

    Args:
        dataset: the dataset file.
        folder: of its files.

    Raises:
        DataError: the annotations cannot be read.
    """
    files = list_files(folder)
    index = read_dataset(dataset, folder, files)
    images, _ = _match(dataset, index, ImageFiles(files), DROP_ALL)
    return scan_images(folder, images, dataset.pixels)


def _match(
    dataset: DatasetSpec,
    index: DatasetIndex,
    image_files: ImageFiles,
    policies: Mapping[ProblemKind, Policy],
) -> tuple[list[MatchedImage], list[Problem]]:
    """Match annotations and files as `galr data` does: the images, and what was dropped.

    Raises:
        DataError: a problem has the policy `error`.
    """
    return validate(
        dataset.name,
        index,
        image_files,
        sentences_per_image=dataset.sentences_per_image,
        num_images=dataset.num_images,
        policies=policies,
    )


def check_dataset(
    dataset: DatasetSpec,
    folder: Path,
    others: Mapping[str, ScannedImages],
    *,
    policies: Mapping[ProblemKind, Policy],
    min_word_count: int,
    max_distance: int,
) -> DatasetCheck:
    """Check a dataset as `galr data` does, and look for more; nothing is written.

    Args:
        dataset: the dataset file.
        folder: of its files.
        others: images of other datasets to look for duplicates among, by the dataset's name.
        policies: for each kind of problem, as for `galr data`.
        min_word_count: occurrences from which a word is in the vocabulary.
        max_distance: bits in which the perceptual hashes of two duplicates may differ.

    Raises:
        DataError: the annotations cannot be read.
    """
    files = list_files(folder)
    image_files = ImageFiles(files)
    index = read_dataset(dataset, folder, files)

    refusal = None
    try:
        check_splits(_match(dataset, index, image_files, policies)[0], dataset.splits)
    except DataError as error:
        refusal = error
    images, problems = _match(dataset, index, image_files, DROP_ALL)  # the rest is looked at too
    scanned = scan_images(folder, images, dataset.pixels)
    try:
        apply_policies(scanned.corrupt, policies)
        check_splits(scanned.images, dataset.splits)
    except DataError as error:
        refusal = refusal or error
    by_split = {
        split: [image for image in scanned.images if image.split == split] for split in SPLITS
    }
    content = {
        image.name: hashes.content
        for image, hashes in zip(scanned.images, scanned.hashes, strict=True)
    }
    labelled = [
        LabelledImage(image.name, f"{name} {image.split}", str(image.file))
        for name, other in others.items()
        for image in other.images
    ]
    return DatasetCheck(
        name=dataset.name,
        folder=folder,
        images=scanned.images,
        splits=count_splits(by_split),
        problems=problems + scanned.corrupt,
        num_unused=len(image_files.files) - len(images),
        scanned=scanned,
        others=labelled,
        duplicates=find_duplicates(
            [*scanned.hashes, *(each for other in others.values() for each in other.hashes)],
            [*(image.split for image in scanned.images), *(image.split for image in labelled)],
            max_distance,
            num_compared=len(scanned.images),
        ),
        max_distance=max_distance,
        words=count_words(by_split, min_word_count),
        ceilings={
            split: _ceilings(by_split[split], content)
            for split in ("val", "test")
            if by_split[split]  # type: ignore[index]
        },
        refusal=refusal,
    )


def _ceilings(
    images: Sequence[MatchedImage], content: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Bound the recalls on a split under each tie rule; images are equal if their files are.

    Args:
        images: of the split.
        content: hash of an image's file, by the image's name.
    """
    texts = [normalize_sentence(text) for image in images for text in image.sentences]
    owners = np.repeat(np.arange(len(images)), [len(image.sentences) for image in images])
    contents = [content[image.name] for image in images]
    return {ties: recall_ceilings(texts, owners, contents, ties) for ties in TIE_RULES}
