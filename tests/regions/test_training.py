import csv
import re

import numpy as np
import pytest
import torch

from galr.commands import train_detector
from galr.errors import ConfigError, DataError
from galr.io.coco import read_coco
from galr.regions import network, training
from galr.regions.detector_spec import read_network_spec
from galr.regions.mmdet_imports import HistoryBuffer
from galr.regions.network import read_checkpoint

CPU = torch.device("cpu")


def test_training_finds_what_it_was_shown(trained):
    rows = {row["class"]: row for row in csv.DictReader(trained.table.read_text().splitlines())}
    assert list(rows) == ["square", "bar", "all"]
    assert rows["all"]["images"] == "10"  # a quarter of 40
    assert rows["all"]["boxes"] == "20"
    assert float(rows["all"]["ap50"]) > 0.9


def test_nothing_but_the_results_is_left_behind(trained):
    assert {path.name for path in trained.checkpoint.parent.iterdir()} == {
        "checkpoint.pth",
        "ap.csv",
    }


def test_the_checkpoint_holds_only_tensors_and_plain_containers(trained):
    found = torch.load(trained.checkpoint, weights_only=True)  # no class is allowed here
    assert found["meta"]["dataset_meta"]["classes"] == ("square", "bar")


@pytest.fixture
def small(tmp_path, scenes, detector_file):
    """A training of two epochs: call it with a work folder and what takes its lines."""
    scenes(tmp_path / "files", images=10)
    detector = read_network_spec(detector_file())
    images = tmp_path / "files" / "images"
    boxes = read_coco(tmp_path / "files" / "boxes.json", detector.classes, images)

    def train(work, tell=lambda line: None, workers=0):
        return training.train_network(
            detector, boxes, images, tmp_path / work, device=CPU, workers=workers, log=tell
        ).state_dict()

    return train


@pytest.mark.parametrize("workers", [0, 1])
def test_stopping_and_continuing_trains_the_same_network(small, workers):
    whole = small("whole", workers=workers)
    lines = []

    def stop_after_one(line):
        lines.append(line)
        if line.startswith("epoch 1/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small("stopped", stop_after_one, workers)
    continued = small("stopped", lines.append, workers)
    assert [re.match(r"\D+ \d", line).group() for line in lines] == [
        "epoch 1",
        "resuming after epoch 1",
        "epoch 2",
    ]
    for name, tensor in whole.items():
        assert torch.equal(tensor, continued[name]), name


def test_another_seed_trains_another_network(small, tmp_path, detector_file, scenes):
    scenes(tmp_path / "again", images=10)
    detector = read_network_spec(detector_file(train__seed=4))
    images = tmp_path / "again" / "images"
    boxes = read_coco(tmp_path / "again" / "boxes.json", detector.classes, images)
    other = training.train_network(
        detector, boxes, images, tmp_path / "w", device=CPU, workers=0, log=lambda line: None
    )
    first = "backbone.stem.0.conv.weight"
    assert not torch.equal(other.state_dict()[first], small("one")[first])


def test_a_loss_that_is_no_number_is_named(tmp_path, scenes, detector_file):
    scenes(tmp_path / "files", images=10)
    flags = train_detector.Options(
        detector=detector_file(train__learning_rate=1e30, train__epochs=3),
        folder=tmp_path / "files",
        checkpoint=tmp_path / "checkpoint.pth",
        table=tmp_path / "ap.csv",
        device="cpu",
    )
    with pytest.raises(ConfigError, match=r"epoch \d/3: the detector's loss is .*lower train"):
        train_detector.run(flags)


def test_fingerprints_follow_boxes_and_recipe(tmp_path, scenes, detector_file):
    scenes(tmp_path / "files", images=4)
    images = tmp_path / "files" / "images"
    detector = read_network_spec(detector_file())
    boxes = read_coco(tmp_path / "files" / "boxes.json", detector.classes, images)
    same = training.training_hash(detector, boxes)
    assert (
        training.training_hash(read_network_spec(detector_file(detect__score=0.3)), boxes) == same
    )
    for other in (
        training.training_hash(read_network_spec(detector_file(train__epochs=3)), boxes),
        training.training_hash(detector, boxes.subset(boxes.images[:3])),
    ):
        assert other != same


class Foreign:
    """A class that a checkpoint has no business holding."""


class Reaching:
    """Asks, when it is read, for what would lead out of a loss history."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, "__init__")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"state_dict": Foreign()}, "it contains .*Foreign"),
        ({"state_dict": Reaching()}, "cannot be read as a checkpoint"),
        ({"weights": {}}, "has no state_dict"),
        ([1, 2], "contains a list"),
        ({"state_dict": {"other.weight": torch.zeros(1)}}, "belongs to another network"),
        ({"state_dict": {}, "meta": {"dataset_meta": {"classes": ("cat", "dog")}}}, "cat, dog"),
    ],
)
def test_checkpoints_of_others_are_refused(detector_file, tmp_path, content, complaint):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(DataError, match=complaint):
        network.load_network(read_network_spec(detector_file()), tmp_path / "x.pth", CPU)


def test_a_missing_and_a_cut_checkpoint_are_refused(trained, tmp_path):
    detector = read_network_spec(trained.file)
    with pytest.raises(DataError, match=r"no checkpoint at .*; make it with galr train-detector"):
        network.load_network(detector, tmp_path / "no.pth", CPU)
    (tmp_path / "cut.pth").write_bytes(trained.checkpoint.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot be read as a checkpoint"):
        network.load_network(detector, tmp_path / "cut.pth", CPU)


def test_a_checkpoint_of_other_shapes_is_refused(trained, detector_file):
    path = detector_file()
    text = path.read_text().replace("feat_channels: 32", "feat_channels: 24")
    path.write_text(text)
    with pytest.raises(DataError, match=r"is \(32, 32, 3, 3\), expected \(24, 32, 3, 3\)"):
        network.load_network(read_network_spec(path), trained.checkpoint, CPU)


def test_mmengine_checkpoints_with_loss_histories_load(trained, tmp_path):
    found = torch.load(trained.checkpoint, weights_only=True)
    found["message_hub"] = {"loss": HistoryBuffer(np.arange(3.0), np.ones(3, int))}
    torch.save(found, tmp_path / "whole.pth")
    read = read_checkpoint(tmp_path / "whole.pth")["message_hub"]["loss"]
    assert read.mean() == 1
    model = network.load_network(read_network_spec(trained.file), tmp_path / "whole.pth", CPU)
    first = "backbone.stem.0.conv.weight"
    assert torch.equal(model.state_dict()[first], found["state_dict"][first])


def test_a_checkpoint_that_hashes_otherwise_is_refused(trained, detector_file):
    path = detector_file()
    lines = path.read_text().split("train:\n")
    url = "checkpoint: {url: 'https://x.org/y.pth', sha256: '" + "0" * 64 + "'}\n"
    path.write_text(lines[0] + url)
    detector = {"model", "classes", "detect"}
    assert detector <= set(re.findall(r"^(\w+):", path.read_text(), re.MULTILINE))
    with pytest.raises(DataError, match="hashes to"):
        network.load_network(read_network_spec(path), trained.checkpoint, CPU)
