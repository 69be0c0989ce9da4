import json
from dataclasses import replace

import pytest

from galr.data.dataset_spec import KarpathyLayout, PrecompLayout
from galr.data.find_images import list_files
from galr.data.layouts import ImageEntry, read_annotations
from galr.errors import DataError

PRECOMP = PrecompLayout("{split}_caps.txt", "{split}_filename.txt")
SPLITS = {"train": ("train",), "val": (), "test": ("test",)}
WANTED = (
    ImageEntry("b", "train", ("one .", "", "three .")),
    ImageEntry("a", "train", ("ünï .", " .", "six .")),
    ImageEntry("c", "test", ("7", "8", "9")),
)


def listing(folder, layout, splits=SPLITS, unused=()):
    return read_annotations(folder, list_files(folder), layout, splits, unused)


def without_paths(images):
    return tuple(replace(image, path="") for image in images)


def write_precomp(folder, split, sentences, names, ending="\n"):
    (folder / "deep").mkdir(exist_ok=True)
    for what, lines in (("caps", sentences), ("filename", names)):
        text = "".join(f"{line}{ending}" for line in lines)
        (folder / f"deep/{split}_{what}.txt").write_bytes(text.encode())


def write_karpathy(folder, images, name="dataset.json", **extra):
    (folder / name).write_text(json.dumps({"images": images} | extra), "utf-8")


def entry(name, split, *sentences, **extra):
    return {"filename": name, "split": split, "sentences": [{"raw": s} for s in sentences]} | extra


@pytest.mark.parametrize("repeated", [1, 3])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_precomp_names_are_given_once_per_image_or_once_per_sentence(tmp_path, repeated, ending):
    for split, names in (("train", ["b.jpg", "a.jpg"]), ("test", ["c.tif"])):
        sentences = [s for image in WANTED if image.split == split for s in image.sentences]
        lines = [name for name in names for _ in range(repeated)]
        write_precomp(tmp_path, split, sentences, lines, ending)
    annotations = listing(tmp_path, PRECOMP)
    assert without_paths(annotations.images) == WANTED
    assert [image.path for image in annotations.images] == ["b.jpg", "a.jpg", "c.tif"]
    assert [file.name for file in annotations.files] == [
        f"{split}_{what}.txt" for split in ("train", "test") for what in ("caps", "filename")
    ]


def test_precomp_and_karpathy_give_the_same_annotations(tmp_path):
    entries = [entry(f"{i.name}.png", i.split, *i.sentences) for i in WANTED]
    write_karpathy(tmp_path, entries)
    images = listing(tmp_path, KarpathyLayout(("dataset.json",))).images
    assert without_paths(images) == WANTED
    assert [image.path for image in images] == ["b.png", "a.png", "c.png"]


def test_only_line_feeds_end_a_sentence(tmp_path):
    odd = "one\u2028two\x85three\x0bfour"
    write_precomp(tmp_path, "train", [odd, "b"], ["1", "2"])
    write_precomp(tmp_path, "test", ["c"], ["3"])
    assert listing(tmp_path, PRECOMP).images[0].sentences == (odd,)


def test_a_byte_order_mark_is_not_part_of_a_name(tmp_path):
    write_precomp(tmp_path, "train", ["a"], ["\ufeff1.jpg"])
    write_precomp(tmp_path, "test", ["c"], ["3"])
    assert listing(tmp_path, PRECOMP).images[0].name == "1"


@pytest.mark.parametrize("names", [[], ["1", "2"], ["1"] * 4, ["1"] * 6])
def test_a_number_of_sentences_that_is_no_multiple_is_an_error(tmp_path, names):
    write_precomp(tmp_path, "train", ["a"] * 5, names)
    with pytest.raises(DataError, match=rf"has 5 lines for {len(names)} in train_filename.txt"):
        listing(tmp_path, PRECOMP)


