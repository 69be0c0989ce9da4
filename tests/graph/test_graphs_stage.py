import numpy as np
import pytest

from galr import store, versions
from galr.__main__ import main
from galr.graph.detections import Regions
from galr.graph.drea import graphs

NAMES = ["ärial_1", "empty", "b"]
CHOICES = {
    "least_score": 0.0,
    "most": 4,
    "measure": "cosine",
    "redundant": 0.98,
    "closeness": "giou",
    "bandwidth": 0.2,
}


@pytest.fixture
def regions(tmp_path):
    tables = {
        "sizes": np.array([[200, 100], [64, 64], [300, 300]], np.int32),
        "offsets": np.array([0, 2, 2, 8], np.int64),
        "boxes": np.array([[n, n, n + 20 + 3 * n, n + 30] for n in range(8)], np.float32),
        "scores": np.array([0.9, 0.8, 0.9, 0.7, 0.6, 0.5, 0.4, 0.3], np.float32),
        "classes": np.array([0, 1, 1, 1, 1, 0, 0, 0], np.int32),
    }
    origin = {"dataset": "demo", "detector": "demo-detector", "other": 1}
    with store.writing(tmp_path / "regions.h5", store.REGIONS, origin) as file:
        store.write_texts(file, "names", NAMES)
        store.write_texts(file, "class_names", ["plane", "ship"])
        store.write_arrays(file, **tables)
    return tmp_path / "regions.h5", tables


def flags(**choices):
    return [
        word
        for key, value in choices.items()
        for word in (f"--{key.replace('_', '-')}", str(value))
    ]


def test_graphs_writes_what_the_function_returns_and_where_it_came_from(regions, tmp_path):
    path, tables = regions
    output = tmp_path / "graphs.h5"
    assert main(["graphs", "--regions", str(path), "--output", str(output), *flags(**CHOICES)]) == 0
    expected = graphs(Regions(**tables), 2, **CHOICES)
    with store.reading(output, store.GRAPHS) as file:
        for name, table in vars(expected).items():
            assert np.array_equal(file[name][:], table) and file[name].dtype == table.dtype
        assert store.texts(file["names"]) == NAMES
        origin = store.provenance(file)
    assert origin["settings"] == CHOICES and origin["regions_sha256"] == versions.sha256(path)
    assert (origin["dataset"], origin["detector"]) == ("demo", "demo-detector")
    assert origin["columns"] == [
        "class plane", "class ship", "score", "centre x", "centre y", "width", "height",
    ]  # fmt: skip


def test_graphs_refuses_in_one_line(regions, tmp_path, capsys):
    path, _ = regions
    argv = ["graphs", "--regions", str(path), "--output", str(tmp_path / "g.h5")]
    assert main([*argv, *flags(**CHOICES | {"redundant": 2})]) == 2
    assert capsys.readouterr().err.startswith(
        "galr: ConfigError: redundant is a likeness in [0, 1]"
    )
    path.write_bytes(path.read_bytes()[:300])
    assert main([*argv, *flags(**CHOICES)]) == 2
    assert capsys.readouterr().err.startswith("galr: StoreError")
    assert not (tmp_path / "g.h5").exists()
