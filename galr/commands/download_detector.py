"""Download a detector's published weights, or an archive of the boxes it trains on, and verify it.

A mirror folder is tried first, then the addresses. In the mirror, weights have the name that their address ends
with.

IN   config/detectors/{detector}.yaml, a mirror folder if there is one
OUT  resources/detectors/{detector}/checkpoint.pth, or archives/{archive}
     resources/detectors/{detector}/SHA256SUMS
"""

from dataclasses import dataclass
from pathlib import Path

from galr.options import OptionGroup, option
from galr.regions.detector_spec import read_network_spec


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """The detector, the file to download, its sources and the output."""

    detector: Path = option("the detector file")
    archive: str | None = option(
        "an archive of its boxes, by the name it is saved under; none for the weights", default=None
    )
    mirror: Path | None = option("a folder to look in before the network, or none", default=None)
    sums: Path = option("the detector's SHA256SUMS")
    output: Path = option("path of the verified file")


def run(options: Options) -> None:
    """Read the detector file and download the weights or the archive."""
    from galr.data.download import fetch_archive  # requests comes with an extra

    detector = read_network_spec(options.detector)
    archive = (
        detector.published_weights()
        if options.archive is None
        else detector.archive(options.archive)
    )
    fetch_archive(archive, mirror=options.mirror, checksum_file=options.sums, output=options.output)
