import os

import pytest

from galr.io.atomic import atomic_write


def test_a_file_is_there_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "deep/file.txt"
    with atomic_write(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and [each.name for each in path.parent.iterdir()] == [
        "file.txt"
    ]


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and [each.name for each in tmp_path.iterdir()] == ["file.txt"]


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path, monkeypatch):
    path, seen = tmp_path / "file.txt", []

    def fsync(handle):
        seen.append((os.fstat(handle).st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as partial:
        partial.write_text("four")
    assert seen == [(4, False)]
