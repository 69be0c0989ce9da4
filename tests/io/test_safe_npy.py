"""Pickles from any source: plain data is read, and nothing that a file names is run."""

import collections
import copyreg
import functools
import io
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.lib import format as npy

from galr.errors import DataError
from galr.io.safe_npy import safe_load_npy

MATRIX = np.arange(6, dtype=np.float32).reshape(2, 3)


class Call:
    """An object whose pickle is a call that an ordinary reader would make."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def header(descr="|O", shape=()):
    stream = io.BytesIO()
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


def box(content):
    array = np.empty((), object)
    array[()] = content
    return array


def saved(content, protocol):
    """Return the bytes that `np.save` writes, with any protocol."""
    return header() + pickle.dumps(box(content), protocol)


def around(content):
    """Return a file of protocol 2 whose one object is built by these instructions."""
    return (
        header()
        + b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85U\x01b\x87R"
        b"(K\x01)cnumpy\ndtype\nq\x02U\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
        b"\x89]" + content + b"atb."
    )


def python_2(array):
    """Return how Python 2 pickles an array of float64: its bytes are text, its names old."""
    data = array.astype("<f8").tobytes()
    shape = b"".join(b"K" + bytes([size]) for size in array.shape)
    return (
        b"h\x00h\x01K\x00\x85U\x01b\x87R(K\x01" + b"(" + shape + b"t"
        b"h\x02U\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<I", len(data)) + data + b"tb"
    )  # fmt: skip


def same(one, other):
    """Compare plain data: types, order and every bit."""
    if isinstance(one, np.ndarray):
        return (
            type(other) is np.ndarray
            and one.shape == other.shape
            and one.tolist() == other.tolist()
        )
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("npy") / "local.npy"

    def write(data):
        path.write_bytes(data)
        return path

    return write


NAMES = st.text(max_size=8) | st.binary(min_size=1, max_size=8)
ARRAYS = hnp.arrays(
    st.sampled_from(["f2", "<f4", ">f4", "<f8", ">f8", "u1", "i2", "<i8", ">i4"]),
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    elements={"allow_nan": False},
)
PLAIN = st.recursive(
    ARRAYS
    | NAMES
    | st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(NAMES, inner, max_size=4)
        | st.tuples(inner, inner)
        | st.tuples(inner, inner, inner, inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(NAMES, PLAIN, max_size=4), st.integers(0, 4))
def test_saved_data_is_read(file, content, protocol):
    assert same(content, safe_load_npy(file(saved(content, protocol))))


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_file_of_numpy_itself_is_read(tmp_path, order):
    path = tmp_path / "a.npy"
    matrix = np.asarray(MATRIX, order=order)
    content = {"a": matrix, "b": [np.float64(0.1), np.int32(3)], "c": matrix > 2, "a again": matrix}
    content["ordered"] = collections.OrderedDict([("z", 1), ("a", [[0.5]])])
    content["empty"] = np.zeros((0, 20))
    np.save(path, content)
    loaded = safe_load_npy(path)
    assert same(matrix, loaded["a"]) and same(dict(content["ordered"]), loaded["ordered"])
    assert loaded["b"] == [0.1, 3] and loaded["c"].tolist() == (MATRIX > 2).tolist()
    assert loaded["a again"] is loaded["a"] and loaded["empty"].shape == (0, 20)


def test_a_file_of_python_2_is_read_as_pickle_reads_it(file):
    array = np.random.default_rng(0).normal(size=(20, 20))  # all bytes, many over 127
    content = b"}(U\x05a.txt" + python_2(array) + b"U\x05b.txt" + python_2(-array) + b"u"
    data = around(content)
    expected = pickle.loads(data[len(header()) :], encoding="latin1")[()]
    assert same({"a.txt": array, "b.txt": -array}, expected)
    assert same(expected, safe_load_npy(file(data)))


def test_a_container_that_holds_itself_is_read(file):
    content = {"a": []}
    content["a"].append(content)
    loaded = safe_load_npy(file(saved(content, 4)))
    assert loaded["a"][0] is loaded


def test_a_deep_tuple_is_read(file):
    loaded = safe_load_npy(file(around(b")" + b"\x85" * 200_000)))
    assert type(loaded) is tuple and len(loaded) == 1


def refuse(file, data):
    """Assert that a file is refused in one short, printable line, and return the line without the path."""
    path = file(data)
    with pytest.raises(DataError) as error:
        safe_load_npy(path)
    line = str(error.value)
    assert line.startswith(str(path)) and line.isprintable() and len(line) < len(str(path)) + 300
    return line.removeprefix(str(path))


CALLS = {
    "posix.system": lambda path: Call(os.system, (f"echo > {path}",)),
    "builtins.eval": lambda path: Call(eval, (f"open({str(path)!r}, 'w').close()",)),
    "builtins.getattr": lambda path: Call(getattr, (path, "touch")),
    "numpy.memmap": lambda path: Call(np.memmap, (str(path), "u1", "w+", 0, (3,))),
    "numpy.load": lambda path: Call(np.load, (str(path), None, True)),
    "numpy.fromfile": lambda path: Call(np.fromfile, (str(path),)),
    "functools.partial": lambda path: Call(functools.partial, (os.mkdir, str(path))),
    "copyreg._reconstructor": lambda path: Call(copyreg._reconstructor, (Call, object, None)),
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_numpy_matrix_is_read_as_an_array(tmp_path):
    """scipy's `todense` returns one, and much code for graph networks uses it for the adjacency."""
    path = tmp_path / "dense.npy"
    path.write_bytes(saved({"a.txt": np.matrix(MATRIX)}, 2))
    loaded = safe_load_npy(path)["a.txt"]
    assert type(loaded) is np.ndarray and np.array_equal(loaded, MATRIX)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_named_and_not_run(file, tmp_path, name, protocol):
    trace = tmp_path / "trace"
    old = {"builtins": "__builtin__", "copyreg": "copy_reg"} if protocol < 3 else {}
    module, word = name.split(".")
    for content in (CALLS[name](trace), {"a.txt": [MATRIX.tolist(), CALLS[name](trace)]}):
        line = refuse(file, saved(content, protocol))
        assert line.startswith(f" holds {old.get(module, module)}.{word}; expected one dictionary")
    assert not trace.exists()


