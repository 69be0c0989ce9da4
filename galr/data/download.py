"""Download one archive from a mirror folder or its addresses and verify it against its SHA-256.

`SHA256SUMS` beside the archives has the hash of each at its first download, as `sha256sum --check` reads it.
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
from galr.io.atomic import atomic_write, explain_write_errors
from galr.provenance import file_sha256

CHECKSUM_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


def read_checksums(checksum_file: Path) -> dict[str, str]:
    """Read the recorded hashes: file name to 64 hexadecimal digits. Without a file the result is empty.

    Raises:
        DataError: a line is not in the format of `sha256sum`.
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
    """Record the hash of a file; downloads that end at the same time keep each other's line."""
    with explain_write_errors(checksum_file):
        checksum_file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(checksum_file):
        hashes = read_checksums(checksum_file) | {file: sha256}
        text = "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))
        with atomic_write(checksum_file) as partial:
            partial.write_text(text, "utf-8")


@contextmanager
def _locked(checksum_file: Path) -> Iterator[None]:
    """Lock a file beside the checksum file, which is itself replaced and so cannot hold the lock."""
    with checksum_file.with_name(f".{checksum_file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


BACKOFF = (1.0, 2.0, 4.0)  # seconds before the next try, after tries that brought no bytes


def fetch_archive(
    archive: Archive,
    *,
    mirror: Path | None,
    checksum_file: Path,
    output: Path,
    backoff: Sequence[float] = BACKOFF,
) -> None:
    """Download an archive to `output`, verify it, and record its hash.

    Its SHA-256 must be the published one. If none is published, or only its first digits, it must also be the one
    recorded at the first download. A file that already exists at `output` is verified in the same way, and kept
    if it passes.

    Args:
        archive: the archive to download.
        mirror: a folder to look in before the network, for a file with the archive's name.
        checksum_file: the dataset's SHA256SUMS.
        output: path of the verified archive; an unverified file never has this name.
        backoff: seconds to wait after each consecutive try that brought no bytes.

    Raises:
        ConfigError: the mirror is not a folder.
        DownloadError: no source has the archive, or its hash differs.
        OutputError: the archive cannot be written.
    """
    if mirror is not None and not mirror.is_dir():
        raise ConfigError(f"mirror {mirror} is not a folder; correct it, or set mirror: null")
    prefix = _expected_prefix(archive, read_checksums(checksum_file).get(archive.file))
    with explain_write_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    if output.exists():
        if (actual := file_sha256(output)).startswith(prefix):
            store_checksum(checksum_file, archive.file, actual)
            return
        output.unlink()  # a file of this name counts as the verified archive
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
        f"{archive.file} could not be downloaded ({'; '.join(reasons) or 'no address is given'});"
        f" without internet, save it as {place} and set mirror: {place.parent} in the config"
    )


def _expected_prefix(archive: Archive, recorded: str | None) -> str:
    """Return the digits that the hash must begin with: the published ones, or all 64 of the first download."""
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
    """Download from one address, verify, record the hash, and then rename the file to `output`.

    Raises:
        DownloadError: the address does not deliver the archive, or its hash differs.
    """
    # A partial file belongs to one address: the file at another may differ.
    mark = hashlib.sha256(url.encode()).hexdigest()[:8]
    partial = output.with_name(f".{output.name}.{mark}.part")
    download(url, partial, backoff)
    actual = file_sha256(partial)
    if not actual.startswith(prefix):
        partial.unlink()
        raise DownloadError(
            f"{url}: sha256 is {actual}, expected {prefix}; the archive has changed and"
            " was not kept; if its authors changed it, correct the dataset file or its line in"
            f" {checksum_file}"
        )
    store_checksum(checksum_file, file, actual)
    partial.replace(output)
    for leftover in output.parent.glob(f".{glob.escape(output.name)}.*.part*"):
        leftover.unlink()  # partial downloads from other addresses
