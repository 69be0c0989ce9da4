"""Make image files of a dataset that packs its images in Parquet tables or tar shards.

Tables and shards are read once; all later commands take the image files. What lies in splits that
the dataset file leaves out is not unpacked.

IN   config/datasets/{dataset}.yaml
     resources/{dataset}/files/             extracted files, or a folder of your own
OUT  resources/{dataset}/unpacked/          complete, or absent
        <split>/<name>                      image files, unchanged
        captions.json                       sentences and splits, Karpathy layout
     results/{dataset}/files.csv            file,bytes,modified_ns of a folder of your own, to notice changes

example: galr unpack --dataset config/datasets/mine.yaml --folder shards --unpack-limit-gb 20
         --output resources/mine/unpacked
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr.data.dataset_spec import read_dataset_spec
from galr.data.folder_listing import COLUMNS, listing_rows, scan_folder
from galr.errors import ConfigError
from galr.io.csv_io import write_csv
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The dataset, its folder, the limit and the outputs."""

    dataset: Path = option("the dataset file")
    folder: Path = option("the folder of its tables or shards")
    unpack_limit_gb: float = option("gigabytes that may be written")
    output: Path = option("the folder to create")
    listing: Path | None = option(
        "a CSV of the folder's files, sizes and times, to name the changed files next time",
        default=None,
    )

    def __post_init__(self) -> None:
        """Check the limit."""
        if not self.unpack_limit_gb > 0:
            raise ConfigError(f"data.unpack_limit_gb must be above 0, got {self.unpack_limit_gb}")


def run(options: Options) -> None:
    """Unpack the dataset."""
    from galr.data.unpack import unpack  # Pillow, which --help does without

    dataset = read_dataset_spec(options.dataset)
    stamps = scan_folder(options.folder)
    count = unpack(dataset, options.folder, options.output, limit_gb=options.unpack_limit_gb)
    if options.listing:
        write_csv(options.listing, COLUMNS, listing_rows(stamps))
    print(f"{dataset.name}: {count} images unpacked into {options.output}", file=sys.stderr)
