"""DOTA folders, drawn small: what is read, cut and written, against slow and obvious definitions."""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from galr.commands import tile_dota
from galr.errors import ConfigError, DataError
from galr.io.coco import read_coco
from galr.regions import dota
from galr.regions.detect import slice_image as cut_for_detection
from galr.regions.detector_spec import SliceConfig
from galr.regions.train_val import check_disjoint

CLASSES = ("ship", "plane")
HEADER = "imagesource:GoogleEarth\ngsd:0.146343590398\n"
TILING = {"tile_size": 64, "overlap": 0.25, "min_visible": 0.7, "ignore_difficult": True}


def turned(x, y, width, height, degrees):
    """The eight numbers of a rectangle about a centre, turned."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * (width / 2, height / 2)
    return (signs @ np.array([(cos, sin), (-sin, cos)]) + (x, y)).ravel().round(3).tolist()


def upright(x1, y1, x2, y2):
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def labels_of(*rows):
    """Labels from (class, corners) or (class, corners, difficult)."""
    corners = np.array([row[1] for row in rows], float).reshape(-1, 8)
    difficult = np.array([bool(row[2:] and row[2]) for row in rows], bool)
    return dota.DotaLabels(dota.to_axis_aligned(corners), tuple(row[0] for row in rows), difficult)


def draw(folder, split, name, size, rows, *, labels="labelTxt", mode="RGB"):
    """Draw an image whose i-th object has grey value 100 + i, and its label file."""
    image = Image.new("L", size)
    lines = []
    for place, (kind, corners, *difficult) in enumerate(rows):
        ImageDraw.Draw(image).polygon(corners, fill=100 + place)
        lines.append(" ".join(map(str, [*corners, kind, *difficult])))
    for part in ("images", labels):
        (folder / split / part).mkdir(parents=True, exist_ok=True)
    image.convert(mode).save(folder / split / "images" / f"{name}.png")
    (folder / split / labels / f"{name}.txt").write_text(HEADER + "\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path):
    """Three training images and two held-out ones: large and small, grey and transparent ones."""
    folder = tmp_path / "DOTA"
    ships = [
        ("ship", turned(12 + 22 * i, 20 + 9 * (i % 3), 12, 5, 31 * i), i % 2) for i in range(8)
    ]
    planes = [("plane", turned(40, 70, 14, 14, 45), 0), ("crane", upright(5, 80, 15, 90), 0)]
    draw(folder, "train", "P0000", (200, 110), ships + planes)
    draw(folder, "train", "P0001", (50, 40), [("plane", turned(20, 20, 10, 20, 90))], mode="L")
    draw(folder, "train", "P0002", (40, 40), [])
    draw(folder, "val", "P0003", (70, 40), [("ship", upright(-9, 5, 11, 15), 0)], mode="RGBA")
    draw(folder, "val", "P0004", (130, 64), [])
    return folder


def cutting(folder, output, **flags):
    said = {"classes": CLASSES, "size": 64, "overlap": 0.25, "visible": 0.7} | flags
    tile_dota.run(tile_dota.Options(folder=folder, output=output, **said))
    return output


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_turned_box_is_enclosed_as_computed_by_hand():
    corners = np.array(
        [turned(50, 40, 20, 20, 45), turned(9, 9, 8, 2, 90), turned(10, 10, 6, 8, 30)]
    )
    half = [14.142, 14.142], [1, 4], [3 * np.sqrt(0.75) + 2, 1.5 + 4 * np.sqrt(0.75)]
    expected = [
        [x - w, y - h, x + w, y + h]
        for (x, y), (w, h) in zip([(50, 40), (9, 9), (10, 10)], half, strict=True)
    ]
    np.testing.assert_allclose(dota.to_axis_aligned(corners), expected, atol=1e-3)


def test_the_order_of_corners_does_not_matter():
    points = np.array(turned(30, 30, 17, 6, 20)).reshape(4, 2)
    every = np.array([np.ravel(order) for order in permutations(points)])
    assert len(np.unique(dota.to_axis_aligned(every), axis=0)) == 1


def test_a_label_file_is_read(tmp_path):
    path = tmp_path / "P0000.txt"
    path.write_text(
        "\ufeff" + HEADER + "1 2 11.5 2 11.5 8 1 8 ship 1\n\n-5 0 5 0 5 9 -5 9 plane\n", "utf-8"
    )
    labels = dota.read_labels(path)
    assert labels.boxes.tolist() == [[1, 2, 11.5, 8], [-5, 0, 5, 9]]
    assert labels.names == ("ship", "plane")
    assert labels.difficult.tolist() == [True, False]
    path.write_text(HEADER)
    assert dota.read_labels(path).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "line",
    [
        "1 2 3 4 5 6 7 ship 0",
        "1 2 3 4 5 6 7 8 storage tank 0",
        "1 2 3 4 5 6 7 8 ship 01",
        "1 2 3 4 5 6 7 nan ship 0",
        "1 2 3 4 5 6 7 x ship 0",
        "ship",
    ],
)
def test_a_malformed_line_is_named(tmp_path, line):
    path = tmp_path / "P0000.txt"
    path.write_text(f"{HEADER}0 0 9 0 9 9 0 9 ship 0\n{line}\n")
    with pytest.raises(DataError, match=rf"P0000.txt line 4 is '{line}'; expected: x1 y1"):
        dota.read_labels(path)


def test_labels_that_are_no_text_are_named(tmp_path):
    (tmp_path / "P0000.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"P0000.txt cannot be read"):
        dota.read_labels(tmp_path / "P0000.txt")


@pytest.mark.parametrize("ignore", [True, False])
def test_tiles_agree_with_counting_pixels(ignore):
    """Boxes of whole pixels are painted; the visible part of each is what is painted in a tile."""
    random = np.random.default_rng(0)
    low = random.integers(-20, 180, (40, 2))
    boxes = np.concatenate([low, low + random.integers(1, 90, (40, 2))], axis=1)
    names = random.choice([*CLASSES, "crane"], 40)
    difficult = random.random(40) < 0.2
    labels = dota.DotaLabels(boxes.astype(float), tuple(names), difficult)
    masks = np.zeros((40, 130, 190), bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)] = True
    found = list(
        dota.tile_image(labels, (190, 130), CLASSES, **TILING | {"ignore_difficult": ignore})
    )
    assert len(found) == 4 * 3
    for piece in found:
        left, top, right, bottom = piece.window
        expected = []
        for mask, name, hard in zip(masks, names, difficult, strict=True):
            part = mask[top:bottom, left:right]
            if name == "crane" or not part.any():
                continue
            y, x = np.nonzero(part)
            box = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            stump = part.sum() < 0.7 * mask.sum()
            expected.append((box, CLASSES.index(name), bool((hard and ignore) or stump)))
        rows = zip(piece.boxes.tolist(), piece.classes.tolist(), piece.crowd.tolist(), strict=True)
        assert list(rows) == expected
    assert dota.count_outside(labels, (190, 130)) == (~masks.any(axis=(1, 2))).sum() > 0


def test_what_fits_into_the_overlap_is_whole_somewhere_and_nowhere_twice_once_merged():
    random = np.random.default_rng(1)
    rows = [
        (
            "ship",
            turned(*random.uniform(9, 141, 2), *random.uniform(2, 11, 2), random.uniform(0, 90)),
        )
        for _ in range(60)
    ]
    labels = labels_of(*rows)
    assert (labels.boxes[:, 2:] - labels.boxes[:, :2]).max() <= 16
    whole = []
    for piece in dota.tile_image(labels, (150, 150), CLASSES, **(TILING | {"min_visible": 1.0})):
        corner = np.array(piece.window[:2] * 2)
        whole += (piece.boxes[~piece.crowd] + corner).round(6).tolist()
    merged = np.unique(np.array(whole), axis=0)
    assert len(whole) > len(merged)
    np.testing.assert_allclose(merged, np.unique(labels.boxes.round(6), axis=0))


def test_an_image_no_larger_than_a_slice_stays_whole():
    labels = labels_of(("ship", upright(3, 4, 60, 20)), ("plane", turned(30, 30, 9, 5, 33)))
    (piece,) = dota.tile_image(labels, (64, 50), CLASSES, **TILING)
    assert piece.window == (0, 0, 64, 50)
    np.testing.assert_array_equal(piece.boxes, labels.boxes)
    assert not piece.crowd.any()


def test_images_are_cut_as_detection_cuts_them():
    windows = [piece.window for piece in dota.tile_image(labels_of(), (201, 77), CLASSES, **TILING)]
    parts = cut_for_detection(0, Image.new("RGB", (201, 77)), SliceConfig(64, 0.25))
    assert windows == [
        (part.x, part.y, part.x + part.pixels.shape[1], part.y + part.pixels.shape[0])
        for part in parts
    ]


def test_a_share_equal_to_the_least_is_learnt_and_what_juts_out_of_the_image_is_no_part():
    rows = ("ship", upright(57, 5, 67, 15)), ("ship", upright(-30, 5, 10, 15))
    (left, right) = dota.tile_image(labels_of(*rows), (112, 64), CLASSES, **TILING)
    assert left.boxes.tolist() == [[57, 5, 64, 15], [0, 5, 10, 15]]
    assert left.crowd.tolist() == [False, False]
    assert right.boxes.tolist() == [[9, 5, 19, 15]]


def test_slices_show_their_part_and_their_boxes_enclose_what_is_drawn(folder, tmp_path):
    output = cutting(folder, tmp_path / "files")
    scenes = {scene.image.stem: scene for scene in dota.read_images(folder, "train")}
    document = json.loads((output / "train_boxes.json").read_text())
    exact = 0
    for image in document["images"]:
        name, x, y = Path(image["file_name"]).stem.split("_")
        x, y = int(x), int(y)
        slice_ = Image.open(output / "images" / image["file_name"])
        assert (slice_.mode, slice_.size) == ("RGB", (image["width"], image["height"]))
        original = Image.open(scenes[name].image).convert("RGB")
        window = (x, y, x + image["width"], y + image["height"])
        np.testing.assert_array_equal(np.asarray(slice_), np.asarray(original.crop(window)))
        own = [each for each in document["annotations"] if each["image_id"] == image["id"]]
        corners, sizes = np.split(np.array([each["bbox"] for each in own]), 2, axis=1)
        given = np.concatenate([corners, corners + sizes], axis=1)
        for place, kind in enumerate(scenes[name].labels.names):
            rows, columns = np.nonzero(np.asarray(slice_)[..., 0] == 100 + place)
            if kind in CLASSES and len(rows):
                drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                outer = (given - drawn) * (1, 1, -1, -1)  # what is drawn reaches a pixel too far
                assert (outer <= 1.5).all(axis=1).any()
                exact += (np.abs(outer) <= 1.5).all(axis=1).any()
    assert exact >= 10


def test_what_is_written_reads_as_boxes_of_the_detector(folder, tmp_path, capsys):
    output = cutting(folder, tmp_path / "files")
    images = output / "images"
    training, held_out = (
        read_coco(output / f"{split}_boxes.json", CLASSES, images) for split in ("train", "val")
    )
    check_disjoint(training, held_out)
    names = {image["file_name"] for part in (training, held_out) for image in part.images}
    assert names == {path.relative_to(images).as_posix() for path in images.rglob("*.png")}
    learnt = {each["image_id"] for each in training.annotations if not each["iscrowd"]}
    assert learnt == {image["id"] for image in training.images}  # P0002 shows nothing
    assert [image["file_name"] for image in held_out.images] == [
        "val/P0003_0_0.png",
        "val/P0003_6_0.png",
        "val/P0004_0_0.png",
        "val/P0004_33_0.png",
        "val/P0004_66_0.png",
    ]
    assert [each["bbox"] for each in held_out.annotations] == [[0, 5, 11, 10], [0, 5, 5, 10]]
    assert [each["iscrowd"] for each in held_out.annotations] == [0, 1]
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "train: 3 images" in said
    assert "1 of class crane" in said
    assert "val: 2 images, 5 tiles, 1 boxes (ship 1, plane 0), 1 crowd" in said


def test_the_same_folder_gives_the_same_bytes_and_replaces_what_was_cut(folder, tmp_path):
    first = contents(cutting(folder, tmp_path / "files", size=40))
    second = contents(cutting(folder, tmp_path / "files"))
    assert first != second == contents(cutting(folder, tmp_path / "again"))


def test_accents_may_be_composed_in_one_of_the_two_names(tmp_path):
    draw(tmp_path, "train", "río", (20, 20), [("ship", upright(2, 2, 9, 9))])
    label = tmp_path / "train/labelTxt/río.txt"
    label.rename(label.with_name("ri\N{COMBINING ACUTE ACCENT}o.txt"))
    (image,) = dota.read_images(tmp_path, "train")
    assert image.image.name == "río.png" and image.labels.names == ("ship",)


def test_labels_may_lie_deeper_and_beside_dotas_own_horizontal_ones(tmp_path):
    folder = tmp_path / "DOTA"
    rows = [("ship", turned(20, 20, 9, 5, 30))]
    draw(folder, "train", "P0000", (40, 40), [], labels="labelTxt-v1.5/DOTA-v1.5_train_hbb")
    draw(folder, "train", "P0000", (40, 40), rows, labels="labelTxt-v1.5/DOTA-v1.5_train")
    (scene,) = dota.read_images(folder, "train")
    assert scene.labels.names == ("ship",)
    draw(folder, "train", "P0000", (40, 40), rows, labels="labelTxt-v1.0/labelTxt")
    with pytest.raises(DataError, match=r"labels in labelTxt-v1.0/labelTxt and in labelTxt-v1.5/"):
        dota.read_images(folder, "train")


def remove(folder, *below):
    for each in below:
        (folder / each).unlink()


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (
            lambda f: (f / "train").rename(f / "training"),
            r"expected: train/images/P0000.png, train",
        ),
        (lambda f: (f / "val" / "labelTxt").rename(f / "gone"), r"val has no labels; a DOTA"),
        (lambda f: remove(f, "train/labelTxt/P0001.txt"), r"1 of the images .*for example P0001"),
        (lambda f: remove(f, "val/images/P0003.png"), r"1 of the label files .*for example P0003"),
        (
            lambda f: remove(f, "val/images/P0003.png", "val/images/P0004.png"),
            r"val/images has no images",
        ),
        (
            lambda f: Image.new("L", (9, 9)).save(f / "train" / "images" / "P0001.jpg"),
            r"has both P0001.jpg and P0001.png",
        ),
        (lambda f: (f / "val" / "images" / "P0004.png").write_bytes(b"?"), r"P0004.png cannot be"),
        (
            lambda f: (
                (f / "val" / "images" / "P0004.tif").write_bytes(b"II*\0")
                and remove(f, "val/images/P0004.png")
            ),
            r"P0004.tif cannot be decoded",
        ),
        (
            lambda f: (f / "train" / "labelTxt" / "P0000.txt").write_text("ship"),
            r"P0000.txt line 1 is 'ship'",
        ),
    ],
)
def test_a_wrong_folder_is_refused_and_leaves_nothing(folder, tmp_path, damage, complaint):
    damage(folder)
    with pytest.raises(DataError, match=complaint):
        cutting(folder, tmp_path / "files")
    assert [path.name for path in tmp_path.iterdir()] == ["DOTA"]


def test_a_class_that_cannot_be_learnt_is_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"no object of class 'court' .* has: crane, plane, ship"):
        cutting(folder, tmp_path / "files", classes=(*CLASSES, "court"))


@pytest.mark.parametrize(
    ("flag", "value"), [("size", 31), ("overlap", 0.95), ("visible", 0.0), ("visible", 1.1)]
)
def test_flags_out_of_range_are_named(folder, tmp_path, flag, value):
    with pytest.raises(ConfigError, match=rf"dota.{flag} must be .*, got {value}"):
        cutting(folder, tmp_path / "files", **{flag: value})


def test_a_run_that_ends_midway_leaves_what_was_there(folder, tmp_path, monkeypatch):
    before = contents(cutting(folder, tmp_path / "files"))
    seen = []

    def interrupted(scenes, **_):
        for scene in scenes:
            seen.append(scene)
            yield scene
            raise KeyboardInterrupt

    monkeypatch.setattr(tile_dota, "ProgressBar", interrupted)
    for output in ("files", "other"):
        with pytest.raises(KeyboardInterrupt):
            cutting(folder, tmp_path / output, size=40)
    assert len(seen) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DOTA", "files"]
    assert contents(tmp_path / "files") == before


def test_what_a_killed_run_left_is_cleared_away(folder, tmp_path):
    left = tmp_path / ".files.partial" / "images" / "train"
    left.mkdir(parents=True)
    (left / "P9999_0_0.png").write_bytes(b"half")
    output = cutting(folder, tmp_path / "files")
    assert not [name for name in contents(output) if "P9999" in name]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DOTA", "files"]


def test_a_foreign_folder_is_never_replaced(folder, tmp_path):
    before = contents(folder)
    with pytest.raises(DataError, match="which this command did not write"):
        cutting(folder, folder)
    assert contents(folder) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="is a file"):
        cutting(folder, tmp_path / "file")
