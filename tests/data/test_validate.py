from pathlib import Path, PurePosixPath

import pytest

from galr.data.image_names import ImageFiles
from galr.data.layouts import DatasetIndex, ImageEntry, UnmatchedSentence
from galr.data.validate import PROBLEM_KINDS, check_splits, validate
from galr.errors import DataError

GOOD = (
    ImageEntry("a", "train", ("one .", "two .")),
    ImageEntry("b", "train", ("three .", "four .")),
    ImageEntry("c", "test", ("five .", "six .")),
)
FILES = tuple(PurePosixPath(name) for name in ("x/a.jpg", "x/b.png", "y/c.tif"))


def check(images=GOOD, files=FILES, unmatched=(), count=None, total=None, **policies):
    return validate(
        "mine",
        DatasetIndex(tuple(images), tuple(unmatched), (Path("list.json"),)),
        ImageFiles(files),
        sentences_per_image=count,
        num_images=total,
        policies=dict.fromkeys(PROBLEM_KINDS, "drop") | policies,
    )


def test_a_valid_dataset_keeps_its_order():
    matched, dropped = check(count=2, total=3, **dict.fromkeys(PROBLEM_KINDS, "error"))
    assert [(f.name, f.split, f.sentences) for f in matched] == [
        (image.name, image.split, image.sentences) for image in GOOD
    ]
    assert [f.file for f in matched] == list(FILES)
    assert dropped == []


def with_sentences(*sentences):
    return (*GOOD, ImageEntry("d", "test", sentences))


