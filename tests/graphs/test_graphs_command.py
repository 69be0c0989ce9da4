"""The command graphs: from regions.h5 or COCO results to graphs.h5, or to a drawing."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from galr.__main__ import main
from galr.commands.graphs import DreaOptions
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs, build_kwargs
from galr.graphs.visualize import LEGEND_WIDTH, enlargement
from galr.io.formats import Graphs, Regions
from galr.provenance import file_sha256

ROOT = Path(__file__).parents[2]
NAMES = ["ärial_1", "empty", "b"]
OPTIONS = {
    "min_score": 0.0,
    "max_regions": 4,
    "similarity": "cosine",
    "similarity_threshold": 0.98,
    "proximity": "giou",
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
    provenance = {"dataset": "demo", "detector": "demo-detector", "other": 1}
    with Regions.create(tmp_path / "regions.h5", provenance) as file:
        file.write(names=NAMES, class_names=["plane", "ship"], **tables)
    return tmp_path / "regions.h5", tables


def flags(**options):
    return [
        word
        for key, value in options.items()
        for word in (f"--{key.replace('_', '-')}", str(value))
    ]


def test_graphs_writes_what_build_graphs_returns_and_its_provenance(regions, tmp_path):
    path, tables = regions
    output = tmp_path / "graphs.h5"
    assert main(["graphs", "--regions", str(path), "--output", str(output), *flags(**OPTIONS)]) == 0
    expected = build_graphs(Detections(**tables), 2, **build_kwargs(OPTIONS))
    with Graphs.open(output) as file:
        for name, table in vars(expected).items():
            written = getattr(file, name)[:]
            assert np.array_equal(written, table) and written.dtype == table.dtype
        assert file.names == NAMES
        provenance = file.provenance
    assert provenance["settings"] == OPTIONS | {
        "salience": True, "self_loops": True, "normalisation": "symmetric",
    }  # fmt: skip
    assert provenance["regions_sha256"] == file_sha256(path)
    assert (provenance["dataset"], provenance["detector"]) == ("demo", "demo-detector")
    assert provenance["columns"] == [
        "class plane", "class ship", "score", "centre x", "centre y", "width", "height",
    ]  # fmt: skip


def test_wrong_options_and_damaged_regions_are_refused_in_one_line(regions, tmp_path, capsys):
    path, _ = regions
    argv = ["graphs", "--regions", str(path), "--output", str(tmp_path / "g.h5")]
    assert main([*argv, *flags(**OPTIONS | {"similarity_threshold": 2})]) == 2
    assert capsys.readouterr().err.startswith(
        "galr: ConfigError: similarity_threshold must be in [0, 1]"
    )
    path.write_bytes(path.read_bytes()[:300])
    assert main([*argv, *flags(**OPTIONS)]) == 2
    assert capsys.readouterr().err.startswith("galr: StoreError")
    assert not (tmp_path / "g.h5").exists()


def test_every_option_of_the_edges_changes_the_graphs(regions, tmp_path):
    path, _ = regions
    argv = ["graphs", "--regions", str(path), *flags(**OPTIONS), "--output"]

    def compute(*more):
        assert main([*argv, str(tmp_path / "g.h5"), *more]) == 0
        with Graphs.open(tmp_path / "g.h5") as file:
            return file.adjacency[:], file.provenance["settings"]

    plain, _ = compute()
    for switch, name, value in (
        (("--no-salience",), "salience", False),
        (("--no-self-loops",), "self_loops", False),
        (("--normalisation", "none"), "normalisation", "none"),
        (("--proximity", "uniform"), "proximity", "uniform"),
        (("--similarity", "none"), "similarity", "none"),
    ):
        adjacency, recorded = compute(*switch)
        assert recorded[name] == value and not np.array_equal(adjacency, plain), name
    adjacency, _ = compute("--no-self-loops")
    assert not np.diagonal(adjacency, axis1=1, axis2=2).any()


def test_flags_have_the_defaults_of_the_config():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())["graphs"]
    defaults = DreaOptions().drea_options()
    assert {name: config[name] for name in defaults} == defaults


@pytest.fixture
def coco_results(regions, tmp_path):
    """Write the regions as another tool would, and the images' sizes."""
    _, tables = regions
    image = np.repeat(np.arange(3), np.diff(tables["offsets"]))
    rows = [
        {
            "image_id": NAMES[image[index]] + ".png",
            "category_id": int(tables["classes"][index]) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(tables["scores"][index]),
        }
        for index, (x1, y1, x2, y2) in enumerate(tables["boxes"].astype(float).tolist())
    ]
    boxes, sizes = tmp_path / "results.json", tmp_path / "sizes.csv"
    boxes.write_text(json.dumps(rows))
    lines = [f"{n},{w},{h}" for n, (w, h) in zip(NAMES, tables["sizes"].tolist(), strict=True)]
    sizes.write_text("\n".join(["image_id,width,height", *lines]), encoding="utf-8")
    return boxes, sizes


def tables_of(path):
    with Graphs.open(path) as file:
        names = file.names
        order = np.argsort(names)
        tables = {name: table[order] for name, table in file.arrays().items()}
        return sorted(names), tables, file.provenance


