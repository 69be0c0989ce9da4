"""The stage: the same bytes again, whole or not at all, and refusals in our words."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galr.__main__ import main
from galr.commands import draw
from galr.data.scenes.scene import KINDS
from galr.errors import ConfigError, DataError


def drawing(folder: Path, **flags):
    draw.run(draw.Flags(**({"images": 12, "size": 64, "seed": 7} | flags), output=folder))
    return folder


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def document(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    return drawing(tmp_path_factory.mktemp("drawn") / "files")


def test_the_same_flags_give_the_same_bytes(drawn, tmp_path):
    assert contents(drawing(tmp_path / "again")) == contents(drawn)


def test_another_seed_gives_other_images(drawn, tmp_path):
    other = contents(drawing(tmp_path / "other", seed=8))
    ours = contents(drawn)
    assert all(other[name] != ours[name] for name in ours if name.endswith(".png"))


def test_a_larger_dataset_begins_with_the_smaller(drawn, tmp_path):
    larger = drawing(tmp_path / "larger", images=15)
    pictures = {name: data for name, data in contents(drawn).items() if name.startswith("images")}
    assert pictures.items() <= contents(larger).items()
    ours, theirs = (document(folder, "dataset.json")["images"] for folder in (drawn, larger))
    assert theirs[:12] == ours
    for name in ("train_boxes.json", "test_boxes.json"):
        ours, theirs = (document(folder, name) for folder in (drawn, larger))
        for part in ("images", "annotations", "categories"):
            assert theirs[part][: len(ours[part])] == ours[part]


@pytest.mark.parametrize("sentences", [1, 7])
def test_sentences_follow_the_flag_and_leave_pictures_alone(drawn, tmp_path, sentences):
    other = drawing(tmp_path / "files", sentences=sentences)
    for ours, theirs in zip(
        document(drawn, "dataset.json")["images"],
        document(other, "dataset.json")["images"],
        strict=True,
    ):
        assert len(theirs["sentences"]) == sentences
        shared = min(5, sentences)
        assert theirs["sentences"][:shared] == ours["sentences"][:shared]
    for name, data in contents(other).items():
        if name != "dataset.json":
            assert data == contents(drawn)[name]


def test_box_files_agree_with_splits_and_pictures(drawn):
    split = {
        image["filename"]: image["split"] for image in document(drawn, "dataset.json")["images"]
    }
    assert sorted(path.name for path in (drawn / "images").iterdir()) == sorted(split)
    identities = []
    for name in ("train", "test"):
        boxes = document(drawn, f"{name}_boxes.json")
        assert {image["file_name"] for image in boxes["images"]} == {
            file for file, its in split.items() if its == name
        }
        assert [each["name"] for each in boxes["categories"]] == list(KINDS)
        ids = {image["id"] for image in boxes["images"]}
        assert {each["image_id"] for each in boxes["annotations"]} <= ids
        identities += ids
        for image in boxes["images"]:
            with Image.open(drawn / "images" / image["file_name"]) as picture:
                assert picture.mode == "RGB"
                assert picture.size == (image["width"], image["height"])
        numbers = [each["id"] for each in boxes["annotations"]]
        assert len(set(numbers)) == len(numbers)
        for each in boxes["annotations"]:
            left, top, width, height = each["bbox"]
            assert min(left, top) >= 0 and left + width <= 64 and top + height <= 64
            assert each["area"] == width * height > 0 and each["iscrowd"] == 0
    assert len(set(identities)) == len(identities)


def test_three_of_ten_images_are_test(drawn, tmp_path):
    splits = Counter(image["split"] for image in document(drawn, "dataset.json")["images"])
    assert splits == {"train": 8, "test": 4}
    least = document(drawing(tmp_path / "least", images=2), "dataset.json")
    assert [image["split"] for image in least["images"]] == ["train", "test"]


def test_a_broken_drawing_leaves_the_old_one(drawn, tmp_path, monkeypatch):
    folder = drawing(tmp_path / "files", images=2)
    before = contents(tmp_path)
    calls = iter([draw.draw_page(7, 0, size=64, sentences=1)])
    monkeypatch.setattr(draw, "draw_page", lambda *_, **__: next(calls))
    with pytest.raises((StopIteration, RuntimeError)):
        drawing(folder, images=3)
    assert contents(tmp_path) == before


def test_an_older_drawing_is_replaced_as_a_whole(drawn, tmp_path):
    folder = drawing(tmp_path / "files", images=14, seed=1)
    assert contents(drawing(folder)) == contents(drawn)


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"holds thesis\.tex"):
        drawing(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    with pytest.raises(DataError, match="is a file"):
        drawing(tmp_path / "thesis.tex")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("images", 1), ("images", -4), ("size", 63), ("size", 5000), ("sentences", 0), ("seed", -1)],
)
def test_nonsense_is_refused_before_drawing(flag, value, tmp_path, capsys):
    with pytest.raises(ConfigError, match=f"drawn.{flag} .*got {value}"):
        drawing(tmp_path / "files", **{flag: value})
    argv = ["draw", f"--{flag}={value}", "--output", str(tmp_path / "files")]
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_pictures_are_no_even_colour(drawn):
    for path in (drawn / "images").iterdir():
        with Image.open(path) as picture:
            assert np.asarray(picture).std() > 8
