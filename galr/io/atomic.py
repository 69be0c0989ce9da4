"""Files and folders that appear whole or not at all, and one-line errors where they cannot be written."""

import errno
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from galr.errors import DataError, GalrError, OutputError

if TYPE_CHECKING:
    import h5py

PROBE_BYTES = 1 << 20
DISK_FULL = {errno.ENOSPC, errno.EDQUOT}
# Reasons that an open file cannot be written any further.
WRITE_ERRNO = DISK_FULL | {errno.EFBIG, errno.EIO, errno.EROFS, errno.ENODEV}


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; it is renamed to `path` when the block ends well.

    Its bytes are flushed to the disk before it is renamed, so that a machine that crashes keeps the older file
    or the new one. If the block fails, the older file stays and the temporary one is deleted. The temporary path
    has the suffix of `path`. A symbolic link is followed. A device or pipe, such as /dev/stdout, is written
    directly.

    Raises:
        OutputError: the file cannot be written; the message has the reason, whichever library hid it.
    """
    target = Path(os.path.realpath(path))
    with explain_write_errors(path):
        if path.is_dir():
            raise OutputError(f"{path} cannot be written (it is a folder); choose another output")
    if _is_device(path):
        with explain_write_errors(path, path):
            yield path
        return
    partial = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        with explain_write_errors(path, partial):
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.touch()  # a folder that cannot be written fails before the work, not after it
        with explain_write_errors(path, partial):
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
            partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink()


@contextmanager
def atomic_hdf5(path: Path) -> Iterator["h5py.File"]:
    """Open a new HDF5 file to fill; it is renamed to `path` when the block ends well.

    Raises:
        OutputError: the file cannot be written.
    """
    import h5py

    with atomic_write(path) as partial:
        raw = _LateErrorFile(partial, "w+")
        try:
            with raw, h5py.File(raw, "w") as file:
                yield file
        finally:
            if raw.write_error is not None:  # it is also the reason of any later error
                raise raw.write_error


@contextmanager
def atomic_directory(output: Path) -> Iterator[Path]:
    """Give an empty temporary folder to fill; it is renamed to `output` when the block ends well.

    An older folder is replaced. If the block fails, the older folder stays and the temporary one is deleted.

    Raises:
        OutputError: the folder cannot be written.
    """
    partial = output.with_name(f".{output.name}.partial")
    replaced = output.with_name(f".{output.name}.replaced")
    probe = partial / ".probe"
    with explain_write_errors(output):
        if output.exists() and not output.is_dir():
            raise OutputError(
                f"{output} cannot be written (it is no folder); choose another output"
            )
    shutil.rmtree(partial, ignore_errors=True)  # left by a run that was killed
    try:
        with explain_write_errors(output, probe):
            partial.mkdir(parents=True)
        with explain_write_errors(output, probe):
            yield partial
            probe.unlink(missing_ok=True)
            if output.exists():
                shutil.rmtree(replaced, ignore_errors=True)
                output.replace(replaced)
            partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            if replaced.exists() and not output.exists():
                replaced.replace(output)
        shutil.rmtree(replaced, ignore_errors=True)


def print_result(output: Path, text: str) -> None:
    """Print to the standard output what was written to a file, unless the file is the standard output itself."""
    with suppress(OSError, ValueError):
        if os.path.samestat(output.stat(), os.fstat(sys.stdout.fileno())):
            return
    print(text)


def check_output_dir(output: Path, own_files: re.Pattern[str]) -> None:
    """Check that a folder to replace has only files that the command itself writes there.

    Args:
        output: the folder to write.
        own_files: matches the path, relative to the folder and with slashes, of each file and folder that the
            command writes.

    Raises:
        DataError: the output is a file, or a folder with anything else.
    """
    if output.exists() and not output.is_dir():
        raise DataError(f"{output} is a file, expected a folder; choose another --output")
    for path in sorted(output.rglob("*")) if output.exists() else ():
        relative = path.relative_to(output).as_posix()
        if not own_files.fullmatch(relative):
            raise DataError(
                f"{output} has {relative}, which this command did not write; choose another --output,"
                " or empty the folder"
            )


@contextmanager
def explain_write_errors(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Turn the failure to write a file into one line with the true reason.

    Libraries hide it: NumPy says how many items were written, PyTorch says that a file write failed. Whatever the
    block raises, a write to the same place then shows whether the disk is the reason.

    Args:
        path: the file or folder to write, as the user named it.
        partial: the file that the block writes, if it is another one.

    Raises:
        OutputError: the file cannot be written.
        Exception: what the block raised for any other reason.
    """
    partial = partial or path
    try:
        yield
    except GalrError:
        raise
    except Exception as error:
        reason = _write_error(error, path, partial)
        if reason is None:
            raise
        raise OutputError(_explain(path, reason)) from error


