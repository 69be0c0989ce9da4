from pathlib import PurePosixPath

import pytest

from galr.data.find_images import find_file, image_stem, images_by_stem, list_files, match_image
from galr.errors import DataError

FILES = [
    PurePosixPath(name)
    for name in (
        "a/1.jpg",
        "a/2.JPEG",
        "b/1.tif",
        "b/3.v2.webp",
        "notes/2.txt",
        "cafe\N{COMBINING ACUTE ACCENT}.png",
    )
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("1.tif", "1"),
        ("a/1.TIFF", "a/1"),
        ("./a/1.png", "a/1"),
        ("a\\1.png", "a/1"),
        (" 1.jpeg\t", "1"),
        ("3.v2", "3.v2"),
        ("3.v2.webp", "3.v2"),
        ("cafe\N{COMBINING ACUTE ACCENT}.png", "café"),
        (" ", ""),
        (".", ""),
        ("/", ""),
    ],
)
def test_image_stem_removes_only_the_suffix_of_an_image(name, expected):
    assert image_stem(name) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2", ["a/2.JPEG"]),
        ("3.v2", ["b/3.v2.webp"]),
        ("elsewhere/2", ["a/2.JPEG"]),  # mirrors name folders differently
        ("1", ["a/1.jpg", "b/1.tif"]),
        ("b/1", ["b/1.tif"]),  # the folder distinguishes the two
        ("café", ["cafe\N{COMBINING ACUTE ACCENT}.png"]),
        ("4", []),
    ],
)
def test_images_are_found_by_stem_in_any_folder(name, expected):
    assert [str(file) for file in match_image(name, images_by_stem(FILES))] == expected


def test_list_files_follows_links_without_a_cycle(tmp_path):
    (tmp_path / "data/in").mkdir(parents=True)
    (tmp_path / "store").mkdir()
    (tmp_path / "store/1.jpg").touch()
    (tmp_path / "data/in/a.json").touch()
    (tmp_path / "data/photos").symlink_to(tmp_path / "store")
    (tmp_path / "data/in/loop").symlink_to(tmp_path / "data")
    assert [str(file) for file in list_files(tmp_path / "data")] == ["in/a.json", "photos/1.jpg"]


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
