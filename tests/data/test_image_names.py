"""Which file an image is, and which image a name of another tool means."""

import unicodedata
from pathlib import PurePosixPath

import pytest

from galr.data.image_names import Grade, ImageFiles, ImageNames, name_images

DECOMPOSED = unicodedata.normalize("NFD", "café")
FILES = [
    PurePosixPath(name)
    for name in (
        "a/1.jpg",
        "a/2.JPEG",
        "b/1.tif",
        "b/3.v2.webp",
        "notes/2.txt",
        f"{DECOMPOSED}.png",
        "deep/er/4.jpg",
        "a/5.jpg",
        "0.jpg",
        "0.png",
        "in/0.tif",
        "case/River 1.JPG",
        "case/Twin.jpg",
        "case/TWIN.jpg",
        "one/same.PNG",
        "one/same.png",
    )
]


@pytest.mark.parametrize(
    ("path", "expected", "grade"),
    [
        ("a/1.jpg", ["a/1.jpg"], Grade.PATH),
        ("b/3.v2.webp", ["b/3.v2.webp"], Grade.PATH),
        ("3.v2.webp", ["b/3.v2.webp"], Grade.PATH),
        ("./a\\1.jpg", ["a/1.jpg"], Grade.PATH),
        ("../a/1.jpg", ["a/1.jpg"], Grade.PATH),
        ("2", ["a/2.JPEG"], Grade.PATH),
        ("3.v2", ["b/3.v2.webp"], Grade.PATH),
        ("2.jpg", ["a/2.JPEG"], Grade.SUFFIX),  # mirrors convert images
        ("b/1.jpg", ["b/1.tif"], Grade.SUFFIX),
        ("elsewhere/2.jpeg", ["a/2.JPEG"], Grade.FOLDER),  # mirrors name folders differently
        ("/data/x/b/3.v2.webp", ["b/3.v2.webp"], Grade.FOLDER),
        ("b/2.jpeg", [], Grade.NONE),  # the folder b is there, and the image is not below it
        ("deep/4.jpg", ["deep/er/4.jpg"], Grade.FOLDER),
        ("deep/5.jpg", [], Grade.NONE),
        ("er/deep/4.jpg", ["deep/er/4.jpg"], Grade.FOLDER),
        ("1", ["a/1.jpg", "b/1.tif"], Grade.PATH),
        ("1.jpg", ["a/1.jpg"], Grade.PATH),
        ("b/1", ["b/1.tif"], Grade.PATH),  # the folder distinguishes the two
        ("café", [f"{DECOMPOSED}.png"], Grade.PATH),
        ("café.png", [f"{DECOMPOSED}.png"], Grade.PATH),
        ("6", [], Grade.NONE),
        ("0.jpg", ["0.jpg"], Grade.PATH),
        ("0.png", ["0.png"], Grade.PATH),
        ("0.tif", ["in/0.tif"], Grade.PATH),
        ("0", ["0.jpg", "0.png"], Grade.PATH),
        ("0.webp", ["0.jpg", "0.png"], Grade.SUFFIX),
        ("case/river 1.jpg", ["case/River 1.JPG"], Grade.SPELLING),
        ("RIVER%201.jpg", ["case/River 1.JPG"], Grade.SPELLING),
        ("other/river 1.jpg", ["case/River 1.JPG"], Grade.SPELLING),
        ("Twin.jpg", ["case/Twin.jpg"], Grade.PATH),
        ("twin.jpg", ["case/Twin.jpg", "case/TWIN.jpg"], Grade.SPELLING),
        ("same.png", ["one/same.png"], Grade.PATH),
        ("same.PNG", ["one/same.PNG"], Grade.PATH),
    ],
)
def test_an_image_is_its_path_and_else_what_alone_fits(path, expected, grade):
    match = ImageFiles(FILES).find(path)
    assert ([str(file) for file in match.files], match.grade) == (expected, grade)


def test_another_suffix_is_no_answer_where_another_case_is_one_too():
    files = ImageFiles([PurePosixPath("a.png"), PurePosixPath("A.JPG")])
    assert [str(file) for file in files.find("a.jpg").files] == ["a.png", "A.JPG"]


def test_the_written_case_is_taken_where_a_folder_is_called_otherwise():
    files = ImageFiles([PurePosixPath("X/A.png"), PurePosixPath("X/a.png")])
    assert [str(file) for file in files.find("x/a").files] == ["X/a.png"]


def test_the_most_similar_file_is_named():
    files = ImageFiles(FILES)
    assert str(files.near("x/RIVER 1.png")) == "case/River 1.JPG"
    assert str(files.near("river 2.jpg")) == "case/River 1.JPG"
    assert files.near("airport_311.tif") is None


def test_images_of_one_stem_are_called_by_their_paths():
    paths = ["x/0.jpg", "y/0.jpg", "b.png", "c.jpg", "c.png", "b.png"]
    assert name_images(paths) == ["x/0", "y/0", "b", "c.jpg", "c.png", "b"]
    names = ["0", "0", "b", "c", "c", "b"]
    assert name_images(paths, names) == ["x/0.jpg", "y/0.jpg", "b", "c.jpg", "c.png", "b"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("harbour/0.jpg", [0]),
        ("data/harbour/0.jpg", [0]),
        ("data\\harbour\\0.JPG", [0]),
        ("harbour/0", [0]),
        ("harbour/0.png", []),  # its name has a suffix, which is another
        ("0.jpg", [0, 1]),
        ("port/0.jpg", []),
        ("b", [2]),
        ("B.tif", [2]),
        ("any/b.png", [2]),
        ("c d", [3]),
        ("x/C%20D.jpg", [3]),
        ("photos/e.png", [4]),  # its path below the folder
        ("e.png", [4]),
        ("photos/x/e.png", []),
    ],
)
def test_a_name_of_another_tool_means_the_image_that_alone_fits(name, expected):
    names = ["harbour/0.jpg", "airport/0.jpg", "b", "c d", "mine/e"]
    files = ["h/0.jpg", "a/0.jpg", "b.JPG", "c d.jpg", "photos/e.png"]
    assert ImageNames(names, files).find(name) == expected


def test_twenty_thousand_images_called_alike_are_told_apart_by_their_folders():
    files = ImageFiles(PurePosixPath(f"{n}/image.jpg") for n in range(20_000))
    assert all(
        str(files.find(f"{n}/image.png").files[0]) == f"{n}/image.jpg" for n in range(0, 20_000, 9)
    )
