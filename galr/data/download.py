"""Fetch one archive from a mirror folder or its addresses; verified before it gets its name."""

import glob
import hashlib
from collections.abc import Sequence
from pathlib import Path

from galr import versions
from galr.data import checksums
from galr.data.dataset_file import Archive
from galr.data.transfer import transfer
from galr.errors import ConfigError, DownloadError

PAUSES = (1.0, 2.0, 4.0)  # seconds before the next try, while tries bring nothing


def fetch(
    archive: Archive,
    *,
    mirror: Path | None,
    sums: Path,
    output: Path,
    pauses: Sequence[float] = PAUSES,
) -> None:
    """Put a verified archive at `output`, and what it hashes to into `sums`.

    It must hash to its published sha256; where none is published, or only its first digits are, also
    to the one recorded at first use. A file that lies at `output` already is verified in the same way, and kept if it passes.

    Args:
        archive: what to fetch.
        mirror: a folder in front of the network; its file of the archive's name is used.
        sums: the dataset's SHA256SUMS.
        output: where to put it; nothing unverified ever takes this name.
        pauses: seconds to wait after each try in a row that brought no bytes.

    Raises:
        ConfigError: the mirror is no folder.
        DownloadError: no source has it, or what they have is not what it was.
    """
    if mirror is not None and not mirror.is_dir():
        raise ConfigError(f"mirror {mirror} is no folder; correct it, or set mirror: null")
    expected = _expected(archive, checksums.recorded(sums).get(archive.file))
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():
        if (actual := versions.sha256(output)).startswith(expected):
            checksums.record(sums, archive.file, actual)
            return
        output.unlink()  # under this name it would be taken for the archive
    mirrored = mirror / archive.file if mirror is not None else None
    if mirrored is not None and mirrored.exists():
        _take(mirrored.resolve().as_uri(), archive.file, expected, sums, output, pauses)
        return
    reasons = []
    for url in archive.urls:
        try:
            _take(url, archive.file, expected, sums, output, pauses)
        except DownloadError as error:
            reasons.append(str(error))
        else:
            return
    place = mirrored or Path("mirror") / archive.file
    raise DownloadError(
        f"{archive.file} could not be fetched ({'; '.join(reasons) or 'no address is known'});"
        f" without internet, save it as {place} and set mirror: {place.parent} in the config"
    )


def _expected(archive: Archive, recorded: str | None) -> str:
    """The digits that a hash must begin with: those published, or all 64 of the first use."""
    published = archive.sha256 or ""
    return recorded if recorded and recorded.startswith(published) else published


def _take(
    url: str,
    file: str,
    expected: str,
    sums: Path,
    output: Path,
    pauses: Sequence[float],
) -> None:
    """Fetch from one address, verify, record, and only then give the archive its name.

    Raises:
        DownloadError: it cannot be had here, or hashes to something else.
    """
    # A partial file belongs to one address: another's may differ.
    mark = hashlib.sha256(url.encode()).hexdigest()[:8]
    partial = output.with_name(f".{output.name}.{mark}.part")
    transfer(url, partial, pauses)
    actual = versions.sha256(partial)
    if not actual.startswith(expected):
        partial.unlink()
        raise DownloadError(
            f"{url}: sha256 is {actual}, expected {expected}; not the archive it was, and"
            " was not kept; if its maker changed it, correct the dataset file or its line in"
            f" {sums}"
        )
    checksums.record(sums, file, actual)
    partial.replace(output)
    for left in output.parent.glob(f".{glob.escape(output.name)}.*.part*"):
        left.unlink()  # what other addresses began
