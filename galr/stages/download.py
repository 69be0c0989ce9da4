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

from galr.data.dataset_file import read_dataset_file
from galr.data.download import fetch
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """Which archive, from where, to where."""

    dataset: Path = setting("the dataset file")
    archive: str = setting("the archive, by the name it is saved under")
    mirror: Path | None = setting("a folder to look in before the network, or none", default=None)
    sums: Path = setting("the dataset's SHA256SUMS")
    output: Path = setting("where the verified archive goes")


def run(flags: Flags) -> None:
    """Read the dataset file, fetch the archive."""
    archive = read_dataset_file(flags.dataset).archive(flags.archive)
    fetch(archive, mirror=flags.mirror, sums=flags.sums, output=flags.output)
