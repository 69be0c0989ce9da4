"""`SHA256SUMS`: what every archive hashed to at first use, as `sha256sum --check` reads it.

Fetch one archive from a mirror folder or its addresses; verified before it gets its name.
"""

import fcntl
import glob
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from galr.data.dataset_spec import Archive
from galr.data.http_download import download
from galr.errors import ConfigError, DataError, DownloadError
from galr.io.atomic import atomic_write
from galr.provenance import file_sha256

CHECKSUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def read_checksums(checksum_file: Path) -> dict[str, str]:
    """Read the recorded hashes, file name to 64 hexadecimal digits; none where nothing is recorded.

    Raises:
        DataError: a line is not as `sha256sum` writes it.
    """
    if not checksum_file.exists():
        return {}
    hashes = {}
    for number, line in enumerate(checksum_file.read_text(encoding="utf-8").splitlines(), start=1):
        match = CHECKSUM_LINE.fullmatch(line)
        if match is None:
            raise DataError(
                f"{checksum_file} line {number} is '{line}', expected a sha256, two spaces and a file name;"
                " correct the line, or delete it to trust the next download"
            )
        hashes[match[2]] = match[1]
    return hashes


def store_checksum(checksum_file: Path, file: str, sha256: str) -> None:
    """Remember what a file hashes to; downloads that end together keep each other's line."""
    checksum_file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(checksum_file):
        hashes = read_checksums(checksum_file) | {file: sha256}
        text = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
        with atomic_write(checksum_file) as partial:
            partial.write_text(text, "utf-8")


@contextmanager
def _locked(checksum_file: Path) -> Iterator[None]:
    """Hold the lock beside the file: the file itself is replaced, so it cannot carry the lock."""
    with checksum_file.with_name(f".{checksum_file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


BACKOFF = (1.0, 2.0, 4.0)  # seconds before the next try, while tries bring nothing


def fetch_archive(
    archive: Archive,
    *,
    mirror: Path | None,
    checksum_file: Path,
    output: Path,
    backoff: Sequence[float] = BACKOFF,
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
    prefix = _expected_prefix(archive, read_checksums(checksum_file).get(archive.file))
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():
        if (actual := file_sha256(output)).startswith(prefix):
            store_checksum(checksum_file, archive.file, actual)
            return
        output.unlink()  # under this name it would be taken for the archive
    mirrored = mirror / archive.file if mirror is not None else None
    if mirrored is not None and mirrored.exists():
        _fetch_from(
            mirrored.resolve().as_uri(), archive.file, prefix, checksum_file, output, backoff
        )
        return
    reasons = []
    for url in archive.urls:
        try:
            _fetch_from(url, archive.file, prefix, checksum_file, output, backoff)
        except DownloadError as error:
            reasons.append(str(error))
        else:
            return
    place = mirrored or Path("mirror") / archive.file
    raise DownloadError(
        f"{archive.file} could not be fetched ({'; '.join(reasons) or 'no address is known'});"
        f" without internet, save it as {place} and set mirror: {place.parent} in the config"
    )


def _expected_prefix(archive: Archive, recorded: str | None) -> str:
    """The digits that a hash must begin with: those published, or all 64 of the first use."""
    published = archive.sha256 or ""
    return recorded if recorded and recorded.startswith(published) else published


def _fetch_from(
    url: str,
    file: str,
    prefix: str,
    checksum_file: Path,
    output: Path,
    backoff: Sequence[float],
) -> None:
    """Fetch from one address, verify, record, and only then give the archive its name.

    Raises:
        DownloadError: it cannot be had here, or hashes to something else.
    """
    # A partial file belongs to one address: another's may differ.
    mark = hashlib.sha256(url.encode()).hexdigest()[:8]
    partial = output.with_name(f".{output.name}.{mark}.part")
    download(url, partial, backoff)
    actual = file_sha256(partial)
    if not actual.startswith(prefix):
        partial.unlink()
        raise DownloadError(
            f"{url}: sha256 is {actual}, expected {prefix}; not the archive it was, and"
            " was not kept; if its maker changed it, correct the dataset file or its line in"
            f" {checksum_file}"
        )
    store_checksum(checksum_file, file, actual)
    partial.replace(output)
    for left in output.parent.glob(f".{glob.escape(output.name)}.*.part*"):
        left.unlink()  # what other addresses began
