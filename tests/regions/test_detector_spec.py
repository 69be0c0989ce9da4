import difflib
from pathlib import Path

import pytest
import yaml

from galr.errors import ConfigError, DataError
from galr.regions import network
from galr.regions.detector import open_detector
from galr.regions.detector_spec import (
    DetectorSpec,
    PrecomputedBoxes,
    PrecomputedDetector,
    ProposalSpec,
    read_detector_spec,
    read_network_spec,
    read_runnable_spec,
)

PROPOSALS = {
    "side": 128, "scale": 40, "sigma": 0.8, "min_area": 0.001, "max_area": 0.5,
    "contrast": 1.0, "score": 0.05, "overlap": 0.5, "regions": 30,
}  # fmt: skip
PROPOSALS_CHANGED = {
    "side": 64, "scale": 50, "sigma": 0.5, "min_area": 0.002, "max_area": 0.4,
    "contrast": 2.0, "score": 0.1, "overlap": 0.6, "regions": 20,
}  # fmt: skip


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
        (
            {"checkpoint": {"file": "x.pth"}},
            "exactly one of checkpoint, train, results and proposals",
        ),
        (
            {"results": {"file": "x.json"}},
            "exactly one of checkpoint, train, results and proposals",
        ),
        ({"proposals": PROPOSALS}, "exactly one of checkpoint, train, results and proposals"),
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
    if isinstance(detector, ProposalSpec):
        assert detector.classes == ("region",)
        assert len(open_detector(detector, None).classes) == 1
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


def test_ids_of_ready_boxes_are_names_or_those_of_annotations_that_are_there(tmp_path):
    path = tmp_path / "ready.yaml"

    def read(**results):
        path.write_text(yaml.safe_dump(READY | {"results": READY["results"] | results}))
        return read_detector_spec(path).results.ids

    assert read() == "auto" and read(ids="names") == "names"
    assert read(ids="annotations", annotations="{dataset}_coco.json") == "annotations"
    with pytest.raises(ConfigError, match=r"results.ids is annotations; add annotations, or leave"):
        read(ids="annotations")
    with pytest.raises(ConfigError, match="ids"):
        read(ids="numbers")


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


def proposals_file(folder, **changes):
    """Write a detector file of proposals; a value of None leaves a key out."""
    section = {key: value for key, value in (PROPOSALS | changes).items() if value is not None}
    path = folder / "any.yaml"
    path.write_text(yaml.safe_dump({"title": "for tests", "proposals": section}))
    return path


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"min_aera": 0.1}, "unknown key 'min_aera' in proposals; did you mean 'min_area'"),
        ({"side": None}, "proposals lacks 'side'"),
        ({"side": 8}, r"proposals\.side"),
        ({"scale": 0}, r"proposals\.scale"),
        ({"contrast": "much"}, r"proposals\.contrast"),
        ({"regions": 0}, r"proposals\.regions: 0 is less"),
        ({"min_area": 0.6}, "min_area is 0.6 and max_area 0.5; the first must be smaller"),
    ],
)
def test_a_mistake_in_proposals_is_named(tmp_path, changes, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read_runnable_spec(proposals_file(tmp_path, **changes))


@pytest.mark.parametrize(
    ("section", "content"),
    [
        ("classes", ["plane"]),
        ("model", {"config": "x.py"}),
        ("detect", {"input": [64, 64], "batch": 4, "score": 0, "overlap": 0.5, "regions": 2}),
    ],
)
def test_proposals_have_no_network_and_no_classes(tmp_path, section, content):
    path = proposals_file(tmp_path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {section: content}))
    with pytest.raises(ConfigError, match=f"has proposals, .*remove {section}"):
        read_runnable_spec(path)


def test_a_network_and_boxes_need_classes(detector_file, tmp_path):
    for content in (yaml.safe_load(detector_file().read_text()), READY):
        path = tmp_path / "bare.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in content.items() if k != "classes"}))
        with pytest.raises(ConfigError, match="add classes"):
            read_detector_spec(path)


def test_proposals_are_neither_trained_nor_downloaded_and_take_no_weights(tmp_path, detector_file):
    path = proposals_file(tmp_path)
    with pytest.raises(ConfigError, match="any makes proposals without a network"):
        read_network_spec(path)
    with pytest.raises(ConfigError, match=r"any has no network, and x\.pth was given"):
        open_detector(read_runnable_spec(path), Path("x.pth"))
    with pytest.raises(ConfigError, match="small is a network; give its weights with --checkpoint"):
        open_detector(read_runnable_spec(detector_file()), None)


def test_the_identity_of_proposals_follows_every_key_but_the_title(tmp_path):
    same = read_runnable_spec(proposals_file(tmp_path)).config_hash()
    other = {
        read_runnable_spec(proposals_file(tmp_path, **{key: value})).config_hash()
        for key, value in PROPOSALS_CHANGED.items()
    }
    assert len(other) == len(PROPOSALS) and same not in other
    path = proposals_file(tmp_path)
    path.write_text(path.read_text().replace("for tests", "other words"))
    assert read_runnable_spec(path).config_hash() == same