@pytest.mark.parametrize("source", ["sizes", "images"])
def test_graphs_of_coco_results_are_those_of_the_same_regions_bit_for_bit(
    regions, coco_results, source, tmp_path, capsys
):
    path, tables = regions
    boxes, sizes = coco_results
    if source == "images":
        for name, size in zip(NAMES, tables["sizes"].tolist(), strict=True):
            (tmp_path / "images").mkdir(exist_ok=True)
            Image.new("L", size).save(tmp_path / f"images/{name}.png")
        sizes_from = ["--images", str(tmp_path / "images")]
    else:
        sizes_from = ["--sizes", str(sizes)]
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    assert main(["graphs", "--regions", str(path), "--output", str(ours)]) == 0
    classes = ["--classes", "plane", "ship"]
    assert (
        main(["graphs", "--boxes", str(boxes), *sizes_from, *classes, "--output", str(theirs)]) == 0
    )
    names, expected, _ = tables_of(ours)
    their_names, written, provenance = tables_of(theirs)
    assert their_names == names == sorted(NAMES)
    for name, table in expected.items():
        assert np.array_equal(written[name], table) and written[name].dtype == table.dtype, name
    assert provenance["columns"][:2] == ["class plane", "class ship"]
    assert provenance["detector"]["results_sha256"] == file_sha256(boxes)
    assert "8 regions in 3 images; 0 boxes without area dropped" in capsys.readouterr().err


def test_ten_thousand_boxes_in_one_image_need_only_their_files(tmp_path):
    random = np.random.default_rng(0)
    rows = [
        {"image_id": 12, "category_id": 7 - 4 * (n % 2), "bbox": box, "score": score}
        for n, (box, score) in enumerate(
            zip(
                (random.random((10_000, 4)) * 300).tolist(),
                random.random(10_000).tolist(),
                strict=True,
            )
        )
    ]
    (tmp_path / "results.json").write_text(json.dumps(rows))
    (tmp_path / "sizes.csv").write_text("image_id,width,height\n0012.tif,600,500\n")
    argv = ["graphs", "--boxes", tmp_path / "results.json", "--sizes", tmp_path / "sizes.csv"]
    argv += ["--ids", "names", "--output", tmp_path / "graphs.h5"]
    assert main([*map(str, argv)]) == 0
    names, tables, provenance = tables_of(tmp_path / "graphs.h5")
    assert names == ["0012"] and tables["mask"].all() and tables["num_redundant"][0] > 0
    assert tables["representation"].shape == (1, 20, 7)
    assert provenance["columns"][:2] == ["class category 3", "class category 7"]
    best = max(range(10_000), key=lambda n: rows[n]["score"])
    x, y, width, height = rows[best]["bbox"]
    expected = [(x + width / 2) / 600, (y + height / 2) / 500, width / 600, height / 500]
    np.testing.assert_allclose(tables["representation"][0, 0, 3:], expected, atol=1e-6)
    assert tables["representation"][0, 0, :2].tolist() == [best % 2, 1 - best % 2]


def test_one_image_is_drawn_on_its_file_or_on_white(regions, coco_results, tmp_path):
    path, _ = regions
    boxes, sizes = coco_results
    (tmp_path / "images/deep").mkdir(parents=True)
    Image.new("RGB", (300, 300), (10, 90, 30)).save(tmp_path / "images/deep/b.png")
    scale = enlargement((300, 300))

    def corner(*argv):
        assert main(["graphs", *map(str, argv), "--output", str(tmp_path / "new/b.png")]) == 0
        with Image.open(tmp_path / "new/b.png") as page:
            assert page.format == "PNG" and page.size == (300 * scale + LEGEND_WIDTH, 300 * scale)
            return page.getpixel((300 * scale - 1, 300 * scale - 1))

    show = ("--show", "b")
    assert corner("--regions", path, "--images", tmp_path / "images", *show) == (10, 90, 30)
    assert corner("--regions", path, *show) == (255, 255, 255)
    assert corner("--boxes", boxes, "--sizes", sizes, "--show", "b.png") == (255, 255, 255)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "ConfigError: give exactly one of --regions and --boxes"),
        (["--regions", "r", "--boxes", "b"], "ConfigError: give exactly one of --regions"),
        (["--boxes", "b"], "exactly one of --sizes and --images"),
        (["--boxes", "b", "--sizes", "s", "--images", "i"], "exactly one of --sizes and --images"),
        (["--regions", "r", "--sizes", "s"], "--sizes goes with --boxes; regions.h5 has it"),
        (["--regions", "r", "--classes", "a"], "--classes goes with --boxes"),
        (["--regions", "r", "--ids", "names"], "--ids goes with --boxes; regions.h5 has names"),
        (
            ["--boxes", "B", "--sizes", "S", "--ids", "annotations"],
            "ids: annotations needs the COCO",
        ),
        (["--regions", "r", "--images", "i"], "--images goes with --boxes or with --show"),
        (
            ["--regions", "R", "--show", "c"],
            "no image is called c; of 3 images their names are like",
        ),
        (["--regions", "R", "--images", "P", "--show", "empty"], "holds no image called empty"),
        (["--regions", "R", "--images", "P", "--show", "b"], "is 9 x 9 pixels, and its boxes were"),
        (["--regions", "R", "--images", "X", "--show", "b"], "is not a folder"),
        (["--boxes", "B", "--images", "P"], "'ärial_1.png', which is not the name of an image"),
        (["--boxes", "B", "--sizes", "X"], "cannot be read (No such file or directory)"),
        (["--boxes", "X", "--sizes", "S"], "cannot be read (No such file or directory)"),
        (["--boxes", "B", "--sizes", "S", "--annotations", "X"], "cannot be read (No such file"),
        (
            ["--boxes", "B", "--sizes", "S", "--classes", "a"],
            "first_category may be wrong (it is 1)",
        ),
    ],
)
def test_unclear_input_is_refused_in_one_line(
    argv, message, regions, coco_results, tmp_path, capsys
):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "images/b.png")
    paths = {
        "R": regions[0], "B": coco_results[0], "S": coco_results[1],
        "P": tmp_path / "images", "X": tmp_path / "none",
    }  # fmt: skip
    output = tmp_path / "out"
    assert main(["graphs", *(str(paths.get(w, w)) for w in argv), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and not output.exists()
