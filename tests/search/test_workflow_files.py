"""The detector of a run, found from any directory."""

import shutil

import pytest

from galr.errors import ConfigError, DataError
from galr.io.formats import Graphs
from galr.provenance import file_sha256
from galr.regions.detector_spec import read_network_spec
from galr.search.index import open_index
from galr.search.region_detector import (
    DetectorFiles,
    find_detector,
    find_weights,
    workflow_roots,
)

from .conftest import galr  # isort: skip


@pytest.fixture
def workflow(runs, tmp_path):
    """A workflow in a folder of its own: results behind a symbolic link, its detector and the weights of it."""
    root = tmp_path / "work flow"
    for folder in ("config/detectors", "resources/detectors/random"):
        (root / folder).mkdir(parents=True)
    (root / "results").symlink_to(runs.folder / "results")
    text = runs.detector.read_text().replace(str(runs.weights), "weights/random.pth")
    (root / "config/detectors/random.yaml").write_text(text)
    (root / "weights").mkdir()
    shutil.copy(runs.weights, root / "weights/random.pth")
    return root


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The current directory: another workflow, with another detector of the same name."""
    folder = tmp_path / "elsewhere"
    (folder / "config/detectors").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def test_a_run_is_indexed_from_any_directory(runs, workflow, elsewhere, tmp_path):
    text = runs.detector.read_text().replace("score: 0.0", "score: 0.5")
    (elsewhere / "config/detectors/random.yaml").write_text(text)
    run = workflow / "results/small/both/fold0"
    output = tmp_path / "index"
    galr("index", "--run", run, "--folder", runs.images, "--output", output, "--device", "cpu")
    assert len(open_index(output).vectors.embeddings) == 12
    galr("search", "--index", output, "--image", runs.images / "03.png", "--run", run)


def test_the_workflow_around_a_run_comes_before_the_current_directory(workflow, elsewhere):
    run = workflow / "results/small/both/fold0"
    assert workflow_roots(run)[0] == workflow and workflow_roots(run)[-1] == elsewhere
    assert workflow_roots(run.resolve())[-1] == elsewhere


def expected_hashes(graphs):
    return Graphs.read_provenance(graphs)["detector"]


def test_a_detector_that_is_missing_is_named_with_the_places_and_the_way_out(
    runs, workflow, elsewhere
):
    run = workflow / "results/small/both/fold0"
    detector = expected_hashes(run.parent / "graphs.h5")
    path, spec = find_detector(DetectorFiles([run]), "random", detector["config_sha256"])
    assert path == workflow / "config/detectors/random.yaml"
    (workflow / "config/detectors/random.yaml").unlink()
    message = (
        r"work flow/config/detectors/random.yaml is missing \(looked also for .*elsewhere/config/detectors/"
        r"random.yaml\); the run's regions were detected with 'random': give its detector file with --detector"
    )
    with pytest.raises(ConfigError, match=message):
        find_detector(DetectorFiles([run]), "random", detector["config_sha256"])
    with pytest.raises(ConfigError, match=r"mine.yaml is missing; the run's regions"):
        find_detector(
            DetectorFiles([run], elsewhere / "mine.yaml"), "random", detector["config_sha256"]
        )
    other = elsewhere / "config/detectors/random.yaml"
    other.write_text(runs.detector.read_text().replace("score: 0.0", "score: 0.5"))
    with pytest.raises(
        ConfigError, match=r"random.yaml is not the detector that found the regions"
    ):
        find_detector(DetectorFiles([run]), "random", detector["config_sha256"])
    assert spec.name == "random"


def test_weights_are_found_where_the_detector_file_or_the_workflow_has_them(
    runs, workflow, elsewhere
):
    run = workflow / "results/small/both/fold0"
    path = workflow / "config/detectors/random.yaml"
    spec, sha256 = read_network_spec(path), file_sha256(runs.weights)
    assert find_weights(DetectorFiles([run]), spec, path, sha256) == workflow / "weights/random.pth"
    (workflow / "weights/random.pth").write_bytes(b"other weights")
    with pytest.raises(
        DataError, match=r"random.pth are not the weights .*; give them with --weights"
    ):
        find_weights(DetectorFiles([run]), spec, path, sha256)
    (elsewhere / "weights").mkdir()
    shutil.copy(runs.weights, elsewhere / "weights/random.pth")
    assert (
        find_weights(DetectorFiles([run]), spec, path, sha256) == elsewhere / "weights/random.pth"
    )
    (elsewhere / "weights/random.pth").unlink()
    (workflow / "weights/random.pth").unlink()
    with pytest.raises(
        DataError, match=r"weights/random.pth is missing \(looked also for .*, the det"
    ):
        find_weights(DetectorFiles([run]), spec, path, sha256)
