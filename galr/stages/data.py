"""Validate a dataset and store it as one HDF5 file.

Images are found by their stem in any folder below, as jpg, jpeg, png, tif, tiff or webp, and
decoded once. What is not as it should be meets a policy: `error` stops and names it, `drop` leaves
it out and lists it.

IN   config/datasets/{dataset}.yaml
     resources/{dataset}/files/             what was unpacked or drawn, or a folder of your own
OUT  results/{dataset}/dataset.h5
        /images             (images, size, size, 3) uint8, RGB
        /names /files       (images,) text: stem, path below the folder
        /sizes              (images, 2) int32, width and height of the original in pixels
        /splits             (images,) text, train | val | test
        /sentences          (sentences,) text as it came
        /image_of_sentence  (sentences,) int32
     results/{dataset}/data_report.csv      item,kind,reason of everything that was dropped
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr import store
from galr.data.assemble import (
    add_origin,
    origin,
    store_images,
    store_sentences,
    summary,
    write_report,
)
from galr.data.dataset_file import read_dataset_file
from galr.data.folder import files_below, pictures_by_stem
from galr.data.layouts import read_listing
from galr.data.validate import KINDS, Policy, refuse, refuse_empty, validate
from galr.errors import ConfigError
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """Which dataset, how large, and what to do about each kind of offence."""

    dataset: Path = setting("the dataset file")
    folder: Path = setting("the folder that holds its files")
    size: int = setting("width and height to store, in pixels")
    missing_image: Policy = setting("an image is listed and not there")
    corrupt_image: Policy = setting("an image is damaged or cut short")
    blank_sentence: Policy = setting("a sentence holds no word")
    wrong_count: Policy = setting(
        "an image has another number of sentences, or the dataset of images"
    )
    duplicate_name: Policy = setting("an image is listed twice, or two files have its name")
    unknown_image: Policy = setting("a sentence belongs to no listed image")
    output: Path = setting("the dataset.h5 to write")
    report: Path = setting("the CSV of everything that was dropped")

    def __post_init__(self) -> None:
        """Refuse a size that no picture has."""
        if self.size < 1:
            raise ConfigError(f"data.size is in pixels, 1 or more, got {self.size}")


def run(flags: Flags) -> None:
    """Read, validate, store."""
    dataset = read_dataset_file(flags.dataset)
    policies = {kind: getattr(flags, kind) for kind in KINDS}
    files = files_below(flags.folder)
    present = pictures_by_stem(files)
    listing = read_listing(flags.folder, files, dataset.layout, dataset.splits, dataset.unused)
    images, dropped = validate(
        dataset.name,
        listing,
        present,
        sentences_per_image=dataset.sentences_per_image,
        images=dataset.images,
        policies=policies,
    )
    refuse_empty(images, dataset.splits)
    known = origin(dataset, flags.folder, listing.files, flags.size)
    with store.writing(flags.output, store.DATASET, known) as file:
        stored = store_images(file, flags.folder, images, flags.size)
        refuse(stored.corrupt, policies)
        refuse_empty(stored.images, dataset.splits)
        spoken = store_sentences(file, stored.images)
        add_origin(file, images_sha256=stored.sha256, sentences_sha256=spoken)
    dropped += stored.corrupt
    write_report(flags.report, dropped)
    pictures = sum(map(len, present.values()))
    print(f"{dataset.name}: {summary(stored.images, dropped, pictures)}", file=sys.stderr)