BAD = {
    "missing": ("missing_image", {"images": with_sentences("x .", "y .")}, ["d"]),
    "blank": (
        "blank_sentence",
        {"images": with_sentences("", "x ."), "files": (*FILES, PurePosixPath("d.jpg"))},
        ["d sentence 1"],
    ),
    "all blank": (
        "blank_sentence",
        {"images": with_sentences("\t", " ."), "files": (*FILES, PurePosixPath("d.jpg"))},
        ["d sentence 1", "d sentence 2", "d"],
    ),
    "count": ("wrong_count", {"images": with_sentences("x ."), "count": 2}, ["d"]),
    "none": ("wrong_count", {"images": with_sentences()}, ["d"]),
    "total": ("wrong_count", {"total": 4}, ["mine"]),
    "listed twice": ("duplicate_name", {"images": (*GOOD, ImageEntry("a", "test", ("x",)))}, ["a"]),
    "two files": ("duplicate_name", {"files": (*FILES, PurePosixPath("z/c.JPG"))}, ["c"]),
    "one file": ("duplicate_name", {"images": (*GOOD, ImageEntry("q/a", "test", ("x",)))}, ["q/a"]),
    "stray": (
        "unknown_image",
        {"unmatched": [UnmatchedSentence("list.json image 4", "why")]},
        ["list.json image 4"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_problem_is_dropped_and_reported(case):
    kind, bad, items = BAD[case]
    matched, dropped = check(**bad, **{k: "error" for k in PROBLEM_KINDS if k != kind})
    assert [problem.item for problem in dropped] == items
    assert {problem.kind for problem in dropped} == {kind}
    assert all(problem.reason for problem in dropped)
    kept = {"two files": ["a", "b"], "blank": ["a", "b", "c", "d"]}
    assert [f.name for f in matched] == kept.get(case, ["a", "b", "c"])
    assert all(sentence.strip(" .") for f in matched for sentence in f.sentences)


@pytest.mark.parametrize("case", BAD)
def test_a_problem_is_an_error_that_names_the_policy(case):
    kind, bad, items = BAD[case]
    number = len([item for item in items if case != "all blank" or " sentence " in item])
    with pytest.raises(DataError) as caught:
        check(**bad, **{kind: "error"})
    line = str(caught.value)
    assert line.startswith(f"{items[0]}: ")
    assert f"({kind}, {number} in all)" in line
    assert f"set data.{kind}: drop" in line
    assert "\n" not in line


def test_a_file_in_the_annotated_folder_is_preferred():
    images = (ImageEntry("x/a", "train", ("one",)), ImageEntry("y/a", "test", ("two",)))
    files = (PurePosixPath("in/x/a.jpg"), PurePosixPath("in/y/a.jpg"))
    matched, dropped = check(images, files)
    assert [str(f.file) for f in matched] == ["in/x/a.jpg", "in/y/a.jpg"]
    assert dropped == []


def test_images_of_one_stem_are_called_by_their_paths():
    images = [
        ImageEntry("0", "train", ("one",), "harbour/0.jpg"),
        ImageEntry("0", "test", ("two",), "airport/0.jpg"),
        ImageEntry("1", "test", ("three",), "airport/1.jpg"),
        ImageEntry("2", "train", ("four",), "2.jpg"),
        ImageEntry("2", "train", ("five",), "2.png"),
    ]
    files = [PurePosixPath(f"set/{image.path}") for image in images]
    matched, dropped = check(images, files, **dict.fromkeys(PROBLEM_KINDS, "error"))
    assert [image.name for image in matched] == [
        "harbour/0.jpg", "airport/0.jpg", "1", "2.jpg", "2.png",
    ]  # fmt: skip
    assert [image.file for image in matched] == files and dropped == []


def test_a_file_belongs_to_the_image_that_it_fits_best_and_to_neither_of_two_that_it_half_fits():
    images = [
        ImageEntry("0", "train", ("one",), "port/0.jpg"),
        ImageEntry("0", "train", ("two",), "airport/0.jpg"),
        ImageEntry("a", "test", ("three",), "x/a.jpg"),
        ImageEntry("a", "test", ("four",), "y/a.jpg"),
        ImageEntry("B", "test", ("five",), "B.JPG"),
        ImageEntry("b", "test", ("six",), "b.jpg"),
    ]
    files = [PurePosixPath(name) for name in ("airport/0.jpg", "z/a.jpg", "b.jpg")]
    matched, dropped = check(images, files)
    assert [(image.name, str(image.file)) for image in matched] == [
        ("airport/0.jpg", "airport/0.jpg"),
        ("b", "b.jpg"),
    ]
    assert {problem.kind for problem in dropped} == {"duplicate_name"}
    assert [(problem.item, problem.reason) for problem in dropped] == [
        ("port/0.jpg", "its file airport/0.jpg also belongs to airport/0.jpg"),
        ("x/a.jpg", "its file z/a.jpg also belongs to y/a.jpg"),
        ("y/a.jpg", "its file z/a.jpg also belongs to x/a.jpg"),
        ("B", "its file b.jpg also belongs to b"),
    ]


def test_upper_case_is_found_where_it_is_unique_and_else_the_near_files_are_named():
    images = [
        ImageEntry(name, "train", ("one",), f"{name}.jpg") for name in ("a", "twin", "lake_7")
    ]
    files = [PurePosixPath(name) for name in ("A.JPG", "Twin.jpg", "TWIN.jpg", "lake-7.jpg")]
    matched, dropped = check(images, files)
    assert [(image.name, str(image.file)) for image in matched] == [("a", "A.JPG")]
    assert [(problem.kind, problem.reason) for problem in dropped] == [
        ("duplicate_name", "several files have its name: Twin.jpg, TWIN.jpg"),
        (
            "missing_image",
            "there is no jpg, jpeg, png, tif, tiff or webp of this name; the most similar file is lake-7.jpg",
        ),
    ]


@pytest.mark.parametrize("number", [1, 7])
def test_any_number_of_sentences_is_valid_if_none_is_expected(number):
    images = [ImageEntry(name, "train", ("a plane .",) * number) for name in "abc"]
    matched, dropped = check(images, **dict.fromkeys(PROBLEM_KINDS, "error"))
    assert [len(f.sentences) for f in matched] == [number] * 3
    assert dropped == []


def test_words_of_any_script_are_words():
    sentences = ("一架飞机", "самолёт", "7", "...", "—")
    matched, dropped = check([ImageEntry("a", "train", sentences)])
    assert matched[0].sentences == sentences[:3]
    assert [d.item for d in dropped] == ["a sentence 4", "a sentence 5"]


def test_an_empty_split_is_an_error_unless_it_is_intended():
    matched, _ = check()
    check_splits(matched, {"train": ("train",), "val": (), "test": ("test",)})
    with pytest.raises(DataError, match="no image is left in the val split"):
        check_splits(matched, {"train": ("train",), "val": ("val",), "test": ("test",)})
    with pytest.raises(DataError, match="no image is left in the test split"):
        check_splits(matched[:2], {"train": ("train",), "val": (), "test": ("test",)})
