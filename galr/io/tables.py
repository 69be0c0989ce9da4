"""Tables and groups of HDF5 files, declared as attributes of a class with dtype, axes and meaning.

Axes are known by name: in one group, all axes of one name have one length. `"images+1"` is one longer.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, overload

import h5py
import numpy as np
from numpy.typing import ArrayLike

from galr.errors import StoreError

# The length of every axis that is known, and the table that it is known from.
Lengths = dict[str, tuple[int, str]]


class TableError(Exception):
    """A table that is not as its format declares it."""


class Table:
    """A table of numbers. As an attribute of an open file it is the `h5py.Dataset`, read by slicing.

    Attributes:
        name: its name in the file, that of the attribute.
        dtype: of NumPy.
        axes: of each axis the name, or the length where it is fixed.
        meaning: what it holds.
        unit: unit or range of its values.
        offsets_into: its values rise from 0 to the length of this axis.
        index_into: its values are rows along this axis, from 0.
    """

    name: str

    def __init__(
        self,
        dtype: str,
        axes: tuple[int | str, ...],
        meaning: str,
        *,
        unit: str = "",
        offsets_into: str = "",
        index_into: str = "",
    ) -> None:
        self.dtype = dtype
        self.axes = axes
        self.meaning = meaning
        self.unit = unit
        self.offsets_into = offsets_into
        self.index_into = index_into

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name of the attribute."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: "TableGroup", owner: type) -> h5py.Dataset: ...
    def __get__(self, instance: "TableGroup | None", owner: type) -> Any:
        """The table of an open file; of a class, its declaration."""
        return self if instance is None else instance.table(self)

    @property
    def shape_text(self) -> str:
        """The shape by names of axes: `(images, 2)`."""
        axes = [str(axis).replace("+", " + ") for axis in self.axes]
        return f"({', '.join(axes)}{',' * (len(axes) == 1)})"

    def write(self, group: h5py.Group, values: ArrayLike) -> None:
        """Store values; whole numbers of another width, and floats, are converted."""
        array = np.asarray(values).astype(self.dtype, casting="same_kind", copy=False)
        group.create_dataset(self.name, data=array)

    def check_shape(self, table: object, lengths: Lengths) -> None:
        """Check dtype, rank and lengths, and note the lengths of axes that were not known.

        Raises:
            TableError: one of them differs.
        """
        if not isinstance(table, h5py.Dataset):
            raise TableError(f"{self.name} is a group, expected a table")
        expected = f"{self.dtype} {self.shape_text}"
        if not self._has_dtype(table) or table.ndim != len(self.axes):
            dtype = "text" if h5py.check_string_dtype(table.dtype) else table.dtype
            raise TableError(f"{self.name} is {dtype} {table.shape}, expected {expected}")
        for axis, length in zip(self.axes, table.shape, strict=True):
            if isinstance(axis, int):
                if length != axis:
                    raise TableError(
                        f"{self.name} is {table.dtype} {table.shape}, expected {expected}"
                    )
                continue
            name, _, more = axis.partition("+")
            known, source = lengths.setdefault(name, (length - int(more or 0), self.name))
            if length != known + int(more or 0):
                raise TableError(
                    f"{self.name} has length {length} along {axis}, and {source} has {known}"
                    f" {name.replace('_', ' ')}"
                )

    def check_values(self, table: h5py.Dataset, lengths: Lengths) -> None:
        """Check that offsets rise to the length of their axis, and that indices are rows of theirs.

        Raises:
            TableError: they do not.
        """
        if self.offsets_into:
            offsets, (end, _) = table[:], lengths[self.offsets_into]
            if (
                not offsets.size
                or offsets[0] != 0
                or offsets[-1] != end
                or (np.diff(offsets) < 0).any()
            ):
                raise TableError(
                    f"{self.name} does not rise from 0 to {end}, the number of {self.offsets_into}"
                )
        if self.index_into:
            index, (count, _) = table[:], lengths[self.index_into]
            if index.size and not 0 <= index.min() <= index.max() < count:
                raise TableError(
                    f"{self.name} has values from {index.min()} to {index.max()}, expected rows of"
                    f" {count} {self.index_into.replace('_', ' ')}"
                )

    def _has_dtype(self, table: h5py.Dataset) -> bool:
        """Whether a table has the declared dtype, in any byte order."""
        return table.dtype.newbyteorder("=") == np.dtype(self.dtype)


class Strings(Table):
    """A table of Unicode strings. As an attribute of an open file it is a list of `str`."""

    def __init__(self, axes: tuple[str], meaning: str) -> None:
        super().__init__("text", axes, meaning)

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: "TableGroup", owner: type) -> list[str]: ...
    def __get__(self, instance: "TableGroup | None", owner: type) -> Any:
        """The strings of an open file; of a class, the declaration."""
        if instance is None:
            return self
        try:
            return [str(text) for text in instance.table(self).asstr()[:]]
        except UnicodeDecodeError as error:
            raise StoreError(f"{instance.path}: {self.name} is not UTF-8 ({error})") from error

    def write(self, group: h5py.Group, values: ArrayLike) -> None:
        """Store strings."""
        texts = list(values)  # type: ignore[arg-type]
        group.create_dataset(self.name, data=texts, shape=(len(texts),), dtype=h5py.string_dtype())

    def _has_dtype(self, table: h5py.Dataset) -> bool:
        """Whether a table holds strings."""
        return h5py.check_string_dtype(table.dtype) is not None


class TableGroup:
    """Some tables of an open file, declared as attributes of a subclass.

    Attributes:
        path: of the file.
        hdf5: the open h5py group.
    """

    def __init__(self, path: Path, hdf5: h5py.Group) -> None:
        self.path = path
        self.hdf5 = hdf5
        self._found: dict[str, h5py.Dataset] = {}

    @classmethod
    def tables(cls) -> dict[str, Table]:
        """The declared tables by name, in order."""
        return _members(cls, Table)

    @classmethod
    def groups(cls) -> dict[str, "OptionalGroup[Any] | NamedGroups[Any]"]:
        """The declared groups by name, in order."""
        return _members(cls, (OptionalGroup, NamedGroups))

    def table(self, declaration: Table) -> h5py.Dataset:
        """A table as h5py gives it, also one of strings, of which some can be read by `.asstr()[start:stop]`."""
        name = declaration.name
        if name not in self._found:  # looking up a dataset takes longer than reading a row of it
            self._found[name] = self.hdf5[name]
        return self._found[name]

    def write(self, **values: ArrayLike | Sequence[str]) -> None:
        """Store tables under their names."""
        for name, array in values.items():
            self.tables()[name].write(self.hdf5, array)  # type: ignore[arg-type]

    def allocate(self, table: Table, shape: tuple[int, ...]) -> h5py.Dataset:
        """Create a table to fill row by row; each row is a chunk of its own, and `resize` drops the last ones."""
        return self.hdf5.create_dataset(
            table.name, shape, table.dtype, chunks=(1, *shape[1:]), maxshape=shape
        )

    def arrays(self, *tables: Table) -> dict[str, np.ndarray]:
        """Read tables of numbers into memory, all or some of them, by name."""
        numbers = [table for table in self.tables().values() if not isinstance(table, Strings)]
        return {table.name: self.hdf5[table.name][:] for table in tables or numbers}

    def flat_tables(self) -> dict[str, h5py.Dataset]:
        """Every table by its path in the file, those of groups included."""
        tables = {name: self.hdf5[name] for name in self.tables()}
        for spec in self.groups().values():
            for prefix, group in spec.members(self).items():
                tables |= {f"{prefix}/{name}": table for name, table in group.flat_tables().items()}
        return tables

    def check(self, lengths: Lengths, shared_axes: Sequence[str], *, values: bool) -> None:
        """Check every table, and that axes of one name have one length.

        Args:
            lengths: of the axes that are known; those found are added.
            shared_axes: axes that have one length in all groups.
            values: whether to read and check offsets and indices, too.

        Raises:
            TableError: a table is missing or not as declared.
        """
        tables = self.tables()
        if missing := [name for name in tables if name not in self.hdf5]:
            raise TableError(f"the file lacks {', '.join(missing)}")
        for name, table in tables.items():
            table.check_shape(self.hdf5[name], lengths)
        for name, table in tables.items() if values else ():
            table.check_values(self.hdf5[name], lengths)
        for spec in self.groups().values():
            for name, group in spec.members(self).items():
                shared = {axis: lengths[axis] for axis in shared_axes if axis in lengths}
                try:
                    group.check(shared, shared_axes, values=values)
                except TableError as error:
                    raise TableError(f"in the group {name}, {error}") from error

    @classmethod
    def describe_tables(cls, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
        """Yield name, dtype, shape and meaning of every table, those of groups included."""
        for name, table in cls.tables().items():
            unit = f"; {table.unit}" if table.unit else ""
            yield f"{prefix}{name}", table.dtype, table.shape_text, f"{table.meaning}{unit}"
        for name, spec in cls.groups().items():
            shown = (
                f"{prefix}{name}" if isinstance(spec, OptionalGroup) else f"{prefix}<{spec.label}>"
            )
            yield f"{shown}/", "group", "", spec.meaning
            yield from spec.content.describe_tables(f"{shown}/")


G = TypeVar("G", bound=TableGroup)


class OptionalGroup(Generic[G]):
    """A group that may be absent. As an attribute of an open file it is the group, or None."""

    name: str

    def __init__(self, content: type[G], meaning: str) -> None:
        self.content = content
        self.meaning = meaning

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the name of the attribute."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "OptionalGroup[G]": ...
    @overload
    def __get__(self, instance: TableGroup, owner: type) -> G | None: ...
    def __get__(self, instance: TableGroup | None, owner: type) -> Any:
        """The group of an open file, or None; of a class, the declaration."""
        return self if instance is None else self.members(instance).get(self.name)

    def members(self, parent: TableGroup) -> dict[str, G]:
        """The group by its name, if the file has it."""
        if self.name not in parent.hdf5:
            return {}
        return {self.name: _subgroup(self.content, parent, self.name)}

    def create(self, parent: TableGroup) -> G:
        """Create the group in a file that is being written."""
        return self.content(parent.path, parent.hdf5.create_group(self.name))


class NamedGroups(Generic[G]):
    """Groups of one type under any names. As an attribute of an open file it is a dict of them by name."""

    def __init__(self, content: type[G], label: str, meaning: str) -> None:
        self.content = content
        self.label = label
        self.meaning = meaning

    @overload
    def __get__(self, instance: None, owner: type) -> "NamedGroups[G]": ...
    @overload
    def __get__(self, instance: TableGroup, owner: type) -> dict[str, G]: ...
    def __get__(self, instance: TableGroup | None, owner: type) -> Any:
        """The groups of an open file; of a class, the declaration."""
        return self if instance is None else self.members(instance)

    def members(self, parent: TableGroup) -> dict[str, G]:
        """The groups that the file has, by name."""
        names = [name for name in parent.hdf5 if name not in parent.tables()]
        return {name: _subgroup(self.content, parent, name) for name in names}

    def create(self, parent: TableGroup, name: str) -> G:
        """Create a group in a file that is being written."""
        return self.content(parent.path, parent.hdf5.create_group(name))


def _members(owner: type, kind: Any) -> dict[str, Any]:  # noqa: ANN401  a class or several
    """The attributes of a class that are of some kind, by name, those of its bases first."""
    return {
        name: member
        for base in reversed(owner.__mro__)
        for name, member in vars(base).items()
        if isinstance(member, kind)
    }


def _subgroup(content: type[G], parent: TableGroup, name: str) -> G:
    """A group of an open file.

    Raises:
        TableError: there is a table of this name.
    """
    group = parent.hdf5[name]
    if not isinstance(group, h5py.Group):
        raise TableError(f"{name} is a table, expected a group")
    return content(parent.path, group)
