"""HDF5 files as classes: each names its tables with dtype and axes, and is checked whenever it is opened or written.

A class declares its tables once, and reading, writing, checking and the documentation's page of formats follow:

    class Ratings(HDF5File):
        kind, version, command = "ratings", 1, "galr rate"
        names = Text("image", meaning="names of the images")
        stars = Array("float32", "image", meaning="mean rating, in [0, 5]")

    with Ratings.create(path, provenance) as file:
        file.write(names=names, stars=stars)
    with Ratings.open(path) as file:
        file.names, file.stars[:10], file.provenance

Axes that share a name share a length. `image + 1` is one longer than `image`, and an axis that is a number has that
length. Every file has the attributes `kind`, `version` and `provenance` (JSON).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar, overload

import h5py
import numpy as np

from galr.errors import StoreError
from galr.io.atomic import atomic_hdf5

Axis = str | int
G = TypeVar("G", bound="TableGroup")


class Table:
    """One table of a group: its axes by name and what it means.

    Args:
        dtype: NumPy's name of the dtype, or `text`.
        axes: name or length of each axis, in order.
        meaning: what it holds, with unit and range.
        optional: whether a file may lack it.
    """

    def __init__(self, dtype: str, axes: Sequence[Axis], meaning: str, optional: bool) -> None:
        self.dtype, self.axes, self.meaning, self.optional = dtype, tuple(axes), meaning, optional
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name of the attribute as the name of the table."""
        self.name = name

    @property
    def shape(self) -> str:
        """The axes as text, such as `(image, 4)`."""
        axes = ", ".join(str(axis) for axis in self.axes)
        return f"({axes},)" if len(self.axes) == 1 else f"({axes})"

    def has_dtype(self, table: h5py.Dataset) -> bool:
        """Whether a table of a file has this dtype."""
        if self.dtype == "text":
            return h5py.check_string_dtype(table.dtype) is not None
        return table.dtype == np.dtype(self.dtype)


class Array(Table):
    """A numeric table; reading the attribute gives the h5py dataset, which is read where it is indexed."""

    def __init__(self, dtype: str, *axes: Axis, meaning: str, optional: bool = False) -> None:
        super().__init__(dtype, axes, meaning, optional)

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: "TableGroup", owner: type) -> h5py.Dataset: ...
    def __get__(self, group: "TableGroup | None", owner: type) -> "Self | h5py.Dataset":
        """Give the h5py dataset."""
        return self if group is None else group.group[self.name]


class Text(Table):
    """A table of Unicode strings with one axis; reading the attribute gives a list."""

    def __init__(self, axis: str, *, meaning: str, optional: bool = False) -> None:
        super().__init__("text", (axis,), meaning, optional)

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: "TableGroup", owner: type) -> list[str]: ...
    def __get__(self, group: "TableGroup | None", owner: type) -> Self | list[str]:
        """Read all strings."""
        return self if group is None else [str(text) for text in group.group[self.name].asstr()[:]]