def test_images_may_have_different_numbers_of_sentences(tmp_path):
    write_precomp(tmp_path, "train", ["1", "2", "3", "4"], ["a", "a", "a", "b"])
    write_precomp(tmp_path, "test", ["5"], ["c"])
    counts = {i.name: len(i.sentences) for i in listing(tmp_path, PRECOMP).images}
    assert counts == {"a": 3, "b": 1, "c": 1}


def test_precomp_names_in_any_order_give_each_image_its_sentences_in_theirs(tmp_path):
    names = ["b.jpg", "a.jpg", "b.jpg", "x\\a.jpg", "", "a.jpg", "a.png", "b.jpg", " "]
    write_precomp(tmp_path, "train", list("123456789"), names)
    write_precomp(tmp_path, "test", ["t"], ["c.jpg"])
    annotations = listing(tmp_path, PRECOMP)
    assert annotations.images == (
        ImageEntry("b", "train", ("1", "3", "8"), "b.jpg"),
        ImageEntry("a", "train", ("2", "6"), "a.jpg"),
        ImageEntry("x/a", "train", ("4",), "x/a.jpg"),
        ImageEntry("a", "train", ("7",), "a.png"),
        ImageEntry("c", "test", ("t",), "c.jpg"),
    )
    (stray,) = annotations.unmatched
    assert stray.location == "train_caps.txt line 5"


@pytest.mark.parametrize(
    ("folder", "filename", "path"),
    [
        ("harbour", "0.jpg", "harbour/0.jpg"),
        ("images\\harbour", "0.jpg", "images/harbour/0.jpg"),
        ("harbour/", "harbour/0.jpg", "harbour/0.jpg"),
        ("harbour/0.jpg", "0.jpg", "harbour/0.jpg"),
        (".", "0.jpg", "0.jpg"),
        ("", "0.jpg", "0.jpg"),
        (None, "0.jpg", "0.jpg"),
        ("10.jpg", "0.jpg", "10.jpg/0.jpg"),
    ],
)
def test_the_folder_of_a_karpathy_image_may_stand_in_filepath(tmp_path, folder, filename, path):
    write_karpathy(tmp_path, [entry(filename, "train", "s", filepath=folder)])
    splits = {"train": ("train",), "val": (), "test": ()}
    (image,) = listing(tmp_path, KarpathyLayout(("dataset.json",)), splits).images
    assert image.path == path
    assert image.name == ("harbour/0" if "/" in filename else "0")  # as without filepath


def test_a_filepath_that_is_no_text_is_named(tmp_path):
    write_karpathy(tmp_path, [entry("0.jpg", "train", "s", filepath=["harbour"])])
    with pytest.raises(DataError, match="image 1: expected 'filepath' to be a str, found"):
        listing(
            tmp_path,
            KarpathyLayout(("dataset.json",)),
            {"train": ("train",), "val": (), "test": ()},
        )


@pytest.mark.parametrize(
    ("image", "own", "kept"),
    [
        ("7", [7, "7", 7.0, 8], "abc"),
        (7, ["7", " 7", "07"], "ab"),
        (None, [7, 7, None, "7", 8], "abcd"),
        (0, [None, 0, 1], "ab"),
        ("p7", ["p7", "p8"], "a"),
    ],
)
def test_imgid_may_stand_in_sentences_alone_or_be_text_beside_numbers(tmp_path, image, own, kept):
    sentences = [{"raw": raw, "imgid": i} for raw, i in zip("abcdef", own, strict=False)]
    images = [{"filename": "1.jpg", "split": "train", "imgid": image, "sentences": sentences}]
    write_karpathy(tmp_path, images)
    splits = {"train": ("train",), "val": (), "test": ()}
    annotations = listing(tmp_path, KarpathyLayout(("dataset.json",)), splits)
    assert "".join(annotations.images[0].sentences) == kept
    assert len(annotations.unmatched) == len(own) - len(kept)
    for stray in annotations.unmatched:
        assert stray.reason.startswith(f"its imgid is {own[-1]}, ")


