"""Every format, damaged in every way: every error is one line that names the file and says what to do."""

import fcntl
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galr.errors import ShapeError, StoreError
from galr.io.formats import FORMATS, Dataset, Graphs, Ranks, Regions, Similarity
from galr.io.tables import Strings

from .example_files import (  # isort: skip
    LENGTHS,
    RERANKS,
    declared_tables,
    values_of,
    write_example,
)

formats = pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.kind)
TABLES = [(kind, name, table) for kind in FORMATS for name, table in declared_tables(kind)]
tables = pytest.mark.parametrize(
    ("kind", "name", "table"), TABLES, ids=[f"{kind.kind}-{name}" for kind, name, _ in TABLES]
)


def problem(kind, path):
    """The error of opening a file, one line that names it and never advises to delete it."""
    with pytest.raises(StoreError) as caught, kind.open(path):
        pass
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert "delete" not in message
    return message


def replace(path, name, values):
    """Replace a table by another one."""
    with h5py.File(path, "r+") as file:
        del file[name]
        if isinstance(values, list):
            file.create_dataset(name, data=values, shape=(len(values),), dtype=h5py.string_dtype())
        else:
            file.create_dataset(name, data=values, dtype=values.dtype)


@formats
def test_what_is_written_is_read(kind, tmp_path):
    with kind.open(write_example(kind, tmp_path / "new/x.h5")) as file:
        read = file.flat_tables()
        assert list(read) == [name for name, _ in declared_tables(kind)]
        for name, table in declared_tables(kind):
            values = read[name].asstr()[:].tolist() if isinstance(table, Strings) else read[name][:]
            assert np.array_equal(values, values_of(table)), name
            assert isinstance(table, Strings) or values.dtype == table.dtype
        assert file.provenance == kind.read_provenance(file.path) == {"seed": 1}


def test_tables_are_attributes(tmp_path):
    with Similarity.open(write_example(Similarity, tmp_path / "s.h5")) as file:
        assert file.names[1] == "names 1 é"
        assert file.similarity[:2, 0].shape == (2,)
        assert file.validation.similarity.shape == (3, 6)
        assert file.bank.image_embeddings.shape == (9, 8)
    with Ranks.open(write_example(Ranks, tmp_path / "r.h5")) as file:
        assert sorted(file.reranks) == sorted(RERANKS)
        assert list(file.reranks["none"].arrays()) == [
            "i2t",
            "t2i",
            "i2t_hits",
            "t2i_hits",
            "i2t_expected_hits",
            "t2i_expected_hits",
        ]


def test_groups_may_be_absent(tmp_path):
    with h5py.File(write_example(Similarity, tmp_path / "s.h5"), "r+") as file:
        del file["validation"], file["bank"]
    with Similarity.open(tmp_path / "s.h5") as file:
        assert file.validation is None and file.bank is None


