import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from galr import store
from galr.__main__ import main
from galr.commands.graphs import DreaOptions
from galr.errors import DataError
from galr.graphs.detections import Detections
from galr.graphs.drea import build_graphs
from galr.graphs.edges import EdgeConfig
from galr.graphs.visualize import WIDTH, enlargement
from galr.provenance import file_sha256
from galr.regions.image_sizes import read_sizes, scan_sizes

ROOT = Path(__file__).parents[2]
NAMES = ["ärial_1", "empty", "b"]
CHOICES = {
    "least_score": 0.0,
    "most": 4,
    "measure": "cosine",
    "redundant": 0.98,
    "closeness": "giou",
    "bandwidth": 0.2,
}
PLAIN = ("least_score", "most", "measure", "redundant")


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
    expected = build_graphs(
        Detections(**tables),
        2,
        edges=EdgeConfig("giou", 0.2),
        **{name: CHOICES[name] for name in PLAIN},
    )
    with store.reading(output, store.GRAPHS) as file:
        for name, table in vars(expected).items():
            assert np.array_equal(file[name][:], table) and file[name].dtype == table.dtype
        assert store.texts(file["names"]) == NAMES
        origin = store.provenance(file)
    assert origin["settings"] == CHOICES | {
        "salience": True, "self_loops": True, "normalisation": "symmetric",
    }  # fmt: skip
    assert origin["regions_sha256"] == file_sha256(path)
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


def test_switches_reach_the_graphs(regions, tmp_path):
    path, _ = regions
    argv = ["graphs", "--regions", str(path), *flags(**CHOICES), "--output"]

    def made(*more):
        assert main([*argv, str(tmp_path / "g.h5"), *more]) == 0
        with store.reading(tmp_path / "g.h5", store.GRAPHS) as file:
            return file["adjacency"][:], store.provenance(file)["settings"]

    plain, _ = made()
    for switch, name, value in (
        (("--no-salience",), "salience", False),
        (("--no-self-loops",), "self_loops", False),
        (("--normalisation", "none"), "normalisation", "none"),
        (("--closeness", "uniform"), "closeness", "uniform"),
        (("--measure", "none"), "measure", "none"),
    ):
        adjacency, said = made(*switch)
        assert said[name] == value and not np.array_equal(adjacency, plain), name
    adjacency, _ = made("--no-self-loops")
    assert not np.diagonal(adjacency, axis1=1, axis2=2).any()


def test_flags_have_the_defaults_of_the_config():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())["graphs"]
    settings = DreaOptions().drea_options()
    assert {name: config[name] for name in settings} == settings


@pytest.fixture
def ready(regions, tmp_path):
    """The regions as another tool would have written them, and the images' sizes."""
    _, tables = regions
    image = np.repeat(np.arange(3), np.diff(tables["offsets"]))
    rows = [
        {
            "image_id": NAMES[image[place]] + ".png",
            "category_id": int(tables["classes"][place]) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": float(tables["scores"][place]),
        }
        for place, (x1, y1, x2, y2) in enumerate(tables["boxes"].astype(float).tolist())
    ]
    boxes, sizes = tmp_path / "results.json", tmp_path / "sizes.csv"
    boxes.write_text(json.dumps(rows))
    lines = [f"{n},{w},{h}" for n, (w, h) in zip(NAMES, tables["sizes"].tolist(), strict=True)]
    sizes.write_text("\n".join(["image_id,width,height", *lines]), encoding="utf-8")
    return boxes, sizes


def tables_of(path):
    with store.reading(path, store.GRAPHS) as file:
        names = store.texts(file["names"])
        order = np.argsort(names)
        tables = {name: file[name][:][order] for name in store.GRAPHS.tables if name != "names"}
        return sorted(names), tables, store.provenance(file)


