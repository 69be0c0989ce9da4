"""Unpack a dataset's archives, refusing the dangerous.

zip and tar (gz, bz2, xz) are unpacked, each into a folder of its own; any other file is placed as
it is. Absolute paths, `..`, links, devices, and archives that unpack beyond the limit are refused,
and then nothing is left behind.

IN   resources/{dataset}/archives/*
OUT  resources/{dataset}/files/             whole, or not there

example: galr extract --archives a.zip b.txt --unpack-limit-gb 20 --output resources/mine/files
"""

from dataclasses import dataclass
from pathlib import Path

from galr.data.extract import extract
from galr.errors import ConfigError
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which archives, how much at most, to where."""

    archives: tuple[Path, ...] = option("the archives to unpack, and plain files to place")
    unpack_limit_gb: float = option("gigabytes that all of them may unpack to")
    output: Path = option("the folder to make")

    def __post_init__(self) -> None:
        """Refuse a limit that lets nothing through."""
        if not self.unpack_limit_gb > 0:
            raise ConfigError(f"data.unpack_limit_gb is above 0, got {self.unpack_limit_gb}")


def run(options: Options) -> None:
    """Unpack."""
    extract(options.archives, options.output, limit_gb=options.unpack_limit_gb)
