from pathlib import PurePosixPath

import pytest

from galr.data.find_images import find_file, image_stem, list_files
from galr.errors import DataError


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.tif", "1"),
        ("a/1.TIFF", "a/1"),
        ("./a/1.png", "a/1"),
        ("a\\1.png", "a/1"),
        (" 1.jpeg\t", "1"),
        ("3.v2", "3.v2"),
        (".jpg", ".jpg"),
        ("3.v2.webp", "3.v2"),
        ("cafe\N{COMBINING ACUTE ACCENT}.png", "café"),
        (" ", ""),
        (".", ""),
        ("/", ""),
    ],
)
def test_image_stem_removes_only_the_suffix_of_an_image(name, expected):
    assert image_stem(name) == expected


def test_list_files_follows_links_without_a_cycle(tmp_path):
    (tmp_path / "data/in").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "store/1.jpg").touch()
    (tmp_path / "data/in/a.json").touch()
    (tmp_path / "data/photos").symlink_to(tmp_path / "store")
    (tmp_path / "data/in/loop").symlink_to(tmp_path / "data")
    assert [str(file) for file in list_files(tmp_path / "data")] == ["in/a.json", "photos/1.jpg"]


def test_files_that_only_accompany_others_are_left_out(tmp_path):
    for name in ("a.jpg", "._a.jpg", "__MACOSX/._a.jpg", "__MACOSX/b.jpg", "x/@eaDir/a.jpg/T.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [str(file) for file in list_files(tmp_path)] == ["a.jpg"]


def test_a_missing_folder_and_an_unreadable_name_are_named(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        list_files(tmp_path / "none")
    (tmp_path / "na\udce4me.jpg").touch()
    with pytest.raises(DataError, match="is not UTF-8"):
        list_files(tmp_path)


def test_a_file_is_found_by_the_first_name_that_occurs(tmp_path):
    files = [PurePosixPath("x/a.json"), PurePosixPath("x/b.json"), PurePosixPath("y/b.json")]
    assert find_file(["none.json", "a.json"], files, tmp_path) == tmp_path / "x/a.json"
    assert find_file(["y/b.json"], files, tmp_path) == tmp_path / "y/b.json"
    with pytest.raises(DataError, match=r"2 files called b.json \(x/b.json, y/b.json\)"):
        find_file(["b.json"], files, tmp_path)
    with pytest.raises(DataError, match=r"has no c.json or d.json among its 3 files"):
        find_file(["c.json", "d.json"], files, tmp_path)


def test_a_whole_path_goes_before_a_longer_one_and_case_is_a_fallback(tmp_path):
    files = [PurePosixPath("a.json"), PurePosixPath("old/a.json"), PurePosixPath("x/Dataset.JSON")]
    assert find_file(["a.json"], files, tmp_path) == tmp_path / "a.json"
    assert find_file(["dataset.json"], files, tmp_path) == tmp_path / "x/Dataset.JSON"
    assert find_file(["dataset.json", "a.json"], files, tmp_path) == tmp_path / "a.json"