@pytest.mark.parametrize("source", ["sizes", "images"])
def test_graphs_of_ready_boxes_are_those_of_regions_bit_for_bit(
    regions, ready, source, tmp_path, capsys
):
    path, tables = regions
    boxes, sizes = ready
    if source == "images":
        for name, size in zip(NAMES, tables["sizes"].tolist(), strict=True):
            (tmp_path / "pictures").mkdir(exist_ok=True)
            Image.new("L", size).save(tmp_path / f"pictures/{name}.png")
        where = ["--images", str(tmp_path / "pictures")]
    else:
        where = ["--sizes", str(sizes)]
    ours, theirs = tmp_path / "ours.h5", tmp_path / "theirs.h5"
    assert main(["graphs", "--regions", str(path), "--output", str(ours)]) == 0
    classes = ["--classes", "plane", "ship"]
    assert main(["graphs", "--boxes", str(boxes), *where, *classes, "--output", str(theirs)]) == 0
    names, expected, _ = tables_of(ours)
    found_names, found, origin = tables_of(theirs)
    assert found_names == names == sorted(NAMES)
    for name, table in expected.items():
        assert np.array_equal(found[name], table) and found[name].dtype == table.dtype, name
    assert origin["columns"][:2] == ["class plane", "class ship"]
    assert origin["detector"]["results_sha256"] == file_sha256(boxes)
    assert "8 regions in 3 images; 0 boxes of no area dropped" in capsys.readouterr().err


def test_ten_thousand_boxes_in_one_image_need_no_flags_but_their_files(tmp_path):
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
    assert main([*map(str, argv), "--output", str(tmp_path / "graphs.h5")]) == 0
    names, tables, origin = tables_of(tmp_path / "graphs.h5")
    assert names == ["0012"] and tables["mask"].all() and tables["redundant"][0] > 0
    assert tables["representation"].shape == (1, 20, 7)
    assert origin["columns"][:2] == ["class category 3", "class category 7"]
    best = max(range(10_000), key=lambda n: rows[n]["score"])
    x, y, width, height = rows[best]["bbox"]
    expected = [(x + width / 2) / 600, (y + height / 2) / 500, width / 600, height / 500]
    np.testing.assert_allclose(tables["representation"][0, 0, 3:], expected, atol=1e-6)
    assert tables["representation"][0, 0, :2].tolist() == [best % 2, 1 - best % 2]