def test_a_split_may_consist_of_several_of_the_sources_and_others_be_unused(tmp_path):
    write_karpathy(
        tmp_path, [entry(f"{s}.jpg", s, "a") for s in ("test", "restval", "train", "odd", "val")]
    )
    splits = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
    annotations = listing(tmp_path, KarpathyLayout(("dataset.json",)), splits, unused=("odd",))
    assert [(i.name, i.split) for i in annotations.images] == [
        ("test", "test"),
        ("restval", "train"),
        ("train", "train"),
        ("val", "val"),
    ]
    with pytest.raises(DataError, match="1 images of split 'odd', which the dataset file does not"):
        listing(tmp_path, KarpathyLayout(("dataset.json",)), splits)
    with pytest.raises(DataError, match="no image of split 'rest', only of"):
        listing(tmp_path, KarpathyLayout(("dataset.json",)), splits, unused=("odd", "rest"))


def test_tokens_replace_missing_raw_text(tmp_path):
    images = [entry("1", "train", "a"), entry("2", "test")]
    images[1]["sentences"] = [{"tokens": ["two", "ships"]}]
    write_karpathy(tmp_path, images)
    assert listing(tmp_path, KarpathyLayout(("dataset.json",))).images[1].sentences == (
        "two ships",
    )


def test_sentences_of_unknown_images_are_reported(tmp_path):
    images = [
        entry("1.jpg", "train", "mine", "another's", imgid=4),
        entry(" ", "train", "whose"),
        entry("3.jpg", "test", "c"),
    ]
    images[0]["sentences"][0]["imgid"] = 4
    images[0]["sentences"][1]["imgid"] = 5
    write_karpathy(tmp_path, images)
    annotations = listing(tmp_path, KarpathyLayout(("dataset.json",)))
    assert [(i.name, i.sentences) for i in annotations.images] == [("1", ("mine",)), ("3", ("c",))]
    assert [(s.location, s.reason) for s in annotations.unmatched] == [
        ("dataset.json image 1 sentence 2", "its imgid is 5, its image's is 4"),
        ("dataset.json image 2", "its filename is blank"),
    ]
    write_precomp(tmp_path, "train", ["a", "b", "c", "d"], ["1.jpg", ""])
    write_precomp(tmp_path, "test", ["e"], ["3.jpg"])
    (stray,) = listing(tmp_path, PRECOMP).unmatched
    assert stray.location == "train_caps.txt line 3"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "expected 'images' to be a list"),
        ('{"images": [7]}', "image 1: expected 'split' to be a str, found null"),
        ('{"images": [{"split": "train", "filename": "1"}]}', "expected 'sentences'"),
        ('{"images": [{"split": "train", "filename": 1, "sentences": []}]}', "'filename'.*found 1"),
        ('{"images": [{"split": "train", "sentences": [{}]}]}', "sentence 1: expected 'tokens'"),
        ('{"images": [{"split": "train", "sentences": ["a"]}]}', "sentence 1: expected 'raw'"),
        ('{"images": [{"split": "train", "sentences": [{"raw": "\\u0000"}]}]}', "cannot be stored"),
        ('{"images": [{"split": "train", "sentences": [{"raw": "\\ud800"}]}]}', "cannot be stored"),
    ],
)
def test_a_json_of_another_form_is_named(tmp_path, text, words):
    (tmp_path / "dataset.json").write_text(text, "utf-8")
    splits = {"train": ("train",), "val": (), "test": ()}
    with pytest.raises(DataError, match=words):
        listing(tmp_path, KarpathyLayout(("dataset.json",)), splits)


def test_text_that_is_not_utf8_is_named(tmp_path):
    write_precomp(tmp_path, "train", ["a"], ["1"])
    (tmp_path / "deep/train_caps.txt").write_bytes("caf\xe9".encode("latin-1"))
    with pytest.raises(DataError, match=r"train_caps.txt is not UTF-8 text"):
        listing(tmp_path, PRECOMP)
    (tmp_path / "deep/train_caps.txt").unlink()
    with pytest.raises(DataError, match=r"has no train_caps\.txt"):
        listing(tmp_path, PRECOMP)
