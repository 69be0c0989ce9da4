from pathlib import Path, PurePosixPath

import pytest

from galr.data.find_images import images_by_stem
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
        images_by_stem(files),
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