class Subgroup(Generic[G]):
    """A group of tables inside a file, as a class of its own.

    Args:
        tables: the class of the group.
        meaning: what the group is for.
        optional: whether a file may lack it; reading a missing one gives None.
    """

    def __init__(self, tables: type[G], *, meaning: str, optional: bool = False) -> None:
        self.tables, self.meaning, self.optional = tables, meaning, optional
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name of the attribute as the name of the group."""
        self.name = name

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: "TableGroup", owner: type) -> G: ...
    def __get__(self, group: "TableGroup | None", owner: type) -> Self | G:
        """Give the group."""
        return self if group is None else self.tables(group.group[self.name])

    def exists(self, parent: "TableGroup") -> bool:
        """Whether the file has the group."""
        return self.name in parent.group


class TableGroup:
    """Tables that belong together: a whole file or a group inside one."""

    def __init__(self, group: h5py.Group) -> None:
        self.group = group

    @classmethod
    def tables(cls) -> dict[str, Table]:
        """The declared tables by name, in order."""
        declared = (item for base in reversed(cls.__mro__) for item in vars(base).items())
        return {name: item for name, item in declared if isinstance(item, Table)}

    @classmethod
    def subgroups(cls) -> dict[str, Subgroup[Any]]:
        """The declared groups by name, in order."""
        declared = (item for base in reversed(cls.__mro__) for item in vars(base).items())
        return {name: item for name, item in declared if isinstance(item, Subgroup)}

    def has(self, name: str) -> bool:
        """Whether the file has an optional table or group."""
        return name in self.group

    def write(self, **tables: np.ndarray | Sequence[str]) -> None:
        """Write tables by name; numbers are stored with the declared dtype.

        Raises:
            StoreError: a number does not survive the declared dtype.
        """
        for name, values in tables.items():
            declared = type(self).tables()[name]
            if declared.dtype == "text":
                self.group.create_dataset(
                    name, data=list(values), shape=(len(values),), dtype=h5py.string_dtype()
                )
                continue
            array = np.asarray(values)
            stored = array.astype(declared.dtype, copy=False)
            if np.issubdtype(stored.dtype, np.integer) and not np.array_equal(stored, array):
                raise StoreError(f"{name} does not fit {declared.dtype}; this is a bug of galr")
            self.group.create_dataset(name, data=stored)

    def allocate(self, name: str, shape: tuple[int, ...], chunks: tuple[int, ...]) -> h5py.Dataset:
        """Create a table to fill part by part."""
        dtype = type(self).tables()[name].dtype
        return self.group.create_dataset(name, shape, dtype=dtype, chunks=chunks)

    def create_group(self, name: str) -> Any:  # noqa: ANN401  the class that the declaration names
        """Create a declared group and give it to fill."""
        return type(self).subgroups()[name].tables(self.group.create_group(name))

    def problem(self) -> str | None:
        """Say what is wrong with the tables: missing, wrong dtype, wrong shape; None where all is well."""
        declared = type(self).tables()
        groups = type(self).subgroups()
        required = [n for n, item in (declared | groups).items() if not item.optional]
        missing = [name for name in required if name not in self.group]
        if missing:
            return f"lacks {', '.join(missing)}"
        lengths: dict[str, tuple[int, str]] = {}
        for name, table in declared.items():
            if name in self.group and (wrong := _table_problem(table, self.group[name], lengths)):
                return wrong
        for name, subgroup in groups.items():
            if name in self.group:
                if not isinstance(self.group[name], h5py.Group):
                    return f"has {name} as a table, expected a group"
                if wrong := subgroup.tables(self.group[name]).problem():
                    return f"{wrong} (in the group {name})"
        return self.content_problem()

    def content_problem(self) -> str | None:
        """Say what is wrong with the numbers of small tables; None where all is well."""
        return None

    @classmethod
    def describe(cls) -> list[str]:
        """A Markdown table of the tables, a line each."""
        lines = ["| table | dtype | axes | meaning |", "|---|---|---|---|"]
        for name, table in cls.tables().items():
            optional = " (may be absent)" if table.optional else ""
            lines.append(
                f"| `{name}` | {table.dtype} | `{table.shape}` | {table.meaning}{optional} |"
            )
        for name, subgroup in cls.subgroups().items():
            optional = " (may be absent)" if subgroup.optional else ""
            lines.append(f"| `{name}/` | group | | {subgroup.meaning}{optional} |")
        return lines


def _table_problem(declared: Table, table: Any, lengths: dict[str, tuple[int, str]]) -> str | None:  # noqa: ANN401  a group may stand where a table should
    """Compare one table with its declaration; remember the lengths of its axes."""
    name = declared.name
    if not isinstance(table, h5py.Dataset):
        return f"has {name} as a group, expected a table"
    if not declared.has_dtype(table):
        return f"has {name} of dtype {table.dtype}, expected {declared.dtype}"
    if table.ndim != len(declared.axes):
        return f"has {name} of shape {table.shape}, expected {declared.shape}"
    for axis, length in zip(declared.axes, table.shape, strict=True):
        if isinstance(axis, int):
            if length != axis:
                return f"has {name} of shape {table.shape}, expected {declared.shape}"
            continue
        base, _, more = axis.partition(" + ")
        extra = int(more or 0)
        known, source = lengths.setdefault(base, (length - extra, name))
        if length - extra != known:
            return (
                f"has {name} of shape {table.shape}, but {source} says that the axis {base} has length"
                f" {known}; expected {declared.shape}"
            )
    return None


class HDF5File(TableGroup):
    """A whole file of one format.

    Class attributes:
        kind: its name, stored in the file.
        version: grows when the meaning or shape of a table changes.
        command: the command that writes it.
    """

    kind: ClassVar[str]
    version: ClassVar[int]
    command: ClassVar[str]

    @property
    def provenance(self) -> dict[str, Any]:
        """What the file follows from: seed, settings, hashes of inputs, versions."""
        return json.loads(self.group.attrs["provenance"])

    @provenance.setter
    def provenance(self, value: Mapping[str, Any]) -> None:
        self.group.attrs["provenance"] = json.dumps(value, sort_keys=True)

    @classmethod
    @contextmanager
    def create(cls, path: Path, provenance: Mapping[str, Any]) -> Iterator[Self]:
        """Open a new file to fill; it is checked and gets its name only when the block ends well.

        Raises:
            OutputError: it cannot be written.
            StoreError: what was written is not what the class declares.
        """
        with atomic_hdf5(path) as raw:
            raw.attrs["kind"] = cls.kind
            raw.attrs["version"] = cls.version
            file = cls(raw)
            file.provenance = provenance  # type: ignore[assignment]  # any mapping, read back as a dict
            yield file
            raw.flush()
            if wrong := file.problem():
                raise StoreError(f"{path} {wrong}; this is a bug of galr")

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open a file of this format and check it.

        Raises:
            StoreError: it is missing, in use, cut short, of another kind or version, or its tables are not
                what the class declares.
        """
        with _open_readonly(path) as raw:
            kind, version = raw.attrs.get("kind"), raw.attrs.get("version")
            if kind != cls.kind:
                raise StoreError(f"{path} holds {kind or 'something foreign'}, expected {cls.kind}")
            if version != cls.version:
                raise StoreError(
                    f"{path} is format {version} of {kind}, this code reads {cls.version}; write it again with"
                    f" {cls.command}, or delete it and run snakemake again"
                )
            file = cls(raw)
            if wrong := file.problem():
                raise StoreError(
                    f"{path} {wrong}; write it again with {cls.command}, or delete it and run snakemake again"
                )
            yield file


def _open_readonly(path: Path) -> h5py.File:
    """Open a file to read.

    Raises:
        StoreError: says whether it is missing, not permitted, in use, or no whole HDF5 file.
    """
    if not path.exists():
        raise StoreError(f"{path} does not exist; run: snakemake {path}")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = " ".join(str(error).split())
        if isinstance(error, PermissionError) or path.is_dir():
            raise StoreError(f"{path} cannot be read ({reason})") from error
        if isinstance(error, BlockingIOError) or "lock" in reason or "already open" in reason:
            raise StoreError(
                f"{path} is in use by another program, or its file system has no locks ({reason}); wait for"
                " that program, or set HDF5_USE_FILE_LOCKING=FALSE on a network file system"
            ) from error
        raise StoreError(
            f"{path} is cut short or no HDF5 file ({reason}); delete it and run snakemake again"
        ) from error