def test_pickle_itself_runs_such_calls(tmp_path):
    for name in ("posix.system", "builtins.eval", "numpy.memmap"):
        pickle.loads(pickle.dumps(box({"a": CALLS[name](tmp_path / name)})))
        assert (tmp_path / name).exists()


def begin_array(
    kind=b"f8", state=b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb", size=b"K\x01"
):
    """Return an array of one float64 up to the bytes of its number; `around` memoizes the names."""
    return (
        b"h\x00h\x01K\x00\x85U\x01b\x87R(K\x01" + size + b"\x85h\x02U"
        + bytes([len(kind)]) + kind + b"K\x00K\x01\x87R" + state + b"\x89"
    )  # fmt: skip


HUGE = b"\x8a\x06" + (2**40).to_bytes(6, "little")  # LONG1
NUMBER = b"U\x08" + bytes(8) + b"tb"
FOREIGN = {
    "os.system": b"cos\nsystem\n(U\x04truet\x85R",
    "numpy.f2py.os.system": b"\x8c\x05numpy\x8c\x0ef2py.os.system\x93U\x04true\x85R",
    "numpy.core.multiarray._reconstruct.__globals__": (
        b"cnumpy.core.multiarray\n_reconstruct.__globals__\n"
    ),
    "numpy.core.multiarray.fromfile": b"cnumpy.core.multiarray\nfromfile\nU\x01a\x85R",
    "numpy.recarray": b"cnumpy\nrecarray\n",
    "os.\\x1b[2J": b"cos\n\x1b[2J\n",
    "a call of numpy.ndarray": b"h\x01" + HUGE + b"\x85\x85R",
    "a call of a str": b"U\x01a)R",
    "an array that does not begin as an empty ndarray": b"h\x00h\x01" + HUGE + b"\x85U\x01b\x87R",
    "an array of shape (1099511627776,) in 8 bytes": begin_array(size=HUGE) + NUMBER,
    "an array of shape (1,) in 4 bytes": begin_array() + b"U\x04abcdtb",
    "an array of kind V8": begin_array(b"V8") + NUMBER,
    "an array of kind M8": begin_array(b"M8") + NUMBER,
    "an array of numbers in parts": begin_array(state=b"(K\x03U\x01<NU\x01a}NNNtb") + NUMBER,
    "an array of more objects than one": begin_array(b"O8") + b"]K\x01atb",
    "an array of objects inside another": begin_array(b"O8", size=b")0").replace(b")0\x85", b")")
    + b"]K\x01atb",
    "an array that never ends": b"h\x00h\x01K\x00\x85U\x01b\x87R",
    "a state for a dict": b"}}b",
    "a state for a list": b"]}b",
    "a name where data should be": b"h\x01",
    "a dtype where data should be": b"h\x02U\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNtb",
    "an object for a number": (
        b"cnumpy.core.multiarray\nscalar\nh\x02U\x02O8K\x00K\x01\x87R(K\x03U\x01|NNNtbU\x08aaaaaaaa\x86R"
    ),
    "text to be encoded as rot13": b"c_codecs\nencode\nU\x01aU\x05rot13\x86R",
    "a dictionary with a int for a key": b"}K\x01K\x02s",
    "a dictionary with a tuple for a key": b"})" + b"\x85" * 200_000 + b"K\x01s",
    "the pickle instruction PERSID": b"Pelsewhere\n",
    "the pickle instruction BINPERSID": b"K\x01Q",
    "the pickle instruction EXT1": b"\x82\x01",
    "the pickle instruction INST": b"(U\x04trueios\nsystem\n",
    "the pickle instruction OBJ": b"(h\x01o",
    "the pickle instruction NEWOBJ": b"h\x01)\x81",
    "the pickle instruction NEWOBJ_EX": b"h\x01)}\x92",
    "the pickle instruction EMPTY_SET": b"\x8f",
    "the pickle instruction BYTEARRAY8": b"\x96" + (3).to_bytes(8, "little") + b"abc",
    "the pickle instruction NEXT_BUFFER": b"\x97",
}


