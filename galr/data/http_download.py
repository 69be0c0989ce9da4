"""Download an address to a file; an interrupted download is resumed.

The retry loop is our own: urllib3's `Retry` ends when the headers have arrived, and most large downloads break
while the body is read, which only a request for the missing bytes continues.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
import urllib3

from galr.errors import DownloadError
from galr.io.atomic import WRITE_ERRNO, explain_write_errors
from galr.progress import ProgressBar

CHUNK = 1 << 20  # bytes read at a time
CONNECT_TIMEOUT, READ_TIMEOUT = 10.0, 60.0  # seconds
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}


class _IncompleteError(Exception):
    """A try that ended early; the next one may continue it."""


@dataclass(frozen=True)
class _RemoteVersion:
    """Identifies the version of a remote file: its ETag or date, and its size in bytes."""

    validator: str = ""
    total: int | None = None


def download(url: str, file: Path, backoff: Sequence[float]) -> None:
    """Download an address to a file; a partial file of an earlier call is continued.

    Args:
        url: an http, https or file address.
        file: the file to write.
        backoff: seconds to wait after each consecutive try that brought no bytes.

    Raises:
        DownloadError: the server refuses, or `len(backoff) + 1` consecutive tries brought no bytes.
        OutputError: the file cannot be written.
    """
    if urlsplit(url).scheme == "file":
        _copy_file(url, file)
        return
    idle = 0
    while True:
        before = _file_size(file)
        try:
            return _resume(url, file)
        except _IncompleteError as error:
            idle = 0 if _file_size(file) > before else idle + 1
            if idle > len(backoff):
                raise DownloadError(f"{url}: {error}") from error
            time.sleep(backoff[max(idle, 1) - 1] if backoff else 0)


def _copy_file(url: str, file: Path) -> None:
    """Copy a local file.

    Raises:
        DownloadError: the file does not exist or cannot be read.
        OutputError: the copy cannot be written.
    """
    try:
        shutil.copyfile(url2pathname(urlsplit(url).path), file)
    except OSError as error:
        file.unlink(missing_ok=True)
        if error.errno in WRITE_ERRNO:
            with explain_write_errors(file):
                raise
        raise DownloadError(f"{url}: cannot be copied ({error.strerror})") from error


def _resume(url: str, file: Path) -> None:
    """Request the missing bytes and append them.

    Raises:
        _IncompleteError: another try may help.
        DownloadError: another try would not help.
    """
    version_file = file.with_name(f"{file.name}.version")  # the version that the partial file is of
    started = _read_version(version_file) if version_file.exists() else _RemoteVersion()
    # Without compression: a range of compressed bytes cannot be appended.
    headers = {"Accept-Encoding": "identity"}
    if version_file.exists() and _file_size(file):
        headers["Range"] = f"bytes={_file_size(file)}-"
        if started.validator:
            headers["If-Range"] = started.validator  # a changed file is then sent from its start
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)
        ) as response:
            _check_response(response, url)
            start, version = _resume_position(response, file, started)
            version_file.write_text(f"{version.total or ''}\n{version.validator}", "utf-8")
            _append(response, file, start, version.total)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _IncompleteError("no connection, or it was lost") from error
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {error}") from error
    except OSError:  # of the disk: errors of the network are among the above
        with explain_write_errors(file):
            raise
    if version.total is not None and _file_size(file) < version.total:
        raise _IncompleteError(f"ended after {_file_size(file)} of {version.total} bytes")
    version_file.unlink()


def _check_response(response: requests.Response, url: str) -> None:
    """Check that a response brings a part of the file.

    Raises:
        _IncompleteError: another try may help.
        DownloadError: another try would not help.
    """
    code = response.status_code
    if code in RETRY_STATUS:
        raise _IncompleteError(f"HTTP {code} {response.reason}")
    if not response.ok and code != requests.codes.requested_range_not_satisfiable:
        raise DownloadError(f"{url}: HTTP {code} {response.reason}")
    if response.ok and response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(f"{url}: the server sent a web page instead of the file")
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise DownloadError(f"{url}: the server sent {coding} encoding, which cannot be resumed")


def _resume_position(
    response: requests.Response, file: Path, started: _RemoteVersion
) -> tuple[int, _RemoteVersion]:
    """Find where a response's bytes belong in the file, and which version of the file they are of.

    Raises:
        _IncompleteError: they do not continue the partial file, which is deleted.
    """
    headers, received = response.headers, _file_size(file)
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    if response.status_code == requests.codes.ok:
        length = headers.get("Content-Length", "")
        return 0, _RemoteVersion(validator, int(length) if length.isdigit() else None)
    byte_range, _, size = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    total = int(size) if size.isdigit() else None
    if response.status_code == requests.codes.requested_range_not_satisfiable:
        fits = total == received  # the partial file is already complete
    else:
        fits = byte_range.partition("-")[0] == str(received) and started.total in (None, total)
    if not fits:
        file.unlink(missing_ok=True)
        raise _IncompleteError("the file on the server changed")
    return received, _RemoteVersion(validator or started.validator, total)


def _append(response: requests.Response, file: Path, start: int, total: int | None) -> None:
    """Write a response's bytes from `start` on, with a progress bar."""
    with (
        file.open("ab") as opened,
        ProgressBar(total=total, initial=start, unit="B", unit_scale=True, disable=None) as bar,
    ):
        opened.truncate(start)
        if start != total:
            # iter_content would lose up to a chunk of received bytes when the connection breaks
            while piece := response.raw.read1(CHUNK, decode_content=False):
                bar.update(opened.write(piece))


def _read_version(version_file: Path) -> _RemoteVersion:
    """Read the version that a partial file is of."""
    total, _, validator = version_file.read_text("utf-8").partition("\n")
    return _RemoteVersion(validator, int(total) if total else None)


def _file_size(file: Path) -> int:
    """Return the number of bytes received so far."""
    return file.stat().st_size if file.exists() else 0