@tables
def test_a_missing_table_is_named(kind, name, table, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        del file[name]
    group = f"in the group {name.rpartition('/')[0]}, " if "/" in name else ""
    message = problem(kind, path)
    assert (
        message == f"{path}: {group}the file lacks {table.name}; make it anew with {kind.made_by}"
    )


@tables
def test_a_table_of_another_dtype_is_named(kind, name, table, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    is_text = isinstance(table, Strings)
    others = [np.zeros(len(values_of(table)))] if is_text else [values_of(table).astype("int16")]
    others += [] if is_text or len(table.axes) > 1 else [["a"] * len(values_of(table))]
    for other in others:
        replace(path, name, other)
        dtype = "text" if isinstance(other, list) else other.dtype
        shape = np.shape(other)
        expected = f"{table.name} is {dtype} {shape}, expected {table.dtype} {table.shape_text}; "
        assert expected in problem(kind, path)


@tables
def test_a_table_of_another_rank_is_named(kind, name, table, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    values = np.array(values_of(table), h5py.string_dtype() if table.dtype == "text" else None)
    for other in (values[..., None], values[:1].reshape(values.shape[1:])):
        replace(path, name, other)
        assert f"expected {table.dtype} {table.shape_text}; " in problem(kind, path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_group(name)
    assert f"{table.name} is a group, expected a table; " in problem(kind, path)


@tables
def test_lengths_that_disagree_are_named(kind, name, table, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    group = name.rpartition("/")[0]
    others = [
        axis.partition("+")[0]
        for other, declared in declared_tables(kind)
        for axis in declared.axes
        if (isinstance(axis, str) and other.rpartition("/")[0] == group) or axis in kind.shared_axes
    ]
    for number, axis in enumerate(table.axes):
        values = np.array(values_of(table), object if table.dtype == "text" else None)
        longer = np.concatenate([values, values.take([-1], axis=number)], axis=number)
        replace(path, name, longer.tolist() if table.dtype == "text" else longer)
        if isinstance(axis, int):
            assert f"{table.name} is {table.dtype} {longer.shape}, expected " in problem(kind, path)
        elif others.count(axis.partition("+")[0]) > 1:
            base = axis.partition("+")[0]
            message = problem(kind, path)
            assert f" along {base}" in message and f" {base.replace('_', ' ')}; make it" in message


def test_lengths_that_disagree_say_which(tmp_path):
    path = write_example(Regions, tmp_path / "regions.h5")
    replace(path, "scores", np.zeros(4, np.float32))
    assert "scores has length 4 along regions, and boxes has 5 regions; " in problem(Regions, path)
    path = write_example(Graphs, tmp_path / "graphs.h5")
    replace(path, "adjacency", np.zeros((3, 4, 5), np.float32))
    assert "adjacency has length 5 along n, and representation has 4 n; " in problem(Graphs, path)


@pytest.mark.parametrize(
    "offsets", [[0, 2, 2, 4], [1, 2, 2, 5], [0, 3, 2, 5], [0, 2, 2, 6], [-1, 2, 2, 5]]
)
def test_offsets_that_do_not_divide_the_regions_are_an_error(offsets, tmp_path):
    path = write_example(Regions, tmp_path / "x.h5")
    replace(path, "offsets", np.array(offsets))
    assert "offsets does not rise from 0 to 5, the number of regions; " in problem(Regions, path)


@pytest.mark.parametrize("wrong", [-1, LENGTHS["images"]])
def test_a_sentence_of_an_image_that_is_not_there_is_an_error(wrong, tmp_path):
    path = write_example(Dataset, tmp_path / "x.h5")
    replace(path, "image_of_sentence", np.array([0, 0, 1, wrong, 1, 2], np.int32))
    assert "expected rows of 3 images; " in problem(Dataset, path)


@pytest.mark.parametrize(
    ("kind", "group"), [(Similarity, "validation"), (Similarity, "bank"), (Ranks, "none")]
)
def test_a_table_in_the_place_of_a_group_is_named(kind, group, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    replace(path, group, np.zeros(3))
    assert f"{group} is a table, expected a group; make it anew" in problem(kind, path)


@formats
def test_another_version_is_an_error_that_says_how_to_remake_the_file(kind, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    for version, advice in ((kind.version - 1, ""), (kind.version + 1, "update galr, or ")):
        with h5py.File(path, "r+") as file:
            file.attrs["version"] = version
        assert problem(kind, path) == (
            f"{path} is version {version} of {kind.kind}, this galr reads version {kind.version};"
            f" {advice}make it anew with {kind.made_by}"
        )
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = "two"
    assert "is version two of" in problem(kind, path)


@formats
def test_another_kind_is_named(kind, tmp_path):
    other = Graphs if kind is not Graphs else Regions
    path = write_example(other, tmp_path / "x.h5")
    assert f"is a {other.kind} file, expected a {kind.kind} file; give an" in problem(kind, path)
    with h5py.File(path, "w") as file:
        file["x"] = 1
    assert "is an HDF5 file of another program, expected a" in problem(kind, path)


@formats
def test_provenance_that_cannot_be_read_is_an_error(kind, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    for text, reason in (("{", "is damaged (Expecting"), ("[]", "the provenance is not a JSON")):
        with h5py.File(path, "r+") as file:
            file.attrs["provenance"] = text
        assert reason in problem(kind, path)
    with h5py.File(path, "r+") as file:
        del file.attrs["provenance"]
    assert "is damaged (" in problem(kind, path)


@formats
@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_that_is_cut_short_is_an_error(kind, tmp_path, data):
    path = write_example(kind, tmp_path / "x.h5")
    size = data.draw(st.integers(0, path.stat().st_size - 1), "bytes left")
    os.truncate(path, size)
    message = problem(kind, path)
    if size < 8:
        assert "is not an HDF5 file; give another file, or make it anew" in message
    elif size >= 96:  # what HDF5 needs to know the length that the file had
        assert f"is cut short ({size} bytes are left); make it anew with" in message


@formats
@pytest.mark.parametrize("start", [8, 96, 136, 800])
def test_damaged_structure_is_an_error(kind, start, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    with path.open("rb+") as file:
        file.seek(start)
        file.write(b"\xff" * 64)
    assert "; make it anew with" in problem(kind, path)


@formats
def test_what_is_not_hdf5_is_named(kind, tmp_path):
    path = tmp_path / "x.h5"
    assert problem(kind, path) == f"{path} does not exist; make it with {kind.made_by}"
    path.write_text("name,split\n" * 100)
    assert "is not an HDF5 file; give another file, or make it anew" in problem(kind, path)
    assert "cannot be read (Is a directory); give another file" in problem(kind, tmp_path)


def test_text_that_is_not_utf8_is_named(tmp_path):
    path = write_example(Dataset, tmp_path / "x.h5")
    with h5py.File(path, "r+") as file:
        file["names"][1] = b"\xff\xfe"
    with (
        Dataset.open(path) as file,
        pytest.raises(StoreError, match=r"x\.h5: names is not UTF-8"),
    ):
        _ = file.names


@formats
def test_a_file_that_another_program_has_locked_is_in_use(kind, tmp_path):
    path = write_example(kind, tmp_path / "x.h5")
    with path.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        message = problem(kind, path)
    assert "is in use: another program has it open for writing, or it cannot be locked (" in message
    assert "wait until that program ends, or set HDF5_USE_FILE_LOCKING=FALSE where" in message
    assert "cut short" not in message and "anew" not in message
    with kind.open(path):
        pass  # and it is readable again


def test_the_advice_for_file_systems_without_locks_holds(tmp_path, monkeypatch):
    path = write_example(Graphs, tmp_path / "x.h5")
    code = f"from galr.io.formats import *; from pathlib import Path; Graphs.read_provenance(Path({str(path)!r}))"  # fmt: skip
    with path.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for locking, works in (("TRUE", False), ("FALSE", True)):
            monkeypatch.setenv("HDF5_USE_FILE_LOCKING", locking)
            ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
            assert (ran.returncode == 0) == works


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (37, "unable to lock file, errno = 37, error message = 'No locks available'"),
        (38, "unable to lock file,\n errno = 38, error message = 'Function not implemented'"),
        (None, "file is already open for write/SWMR write (may use <h5clear file>)"),
    ],
)
def test_a_file_that_cannot_be_locked_is_not_called_damaged(code, text, tmp_path, monkeypatch):
    path = write_example(Graphs, tmp_path / "x.h5")

    def cannot_lock(*_):
        error = OSError(f"Unable to synchronously open file ({text})")
        error.errno = code
        raise error

    monkeypatch.setattr(h5py, "File", cannot_lock)
    message = problem(Graphs, path)
    assert "is in use" in message and "HDF5_USE_FILE_LOCKING=FALSE" in message


def test_a_failed_writer_leaves_the_older_file(tmp_path):
    path = write_example(Graphs, tmp_path / "x.h5")
    before = path.read_bytes()
    with pytest.raises(RuntimeError), Graphs.create(path, {}) as file:
        file.write(names=["a"])
        raise RuntimeError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@tables
def test_what_is_not_as_declared_is_not_written(kind, name, table, tmp_path):
    path = tmp_path / "x.h5"
    if "/" in name:
        return  # written by the same code
    with pytest.raises(ShapeError, match=f"x.h5 is not written: the file lacks {table.name}"):  # noqa: SIM117
        with kind.create(path, {}) as file:
            others = {n: values_of(t) for n, t in kind.tables().items() if n != name}
            file.write(**others)
    assert not path.exists()


def test_numbers_are_written_with_the_declared_dtype(tmp_path):
    values = {name: values_of(table) for name, table in Regions.tables().items()}
    values["sizes"] = [[1, 2]] * 3
    values["scores"] = [0.1] * 5
    with Regions.create(tmp_path / "x.h5", {}) as file:
        file.write(**values)
        with pytest.raises(TypeError, match="Cannot cast"):
            file.write(classes=[0.5])
    with Regions.open(tmp_path / "x.h5") as file:
        assert file.sizes.dtype == np.int32 and file.scores.dtype == np.float32


def test_a_table_is_filled_row_by_row(tmp_path):
    values = {name: values_of(table) for name, table in Dataset.tables().items()}
    images = values.pop("images")
    with Dataset.create(tmp_path / "x.h5", {"a": 1}) as file:
        table = file.allocate(Dataset.images, (5, *images.shape[1:]))
        for row, image in enumerate(images):
            table[row] = image
        table.resize(len(images), axis=0)
        file.write(**values)
        file.update_provenance(b=2)
    with Dataset.open(tmp_path / "x.h5") as file:
        assert np.array_equal(file.images[:], images)
        assert file.images.chunks == (1, *images.shape[1:])
        assert file.provenance == {"a": 1, "b": 2}


def test_no_strings_can_be_stored(tmp_path):
    values = {name: values_of(table) for name, table in Dataset.tables().items()}
    values |= {"sentences": [], "image_of_sentence": np.zeros(0, np.int32)}
    with Dataset.create(tmp_path / "x.h5", {}) as file:
        file.write(**values)
    with Dataset.open(tmp_path / "x.h5") as file:
        assert file.sentences == [] and file.image_of_sentence.shape == (0,)


@formats
def test_a_format_describes_all_its_tables(kind):
    lines = kind.describe()
    assert lines[0] == f"## {kind.kind}.h5" and f"Version {kind.version}," in lines[3]
    rows = [line.split("|")[1].strip() for line in lines if line.startswith("| `")]
    names = [name.replace("mr-paper/", "<rerank>/") for name, _ in declared_tables(kind)]
    assert [row for row in rows if not row.endswith("/`")] == [
        f"`{name}`" for name in names if not name.startswith("none/")
    ]
    assert all(len(line.split("|")) == 6 for line in lines if line.startswith("|"))
