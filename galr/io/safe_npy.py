"""Read the pickled object in a .npy file from any source without running anything that it names.

`np.save` writes a Python object as a header and a pickle, and a pickle is a program. Here pickle's own unpickler
runs it with an allow-list of names (`find_class`, as Python's documentation recommends), and two precautions:

- each name stands for a small function of this module instead of NumPy's constructor, because a crafted state makes
  NumPy's own read beyond an array's memory;
- the unpickler is the one written in Python. The one in C can be made to take 16 GB by one memo index, and hashes a
  dictionary's keys before they can be checked, which ends the process if a key is a deep tuple.
"""

import math
import pickle
import pickletools
import warnings
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from galr.errors import DataError, printable

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
NUMBERS = {  # dtype in a pickle → dtype that is read; a bool is its byte, whatever its value
    "b1": "u1",
    **{kind: kind for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")},
}
OBJECTS = frozenset({"O", "O4", "O8"})
CONTAINERS = frozenset({dict, list, tuple})
PLAIN = CONTAINERS | {np.ndarray, str, bytes, int, float, bool, type(None)}
# Of the pickle language, all that plain data needs.
INSTRUCTIONS = frozenset([
    "PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2",
    "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "SHORT_BINBYTES",
    "BINBYTES", "BINBYTES8", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "EMPTY_TUPLE",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "LIST", "APPEND", "APPENDS", "EMPTY_DICT", "DICT",
    "SETITEM", "SETITEMS", "PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE", "GET", "BINGET", "LONG_BINGET", "GLOBAL",
    "STACK_GLOBAL", "REDUCE", "BUILD",
])  # fmt: skip


class _ForeignError(Exception):
    """Something that the file must not hold; the message continues "FILE holds …"."""


class _Constructor:
    """A stand-in for a name that a pickle may import."""

    def __init__(self, name: str, construct: Callable[..., Any] | None = None) -> None:
        self.name, self.construct = name, construct


class _Unfinished:
    """An array, or its dtype, between the REDUCE that begins it and the BUILD that completes it.

    Attributes:
        dtype: as the pickle writes it; None for an array.
        memo_keys: where the unpickler's memo holds it.
    """

    def __init__(self, dtype: str | None = None) -> None:
        self.dtype = dtype
        self.memo_keys: list[int] = []


class _Boxed:
    """The array of one object that `np.save` puts around whatever is not an array."""

    def __init__(self, content: object) -> None:
        self.content = content


LEFTOVERS = {
    _Constructor: "a name where data should be",
    _Unfinished: "an array that never ends",
    _Boxed: "an array of objects inside another",
}


def safe_load_npy(path: Path) -> Any:  # noqa: ANN401  plain data of any shape
    """Read the one object that `np.save(path, object)` wrote with any pickle protocol up to 4.

    Args:
        path: a .npy file of Python 2 or 3, from any source.

    Returns:
        Nothing but dict, list, tuple, str, bytes, numbers, None and read-only arrays of numbers. Keys of
        a dict are str or bytes; a container may hold itself.

    Raises:
        DataError: the file is missing, damaged, or holds anything else; the message says what.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy or Python warns of what looks odd: refused
            content = _unpickle(data)
    except _ForeignError as error:
        raise DataError(
            f"{path} holds {printable(str(error))}; expected one dictionary of plain arrays or lists,"
            " and nothing else is read from a pickle"
        ) from error
    except Exception as error:  # damage raises whatever its first bad byte leads to
        raise DataError(
            f"{path} is not a .npy file, or is damaged or cut short ({printable(str(error))});"
            " download it again"
        ) from error
    return content


def _unpickle(data: bytes) -> Any:  # noqa: ANN401
    """Check the header, screen the instructions, load the object and check what it is.

    Raises:
        _ForeignError: the file holds something else than plain data.
        Exception: any, where it is damaged.
    """
    stream = BytesIO(data)
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"format {version}, expected (1, 0) or (2, 0)")
    shape, _, dtype = HEADERS[version](stream)
    if dtype != np.dtype(object) or shape != ():
        raise _ForeignError(f"an array of {dtype} of shape {shape}")
    start = stream.tell()
    for instruction, _, _ in pickletools.genops(stream):  # also checks sizes against what is left
        if instruction.name not in INSTRUCTIONS:
            raise _ForeignError(f"the pickle instruction {instruction.name}")
    stream.seek(start)
    box = _Unpickler(stream, encoding="latin1").load()
    if not isinstance(box, _Boxed):
        raise _ForeignError(f"a {type(box).__name__} where its header announces an object")
    _check_plain(box.content)
    return box.content


def _check_plain(content: object) -> None:
    """Check that nothing but plain data is left, however deep.

    Raises:
        _ForeignError: a name, an unfinished array or an array of objects is.
    """
    waiting, visited = [[content]], set()
    while waiting:
        container: Any = waiting.pop()
        if id(container) in visited:
            continue
        visited.add(id(container))
        for item in container.values() if type(container) is dict else container:
            if type(item) not in PLAIN:
                raise _ForeignError(LEFTOVERS.get(type(item), "a dtype where data should be"))
            if type(item) in CONTAINERS:
                waiting.append(item)


class _Memo(dict[int, Any]):
    """The unpickler's memo, which tells unfinished arrays where it holds them."""

    def __setitem__(self, key: int, value: object) -> None:
        super().__setitem__(key, value)
        if isinstance(value, _Unfinished):
            value.memo_keys.append(key)


_PythonUnpickler: Any = pickle._Unpickler  # type: ignore[attr-defined]  # its methods have no types


class _Unpickler(_PythonUnpickler):  # type: ignore[misc]
    """Pickle's unpickler with an allow-list of names, of calls and of the types of a dictionary's keys."""

    def __init__(self, file: BytesIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)
        self.memo = _Memo()

    def find_class(self, module: str, name: str) -> _Constructor:
        """Look a name up in the allow-list."""
        if (full_name := f"{module}.{name}") not in CONSTRUCTORS:
            raise _ForeignError(full_name)
        return CONSTRUCTORS[full_name]

    def load_reduce(self) -> None:
        """Call a stand-in."""
        arguments, called = self.stack.pop(), self.stack.pop()
        if not isinstance(called, _Constructor) or called.construct is None:
            name = called.name if isinstance(called, _Constructor) else f"a {type(called).__name__}"
            raise _ForeignError(f"a call of {name}")
        self.append(called.construct(*arguments))

    def load_build(self) -> None:
        """Complete an array or its dtype, and put it in the place of what was begun."""
        state, begun = self.stack.pop(), self.stack.pop()
        if not isinstance(begun, _Unfinished):
            raise _ForeignError(f"a state for a {type(begun).__name__}")
        complete = _array(*state) if begun.dtype is None else _dtype(begun.dtype, *state)
        self.append(complete)
        self.memo.update(dict.fromkeys(begun.memo_keys, complete))

    def load_setitem(self) -> None:
        """Set one entry of a dictionary."""
        _check_keys(self.stack[-2:-1])
        super().load_setitem()

    def load_setitems(self) -> None:
        """Set the entries of a dictionary that stand above the last mark."""
        _check_keys(self.stack[::2])
        super().load_setitems()

    def load_dict(self) -> None:
        """Make a dictionary of what stands above the last mark."""
        _check_keys(self.stack[::2])
        super().load_dict()

    dispatch = _PythonUnpickler.dispatch | {
        pickle.REDUCE[0]: load_reduce,
        pickle.BUILD[0]: load_build,
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
    }


def _check_keys(keys: Iterable[object]) -> None:
    """Check that keys are text, before they are hashed.

    Raises:
        _ForeignError: one is not.
    """
    for key in keys:
        if type(key) not in (str, bytes):
            raise _ForeignError(f"a dictionary with a {type(key).__name__} for a key")


def _begin_array(subtype: object, shape: object, _: object) -> _Unfinished:
    """Stand in for `_reconstruct`, which always begins with an empty array."""
    if subtype not in ARRAY_TYPES or shape not in ((0,), (0, 0)):
        raise _ForeignError("an array that does not begin as an empty ndarray")
    return _Unfinished()


def _begin_dtype(kind: Any, *_: object) -> _Unfinished:  # noqa: ANN401
    """Stand in for `numpy.dtype`."""
    if kind not in NUMBERS and kind not in OBJECTS:
        raise _ForeignError(f"an array of kind {kind}")
    return _Unfinished(kind)


def _dtype(kind: str, _: object, order: Any, *parts: object) -> np.dtype[Any]:  # noqa: ANN401
    """Complete a dtype by its state: the order of bytes, and that it has no parts."""
    if order not in ("<", ">", "=", "|") or any(part is not None for part in parts[:3]):
        raise _ForeignError("an array of numbers in parts")
    return np.dtype(object) if kind in OBJECTS else np.dtype(NUMBERS[kind]).newbyteorder(order)


def _array(_: object, shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:  # noqa: ANN401
    """Complete an array by its state: its numbers are bytes of the file, no fewer and no more."""
    if not isinstance(dtype, np.dtype):
        raise TypeError("an array without a dtype")
    if dtype.hasobject:
        if shape != () or type(data) is not list or len(data) != 1:
            raise _ForeignError("an array of more objects than one")
        return _Boxed(data[0])
    data = data if isinstance(data, bytes) else _encode(data, "latin1")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an array without a shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise _ForeignError(f"an array of shape {shape} in {len(data)} bytes")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _scalar(dtype: np.dtype[Any], data: bytes | str) -> Any:  # noqa: ANN401  int or float
    """Stand in for `scalar`."""
    if dtype.hasobject:
        raise _ForeignError("an object for a number")
    (number,) = np.frombuffer(data if isinstance(data, bytes) else _encode(data, "latin1"), dtype)
    return number.item()


def _encode(text: str, encoding: str) -> bytes:
    """Stand in for `_codecs.encode`, by which Python 3 writes bytes in old protocols: as latin1."""
    if encoding != "latin1":
        raise _ForeignError(f"text to be encoded as {encoding}")
    return text.encode("latin1")


def _ordered_dict(pairs: Iterable[tuple[Any, Any]] = ()) -> dict[str | bytes, Any]:
    """Stand in for `collections.OrderedDict`; every dictionary keeps its order."""
    entries = [(key, value) for key, value in pairs]
    _check_keys(key for key, _ in entries)
    return dict(entries)


ARRAY_TYPES = tuple(  # numpy.matrix is read as the array that it is
    _Constructor(f"numpy.{kind}") for kind in ("ndarray", "matrix", "matrixlib.defmatrix.matrix")
)
CONSTRUCTORS = {array_type.name: array_type for array_type in ARRAY_TYPES} | {
    name: _Constructor(name, construct)
    for name, construct in (
        ("numpy.core.multiarray._reconstruct", _begin_array),
        ("numpy._core.multiarray._reconstruct", _begin_array),
        ("numpy.core.multiarray.scalar", _scalar),
        ("numpy._core.multiarray.scalar", _scalar),
        ("numpy.dtype", _begin_dtype),
        ("_codecs.encode", _encode),
        ("collections.OrderedDict", _ordered_dict),
    )
}
