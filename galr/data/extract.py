"""Extract archives safely: nothing outside the folder, no links, no more bytes than a limit."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from galr.data.archive_names import ArchiveNames, lacks_encoding, tar_bytes
from galr.data.find_images import is_companion
from galr.errors import DataError
from galr.io.atomic import WRITE_ERRNO, atomic_directory, explain_write_errors
from galr.progress import ProgressBar

CHUNK = 1 << 20  # bytes taken at a time
ENTRY_OVERHEAD = (
    512  # bytes that count for each entry, so that millions of empty files hit the limit
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

Member = tuple[str, IO[bytes]]  # name and content of a file in an archive


@dataclass
class ExtractLimit:
    """Count the extracted bytes, show them in a progress bar, and stop at a limit."""

    limit: int
    bar: ProgressBar
    used: int = 0

    def consume(self, size: int, archive: Path) -> None:
        """Count bytes before they are written.

        Raises:
            DataError: the limit is exceeded.
        """
        self.used += size
        self.bar.update(size)
        if self.used > self.limit:
            raise DataError(
                f"{archive} extracts to more than the limit of {self.limit / GIGABYTE:g} GB;"
                " if you trust it, raise data.unpack_limit_gb in the config"
            )


def extract(archives: Sequence[Path], output: Path, *, limit_gb: float) -> list[str]:
    """Extract archives into one folder, which appears whole or not at all.

    Each archive is extracted into a subfolder with the archive's name without its suffix, so that files of the same
    name in two archives stay apart. A file that is not an archive is copied. `archive_names` says how names are read;
    files that macOS adds (`__MACOSX`, `._*`) are left out.

    Args:
        archives: zip, tar (also compressed), or any other file.
        output: the folder to create; an older one is replaced.
        limit_gb: gigabytes that all archives together may extract to, counted while writing.

    Returns:
        A line about each archive whose names have no stated encoding.

    Raises:
        DataError: an archive is damaged or of an unsupported format, has a link, a device or a name that leads
            out of the folder, or extracts to more than the limit.
        OutputError: the folder cannot be written.
    """
    with (
        atomic_directory(output) as folder,
        ProgressBar(unit="B", unit_scale=True, disable=None) as bar,
    ):
        limit = ExtractLimit(int(limit_gb * GIGABYTE), bar)
        names = ArchiveNames(archives)
        for archive in archives:
            _extract_one(archive, folder, limit, names)
    return names.notes


def _extract_one(archive: Path, folder: Path, limit: ExtractLimit, names: ArchiveNames) -> None:
    """Extract one archive, or copy one file.

    Raises:
        DataError: see `extract`.
    """
    name = archive.name.lower()
    if name.endswith(UNSUPPORTED):
        raise DataError(
            f"{archive} has an unsupported format; extract it yourself, and give the dataset file"
            " folder: instead of archives:"
        )
    try:
        if name.endswith(".zip"):
            with zipfile.ZipFile(archive) as zipped:
                members = _zip_members(zipped, archive, names)
                _write_members(members, folder / archive.stem, archive, limit)
        elif name.endswith(TAR):
            with tarfile.open(archive, "r:*") as tarred:
                members = tar_members(tarred, archive, names)
                _write_members(members, folder / archive.stem, archive, limit)
        else:
            with archive.open("rb") as plain:
                _write_members([(archive.name, plain)], folder, archive, limit)
    except (
        UnicodeDecodeError
    ) as error:  # of names; zipfile raises it before any can be read otherwise
        raise DataError(
            f"{archive} says that its names are UTF-8, and they are not ({error}); repack it"
        ) from error
    except RuntimeError as error:  # an unknown compression method, or a password
        raise DataError(
            f"{archive} cannot be extracted ({error}); repack it as a plain zip"
        ) from error
    except DAMAGE_ERRORS as error:
        raise DataError(
            f"{archive} is damaged or does not match its suffix ({error}); delete it and download it"
            " again"
        ) from error


def _zip_members(zipped: zipfile.ZipFile, archive: Path, names: ArchiveNames) -> Iterator[Member]:
    """Open the files of a zip one after another; backslashes are separators.

    Raises:
        DataError: an entry is neither a file nor a folder, or leads out of the folder.
    """
    entries = zipped.infolist()
    for entry, name in zip(entries, names.of_zip(entries, archive), strict=True):
        kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the zip was not made on Unix
        _check_path(name, archive, plain=kind in (0, stat.S_IFREG, stat.S_IFDIR))
        if not name.endswith("/") and not is_companion(PurePosixPath(name)):
            with zipped.open(entry) as content:
                yield name, content


def tar_members(
    tarred: tarfile.TarFile, archive: Path, names: ArchiveNames | None = None
) -> Iterator[Member]:
    """Open the files of a tar one after another.

    Args:
        tarred: the tar.
        archive: its path.
        names: reads names that are not UTF-8; by default from the tar alone.

    Raises:
        DataError: an entry is neither a file nor a folder, or leads out of the folder.
        tarfile.ReadError: the tar is cut short; tarfile itself is silent where the cut is between two entries.
    """
    encoding = ""
    for entry in tarred:
        name = entry.name
        if lacks_encoding(entry):
            encoding = encoding or (names or ArchiveNames((archive,))).of_tar(archive)
            name = tar_bytes(name).decode(encoding)
        _check_path(name, archive, plain=entry.isfile() or entry.isdir())
        content = tarred.extractfile(entry)
        if content is not None and not is_companion(PurePosixPath(name)):
            with content:
                yield name, content
    assert tarred.fileobj is not None
    tarred.fileobj.seek(tarred.offset)  # type: ignore[attr-defined]
    if tarred.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("its end is missing")


def _check_path(name: str, archive: Path, *, plain: bool) -> None:
    """Check that an entry cannot write outside the folder, now or through a later entry.

    Args:
        name: the entry's path, with slashes.
        archive: the archive, for the message.
        plain: whether the entry is a file or a folder.

    Raises:
        DataError: the entry is a link or device, or its path is absolute or has `..`.
    """
    path = PurePosixPath(name)
    problem = (
        (not plain and "is a link or device")
        or ((path.is_absolute() or PureWindowsPath(name).drive) and "has an absolute path")
        or (".." in path.parts and "leads out of the folder with '..'")
    )
    if problem:
        raise DataError(
            f"{archive}: its entry '{name}' {problem}; do not extract it before you know its origin"
        )


def _write_members(
    members: Iterable[Member], folder: Path, archive: Path, limit: ExtractLimit
) -> None:
    """Write the files of an archive.

    Raises:
        DataError: two entries have the same name, or the limit is exceeded.
        OutputError: the disk is full.
    """
    for name, content in members:
        target = folder / name
        limit.consume(ENTRY_OVERHEAD, archive)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = target.open("xb")
        except OSError as error:
            if error.errno in WRITE_ERRNO:
                with explain_write_errors(target):
                    raise
            raise DataError(
                f"{archive}: its entry '{name}' cannot be written ({error.strerror});"
                " repack it without that entry"
            ) from error
        with file:
            while chunk := content.read(CHUNK):
                limit.consume(len(chunk), archive)
                with explain_write_errors(target):
                    file.write(chunk)
                    file.flush()
