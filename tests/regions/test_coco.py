import json

import pytest

from galr.errors import DataError
from galr.io.coco import read_coco
from galr.regions.detector_spec import read_network_spec
from galr.regions.train_val import random_split, read_train_val


@pytest.fixture
def folder(tmp_path, scenes):
    scenes(tmp_path / "files", images=8)
    return tmp_path / "files"


def test_classes_are_numbered_in_the_detectors_order_whatever_the_files(folder):
    boxes = read_coco(folder / "boxes.json", ["square", "bar"], folder / "images")
    shapes = {each["category_id"]: each["bbox"][2:] for each in boxes.annotations}
    assert shapes == {1: [16, 16], 2: [24, 10]}  # the file has bar first, as 7, and square as 9


def test_boxes_of_other_classes_are_left_out(folder):
    boxes = read_coco(folder / "boxes.json", ["bar"], folder / "images")
    assert len(boxes.annotations) == len(boxes.images) == 8
    assert {each["category_id"] for each in boxes.annotations} == {1}


@pytest.mark.parametrize("share", [0.01, 0.25, 0.99])
def test_dividing_loses_and_shares_nothing(folder, share):
    boxes = read_coco(folder / "boxes.json", ["square", "bar"], folder / "images")
    parts = random_split(boxes, share, seed=5)
    ids = [{image["id"] for image in part.images} for part in parts]
    assert min(map(len, ids)) >= 1
    assert not ids[0] & ids[1]
    assert ids[0] | ids[1] == {image["id"] for image in boxes.images}
    for part, own in zip(parts, ids, strict=True):
        assert {each["image_id"] for each in part.annotations} == own
    assert random_split(boxes, share, seed=5) == parts
    assert random_split(boxes, 0.5, seed=5) != random_split(boxes, 0.5, seed=6)


def test_measuring_on_training_images_is_refused(folder, detector_file):
    detector = read_network_spec(detector_file(train__held_out="boxes.json"))
    with pytest.raises(DataError, match="8 images are both trained on and held out"):
        read_train_val(folder, detector.classes, detector.train_config())


def without(document, table, key):
    for row in document[table]:
        row.pop(key)


def set_all(document, table, key, value):
    for row in document[table]:
        row[key] = value


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda d: d.pop("categories"), "no list of categories"),
        (lambda d: without(d, "annotations", "bbox"), r"annotations\[0\] lacks bbox"),
        (lambda d: set_all(d, "annotations", "bbox", [1, 2, 3]), "x, y, width, height"),
        (lambda d: set_all(d, "annotations", "bbox", [1, 2, -3, 4]), "finite x, y"),
        (
            lambda d: set_all(d, "annotations", "image_id", 1),
            "refers to an image or a category that the file does not list",
        ),
        (lambda d: set_all(d, "images", "id", 100), "the id 100; ids must be unique"),
        (lambda d: set_all(d, "images", "file_name", "no.png"), "names no.png"),
        (lambda d: set_all(d, "categories", "name", "disc"), "no class 'bar'; it has: disc"),
        (lambda d: d["annotations"].clear(), "no box of square, bar"),
    ],
)
def test_damaged_annotations_are_refused(folder, damage, complaint):
    path = folder / "boxes.json"
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match=complaint):
        read_coco(path, ["square", "bar"], folder / "images")


def test_text_that_is_no_json_is_refused(folder):
    (folder / "boxes.json").write_text("boxes?")
    with pytest.raises(DataError, match="no JSON"):
        read_coco(folder / "boxes.json", ["bar"], folder / "images")
