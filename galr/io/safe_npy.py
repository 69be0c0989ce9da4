"""The pickle in a .npy file, read as data: nothing that it names is ever looked up or called.

`np.save` writes a Python object as a header and a pickle, and a pickle is a program. Python's own
`Unpickler`, even when `find_class` lets nothing through, can be made to take any amount of memory (by a
memo index or a BYTEARRAY8 of any size) or to end the process (by hashing a deep tuple). So
`pickletools` cuts the program into instructions here, and a machine of a stack and a memo follows the few
that data needs. Names stay words, a handful of which mean something: a plain array, its numbers, bytes.
"""

import math
import pickletools
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from galr.errors import DataError

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
NUMBERS = {  # how a pickle calls numbers, and how they are read: a bool by its byte, whatever that is
    "b1": "u1",
    **{kind: kind for kind in ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")},
}
OBJECTS = frozenset({"O", "O4", "O8"})
CONTAINERS = frozenset({dict, list, tuple})
PLAIN = CONTAINERS | {np.ndarray, str, bytes, int, float, bool, type(None)}
TEXT_LENGTH = 120  # characters of a file's own text in a message


class _ForeignError(Exception):
    """What a file holds and must not; the message follows `holds`."""


@dataclass(frozen=True)
class _Name:
    """What a pickle would import; here, a word."""

    text: str


@dataclass
class _Begun:
    """An array or its kind of numbers before BUILD says the rest.

    kind: of the numbers; none for an array.
    places: where in the memo it stands, and the whole will.
    """

    kind: str | None = None
    places: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class _Boxed:
    """The array of one object that `np.save` puts around whatever is no array."""

    content: object


LEFT = {
    _Name: "a name where data should be",
    _Begun: "an array that never ends",
    _Boxed: "an array of objects inside another",
}


def safe_load_npy(path: Path) -> Any:  # noqa: ANN401  plain data of any shape
    """Read the one object that `np.save(path, object)` wrote with any pickle protocol up to 4.

    Args:
        path: a .npy file of Python 2 or 3, from anybody.

    Returns:
        Nothing but dict, list, tuple, str, bytes, numbers, None and read-only arrays of numbers. Keys of
        a dict are str or bytes; a container may hold itself.

    Raises:
        DataError: the file is missing, damaged, or holds anything else; says what.
    """
    try:
        stream = BytesIO(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # whatever looks odd to numpy or Python is refused
            _pass_header(stream)
            found = _Machine().run(stream)
            _check_plain(found)
    except _ForeignError as error:
        raise DataError(
            f"{path} holds {printable(str(error))}; expected one dictionary of plain arrays or lists,"
            " and nothing else is read from a pickle"
        ) from error
    except Exception as error:  # damage raises whatever its first bad byte leads to
        raise DataError(
            f"{path} is no .npy file, damaged or cut short ({printable(str(error))});"
            " download it again"
        ) from error
    return found


def printable(text: str) -> str:
    """Put a file's own text on a line: short, and with no character that moves a terminal's cursor."""
    shown = text[: TEXT_LENGTH + 1].encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= TEXT_LENGTH else f"{shown[:TEXT_LENGTH]}…"


def _pass_header(stream: BytesIO) -> None:
    """Read what stands before the pickle.

    Raises:
        _ForeignError: it announces anything but one object.
        ValueError: it is no header.
    """
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"format {version}, expected (1, 0) or (2, 0)")
    shape, _, dtype = HEADERS[version](stream)
    if dtype != np.dtype(object) or shape != ():
        raise _ForeignError(f"an array of {dtype} of shape {shape}")


def _check_plain(found: object) -> None:
    """Refuse what a pickle left unfinished, or a name or an array of objects where data should be."""
    waiting, seen = [[found]], set()
    while waiting:
        container: Any = waiting.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        for item in container.values() if type(container) is dict else container:
            if type(item) not in PLAIN:
                raise _ForeignError(LEFT.get(type(item), "a kind of numbers where data should be"))
            if type(item) in CONTAINERS:
                waiting.append(item)


class _Machine:
    """A stack and a memo, on which a pickle's instructions leave data."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under every open MARK
        self.memo: dict[int, Any] = {}

    def run(self, stream: BytesIO) -> Any:  # noqa: ANN401
        """Follow the instructions to the end and open the box that they leave.

        Raises:
            _ForeignError: an instruction or a name that data does not need.
            Exception: any, where the stream is damaged.
        """
        for instruction, argument, _ in pickletools.genops(stream):
            if instruction.name in VALUES:
                self.stack.append(argument)
            else:
                self.follow(instruction.name, argument)
        (result,) = self.stack
        if not isinstance(result, _Boxed):
            raise _ForeignError(f"a {type(result).__name__} where its header announces an object")
        return result.content

    def follow(self, instruction: str, argument: Any) -> None:  # noqa: ANN401
        """Follow one instruction; what each means stands in `pickletools`."""
        match instruction:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                self.stack.append(CONSTANTS[instruction])
            case "MARK":
                self.below.append(self.stack)
                self.stack = []
            case "EMPTY_TUPLE":
                self.stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self.stack.append(self.last(int(instruction[-1])))
            case "TUPLE":
                items = self.since_mark()  # first, as it changes which stack is in use
                self.stack.append(tuple(items))
            case "EMPTY_LIST":
                self.stack.append([])
            case "LIST":
                items = self.since_mark()
                self.stack.append(items)
            case "APPEND":
                self.extend(self.last(1))
            case "APPENDS":
                self.extend(self.since_mark())
            case "EMPTY_DICT":
                self.stack.append({})
            case "DICT":
                items = self.since_mark()
                self.stack.append({})
                self.fill(items)
            case "SETITEM":
                self.fill(self.last(2))
            case "SETITEMS":
                self.fill(self.since_mark())
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                self.put(argument)
            case "MEMOIZE":
                self.put(len(self.memo))
            case "GET" | "BINGET" | "LONG_BINGET":
                self.stack.append(self.memo[argument])
            case "GLOBAL":
                self.name(".".join(argument.split(" ", 1)))
            case "STACK_GLOBAL":
                self.name(".".join(self.last(2)))
            case "REDUCE":
                self.reduce(*self.last(2))
            case "BUILD":
                self.build(*self.last(2))
            case _:
                raise _ForeignError(f"the pickle instruction {instruction}")

    def last(self, count: int) -> tuple[Any, ...]:
        """Take some items off the stack."""
        if count > len(self.stack):
            raise ValueError("an instruction lacks what it works on")
        cut = len(self.stack) - count
        items = tuple(self.stack[cut:])
        del self.stack[cut:]
        return items

    def since_mark(self) -> list[Any]:
        """Take what lies above the last MARK off the stack, and the MARK."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def extend(self, items: Iterable[Any]) -> None:
        """Lengthen the list on top."""
        if type(self.stack[-1]) is not list:
            raise ValueError("items for what is no list")
        self.stack[-1].extend(items)

    def fill(self, items: Sequence[Any]) -> None:
        """Fill the dictionary on top with key, value, key, value, and so on."""
        if type(self.stack[-1]) is not dict:
            raise ValueError("keys for what is no dictionary")
        self.stack[-1].update(_dictionary(zip(items[::2], items[1::2], strict=True)))

    def put(self, place: int) -> None:
        """Remember the top of the stack."""
        self.memo[place] = self.stack[-1]
        if isinstance(self.stack[-1], _Begun):
            self.stack[-1].places.append(place)

    def name(self, name: str) -> None:
        """Keep a name, if it is one of those that mean something."""
        if _Name(name) not in ARRAYS and name not in MAKERS:
            raise _ForeignError(name)
        self.stack.append(_Name(name))

    def reduce(self, name: object, arguments: tuple[Any, ...]) -> None:
        """Make what a name and its arguments stand for."""
        if not isinstance(name, _Name) or name in ARRAYS:
            called = name.text if isinstance(name, _Name) else f"a {type(name).__name__}"
            raise _ForeignError(f"a call of {called}")
        self.stack.append(MAKERS[name.text](*arguments))

    def build(self, begun: object, state: tuple[Any, ...]) -> None:
        """Put the whole in the place of what was begun."""
        if not isinstance(begun, _Begun):
            raise _ForeignError(f"a state for a {type(begun).__name__}")
        whole = _whole_array(*state) if begun.kind is None else _whole_kind(begun.kind, *state)
        self.stack.append(whole)
        self.memo.update(dict.fromkeys(begun.places, whole))


def _dictionary(pairs: Iterable[tuple[Any, Any]] = ()) -> dict[str | bytes, Any]:
    """Make a dictionary, also for `collections.OrderedDict`: each keeps its order.

    Raises:
        _ForeignError: a key is no text; the hash of a deep tuple would end the process.
    """
    table: dict[str | bytes, Any] = {}
    for key, value in pairs:
        if type(key) not in (str, bytes):
            raise _ForeignError(f"a dictionary with a {type(key).__name__} for a key")
        table[key] = value
    return table


def _begun_array(of: object, shape: object, _: object) -> _Begun:
    """Begin an array for `_reconstruct`, which always begins with an empty one."""
    if of not in ARRAYS or shape not in ((0,), (0, 0)):
        raise _ForeignError("an array that does not begin as an empty ndarray")
    return _Begun()


def _begun_kind(kind: Any, *_: object) -> _Begun:  # noqa: ANN401
    """Begin a kind of numbers for `numpy.dtype`."""
    if kind not in NUMBERS and kind not in OBJECTS:
        raise _ForeignError(f"an array of kind {kind}")
    return _Begun(kind)


def _whole_kind(kind: str, _: object, order: Any, *parts: object) -> np.dtype[Any]:  # noqa: ANN401
    """End a kind of numbers: its state tells the order of bytes, and that it has no parts."""
    if order not in ("<", ">", "=", "|") or any(part is not None for part in parts[:3]):
        raise _ForeignError("an array of numbers in parts")
    return np.dtype(object) if kind in OBJECTS else np.dtype(NUMBERS[kind]).newbyteorder(order)


def _whole_array(_: object, shape: Any, dtype: Any, fortran: Any, data: Any) -> Any:  # noqa: ANN401
    """End an array: its numbers are the bytes that lie in the file, no fewer and no more."""
    if not isinstance(dtype, np.dtype):
        raise TypeError("an array of no kind")
    if dtype.hasobject:
        return _boxed(shape, data)
    data = data if isinstance(data, bytes) else _encoded(data, "latin1")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an array of no shape")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise _ForeignError(f"an array of shape {shape} in {len(data)} bytes")
    return np.ndarray(shape, dtype, data, order="F" if fortran else "C")


def _boxed(shape: object, content: list[Any]) -> _Boxed:
    """End the array of one object, of which the file is one and has no other."""
    if shape != () or type(content) is not list or len(content) != 1:
        raise _ForeignError("an array of more objects than one")
    return _Boxed(content[0])


def _scalar(dtype: np.dtype[Any], data: bytes | str) -> float:
    """Make a number for `scalar`."""
    if dtype.hasobject:
        raise _ForeignError("an object for a number")
    (number,) = np.frombuffer(data if isinstance(data, bytes) else _encoded(data, "latin1"), dtype)
    return number.item()


def _encoded(text: str, encoding: str) -> bytes:
    """Make bytes for `_codecs.encode`, which writes them as latin1, as we read Python 2's text."""
    if encoding != "latin1":
        raise _ForeignError(f"text to be encoded as {encoding}")
    return text.encode("latin1")


ARRAYS = tuple(  # what calls itself a matrix is read as the array that it is
    _Name(f"numpy.{kind}") for kind in ("ndarray", "matrix", "matrixlib.defmatrix.matrix")
)
MAKERS: dict[str, Callable[..., Any]] = {
    **{f"numpy.{core}.multiarray._reconstruct": _begun_array for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": _scalar for core in ("core", "_core")},
    "numpy.dtype": _begun_kind,
    "_codecs.encode": _encoded,
    "collections.OrderedDict": _dictionary,
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
VALUES = frozenset(  # instructions that push their argument
    {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"STRING", "BINSTRING", "SHORT_BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
    | {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
)
