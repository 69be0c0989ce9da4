import json
from types import SimpleNamespace as TrainSection

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


def test_ids_may_be_text_beside_numbers_and_file_names_written_by_another_system(folder):
    path = folder / "boxes.json"
    expected = read_coco(path, ["square", "bar"], folder / "images")
    document = json.loads(path.read_text())
    for row in document["annotations"]:
        row |= {"image_id": str(row["image_id"]), "category_id": f"{row['category_id']}.0"}
    for image in document["images"]:
        image |= {"id": float(image["id"]), "file_name": f"images\\{image['file_name'].upper()}"}
    for category in document["categories"]:
        category["id"] = str(category["id"])
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="which does not exist in"):
        read_coco(path, ["square", "bar"], folder / "images")
    config = TrainSection(boxes="boxes.json", held_out=0.5, images="images", seed=0)
    parts = read_train_val(folder, ["square", "bar"], config)
    images = sorted((i for part in parts for i in part.images), key=lambda image: image["id"])
    assert images == sorted(expected.images, key=lambda image: image["id"])
    assert all(type(image["id"]) is int for image in images)
    boxes = sorted((b for part in parts for b in part.annotations), key=lambda box: box["id"])
    assert boxes == list(expected.annotations)


def test_a_file_that_two_file_names_fit_is_refused(folder):
    document = json.loads((folder / "boxes.json").read_text())
    first, second = document["images"][:2]
    second["file_name"] = f"x/{first['file_name']}"
    (folder / "boxes.json").write_text(json.dumps(document))
    with pytest.raises(
        DataError, match=rf"{first['file_name']} may be image \d+ or \d+; correct file"
    ):
        read_coco(
            folder / "boxes.json", ["bar"], folder / "images", lambda name: name.removeprefix("x/")
        )


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
