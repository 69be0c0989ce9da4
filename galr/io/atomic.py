"""A file that appears whole or not at all.

Folders that appear whole or not at all.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galr.errors import DataError


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Give a place beside a path to write to; it takes the path's name when the block ends well.

    The bytes are on the disk before the name is, so that a machine that dies leaves the old file or the
    new one; of a block that fails nothing stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_directory(output: Path) -> Iterator[Path]:
    """Give an empty folder to fill; it takes its name, and replaces an older one, when the block ends well."""
    partial = output.with_name(f".{output.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # what a killed run left
    partial.mkdir(parents=True)
    try:
        yield partial
        if output.exists():
            shutil.rmtree(output)
        partial.replace(output)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_output_dir(output: Path, own_files: re.Pattern[str]) -> None:
    """Refuse to replace a folder that holds anything but what a stage made there before.

    Args:
        output: the folder to make.
        ours: matches the path, below it, of all that the stage makes.

    Raises:
        DataError: the output is a file, or a folder that holds something else.
    """
    if output.exists() and not output.is_dir():
        raise DataError(f"{output} is a file, expected a folder to make; choose another --output")
    for path in sorted(output.rglob("*")) if output.exists() else ():
        below = path.relative_to(output).as_posix()
        if not own_files.fullmatch(below):
            raise DataError(
                f"{output} holds {below}, which was not made here; choose another --output, or empty it"
            )
