"""Validate a dataset and store it as one HDF5 file.

An image is its path below the folder; folders, suffix and case may differ where one file alone fits.
It is a jpg, jpeg, png, tif, tiff or webp, and is decoded once. Each kind of problem has a policy:
`error` stops and names it, `drop` leaves the item out and lists it.

IN   config/datasets/{dataset}.yaml
     resources/{dataset}/files/             extracted or drawn files, or a folder of your own; of Parquet
                                            tables and tar shards what `galr unpack` made of it
OUT  results/{dataset}/dataset.h5
        /images             (images, size, size, 3) uint8, RGB
        /names /files       (images,) text: stem (path where stems repeat), path in the folder
        /sizes              (images, 2) int32, width and height of the original in pixels
        /splits             (images,) text, train | val | test
        /sentences          (sentences,) text, unchanged
        /image_of_sentence  (sentences,) int32
     results/{dataset}/data_report.csv      item,kind,reason of everything that was dropped
     results/{dataset}/files.csv            file,bytes,modified_ns of a folder of your own, to notice changes
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from galr.data.annotations import read_dataset
from galr.data.dataset_spec import read_dataset_spec
from galr.data.find_images import list_files
from galr.data.folder_listing import (
    COLUMNS,
    describe_changes,
    listing_hash,
    listing_rows,
    read_listing,
    scan_folder,
)
from galr.data.image_names import ImageFiles
from galr.data.validate import PROBLEM_KINDS, Policy, apply_policies, check_splits, validate
from galr.errors import ConfigError
from galr.io.csv_io import write_csv
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The dataset, the stored size, the policy for each kind of problem, and the outputs."""

    dataset: Path = option("the dataset file")
    folder: Path = option("the folder of its files")
    size: int = option("width and height to store, in pixels")
    missing_image: Policy = option("policy for an annotated image without a file")
    corrupt_image: Policy = option("policy for an image file that is damaged or cut short")
    blank_sentence: Policy = option("policy for a sentence without a word")
    wrong_count: Policy = option(
        "policy for an image with a wrong number of sentences, or a dataset with a wrong number of images"
    )
    duplicate_name: Policy = option("policy for an image that is annotated twice or has two files")
    unknown_image: Policy = option("policy for a sentence that belongs to no annotated image")
    output: Path = option("the dataset.h5 to write")
    report: Path = option("the CSV of dropped items to write")
    listing: Path | None = option(
        "a CSV of the folder's files, sizes and times, to name the changed files next time",
        default=None,
    )

    def __post_init__(self) -> None:
        """Check the size."""
        if self.size < 1:
            raise ConfigError(f"data.size is in pixels, 1 or more, got {self.size}")


def run(options: Options) -> None:
    """Read the annotations, validate them and store the dataset."""
    from galr.data import write_dataset  # h5py and Pillow, which --help does without
    from galr.io.formats import Dataset

    dataset = read_dataset_spec(options.dataset)
    stamps = scan_folder(options.folder)
    if changes := describe_changes(read_listing(options.listing), stamps):
        print(f"{dataset.name}: changed in {options.folder}: {changes}", file=sys.stderr)
    policies = {kind: getattr(options, kind) for kind in PROBLEM_KINDS}
    files = list_files(options.folder)
    image_files = ImageFiles(files)
    index = read_dataset(dataset, options.folder, files)
    images, dropped = validate(
        dataset.name,
        index,
        image_files,
        sentences_per_image=dataset.sentences_per_image,
        num_images=dataset.num_images,
        policies=policies,
    )
    check_splits(images, dataset.splits)
    provenance = write_dataset.dataset_provenance(
        dataset, options.folder, index.files, options.size
    )
    if dataset.drawn_validation is not None:
        provenance["drawn_validation"] = asdict(dataset.drawn_validation)
    if options.listing:
        provenance["listing_sha256"] = listing_hash(stamps)
    with Dataset.create(options.output, provenance) as file:
        stored = write_dataset.store_images(
            file, options.folder, images, options.size, dataset.pixels
        )
        apply_policies(stored.corrupt, policies)
        check_splits(stored.images, dataset.splits)
        sentences_sha256 = write_dataset.store_sentences(file, stored.images)
        file.update_provenance(images_sha256=stored.sha256, sentences_sha256=sentences_sha256)
    dropped += stored.corrupt
    write_dataset.write_report(options.report, dropped)
    if options.listing:
        write_csv(options.listing, COLUMNS, listing_rows(stamps))
    for line in stored.readings.lines():
        print(f"{dataset.name}: {line}", file=sys.stderr)
    num_files = len(image_files.files)
    print(
        f"{dataset.name}: {write_dataset.summarize(stored.images, dropped, num_files)}",
        file=sys.stderr,
    )
