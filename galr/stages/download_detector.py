"""Fetch a detector's published weights, or an archive of the boxes it trains on, and verify it.

A mirror folder is asked first, for weights by the name that their address ends in; then the addresses.

IN   config/detectors/{detector}.yaml, a mirror folder if there is one
OUT  resources/detectors/{detector}/checkpoint.pth, or archives/{archive}
     resources/detectors/{detector}/SHA256SUMS
"""

from dataclasses import dataclass
from pathlib import Path

from galr.data.download import fetch
from galr.regions.detector import read_detector
from galr.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
    """What of which detector, from where, to where."""

    detector: Path = setting("the detector file")
    archive: str | None = setting(
        "an archive of its boxes, by the name it is saved under; none for its weights", default=None
    )
    mirror: Path | None = setting("a folder to look in before the network, or none", default=None)
    sums: Path = setting("the detector's SHA256SUMS")
    output: Path = setting("where the verified file goes")


def run(flags: Flags) -> None:
    """Read the detector file, fetch what it names."""
    detector = read_detector(flags.detector)
    wanted = detector.weights() if flags.archive is None else detector.archive(flags.archive)
    fetch(wanted, mirror=flags.mirror, sums=flags.sums, output=flags.output)
