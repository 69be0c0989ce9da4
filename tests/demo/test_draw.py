"""The command `draw`: the same bytes again, whole or not at all, and clear errors."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galr.__main__ import main
from galr.commands import draw
from galr.demo.scene import KINDS
from galr.errors import ConfigError, DataError


def run_draw(folder: Path, **flags):
    draw.run(draw.Options(**({"images": 12, "size": 64, "seed": 7} | flags), output=folder))
    return folder


def file_bytes(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def read_json(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return run_draw(tmp_path_factory.mktemp("dataset") / "files")


def test_the_same_flags_give_the_same_bytes(dataset, tmp_path):
    assert file_bytes(run_draw(tmp_path / "again")) == file_bytes(dataset)
    assert file_bytes(run_draw(tmp_path / "by two", threads=2)) == file_bytes(dataset)


def test_another_seed_gives_other_images(dataset, tmp_path):
    other = file_bytes(run_draw(tmp_path / "other", seed=8))
    files = file_bytes(dataset)
    assert all(other[name] != files[name] for name in files if name.endswith(".png"))


def test_a_larger_dataset_begins_with_the_smaller_one(dataset, tmp_path):
    larger = run_draw(tmp_path / "larger", images=15)
    images = {name: data for name, data in file_bytes(dataset).items() if name.startswith("images")}
    assert images.items() <= file_bytes(larger).items()
    small, large = (read_json(folder, "dataset.json")["images"] for folder in (dataset, larger))
    assert large[:12] == small
    for name in ("train_boxes.json", "test_boxes.json"):
        small, large = (read_json(folder, name) for folder in (dataset, larger))
        for key in ("images", "annotations", "categories"):
            assert large[key][: len(small[key])] == small[key]


@pytest.mark.parametrize("sentences", [1, 7])
def test_the_number_of_sentences_does_not_change_the_images(dataset, tmp_path, sentences):
    other = run_draw(tmp_path / "files", sentences=sentences)
    for five, others in zip(
        read_json(dataset, "dataset.json")["images"],
        read_json(other, "dataset.json")["images"],
        strict=True,
    ):
        assert len(others["sentences"]) == sentences
        shared = min(5, sentences)
        assert others["sentences"][:shared] == five["sentences"][:shared]
    for name, data in file_bytes(other).items():
        if name != "dataset.json":
            assert data == file_bytes(dataset)[name]


def test_box_files_agree_with_splits_and_images(dataset):
    splits = {
        image["filename"]: image["split"] for image in read_json(dataset, "dataset.json")["images"]
    }
    assert sorted(path.name for path in (dataset / "images").iterdir()) == sorted(splits)
    all_image_ids = []
    for split in ("train", "test"):
        boxes = read_json(dataset, f"{split}_boxes.json")
        assert {image["file_name"] for image in boxes["images"]} == {
            name for name, its_split in splits.items() if its_split == split
        }
        assert [category["name"] for category in boxes["categories"]] == list(KINDS)
        image_ids = {image["id"] for image in boxes["images"]}
        assert {annotation["image_id"] for annotation in boxes["annotations"]} <= image_ids
        all_image_ids += image_ids
        for image in boxes["images"]:
            with Image.open(dataset / "images" / image["file_name"]) as file:
                assert file.mode == "RGB"
                assert file.size == (image["width"], image["height"])
        ids = [annotation["id"] for annotation in boxes["annotations"]]
        assert len(set(ids)) == len(ids)
        for annotation in boxes["annotations"]:
            left, top, width, height = annotation["bbox"]
            assert min(left, top) >= 0 and left + width <= 64 and top + height <= 64
            assert annotation["area"] == width * height > 0 and annotation["iscrowd"] == 0
    assert len(set(all_image_ids)) == len(all_image_ids)


def test_three_of_ten_images_are_test_images(dataset, tmp_path):
    splits = Counter(image["split"] for image in read_json(dataset, "dataset.json")["images"])
    assert splits == {"train": 8, "test": 4}
    smallest = read_json(run_draw(tmp_path / "smallest", images=2), "dataset.json")
    assert [image["split"] for image in smallest["images"]] == ["train", "test"]


def test_a_failed_run_leaves_the_older_dataset(tmp_path, monkeypatch):
    folder = run_draw(tmp_path / "files", images=2)
    before = file_bytes(tmp_path)
    samples = [draw.render_sample(7, 0, size=64, sentences=1)]
    monkeypatch.setattr(draw, "render_sample", lambda *_, **__: samples.pop())
    with pytest.raises(IndexError):
        run_draw(folder, images=3)
    assert file_bytes(tmp_path) == before


def test_an_older_dataset_is_replaced_as_a_whole(dataset, tmp_path):
    folder = run_draw(tmp_path / "files", images=14, seed=1)
    assert file_bytes(run_draw(folder)) == file_bytes(dataset)


def test_a_folder_with_other_files_is_rejected(tmp_path):
    (tmp_path / "thesis.tex").write_text("unrelated")
    with pytest.raises(DataError, match=r"has thesis\.tex"):
        run_draw(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "unrelated"
    with pytest.raises(DataError, match="is a file"):
        run_draw(tmp_path / "thesis.tex")


@pytest.mark.parametrize(
    ("flag", "value"),
    [("images", 1), ("images", -4), ("size", 63), ("size", 5000), ("sentences", 0), ("seed", -1)],
)
def test_values_out_of_range_are_rejected_before_drawing(flag, value, tmp_path, capsys):
    with pytest.raises(ConfigError, match=f"synthetic.{flag} .*got {value}"):
        run_draw(tmp_path / "files", **{flag: value})
    argv = ["draw", f"--{flag}={value}", "--output", str(tmp_path / "files")]
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_images_are_not_uniform(dataset):
    for path in (dataset / "images").iterdir():
        with Image.open(path) as image:
            assert np.asarray(image).std() > 8
