"""`galr graphs --run`: the options of DREA, the regions and the images of a run, and the colours of its report."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galr.__main__ import main
from galr.graphs import visualize
from galr.graphs.visualize import LEGEND_WIDTH, enlargement
from galr.io.formats import Dataset, Graphs, Regions
from galr.io.html import template_environment
from galr.palette import COLOURS, INK, OTHER_COLOUR, PAPER
from galr.report.render_images import NUM_COLOURS

SETTINGS = ["--min-score", "0", "--max-regions", "2", "--similarity", "none", "--no-salience"]
SIDE = 300
STORED = (10, 90, 30)  # RGB


@pytest.fixture
def results(tmp_path):
    """A folder results/demo with the variants `own`, of other settings than the default, and `imported`."""
    folder = tmp_path / "results" / "demo"
    names = ["a", "b"]
    corners = np.arange(8)[:, None] * [25, 30]
    with Regions.create(folder / "regions.h5", {"dataset": "demo"}) as file:
        file.write(
            names=names,
            class_names=["plane", "ship"],
            sizes=np.full((2, 2), SIDE, np.int32),
            offsets=np.array([0, 0, 8]),
            boxes=np.hstack([corners, corners + 40]).astype(np.float32),
            scores=np.linspace(0.9, 0.2, 8).astype(np.float32),
            classes=np.arange(8, dtype=np.int32) % 2,
        )
    with Dataset.create(folder / "dataset.h5", {"dataset": "demo"}) as file:
        file.write(
            images=np.tile(np.array(STORED, np.uint8), (2, 16, 16, 1)),
            names=names,
            files=names,
            sizes=np.full((2, 2), SIDE, np.int32),
            splits=["train", "test"],
            sentences=["one", "two"],
            image_of_sentence=np.arange(2, dtype=np.int32),
        )
    (folder / "own" / "fold0").mkdir(parents=True)
    graphs = folder / "own" / "graphs.h5"
    argv = ["--regions", folder / "regions.h5", "--output", graphs, *SETTINGS]
    assert main(["graphs", *map(str, argv)]) == 0
    (folder / "imported" / "fold0").mkdir(parents=True)
    with (
        Graphs.open(graphs) as file,
        Graphs.create(
            folder / "imported" / "graphs.h5", {"settings": {"published": "UCM"}}
        ) as other,
    ):
        other.write(names=file.names, **file.arrays())
    (folder / "global" / "fold0").mkdir(parents=True)
    return folder


def show(*argv):
    """Draw the image b and return the pixels."""
    output = Path("b.png")
    assert main(["graphs", *map(str, argv), "--show", "b", "--output", str(output)]) == 0
    return np.asarray(Image.open(output))


@pytest.mark.parametrize("run", ["own/fold0", "own", "own/graphs.h5"])
def test_a_run_is_drawn_with_its_own_settings(results, monkeypatch, run):
    monkeypatch.chdir(results)
    white = Image.new("RGB", (SIDE, SIDE), "white")
    Path("images").mkdir()
    white.save("images/b.png")
    regions = ["--regions", "regions.h5", "--images", "images"]
    drawn = show("--run", run, "--images", "images")
    np.testing.assert_array_equal(drawn, show(*regions, *SETTINGS))
    assert not np.array_equal(drawn, show(*regions))  # by default


def test_without_a_folder_the_stored_image_is_drawn_on(results, monkeypatch):
    monkeypatch.chdir(results.parent)
    pixels = show("--run", results / "own/fold0")
    scale = enlargement((SIDE, SIDE))
    assert pixels.shape == (SIDE * scale, SIDE * scale + LEGEND_WIDTH, 3)
    assert tuple(pixels[-1, 0]) == STORED
    (results / "dataset.h5").unlink()
    assert tuple(show("--run", results / "own/fold0")[-1, 0]) == (255, 255, 255)


def test_graphs_of_other_regions_take_the_settings_too(results, tmp_path):
    argv = ["--run", results / "own/fold0", "--output", tmp_path / "graphs.h5"]
    assert main(["graphs", *map(str, argv)]) == 0
    with Graphs.open(tmp_path / "graphs.h5") as ours, Graphs.open(results / "own/graphs.h5") as own:
        assert ours.provenance["settings"] == own.provenance["settings"]
        np.testing.assert_array_equal(ours.adjacency[:], own.adjacency[:])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--run", "own/fold0", "--max-regions", "9"], "--run takes --max-regions from the run's"),
        (["--run", "own/fold0", "--no-salience"], "--run takes --salience from the run's graphs"),
        (["--run", "global/fold0"], "global/fold0 has no graphs.h5, nor has the folder above it"),
        (["--run", "imported/fold0"], "its matrices were imported, not computed from regions"),
        (["--run", "none/fold0"], "none/fold0 has no graphs.h5"),
    ],
)
def test_what_has_no_settings_of_its_own_is_refused(results, monkeypatch, capsys, argv, message):
    monkeypatch.chdir(results)
    assert main(["graphs", *argv, "--show", "b", "--output", "b.png"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_drawings_and_pages_share_one_palette():
    style = template_environment(Path()).get_template("style.html").render()
    boxes = dict(re.findall(r"\.box(\d) \{ stroke: (#\w{6}); \}", style))
    assert boxes == {str(n): colour for n, colour in enumerate([OTHER_COLOUR, *COLOURS])}
    assert f"--paper: {PAPER};" in style and f"--ink: {INK};" in style
    assert (visualize.COLOURS, visualize.PAPER, len(COLOURS)) == (COLOURS, PAPER, NUM_COLOURS)
    sources = Path(visualize.__file__).parents[1]
    for path in [*sources.rglob("*.py"), *sources.rglob("*.html")]:
        if path.name != "palette.py":
            text = path.read_text(encoding="utf-8").lower()
            assert not [colour for colour in (*COLOURS, PAPER, INK) if colour in text], path