def test_one_image_is_drawn_on_its_picture_or_on_white(regions, ready, tmp_path):
    path, _ = regions
    boxes, sizes = ready
    (tmp_path / "pictures/deep").mkdir(parents=True)
    Image.new("RGB", (300, 300), (10, 90, 30)).save(tmp_path / "pictures/deep/b.png")
    scale = enlargement((300, 300))

    def corner(*argv):
        assert main(["graphs", *map(str, argv), "--output", str(tmp_path / "new/b.png")]) == 0
        with Image.open(tmp_path / "new/b.png") as page:
            assert page.format == "PNG" and page.size == (300 * scale + WIDTH, 300 * scale)
            return page.getpixel((300 * scale - 1, 300 * scale - 1))

    show = ("--show", "b")
    assert corner("--regions", path, "--images", tmp_path / "pictures", *show) == (10, 90, 30)
    assert corner("--regions", path, *show) == (255, 255, 255)
    assert corner("--boxes", boxes, "--sizes", sizes, "--show", "b.png") == (255, 255, 255)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "ConfigError: give exactly one of --regions and --boxes"),
        (["--regions", "r", "--boxes", "b"], "ConfigError: give exactly one of --regions"),
        (["--boxes", "b"], "exactly one of --sizes and --images"),
        (["--boxes", "b", "--sizes", "s", "--images", "i"], "exactly one of --sizes and --images"),
        (["--regions", "r", "--sizes", "s"], "--sizes goes with --boxes; regions.h5 says it"),
        (["--regions", "r", "--classes", "a"], "--classes goes with --boxes"),
        (["--regions", "r", "--images", "i"], "--images goes with --boxes or with --show"),
        (
            ["--regions", "R", "--show", "c"],
            "no image is called c; of 3 images they are called like",
        ),
        (["--regions", "R", "--images", "P", "--show", "empty"], "holds no picture of image empty"),
        (["--regions", "R", "--images", "P", "--show", "b"], "is 9 x 9 pixels, and its boxes were"),
        (["--regions", "R", "--images", "X", "--show", "b"], "is no folder"),
        (["--boxes", "B", "--images", "P"], "'ärial_1.png', which is no image's name"),
        (["--boxes", "B", "--sizes", "X"], "cannot be read (No such file or directory)"),
        (["--boxes", "X", "--sizes", "S"], "cannot be read (No such file or directory)"),
        (["--boxes", "B", "--sizes", "S", "--annotations", "X"], "cannot be read (No such file"),
        (
            ["--boxes", "B", "--sizes", "S", "--classes", "a"],
            "first_category may be wrong (it is 1)",
        ),
    ],
)
def test_unclear_input_is_refused_in_one_line(argv, says, regions, ready, tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "pictures/b.png")
    stands = {
        "R": regions[0], "B": ready[0], "S": ready[1],
        "P": tmp_path / "pictures", "X": tmp_path / "none",
    }  # fmt: skip
    output = tmp_path / "out"
    assert main(["graphs", *(str(stands.get(w, w)) for w in argv), "--output", str(output)]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1 and not output.exists()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("", "has no column image_id; its first line must be image_id,width,height"),
        ("image_id,width\na,1", "has no column height"),
        ("image_id,width,height\na,1,1\n,1,1", "line 3 has image_id ''; a name is expected"),
        (
            "image_id,width,height\na,1,0",
            "line 2 has width '1' and height '0'; pixels are expected",
        ),
        ("image_id,width,height\na,1", "line 2 has width '1' and height ''"),
        ("image_id,width,height\na,1.5,2", "has width '1.5'"),
        ("image_id,width,height\na,99999999999,2", "has width '99999999999'"),
        ("image_id,width,height\na,2," + "9" * 5000, "has width '2' and height '999"),
        ("image_id,width,height\na,1,1\na.png,2,2", "two images called a; names must be unique"),
        (b"image_id,width,height\n\xe4,1,1", "is no CSV in UTF-8"),
        ('image_id,width,height\n"' + "a" * 200_000, "is no CSV in UTF-8 (field larger than"),
    ],
)
def test_a_wrong_table_of_sizes_is_named_with_its_line(table, says, tmp_path):
    path = tmp_path / "sizes.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    with pytest.raises(DataError) as refused:
        read_sizes(path)
    assert says in str(refused.value)


def test_sizes_are_read_in_order_of_name_whatever_else_the_table_holds(tmp_path):
    (tmp_path / "sizes.csv").write_text(
        "\ufeffheight,image_id,more,width\r\n2,b.tif,x,1\r\n4, a ,y,3\r\n", encoding="utf-8"
    )
    names, sizes = read_sizes(tmp_path / "sizes.csv")
    assert names == ["a", "b"] and sizes.tolist() == [[3, 4], [1, 2]] and sizes.dtype == np.int32


def test_of_a_folder_only_the_headers_of_its_pictures_are_read(tmp_path):
    (tmp_path / "b").mkdir()
    Image.new("RGB", (30, 40)).save(tmp_path / "b/x.png")
    Image.effect_noise((200, 100), 50).save(tmp_path / "a.tif")
    (tmp_path / "note.txt").write_text("no picture")
    whole = (tmp_path / "b/x.png").read_bytes()
    (tmp_path / "b/x.png").write_bytes(whole[:50])  # its pixels are gone
    names, sizes = scan_sizes(tmp_path)
    assert names == ["a", "b/x"] and sizes.tolist() == [[200, 100], [30, 40]]
    (tmp_path / "b/x.png").write_bytes(whole[:10])
    with pytest.raises(
        DataError, match=r"x.png is no picture; remove it, or give sizes as a table"
    ):
        scan_sizes(tmp_path)
    (tmp_path / "b/x.png").unlink()
    (tmp_path / "a.JPG").write_bytes((tmp_path / "a.tif").read_bytes())
    with pytest.raises(DataError, match="two images called a; names must be unique"):
        scan_sizes(tmp_path)
    with pytest.raises(DataError, match="holds no picture"):
        scan_sizes(tmp_path / "b")
