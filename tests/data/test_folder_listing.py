"""The listing of a user's own folder: it changes with every change of a file, and names the files."""

import os
import time

import pytest

from galr.data.folder_listing import (
    COLUMNS,
    FileStamp,
    describe_changes,
    listing_hash,
    listing_rows,
    read_listing,
    scan_folder,
)
from galr.errors import DataError
from galr.io.csv_io import write_csv


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mine"
    (root / "images/deep").mkdir(parents=True)
    (root / "captions.json").write_text("{}")
    (root / "images/a, b.png").write_text("a")
    (root / "images/deep/ü.png").write_text("b")
    os.utime(root / "captions.json", ns=(10**18 + 1, 10**18 + 1))
    return root


def test_a_listing_has_each_file_with_its_size_and_time(folder):
    (folder / ".DS_Store").touch()
    (folder / "images/gone.png").symlink_to("nothing")
    listing = scan_folder(folder)
    assert list(listing) == ["captions.json", "images/a, b.png", "images/deep/ü.png"]
    assert listing["captions.json"] == FileStamp(2, 10**18 + 1)


def test_a_link_back_to_a_folder_above_is_not_followed(folder):
    (folder / "images/again").symlink_to(folder)
    assert len(scan_folder(folder)) == 3
    (folder / "beside").symlink_to(folder / "images/deep")
    assert "beside/ü.png" in scan_folder(folder)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none cannot be read \(No such file"):
        scan_folder(tmp_path / "none")


def test_every_change_of_a_file_changes_the_hash_and_is_named(folder):
    before = scan_folder(folder)
    assert listing_hash(before) == listing_hash(scan_folder(folder))
    assert describe_changes(before, scan_folder(folder)) == ""
    (folder / "captions.json").write_text("[]")  # as long as before
    (folder / "images/a, b.png").unlink()
    (folder / "images/c.png").touch()
    after = scan_folder(folder)
    assert listing_hash(after) != listing_hash(before)
    assert describe_changes(before, after) == (
        "captions.json (changed), images/c.png (added), images/a, b.png (deleted)"
    )
    many = {f"{n:02}.png": FileStamp(1, 1) for n in range(12)}
    assert describe_changes({}, many).endswith("04.png (added) and 7 more")


def test_a_listing_comes_back_from_its_file(folder, tmp_path):
    listing = scan_folder(folder)
    write_csv(tmp_path / "files.csv", COLUMNS, listing_rows(listing))
    assert read_listing(tmp_path / "files.csv") == listing


@pytest.mark.parametrize("content", [None, "", "a,b\n1,2\n", "file,bytes,modified_ns\nx,y,z\n"])
def test_a_listing_that_cannot_be_used_is_none(content, tmp_path):
    if content is not None:
        (tmp_path / "files.csv").write_text(content)
    listing = read_listing(tmp_path / "files.csv")
    assert listing is None
    assert describe_changes(listing, {"x": FileStamp(1, 1)}) == ""


def test_ten_thousand_files_are_listed_in_well_under_a_second(tmp_path):
    for number in range(10_000):
        (tmp_path / f"{number}.png").touch()
    start = time.process_time()
    listing_hash(scan_folder(tmp_path))
    assert time.process_time() - start < 0.5
