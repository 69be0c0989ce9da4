"""Bring an address's bytes into a file: resumed where it broke off, tried again if that helps."""

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
from galr.progress import ProgressBar

CHUNK = 1 << 20  # bytes taken at a time
CONNECT_TIMEOUT, READ_TIMEOUT = (
    10.0,
    60.0,
)  # seconds to wait for a connection, and for the next piece
RETRY_STATUS = {408, 425, 429, 500, 502, 503, 504}  # answers worth another try


class _IncompleteError(Exception):
    """A try that ended early; the next may continue it."""


@dataclass(frozen=True)
class _RemoteVersion:
    """What tells that a file is still the one that was begun: tag or date, and bytes in all."""

    validator: str = ""
    total: int | None = None


def download(url: str, file: Path, backoff: Sequence[float]) -> None:
    """Fill a file from an address; what an earlier call left in it is continued.

    Args:
        url: an http, https or file address.
        file: where the bytes go.
        pauses: seconds to wait after each try in a row that brought nothing.

    Raises:
        DownloadError: the address refuses, or one try more than there are pauses brought nothing.
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
    """Copy a file of this machine.

    Raises:
        DownloadError: it is not there or cannot be read.
    """
    try:
        shutil.copyfile(url2pathname(urlsplit(url).path), file)
    except OSError as error:
        file.unlink(missing_ok=True)
        raise DownloadError(f"{url}: cannot be copied ({error.strerror})") from error


def _resume(url: str, file: Path) -> None:
    """Ask for the bytes that are still missing and append them.

    Raises:
        _BrokenError: try again.
        DownloadError: trying again will not help.
    """
    version_file = file.with_name(f"{file.name}.version")  # which version of the file was begun
    started = _read_version(version_file) if version_file.exists() else _RemoteVersion()
    # Coding identity: a range of compressed bytes would be of no use.
    headers = {"Accept-Encoding": "identity"}
    if version_file.exists() and _file_size(file):
        headers["Range"] = f"bytes={_file_size(file)}-"
        if started.validator:
            headers["If-Range"] = started.validator  # a changed file is then sent whole
    try:
        with requests.get(
            url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT)
        ) as response:
            _check_response(response, url)
            start, version = _resume_position(response, file, started)
            version_file.write_text(f"{version.total or ''}\n{version.validator}", "utf-8")
            _append(response, file, start, version.total)
    except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
        raise _IncompleteError("no connection, or it broke off") from error
    except requests.RequestException as error:
        raise DownloadError(f"{url}: {error}") from error
    except OSError as error:  # of the disk: those of the network are one of the above
        raise DownloadError(f"{file} cannot be written ({error.strerror}); make room") from error
    if version.total is not None and _file_size(file) < version.total:
        raise _IncompleteError(f"ended after {_file_size(file)} of {version.total} bytes")
    version_file.unlink()


def _check_response(response: requests.Response, url: str) -> None:
    """Refuse answers that bring no part of the file.

    Raises:
        _BrokenError: try again.
        DownloadError: trying again will not help.
    """
    code = response.status_code
    if code in RETRY_STATUS:
        raise _IncompleteError(f"HTTP {code} {response.reason}")
    if not response.ok and code != requests.codes.requested_range_not_satisfiable:
        raise DownloadError(f"{url}: HTTP {code} {response.reason}")
    if response.ok and response.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(f"{url}: a web page came instead of the file")
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise DownloadError(f"{url}: it comes in {coding} coding, which cannot be resumed")


def _resume_position(
    response: requests.Response, file: Path, started: _RemoteVersion
) -> tuple[int, _RemoteVersion]:
    """Say where an answer's bytes belong, and of which version of the file they are.

    Raises:
        _BrokenError: they do not continue what came before, which is thrown away.
    """
    headers, have = response.headers, _file_size(file)
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    if response.status_code == requests.codes.ok:
        length = headers.get("Content-Length", "")
        return 0, _RemoteVersion(validator, int(length) if length.isdigit() else None)
    place, _, whole = headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
    total = int(whole) if whole.isdigit() else None
    if response.status_code == requests.codes.requested_range_not_satisfiable:
        fits = total == have  # all of it came before, and only its name was missing
    else:
        fits = place.partition("-")[0] == str(have) and started.total in (None, total)
    if not fits:
        file.unlink(missing_ok=True)
        raise _IncompleteError("the file on the server changed")
    return have, _RemoteVersion(validator or started.validator, total)


def _append(response: requests.Response, file: Path, start: int, total: int | None) -> None:
    """Write an answer's bytes from `start` on, with a progress bar."""
    with (
        file.open("ab") as opened,
        ProgressBar(total=total, initial=start, unit="B", unit_scale=True, disable=None) as bar,
    ):
        opened.truncate(start)
        if start != total:
            # iter_content would lose up to a piece of what had come when the connection breaks
            while piece := response.raw.read1(CHUNK, decode_content=False):
                bar.update(opened.write(piece))


def _read_version(version_file: Path) -> _RemoteVersion:
    """Read which version of a file was begun."""
    total, _, validator = version_file.read_text("utf-8").partition("\n")
    return _RemoteVersion(validator, int(total) if total else None)


def _file_size(file: Path) -> int:
    """Bytes that came so far."""
    return file.stat().st_size if file.exists() else 0