class _LateErrorFile(io.FileIO):
    """A file that keeps its first write error instead of raising it, and then drops what is written.

    HDF5 cannot close a file whose writes fail, and crashes the process when it ends.
    """

    write_error: OSError | None = None

    def write(self, data: "io.ReadableBuffer") -> int:  # type: ignore[name-defined,override]
        """Write all bytes, or none after an error; return their number in any case."""
        view = memoryview(data).cast("B")
        start = 0
        while start < len(view) and self.write_error is None:
            try:
                start += super().write(view[start:])
            except OSError as error:
                self.write_error = error
        return len(view)

    def readinto(self, buffer: "io.WriteableBuffer") -> int:  # type: ignore[name-defined,override]
        """Fill the whole buffer; what was dropped reads as zeros.

        h5py ignores how many bytes were read, so HDF5 would take the rest from uninitialised memory.
        """
        view = memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the file's length, unless a write failed before."""
        if self.write_error is None:
            try:
                return super().truncate(size)
            except OSError as error:
                self.write_error = error
        return size or 0


def _write_error(error: Exception, path: Path, partial: Path) -> OSError | None:
    """Find the operating system's reason why a file cannot be written; None if that is not what happened."""
    if _is_device(partial):
        return error if isinstance(error, OSError) else None
    if isinstance(error, OSError) and error.errno is not None:
        named = {str(name) for name in (error.filename, error.filename2) if name is not None}
        below = {str(part) for end in (partial, path) for part in (end, *end.parents)} - {"."}
        if error.errno in WRITE_ERRNO or named & below:
            return error
    code = re.search(r"(?:os error|errno =) (\d+)", str(error))  # safetensors, HDF5
    if code and int(code[1]) in WRITE_ERRNO:
        return OSError(int(code[1]), os.strerror(int(code[1])))
    if not partial.parent.is_dir():
        return None
    existed = partial.exists()
    try:
        with partial.open("ab") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as probe_error:
        return probe_error if probe_error.errno in WRITE_ERRNO else None
    finally:
        if not existed:
            partial.unlink(missing_ok=True)
    return None


def _is_device(path: Path) -> bool:
    """Tell whether a path is something other than a file or a folder: a device or a pipe."""
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except OSError:  # whatever is wrong with the path, writing to it will say so
        return False


def _explain(path: Path, error: OSError) -> str:
    """Say in one line why a file cannot be written and what to do."""
    if error.errno in DISK_FULL:
        mount_point = _mount_point(path)
        free = shutil.disk_usage(mount_point).free
        return (
            f"{path} cannot be written ({error.strerror}: {free / 1e6:.1f} MB are free on the disk at {mount_point});"
            " make room or choose another output"
        )
    reason = error.strerror or str(error)
    parent = next((part for part in path.parents if part.exists() and not part.is_dir()), None)
    if parent is not None:
        return f"{path} cannot be written ({parent} is a file, not a folder); choose another output"
    return f"{path} cannot be written ({reason}); choose another output"


def _mount_point(path: Path) -> Path:
    """Find the root of the file system that a path is on, or will be on."""
    folder = Path(os.path.realpath(path))
    while not folder.is_mount() and folder != folder.parent:
        folder = folder.parent
    return folder