def test_the_instructions_of_these_tests_are_read_where_they_are_sound(file):
    assert safe_load_npy(file(around(begin_array() + NUMBER))).tolist() == [0]
    memo = b"r\xff\xff\xff\x7f"  # an index for which the unpickler in C takes 16 GB
    assert safe_load_npy(file(around(b"K\x05" + memo))) == 5


@pytest.mark.parametrize("what", FOREIGN)
def test_anything_but_plain_data_is_named_and_refused(file, what):
    assert refuse(file, around(FOREIGN[what])).startswith(f" holds {what}; expected")
    inside = around(b"}U\x01a]" + FOREIGN[what] + b"as")
    assert refuse(file, inside).startswith(f" holds {what}; expected")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "EOF"),
        (b"PK\x03\x04 some archive", "magic string"),
        (header().replace(b"\x01\x00", b"\x03\x00", 1), "format (3, 0)"),
        (header(), "pickle exhausted"),
        (header().replace(b"'descr'", b"(((((((") + b"N.", "("),
        (header() + b"}.", "holds a dict where its header announces an object"),
        (
            header("<f8", (10**9, 10**9)),
            "holds an array of float64 of shape (1000000000, 1000000000)",
        ),
        (header("|O", (10**12,)) + b"N.", "holds an array of object of shape (1000000000000,)"),
        (around(b"K\x01") + b"anything", None),
        (around(b"\x8e" + (2**40).to_bytes(8, "little") + b"a"), "only"),
        (around(b"\x96" + (2**40).to_bytes(8, "little") + b"a"), "only"),
        (around(b"h\x63"), "99"),
        (around(b"a"), "damaged"),
        (around(b"0000000"), "POP"),
        (around(b"(U\x01au"), "damaged"),
        (around(b"\xff"), "unknown"),
        (around(b"S'\\z'\n"), "escape"),
        (around(b"L" + b"9" * 5000 + b"\n"), "digits"),
    ],
)
def test_damage_is_explained_in_one_line(file, data, message):
    if message is None:
        assert safe_load_npy(file(data)) == 1
    else:
        assert message in refuse(file, data)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none.npy cannot be read: No such file"):
        safe_load_npy(tmp_path / "none.npy")


SOUND = [saved({"adj_matrix": {"a.txt": MATRIX}, "b": [[0.5, 1]]}, n) for n in (0, 2, 4)]


@pytest.mark.parametrize("sound", SOUND, ids=["0", "2", "4"])
def test_a_file_cut_anywhere_is_refused(file, sound):
    for length in range(len(sound)):
        refuse(file, sound[:length])


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from([*SOUND, around(b"}U\x01a" + begin_array() + NUMBER + b"s")]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(-1, 2), st.binary(max_size=6)), min_size=1, max_size=4),
)  # fmt: skip
def test_a_changed_file_is_read_or_refused_and_nothing_else(file, sound, changes):
    data = sound
    for start, more, new in changes:
        start %= len(data)
        data = data[:start] + new + data[max(start + len(new) + more, start) :]
    try:
        loaded = safe_load_npy(file(data))
    except DataError:
        refuse(file, data)
    else:
        assert_plain(loaded)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_instructions_are_read_or_refused_and_nothing_else(file, instructions):
    try:
        loaded = safe_load_npy(file(around(instructions)))
    except DataError:
        return
    assert_plain(loaded)


def assert_plain(loaded, depth=0):
    kinds = (dict, list, tuple, np.ndarray, str, bytes, int, float, bool, type(None))
    assert type(loaded) in kinds
    if isinstance(loaded, np.ndarray):
        assert loaded.dtype.kind in "fiu" and not loaded.flags.writeable
    if isinstance(loaded, dict | list | tuple) and depth < 9:
        for part in loaded.values() if isinstance(loaded, dict) else loaded:
            assert_plain(part, depth + 1)
