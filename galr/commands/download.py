"""Download one archive of a dataset and verify it.

A mirror folder is tried first, then the archive's addresses in order. An interrupted download is
resumed, a temporary failure is tried again. The archive must have the sha256 of the dataset file or,
if that is null, the hash that its first download recorded in SHA256SUMS.

IN   config/datasets/{dataset}.yaml, a mirror folder if there is one
OUT  resources/{dataset}/archives/{archive}
     resources/{dataset}/SHA256SUMS         one line per archive, in the format of `sha256sum`

example: galr download --dataset config/datasets/ucm.yaml --archive ucm.zip --mirror none
         --sums resources/ucm/SHA256SUMS --output resources/ucm/archives/ucm.zip
"""

from dataclasses import dataclass
from pathlib import Path

from galr.data.dataset_spec import read_dataset_spec
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The archive, its sources and the output."""

    dataset: Path = option("the dataset file")
    archive: str = option("the archive, by the name it is saved under")
    mirror: Path | None = option("a folder to look in before the network, or none", default=None)
    sums: Path = option("the dataset's SHA256SUMS")
    output: Path = option("path of the verified archive")


def run(options: Options) -> None:
    """Read the dataset file and download the archive."""
    from galr.data.download import fetch_archive  # requests comes with an extra

    archive = read_dataset_spec(options.dataset).archive(options.archive)
    fetch_archive(archive, mirror=options.mirror, checksum_file=options.sums, output=options.output)
