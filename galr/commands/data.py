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
     results/{dataset}/files.csv            file,bytes,modified_ns of a folder of your own, to notice changes
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr.data.dataset_spec import read_dataset_spec
from galr.data.find_images import images_by_stem, list_files
from galr.data.folder_listing import (
    COLUMNS,
    describe_changes,
    listing_hash,
    listing_rows,
    read_listing,
    scan_folder,
)
from galr.data.layouts import read_annotations
from galr.data.validate import PROBLEM_KINDS, Policy, apply_policies, check_splits, validate
from galr.data.write_dataset import (
    dataset_provenance,
    store_images,
    store_sentences,
    summarize,
    write_report,
)
from galr.errors import ConfigError
from galr.io.csv_io import write_csv
from galr.io.formats import Dataset
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which dataset, how large, and what to do about each kind of offence."""

    dataset: Path = option("the dataset file")
    folder: Path = option("the folder that holds its files")
    size: int = option("width and height to store, in pixels")
    missing_image: Policy = option("an image is listed and not there")
    corrupt_image: Policy = option("an image is damaged or cut short")
    blank_sentence: Policy = option("a sentence holds no word")
    wrong_count: Policy = option(
        "an image has another number of sentences, or the dataset of images"
    )
    duplicate_name: Policy = option("an image is listed twice, or two files have its name")
    unknown_image: Policy = option("a sentence belongs to no listed image")
    output: Path = option("the dataset.h5 to write")
    report: Path = option("the CSV of everything that was dropped")
    listing: Path | None = option(
        "a CSV of the folder's files, sizes and times, to say next time what was changed",
        default=None,
    )

    def __post_init__(self) -> None:
        """Refuse a size that no picture has."""
        if self.size < 1:
            raise ConfigError(f"data.size is in pixels, 1 or more, got {self.size}")


def run(options: Options) -> None:
    """Read, validate, store."""
    dataset = read_dataset_spec(options.dataset)
    stamps = scan_folder(options.folder)
    if changes := describe_changes(read_listing(options.listing), stamps):
        print(f"{dataset.name}: changed in {options.folder}: {changes}", file=sys.stderr)
    policies = {kind: getattr(options, kind) for kind in PROBLEM_KINDS}
    files = list_files(options.folder)
    present = images_by_stem(files)
    listing = read_annotations(
        options.folder, files, dataset.layout, dataset.splits, dataset.unused
    )
    images, dropped = validate(
        dataset.name,
        listing,
        present,
        sentences_per_image=dataset.sentences_per_image,
        num_images=dataset.num_images,
        policies=policies,
    )
    check_splits(images, dataset.splits)
    known = dataset_provenance(dataset, options.folder, listing.files, options.size)
    if options.listing:
        known["listing_sha256"] = listing_hash(stamps)
    with Dataset.create(options.output, known) as file:
        stored = store_images(file, options.folder, images, options.size)
        apply_policies(stored.corrupt, policies)
        check_splits(stored.images, dataset.splits)
        spoken = store_sentences(file, stored.images)
        file.update_provenance(images_sha256=stored.sha256, sentences_sha256=spoken)
    dropped += stored.corrupt
    write_report(options.report, dropped)
    if options.listing:
        write_csv(options.listing, COLUMNS, listing_rows(stamps))
    pictures = sum(map(len, present.values()))
    print(f"{dataset.name}: {summarize(stored.images, dropped, pictures)}", file=sys.stderr)
