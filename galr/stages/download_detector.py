"""Fetch a detector's published weights and verify them.

A mirror folder is asked first, for a file of the name that the address ends in; then the address.

IN   config/detectors/{detector}.yaml, a mirror folder if there is one
OUT  resources/detectors/{detector}/checkpoint.pth
     resources/detectors/{detector}/SHA256SUMS
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from galr.data.dataset_file import Archive
from galr.data.download import fetch
from galr.errors import ConfigError
from galr.regions.detector import read_detector
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """Which detector, from where, to where."""

    detector: Path = setting("the detector file")
    mirror: Path | None = setting("a folder to look in before the network, or none", default=None)
    sums: Path = setting("the detector's SHA256SUMS")
    output: Path = setting("where the verified weights go")


def run(flags: Flags) -> None:
    """Read the detector file, fetch its weights."""
    detector = read_detector(flags.detector)
    if detector.url is None:
        raise ConfigError(f"{flags.detector} gives no checkpoint.url; there is nothing to fetch")
    name = Path(urlsplit(detector.url).path).name
    weights = Archive(name, (detector.url,), detector.sha256)
    fetch(weights, mirror=flags.mirror, sums=flags.sums, output=flags.output)
