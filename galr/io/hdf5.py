"""HDF5 files as types: a class declares the tables of a format, and opening a file checks every one of them.

    class Dataset(HDF5File):
        kind, version, made_by = "dataset", 1, "galr data"
        names = Strings(("images",), "names of the images")
        sizes = Table("int32", ("images", 2), "width and height", unit="pixels")

    with Dataset.open(path) as dataset:
        dataset.names      # list of str
        dataset.sizes[:]   # an h5py.Dataset, read by slicing
    with Dataset.create(path, provenance) as dataset:
        dataset.write(names=names, sizes=sizes)

Every file has the attributes `kind`, `version` and `provenance` (JSON).
"""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import h5py
import numpy as np

from galr.errors import ShapeError, StoreError
from galr.io.atomic import atomic_hdf5
from galr.io.tables import TableError, TableGroup
from galr.targets import make_hint


class HDF5File(TableGroup):
    """A format: its tables are attributes of the subclass.

    Attributes:
        kind: its name, which is also stored in the file.
        version: grows when the meaning or the shape of a table changes.
        made_by: the command or commands that write it.
        shared_axes: axes that have one length in all groups of a file.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    made_by: ClassVar[str]
    shared_axes: ClassVar[tuple[str, ...]] = ()

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open a file to read, and check it.

        Raises:
            StoreError: it is missing, in use, cut short, of another kind or version, or a table is missing or
                has another dtype or shape.
        """
        with _open_hdf5(path, cls.made_by) as hdf5:
            file = cls(path, hdf5)
            file._check_file()
            yield file

    @classmethod
    @contextmanager
    def create(cls, path: Path, provenance: dict[str, Any]) -> Iterator[Self]:
        """Create a file to fill; it is renamed to `path` when the block ends well and all tables are there.

        Args:
            path: the file.
            provenance: what it follows from, as JSON types.

        Raises:
            ShapeError: a table was not written, or has another shape than declared.
            OutputError: the file cannot be written.
        """
        with atomic_hdf5(path) as hdf5:
            file = cls(path, hdf5)
            hdf5.attrs["kind"] = cls.kind
            hdf5.attrs["version"] = cls.version
            hdf5.attrs["provenance"] = json.dumps(provenance, sort_keys=True)
            yield file
            try:
                file.check({}, cls.shared_axes, values=False)
            except TableError as error:
                raise ShapeError(f"{path} is not written: {error}") from error

    @classmethod
    def read_provenance(cls, path: Path) -> dict[str, Any]:
        """Open a file for its provenance alone; it is checked as by `open`."""
        with cls.open(path) as file:
            return file.provenance

    @property
    def provenance(self) -> dict[str, Any]:
        """What the file follows from."""
        return json.loads(self.hdf5.attrs["provenance"])

    def update_provenance(self, **facts: object) -> None:
        """Add to the provenance of a file that is being written."""
        self.hdf5.attrs["provenance"] = json.dumps(self.provenance | facts, sort_keys=True)

    @classmethod
    def describe(cls) -> list[str]:
        """The format as lines of Markdown: a heading, what it is, a table of its tables."""
        return [
            f"## {cls.kind}.h5",
            "",
            " ".join((cls.__doc__ or "").split()),
            f"Version {cls.version}, written by {cls.made_by}.",
            "",
            "| table | dtype | shape | meaning |",
            "|---|---|---|---|",
            *(
                f"| `{name}` | {dtype} | {shape} | {meaning} |"
                for name, dtype, shape, meaning in cls.describe_tables()
            ),
        ]

    def _check_file(self) -> None:
        """Check kind, version, provenance and tables.

        Raises:
            StoreError: one of them is not as declared.
        """
        hint = self.remake_hint(self.path)
        try:
            kind, version = self.hdf5.attrs.get("kind"), self.hdf5.attrs.get("version")
            if str(kind) != self.kind:
                content = f"a {kind} file" if kind else "an HDF5 file of another program"
                raise StoreError(
                    f"{self.path} is {content}, expected a {self.kind} file; give another file"
                )
            if version != self.version:
                newer = isinstance(version, np.integer) and version > self.version
                raise StoreError(
                    f"{self.path} is version {version} of {kind}, this galr reads version {self.version};"
                    f" {'update galr, or ' if newer else ''}{hint}"
                )
            if not isinstance(self.provenance, dict):
                raise TableError("the provenance is not a JSON object")
            self.check({}, self.shared_axes, values=True)
        except TableError as error:
            raise StoreError(f"{self.path}: {error}; {hint}") from error
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            raise StoreError(f"{self.path} is damaged ({_one_line(error)}); {hint}") from error

    @classmethod
    def remake_hint(cls, path: Path) -> str:
        """Say how a file is made anew."""
        return make_hint(path, cls.made_by, force=True)


def _open_hdf5(path: Path, made_by: str) -> h5py.File:
    """Open any HDF5 file to read.

    Raises:
        StoreError: it is missing, in use, cut short or no HDF5 file.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = _one_line(error)
        remake_hint = make_hint(path, made_by, force=True)
        if error.errno == errno.ENOENT:
            message = f"does not exist; {make_hint(path, made_by)}"
        elif "unable to lock" in reason or "already open" in reason:
            message = (
                "is in use: another program has it open for writing, or it cannot be locked"
                f" ({os.strerror(error.errno) if error.errno else reason}); wait until that program ends, or set"
                " HDF5_USE_FILE_LOCKING=FALSE where a network file system has no locks"
            )
        elif error.errno:
            message = f"cannot be read ({os.strerror(error.errno)}); give another file"
        elif "truncated" in reason:
            message = f"is cut short ({path.stat().st_size} bytes are left); {remake_hint}"
        elif "signature" in reason:
            message = f"is not an HDF5 file; give another file, or {remake_hint}"
        else:
            message = f"is damaged ({reason}); {remake_hint}"
        raise StoreError(f"{path} {message}") from error


def _one_line(error: Exception) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split())
