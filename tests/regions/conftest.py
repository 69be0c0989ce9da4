"""A doll's house for detectors: small pictures of squares and bars, and a network to find them."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from galr.commands import train_detector

from ..detectors import TINY_DETECTOR  # isort: skip

COLOURS = {"square": (230, 230, 230), "bar": (20, 20, 20)}


def detector_of(**changes):
    """A detector file's content, small enough to train in seconds; `train__epochs=2` changes a key."""
    said = {
        "title": "for tests",
        "model": dict(TINY_DETECTOR),  # a copy: changes are to one file alone
        "classes": ["square", "bar"],
        "train": {
            "folder": "here",
            "boxes": "boxes.json",
            "held_out": 0.25,
            "images": "images",
            "epochs": 2,
            "batch": 4,
            "learning_rate": 0.01,
            "weight_decay": 0.05,
            "warmup": 0.1,
            "input": [64, 64],
            "scales": [1, 1],
            "seed": 3,
        },
        "detect": {"input": [64, 64], "batch": 4, "score": 0.05, "overlap": 0.5, "regions": 20},
    }
    for path, value in changes.items():
        *sections, key = path.split("__")
        part = said
        for section in sections:
            part = part[section]
        part[key] = value
    return said


@pytest.fixture
def scenes():
    """Draw pictures and their boxes into a folder: `scenes(folder, images)`."""
    return draw


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A detector that a stage trained: its `file`, `folder`, `checkpoint` and `table`."""
    place = tmp_path_factory.mktemp("trained")
    draw(place / "files", images=40)
    (place / "small.yaml").write_text(yaml.safe_dump(detector_of(train__epochs=20)))
    said = SimpleNamespace(
        file=place / "small.yaml",
        folder=place / "files",
        checkpoint=place / "out" / "checkpoint.pth",
        table=place / "out" / "ap.csv",
    )
    train_detector.run(
        train_detector.Options(
            detector=said.file,
            folder=said.folder,
            checkpoint=said.checkpoint,
            table=said.table,
            device="cpu",
        )
    )
    return said


@pytest.fixture
def detector_file(tmp_path):
    """Write a detector file with some keys changed."""

    def write(**changes):
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(detector_of(**changes)), encoding="utf-8")
        return path

    return write


def draw(folder, images, seed=0, size=64):
    """Draw pictures with a square and a bar each, and their boxes in COCO form.

    The classes stand in the file in another order than in the detector.
    """
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    document = {"images": [], "annotations": [], "categories": []}
    document["categories"] = [{"id": 7, "name": "bar"}, {"id": 9, "name": "square"}]
    for number in range(images):
        pixels = np.full((size, size, 3), 90) + random.integers(-9, 10, (size, size, 1))
        name = f"{number}.png"
        document["images"].append(
            {"id": 100 + number, "file_name": name, "width": size, "height": size}
        )
        for category, kind, width, height, left in (
            (9, "square", 16, 16, 0),
            (7, "bar", 24, 10, size // 2),
        ):
            x = left + int(random.integers(0, size // 2 - width))
            y = int(random.integers(0, size - height))
            pixels[y : y + height, x : x + width] = COLOURS[kind]
            box = {"image_id": 100 + number, "category_id": category, "bbox": [x, y, width, height]}
            document["annotations"].append(box)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / name)
    (folder / "boxes.json").write_text(json.dumps(document), encoding="utf-8")
    return document
