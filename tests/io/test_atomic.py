import errno
import os
import re
import resource
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file

from galr.errors import DataError, OutputError
from galr.io.atomic import atomic_directory, atomic_hdf5, atomic_write, check_output_dir

LARGE = np.random.default_rng(0).random(100_000)  # 0.8 MB
LIMIT = 100_000  # bytes


def names(folder):
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def small_files():
    """Limit the files of this process to LIMIT bytes, which acts like a full disk."""
    old, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (old, hard))


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "deep/file.txt"
    with atomic_write(path) as partial:
        partial.write_text("new")
        assert not path.exists() and partial.suffix == ".txt"
    assert path.read_text() == "new" and names(path.parent) == ["file.txt"]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and names(tmp_path) == ["file.txt"]


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    path, calls = tmp_path / "file.txt", []

    def fsync(handle):
        calls.append((os.fstat(handle).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as partial:
        partial.write_text("four")
    assert calls == [(4, False)]


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "disk").mkdir()
    link = tmp_path / "file.txt"
    link.symlink_to(tmp_path / "disk/real.txt")
    with atomic_write(link) as partial:
        partial.write_text("new")
    assert link.is_symlink() and (tmp_path / "disk/real.txt").read_text() == "new"


def test_an_error_that_is_not_of_the_disk_is_passed_on_as_it_is(tmp_path):
    for error in (ValueError("wrong"), FileNotFoundError(errno.ENOENT, "gone", "other.csv")):
        with pytest.raises(type(error)) as caught, atomic_write(tmp_path / "file.txt"):
            raise error
        assert caught.value is error
    assert names(tmp_path) == []


WRITERS = {
    "npy": lambda path: np.save(path, LARGE),
    "npz": lambda path: np.savez(path, a=LARGE),
    "csv": lambda path: pd.DataFrame(LARGE).to_csv(path),
    "pt": lambda path: torch.save({"a": torch.from_numpy(LARGE)}, path),
    "safetensors": lambda path: save_file({"a": LARGE}, path),
    "png": lambda path: Image.fromarray(LARGE.view(np.uint8).reshape(800, 1000)).save(path),
    "txt": lambda path: path.write_text("x" * 2 * LIMIT),
}  # fmt: skip


@pytest.mark.parametrize("suffix", WRITERS)
def test_the_true_reason_is_one_line_whichever_library_fails_to_write(
    suffix, tmp_path, small_files
):
    path = tmp_path / f"file.{suffix}"
    path.write_text("old")
    message = rf"file.{suffix} cannot be written \(File too large\)"
    with pytest.raises(OutputError, match=message), atomic_write(path) as partial:
        WRITERS[suffix](partial)
    assert path.read_text() == "old" and names(tmp_path) == [path.name]


@pytest.mark.parametrize("size", [0.01, 0.5, 1.5, 8])
def test_hdf5_survives_a_file_that_cannot_grow(size, tmp_path, small_files):
    """Without our file object HDF5 ends this process in a segmentation fault."""
    path = tmp_path / "file.h5"
    path.write_text("old")
    rows = int(size * LIMIT / 1000)

    def write():
        with atomic_hdf5(path) as file:
            table = file.create_dataset("a", (rows, 1000), np.uint8, chunks=(1, 1000))
            for row in range(rows):
                table[row] = row
            table.resize(rows, axis=0)

    if size < 1:
        write()
        with h5py.File(path) as file:
            assert file["a"].shape == (rows, 1000)
    else:
        with pytest.raises(OutputError, match=r"file.h5 cannot be written \(File too large\)"):
            write()
        assert path.read_text() == "old"
    assert names(tmp_path) == ["file.h5"]


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def fsync(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "R.npy"
    path.write_text("old")
    with pytest.raises(OutputError) as caught, atomic_write(path) as partial:
        np.save(partial, LARGE)
    line = str(caught.value)
    assert line.startswith(f"{path} cannot be written (No space left on device: ")
    disk = re.search(r"MB are free on the disk at (.+)\); make room", line)[1]
    assert tmp_path.is_relative_to(disk) and Path(disk).is_mount()
    assert path.read_text() == "old" and names(tmp_path) == ["R.npy"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_is_written_directly():
    message = r"/dev/full cannot be written \(No space left on device"
    with pytest.raises(OutputError, match=message), atomic_write(Path("/dev/full")) as path:
        path.write_text("x")
    with atomic_write(Path(os.devnull)) as path:
        path.write_text("x")
    assert not Path(os.devnull).is_file()


IMPOSSIBLE = {
    "file.txt/x.csv": "file.txt is a file, not a folder",
    "file.txt/x/y/z.csv": "file.txt is a file, not a folder",
    "folder": "it is a folder",
    "/proc/none/x.csv": "No such file or directory",
    "/proc/x.csv": "No such file or directory",
    "x" * 300: "File name too long",
}


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=lambda name: name[:20])
@pytest.mark.parametrize("write", [atomic_write, atomic_hdf5, atomic_directory])
def test_an_impossible_place_fails_before_the_work(name, write, tmp_path):
    (tmp_path / "file.txt").write_text("old")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/inside.txt").write_text("old")
    if (name, write) == ("folder", atomic_directory):
        name, reason = "file.txt", "it is no folder"
    else:
        reason = IMPOSSIBLE[name]
    message = rf"cannot be written \(.*{reason}\); choose another"
    with pytest.raises(OutputError, match=message), write(tmp_path / name):
        pytest.fail("the block was run")
    assert (tmp_path / "file.txt").read_text() == (tmp_path / "folder/inside.txt").read_text() == "old"  # fmt: skip
    assert sorted(names(tmp_path)) == ["file.txt", "folder"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"), atomic_write(tmp_path / "x"):
            pytest.fail("the block was run")
    finally:
        tmp_path.chmod(0o700)


def test_a_read_only_disk_is_named(tmp_path, monkeypatch):
    def touch(path):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    monkeypatch.setattr(Path, "touch", touch)
    with pytest.raises(OutputError, match="Read-only file system"), atomic_write(tmp_path / "x"):
        pytest.fail("the block was run")


def test_a_folder_replaces_the_older_one_when_the_block_ends_well(tmp_path):
    output = tmp_path / "folder"
    for text in ("old", "new"):
        with atomic_directory(output) as folder:
            assert names(folder) == []
            (folder / f"{text}.txt").write_text(text)
    assert names(output) == ["new.txt"] and names(tmp_path) == ["folder"]
    with pytest.raises(ValueError, match="stop"), atomic_directory(output) as folder:
        (folder / "half.txt").write_text("half")
        raise ValueError("stop")
    assert names(output) == ["new.txt"] and names(tmp_path) == ["folder"]


def test_a_folder_that_cannot_be_filled_leaves_the_older_one(tmp_path, small_files):
    output = tmp_path / "folder"
    output.mkdir()
    (output / "old.txt").write_text("old")
    message = r"folder cannot be written \(File too large\)"
    with pytest.raises(OutputError, match=message), atomic_directory(output) as folder:
        np.save(folder / "x.npy", LARGE)
    assert names(output) == ["old.txt"] and names(tmp_path) == ["folder"]


def test_a_folder_with_foreign_files_is_not_replaced(tmp_path):
    known_files = re.compile(r"images(/\d+\.png)?")
    output = tmp_path / "folder"
    check_output_dir(output, known_files)
    (output / "images").mkdir(parents=True)
    (output / "images/1.png").touch()
    check_output_dir(output, known_files)
    (output / "thesis.tex").touch()
    with pytest.raises(DataError, match=r"has thesis\.tex, which this command did not write"):
        check_output_dir(output, known_files)
    with pytest.raises(DataError, match="is a file, expected a folder"):
        check_output_dir(output / "thesis.tex", known_files)


def test_a_later_error_does_not_hide_that_hdf5_could_not_be_written(tmp_path, small_files):
    with (
        pytest.raises(OutputError, match=r"File too large"),
        atomic_hdf5(tmp_path / "file.h5") as file,
    ):
        file["a"] = LARGE
        raise DataError("a table is missing")
