import json

import numpy as np
import pytest

from galr.__main__ import main
from galr.io.formats import Dataset, Regions
from galr.provenance import file_sha256

NAMES = ["ärial_1", "empty", "b"]
CLASSES = ["plane", "ship"]


@pytest.fixture
def dataset(tmp_path):
    """A dataset of three images; only what the stage reads of it is as in life."""
    path = tmp_path / "dataset.h5"
    with Dataset.create(path, {"dataset": "ucm"}) as file:
        file.write(
            images=np.zeros((3, 8, 8, 3), np.uint8),
            sizes=np.array([[200, 100], [64, 64], [300, 300]], np.int32),
            names=NAMES,
            files=NAMES,
            splits=["test"] * 3,
            sentences=[],
            image_of_sentence=np.zeros(0, np.int32),
        )
    return path


def regions(seed=0, counts=(5, 0, 7)):
    """Tables as a detector gives them: single precision, inside the image, the best first."""
    random = np.random.default_rng(seed)
    total = sum(counts)
    corner = random.random((total, 2)) * 50
    scores = [np.sort(random.random(count))[::-1] for count in counts]
    return {
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "boxes": np.concatenate([corner, corner + random.random((total, 2)) * 50 + 0.01], axis=1)
        .clip(0, 100)
        .astype(np.float32),
        "scores": np.concatenate(scores).astype(np.float32),
        "classes": random.integers(2, size=total).astype(np.int32),
    }


def as_results(tables, ids, first=1):
    """What another tool would have written of them."""
    image = np.repeat(np.arange(len(ids)), np.diff(tables["offsets"]))
    rows = []
    for place, (x1, y1, x2, y2) in enumerate(tables["boxes"].astype(float).tolist()):
        rows.append(
            {
                "image_id": ids[image[place]],
                "category_id": int(tables["classes"][place]) + first,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(tables["scores"][place]),
            }
        )
    return rows


def run(tmp_path, dataset, rows, *more, classes=CLASSES):
    results, output = tmp_path / "results.json", tmp_path / "regions.h5"
    results.write_text(json.dumps(rows))
    argv = ["import-regions", "--dataset", dataset, "--results", results, "--output", output]
    return main([str(word) for word in (*argv, "--classes", *classes, *more)]), output


def read(path):
    with Regions.open(path) as file:
        return file.arrays(), (file.names, file.class_names), file.provenance


def test_regions_come_back_from_results_as_they_were(tmp_path, dataset, capsys):
    tables = regions()
    code, output = run(tmp_path, dataset, as_results(tables, [f"{n}.tif" for n in NAMES]))
    assert code == 0
    found, texts, origin = read(output)
    for name, table in tables.items():
        assert np.array_equal(found[name], table) and found[name].dtype == table.dtype, name
    assert found["sizes"].tolist() == [[200, 100], [64, 64], [300, 300]]
    assert found["sizes"].dtype == np.int32
    assert texts == (NAMES, CLASSES)
    assert (origin["dataset"], origin["dropped"]) == ("ucm", 0)
    assert origin["dataset_sha256"] == file_sha256(dataset)
    assert origin["detector"] == {
        "name": "coco-results",
        "results_sha256": file_sha256(tmp_path / "results.json"),
        "annotations_sha256": None,
    }
    said = capsys.readouterr().err
    assert said == "coco-results: 12 regions in 3 images; 0 boxes without area dropped\n"


def test_annotations_say_what_ids_mean(tmp_path, dataset):
    tables = regions(seed=1)
    coco = tmp_path / "coco.json"
    document = {
        "images": [{"id": 30 + n, "file_name": f"all/{name}.jpg"} for n, name in enumerate(NAMES)],
        "categories": [{"id": 5, "name": "ship"}, {"id": 4, "name": "plane"}],
        "annotations": [],
    }
    coco.write_text(json.dumps(document))
    rows = as_results(tables, [30, 31, 32], first=4)
    more = ("--annotations", coco, "--name", "yolo")
    code, output = run(tmp_path, dataset, rows[::-1], *more)
    assert code == 0
    found, _, origin = read(output)
    assert all(np.array_equal(found[name], table) for name, table in tables.items())
    assert origin["detector"]["name"] == "yolo"
    assert origin["detector"]["annotations_sha256"] == file_sha256(coco)


def test_numbers_without_annotations_are_refused_until_they_are_said_to_be_names(tmp_path, capsys):
    path = tmp_path / "dataset.h5"
    with Dataset.create(path, {"dataset": "ucm"}) as file:
        file.write(
            images=np.zeros((3, 8, 8, 3), np.uint8),
            sizes=np.array([[200, 100], [64, 64], [300, 300]], np.int32),
            names=["1", "2", "3"],
            files=["a/1.jpg", "a/2.jpg", "a/3.jpg"],
            splits=["test"] * 3,
            sentences=[],
            image_of_sentence=np.zeros(0, np.int32),
        )
    tables = regions()
    rows = as_results(tables, [1, 2, 3])
    code, output = run(tmp_path, path, rows)
    assert code == 2 and not output.exists()
    line = capsys.readouterr().err
    assert "image_id 1, and nothing says which image that is" in line and "--ids names" in line
    assert line.count("\n") == 1
    assert run(tmp_path, path, rows, "--ids", "names")[0] == 0
    assert all(np.array_equal(read(output)[0][name], table) for name, table in tables.items())
    capsys.readouterr()
    assert run(tmp_path, path, as_results(tables, ["1", "2", "3"]))[0] == 0
    line = capsys.readouterr().err
    assert "every image_id is a number written as text and was taken for the name" in line
    by_path = as_results(tables, ["a/1.jpg", "/x/a/2.jpg", "a\\3.jpg"])
    assert run(tmp_path, path, by_path)[0] == 0
    assert all(np.array_equal(read(output)[0][name], table) for name, table in tables.items())


def test_boxes_outside_are_dropped_and_counted(tmp_path, dataset, capsys):
    rows = as_results(regions(), NAMES)
    outside = [[-50, 0, 50, 10], [200, 0, 50, 10], [5, 5, 0, 9], [5, 5, 9, 1e-9], [150, 90, 80, 80]]
    rows = [{"image_id": "ärial_1", "category_id": 1, "bbox": box, "score": 1} for box in outside]
    code, output = run(tmp_path, dataset, rows)
    assert code == 0
    found, _, origin = read(output)
    assert found["boxes"].tolist() == [[150, 90, 200, 100]] and origin["dropped"] == 4
    assert "1 regions in 3 images; 4 boxes without area dropped" in capsys.readouterr().err


def test_a_wrong_id_is_one_line_and_keeps_the_older_file(tmp_path, dataset, capsys):
    rows = as_results(regions(), NAMES)
    _, output = run(tmp_path, dataset, rows)
    before = output.read_bytes()
    capsys.readouterr()
    assert run(tmp_path, dataset, [*rows, rows[0] | {"image_id": 99}])[0] == 2
    assert run(tmp_path, dataset, rows, "--first-category", "0", classes=["plane"])[0] == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and output.read_bytes() == before
    assert said[0].startswith("galr: DataError: ") and "image_id 99" in said[0]
    assert "first_category may be wrong (it is 0)" in said[1]
