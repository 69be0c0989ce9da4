import difflib
from pathlib import Path

import pytest
import yaml

from galr.errors import ConfigError, DataError
from galr.regions import network
from galr.regions.detector_spec import (
    DetectorSpec,
    PrecomputedBoxes,
    PrecomputedDetector,
    read_detector_spec,
    read_network_spec,
)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"clases": []}, "unknown key 'clases'.*did you mean 'classes'"),
        ({"train__epoch": 3}, "unknown key 'epoch'.*did you mean 'epochs'"),
        ({"train__batch": 1}, "train.batch.*at least 2"),
        ({"train__held_out": 1.5}, "held_out.*share"),
        ({"train__scales": [2, 1]}, "smaller one first"),
        ({"train__dataset": "demo"}, "exactly one of dataset, folder, archives and dota"),
        ({"train__archives": [{"file": "a.zip", "urls": []}]}, "archives.0 lacks 'sha256'"),
        ({"train__colours": 3}, "colours"),
        ({"checkpoint": {"file": "x.pth"}}, "exactly one of checkpoint, train and results"),
        ({"results": {"file": "x.json"}}, "exactly one of checkpoint, train and results"),
        ({"checkpoint": {"url": "https://x.org/y.pth"}}, "checkpoint"),
    ],
)
def test_a_mistake_is_named(detector_file, changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read_network_spec(detector_file(**changes))


@pytest.mark.parametrize("path", sorted(Path("config/detectors").glob("*.yaml")), ids=str)
def test_shipped_detectors_build_with_their_classes(path):
    detector = read_detector_spec(path)
    assert len(set(detector.classes)) == len(detector.classes) > 0
    if isinstance(detector, DetectorSpec):
        head = network.build_network(detector).bbox_head
        assert head.num_classes == len(detector.classes)
        assert detector.inference.slices is None or detector.inference.slices.size >= 32


READY = {"title": "another tool's", "classes": ["square"], "results": {"file": "{dataset}.json"}}


def test_ready_boxes_have_no_network(tmp_path):
    path = tmp_path / "ready.yaml"
    path.write_text(yaml.safe_dump(READY))
    found = read_detector_spec(path)
    assert isinstance(found, PrecomputedDetector)
    assert (found.name, found.classes) == ("ready", ("square",))
    assert found.results == PrecomputedBoxes("{dataset}.json", annotations=None, first_category=1)
    with pytest.raises(
        ConfigError, match="detector ready has precomputed boxes; there is no network to run"
    ):
        read_network_spec(path)
    path.write_text(yaml.safe_dump(READY | {"model": {"config": "x.py"}}))
    with pytest.raises(ConfigError, match="no network runs; remove model"):
        read_detector_spec(path)


def test_a_network_needs_a_model_and_a_look(detector_file):
    path = detector_file()
    said = yaml.safe_load(path.read_text())
    for part in ("model", "detect"):
        path.write_text(yaml.safe_dump({k: v for k, v in said.items() if k != part}))
        with pytest.raises(ConfigError, match=f"has train; add {part}"):
            read_network_spec(path)


def test_where_boxes_come_from_decides_no_weights(detector_file):
    here = read_network_spec(detector_file()).train_config()
    assert {"epochs", "colours", "seed"} <= here.hash_fields().keys()
    moved = read_network_spec(detector_file(train__folder="elsewhere")).train_config()
    assert moved != here and moved.hash_fields() == here.hash_fields()
    assert (
        read_network_spec(detector_file(train__epochs=9)).train_config().hash_fields()
        != here.hash_fields()
    )


def test_every_head_follows_the_classes(detector_file):
    detector = read_network_spec(
        detector_file(
            model={
                "config": "cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py",
                "overrides": {"backbone": {"init_cfg": None, "depth": 18}, "neck": {}},
            }
        )
    )
    settings = network.model_config(detector)
    assert [head.num_classes for head in settings.roi_head.bbox_head] == [2, 2, 2]


def test_an_unknown_base_config_is_refused_with_the_nearest(detector_file):
    near = "rtmdet/rtmdet_tiny_8xb32-300e_coco.py"
    wrong = near.replace("tiny", "tinny")
    assert difflib.get_close_matches(wrong, [near])
    detector = read_network_spec(detector_file(model={"config": wrong}))
    with pytest.raises(ConfigError, match=f"{wrong} is unknown; did you mean {near}"):
        network.build_network(detector)


@pytest.mark.parametrize(
    "overrides",
    [{"backbone": {"widen": 0.1}}, {"backbone": 3}, {"neck": {"type": "Nek"}}],
)
def test_overrides_that_do_not_fit_are_refused(detector_file, overrides):
    model = {"config": "rtmdet/rtmdet_tiny_8xb32-300e_coco.py", "overrides": overrides}
    with pytest.raises(ConfigError, match=r"model.*overrides"):
        network.build_network(read_network_spec(detector_file(model=model)))


def test_identity_follows_what_decides_regions_and_nothing_else(detector_file):
    same = read_network_spec(detector_file()).config_hash()
    assert (
        read_network_spec(detector_file(train__epochs=9, title="other words")).config_hash() == same
    )
    for change in ({"detect__score": 0.2}, {"classes": ["bar", "square"]}):
        assert read_network_spec(detector_file(**change)).config_hash() != same


def test_ready_weights_have_no_recipe(detector_file):
    said = {"checkpoint": {"file": "mine.pth"}, "train": None}
    path = detector_file(**said)
    text = "".join(
        line for line in path.read_text().splitlines(keepends=True) if line != "train: null\n"
    )
    path.write_text(text)
    detector = read_network_spec(path)
    assert detector.file == Path("mine.pth")
    with pytest.raises(ConfigError, match="no train section"):
        detector.train_config()


def test_pretrained_weights_that_cannot_be_had_are_named(detector_file, tmp_path):
    absent = tmp_path / "absent.pth"
    init = {"type": "Pretrained", "checkpoint": str(absent)}
    detector = read_network_spec(
        detector_file(
            model={
                "config": "rtmdet/rtmdet_tiny_8xb32-300e_coco.py",
                "overrides": {"backbone": {"init_cfg": init}},
            }
        )
    )
    with pytest.raises(DataError, match="init_cfg: null"):
        network.init_weights(network.build_network(detector))
