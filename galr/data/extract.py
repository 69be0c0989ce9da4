"""Unpack what strangers packed: nothing outside the folder, no links, no more than a bound."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from galr.errors import DataError
from galr.io.atomic import atomic_directory
from galr.progress import ProgressBar

CHUNK = 1 << 20  # bytes taken at a time
ENTRY_OVERHEAD = (
    512  # bytes an entry counts for besides its own, so that millions of empty files end too
)
GIGABYTE = 1_000_000_000
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
UNSUPPORTED = (".rar", ".7z")
DAMAGE_ERRORS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
)

Member = tuple[str, IO[bytes]]  # a file of an archive: its name, its bytes


@dataclass
class ExtractLimit:
    """Bytes that may be written in all, bytes that were, and the bar that shows them."""

    limit: int
    bar: ProgressBar  # counts bytes, walks over nothing
    used: int = 0

    def consume(self, size: int, archive: Path) -> None:
        """Count bytes before they are written.

        Raises:
            DataError: they are too many.
        """
        self.used += size
        self.bar.update(size)
        if self.used > self.limit:
            raise DataError(
                f"{archive} unpacks beyond the limit of {self.limit / GIGABYTE:g} GB;"
                " if you trust it, raise data.unpack_limit_gb in the config"
            )


def extract(archives: Sequence[Path], output: Path, *, limit_gb: float) -> None:
    """Unpack archives into one folder, which appears whole or not at all.

    An archive unpacks into a folder of its own, named as the archive without its suffix, so that
    two archives' README.md do not meet; a file that is no archive is placed as it is.

    Args:
        archives: zip, tar (also compressed), or any other file.
        output: the folder to make; an older one is replaced.
        limit_gb: gigabytes that all of them together may unpack to, counted while writing.

    Raises:
        DataError: an archive is damaged, of a kind we do not read, holds a link, a device or a name
            that leaves the folder, or unpacks beyond the limit.
    """
    with (
        atomic_directory(output) as folder,
        ProgressBar(unit="B", unit_scale=True, disable=None) as bar,
    ):
        limit = ExtractLimit(int(limit_gb * GIGABYTE), bar)
        for archive in archives:
            _extract_one(archive, folder, limit)


def _extract_one(archive: Path, folder: Path, limit: ExtractLimit) -> None:
    """Unpack or place one file.

    Raises:
        DataError: see `unpack`.
    """
    name = archive.name.lower()
    if name.endswith(UNSUPPORTED):
        raise DataError(
            f"{archive} is of a kind we do not read; unpack it yourself, and give the dataset file"
            " folder: instead of archives:"
        )
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                _write_members(_zip_members(zipped, archive), folder / archive.stem, archive, limit)
        elif name.endswith(TAR):
            with tarfile.open(archive, "r:*") as tarred:
                _write_members(_tar_members(tarred, archive), folder / archive.stem, archive, limit)
        else:
            with archive.open("rb") as plain:
                _write_members([(archive.name, plain)], folder, archive, limit)
    except RuntimeError as error:  # zipfile lacks the method, or the password
        raise DataError(
            f"{archive} cannot be unpacked ({error}); repack it as a plain zip"
        ) from error
    except DAMAGE_ERRORS as error:
        raise DataError(
            f"{archive} is damaged or not what its suffix says ({error}); delete it and fetch it"
            " again"
        ) from error


def _zip_members(zipped: zipfile.ZipFile, archive: Path) -> Iterator[Member]:
    """Open every file of a zip in turn; Windows' backslashes are separators.

    Raises:
        DataError: an entry is neither a file nor a folder, or leaves the folder.
    """
    for entry in zipped.infolist():
        name = entry.filename.replace("\\", "/")
        kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the zip was not made on Unix
        _check_path(name, archive, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        if not name.endswith("/"):
            with zipped.open(entry) as content:
                yield name, content


def _tar_members(tarred: tarfile.TarFile, archive: Path) -> Iterator[Member]:
    """Open every file of a tar in turn.

    Raises:
        DataError: an entry is neither a file nor a folder, or leaves the folder.
    """
    for entry in tarred:
        _check_path(entry.name, archive, plain=entry.isfile() or entry.isdir())
        content = tarred.extractfile(entry)
        if content is not None:
            with content:
                yield entry.name, content


def _check_path(name: str, archive: Path, *, plain: bool) -> None:
    """Refuse an entry that could write outside the folder, now or through a later entry.

    Args:
        name: the entry's path, with slashes.
        archive: whose entry it is.
        plain: whether it is a file or a folder.

    Raises:
        DataError: it is a link or device, its path is absolute or climbs.
    """
    path = PurePosixPath(name)
    wrong = (
        (not plain and "is a link or device")
        or ((path.is_absolute() or PureWindowsPath(name).drive) and "has an absolute path")
        or (".." in path.parts and "climbs out with '..'")
    )
    if wrong:
        raise DataError(
            f"{archive}: its entry '{name}' {wrong}; do not unpack it, ask where it came from"
        )


def _write_members(
    members: Iterable[Member], folder: Path, archive: Path, limit: ExtractLimit
) -> None:
    """Write an archive's files, as long as the allowance lasts.

    Raises:
        DataError: a name comes twice, the disk refuses, or the allowance is spent.
    """
    for name, content in members:
        target = folder / name
        limit.consume(ENTRY_OVERHEAD, archive)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        except OSError as error:
            raise DataError(
                f"{archive}: its entry '{name}' cannot be written ({error.strerror});"
                " repack it without that entry"
            ) from error
        with file:
            while chunk := content.read(CHUNK):
                limit.consume(len(chunk), archive)
                try:
                    file.write(chunk)
                except OSError as error:
                    raise DataError(
                        f"{target} cannot be written ({error.strerror}); make room"
                    ) from error
