"""Fetch one archive of a dataset and verify it.

A mirror folder is asked first, then the archive's addresses in order. What breaks off is resumed,
what fails in passing is tried again. The archive must hash to the sha256 of the dataset file or,
where that is null, to the hash that its first download left in SHA256SUMS.

IN   config/datasets/{dataset}.yaml, a mirror folder if there is one
OUT  resources/{dataset}/archives/{archive}
     resources/{dataset}/SHA256SUMS         a line for each archive, as `sha256sum` writes it

example: galr download --dataset config/datasets/ucm.yaml --archive ucm.zip --mirror none
         --sums resources/ucm/SHA256SUMS --output resources/ucm/archives/ucm.zip
"""

from dataclasses import dataclass
from pathlib import Path

from galr.data.dataset_spec import read_dataset_spec
from galr.data.download import fetch_archive
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which archive, from where, to where."""

    dataset: Path = option("the dataset file")
    archive: str = option("the archive, by the name it is saved under")
    mirror: Path | None = option("a folder to look in before the network, or none", default=None)
    sums: Path = option("the dataset's SHA256SUMS")
    output: Path = option("where the verified archive goes")


def run(options: Options) -> None:
    """Read the dataset file, fetch the archive."""
    archive = read_dataset_spec(options.dataset).archive(options.archive)
    fetch_archive(archive, mirror=options.mirror, checksum_file=options.sums, output=options.output)
