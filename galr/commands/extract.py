"""Extract a dataset's archives safely.

zip and tar (gz, bz2, xz) are extracted, each into a folder of its own; any other file is copied.
Absolute paths, `..`, links, devices, and archives that extract to more than the limit are errors;
nothing is written then. Where an archive does not say in which encoding its names are, a line says how
they were read: as UTF-8, as the text files beside them name them, as GBK, or as the format says.

IN   resources/{dataset}/archives/*
OUT  resources/{dataset}/files/             complete, or absent

example: galr extract --archives a.zip b.txt --unpack-limit-gb 20 --output resources/mine/files
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr.data.extract import extract
from galr.errors import ConfigError
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The archives, the limit and the output."""

    archives: tuple[Path, ...] = option("the archives to extract, and plain files to copy")
    unpack_limit_gb: float = option("gigabytes that all archives together may extract to")
    output: Path = option("the folder to create")

    def __post_init__(self) -> None:
        """Check the limit."""
        if not self.unpack_limit_gb > 0:
            raise ConfigError(f"data.unpack_limit_gb must be above 0, got {self.unpack_limit_gb}")


def run(options: Options) -> None:
    """Extract the archives."""
    for note in extract(options.archives, options.output, limit_gb=options.unpack_limit_gb):
        print(note, file=sys.stderr)
