"""What a user's own folder holds, so that a changed file is noticed before anything runs, and is named.

A listing has the name, size and time of each file; no file is opened, so 10,000 files take a tenth of a second.
"""

import csv
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from galr.errors import DataError, printable

COLUMNS = ("file", "bytes", "modified_ns")
SHOWN_FILES = 5


class FileStamp(NamedTuple):
    """Size of a file in bytes, and when it was last written, in nanoseconds since 1970."""

    size: int
    modified: int


Listing = Mapping[str, FileStamp]


def scan_folder(folder: Path) -> Listing:
    """List all files below a folder by their path in it; links are followed, hidden files left out.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        return dict(sorted(_scan(str(folder), "", frozenset({os.path.realpath(folder)}))))
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read ({error.strerror}); correct the folder"
        ) from error


def _scan(path: str, prefix: str, parents: frozenset[str]) -> Iterator[tuple[str, FileStamp]]:
    """Yield the files of one folder and of those below it.

    Args:
        path: the folder.
        prefix: its path below the first one, with a slash at the end.
        parents: real paths of the folders around it, which a link must not lead back to.
    """
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in parents:
                    yield from _scan(entry.path, f"{prefix}{entry.name}/", parents | {real})
                continue
            try:
                stat = entry.stat()
            except FileNotFoundError:  # a link to nothing
                continue
            yield prefix + entry.name, FileStamp(stat.st_size, stat.st_mtime_ns)


def listing_hash(listing: Listing) -> str:
    """Return a hash that changes when a file is added, deleted, renamed or written."""
    rows = (f"{file}\0{stamp.size}\0{stamp.modified}\n" for file, stamp in listing.items())
    return hashlib.sha256("".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def listing_rows(listing: Listing) -> Iterator[tuple[str, int, int]]:
    """Yield the rows of a listing's CSV file, under `COLUMNS`."""
    for file, stamp in listing.items():
        yield file, stamp.size, stamp.modified


def read_listing(path: Path | None) -> Listing | None:
    """Read a listing that was written as CSV; None where there is none, or it cannot be used."""
    if path is None:
        return None
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            header, *rows = csv.reader(file)
            if tuple(header) != COLUMNS:
                return None
            return {name: FileStamp(int(size), int(modified)) for name, size, modified in rows}
    except (OSError, ValueError, csv.Error):
        return None


def describe_changes(before: Listing | None, after: Listing) -> str:
    """Name the files that differ between two listings; an empty text where none does, or there is no first one."""
    if before is None:
        return ""
    changes = [
        *(("changed", file) for file in after if file in before and after[file] != before[file]),
        *(("added", file) for file in after if file not in before),
        *(("deleted", file) for file in before if file not in after),
    ]
    shown = ", ".join(f"{printable(file)} ({what})" for what, file in changes[:SHOWN_FILES])
    more = len(changes) - SHOWN_FILES
    return shown + (f" and {more} more" if more > 0 else "")
