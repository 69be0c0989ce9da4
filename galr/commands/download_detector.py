"""Fetch a detector's published weights, or an archive of the boxes it trains on, and verify it.

A mirror folder is asked first, for weights by the name that their address ends in; then the addresses.

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
    """What of which detector, from where, to where."""

    detector: Path = option("the detector file")
    archive: str | None = option(
        "an archive of its boxes, by the name it is saved under; none for its weights", default=None
    )
    mirror: Path | None = option("a folder to look in before the network, or none", default=None)
    sums: Path = option("the detector's SHA256SUMS")
    output: Path = option("where the verified file goes")


def run(options: Options) -> None:
    """Read the detector file, fetch what it names."""
    from galr.data.download import fetch_archive  # requests comes with an extra

    detector = read_network_spec(options.detector)
    wanted = (
        detector.published_weights()
        if options.archive is None
        else detector.archive(options.archive)
    )
    fetch_archive(wanted, mirror=options.mirror, checksum_file=options.sums, output=options.output)
