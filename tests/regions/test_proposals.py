"""Proposals: what is drawn is found, wherever and however it lies, and nothing is found where nothing is."""

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from galr.commands import regions as stage
from galr.errors import DataError
from galr.io.formats import Dataset, Regions
from galr.io.images import load_rgb
from galr.regions.detector import find_regions, open_detector
from galr.regions.detector_spec import read_runnable_spec
from galr.regions.proposals import (
    Segment,
    merge_segments,
    neighbouring_pairs,
    propose,
    suppress_overlapping,
)

SHIPPED = Path("config/detectors/proposals.yaml")


@pytest.fixture(scope="module")
def detector():
    return open_detector(read_runnable_spec(SHIPPED), None)


@pytest.fixture(scope="module")
def config():
    return read_runnable_spec(SHIPPED).proposals


def draw(size, *boxes, ground=(70, 90, 60), colour=(230, 220, 200), noise=0, seed=0):
    """Draw rectangles, x1 y1 x2 y2 with the last ones outside, on a plain or noisy ground."""
    image = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(image)
    for left, top, right, bottom in boxes:
        pen.rectangle((left, top, right - 1, bottom - 1), fill=colour)
    random = np.random.default_rng(seed)
    moved = np.asarray(image, np.int16) + random.integers(-noise, noise + 1, (*size[::-1], 3))
    return Image.fromarray(moved.clip(0, 255).astype(np.uint8))


def scene(size=(120, 90), seed=0):
    """A landscape of many colours: rectangles of any size, with noise."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", size, (90, 100, 80))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = random.integers(0, size[0] - 12), random.integers(0, size[1] - 12)
        width, height = random.integers(8, 40, 2)
        colour = tuple(random.integers(20, 236, 3).tolist())
        pen.rectangle((left, top, left + width, top + height), fill=colour)
    moved = np.asarray(image, np.int16) + random.integers(-12, 13, (*size[::-1], 3))
    return Image.fromarray(moved.clip(0, 255).astype(np.uint8))


def iou(box, others):
    """Intersection over union of a box with others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.clip(high - low, 0, None).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1)
    return common / ((box[2:] - box[:2]).prod() + areas - common)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((256, 256), (90, 60, 150, 120)),
        ((256, 256), (0, 0, 40, 40)),  # in a corner
        ((64, 64), (20, 24, 44, 40)),  # not enlarged
        ((1000, 400), (500, 100, 700, 250)),
        ((300, 2000), (100, 1500, 250, 1800)),
        ((2500, 2500), (600, 700, 1100, 1000)),
    ],
)
@pytest.mark.parametrize("noise", [0, 8])
def test_a_bright_rectangle_is_the_best_region(detector, size, box, noise):
    (found,) = find_regions(detector, [draw(size, box, noise=noise)])
    assert iou(np.array(box, float), found.boxes)[0] >= 0.8
    assert found.scores[0] >= 0.3  # graphs.min_score keeps it
    dark, bright = (70, 90, 60), (230, 220, 200)
    (inverse,) = find_regions(detector, [draw(size, box, ground=bright, colour=dark, noise=noise)])
    assert iou(np.array(box, float), inverse.boxes)[0] >= 0.8


def test_every_one_of_several_things_is_found(detector):
    things = np.array(
        [(20, 20, 60, 50), (150, 30, 220, 70), (40, 160, 80, 230), (170, 150, 240, 220)], float
    )
    (found,) = find_regions(detector, [draw((256, 256), *things.tolist(), noise=5)])
    assert all(iou(thing, found.boxes).max() >= 0.8 for thing in things)


def test_regions_are_as_every_detector_gives_them(detector, config):
    for seed in range(4):
        image = scene((173, 91), seed)
        (found,) = find_regions(detector, [image])
        assert 0 < len(found.scores) <= config.regions
        assert found.boxes.dtype == found.scores.dtype == np.float32
        assert found.classes.dtype == np.int32 and not found.classes.any()
        assert (found.boxes >= 0).all() and (found.boxes <= np.tile(image.size, 2)).all()
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        assert (sides > 0).all()
        share = sides.prod(axis=1) / (173 * 91)
        assert (share <= config.max_area + 1e-6).all() and (share >= config.min_area).all()
        assert (np.diff(found.scores) <= 0).all()
        assert found.scores[0] <= 1 and found.scores[-1] >= config.score
        for row, box in enumerate(found.boxes[1:], start=1):
            assert iou(box, found.boxes[:row]).max() <= config.overlap + 1e-5
        assert found.dropped == 0


@pytest.mark.parametrize(
    "size", [(256, 256), (64, 48), (1, 1), (1, 300), (300, 1), (2, 2), (5000, 3)]
)
def test_an_image_of_one_colour_has_no_region(detector, size):
    for colour in ((0, 0, 0), (255, 255, 255), (70, 90, 60)):
        (found,) = find_regions(detector, [Image.new("RGB", size, colour)])
        assert found.boxes.shape == (0, 4)
        assert found.scores.shape == found.classes.shape == (0,)


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (1, 7), (3, 3), (400, 2)])
def test_tiny_and_thin_images_do_not_fail(detector, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3)).astype(np.uint8)
    (found,) = find_regions(detector, [pixels])
    assert (found.boxes <= np.tile(size, 2)).all() and (found.boxes >= 0).all()


TURNS = {
    Image.Transpose.ROTATE_90: lambda x1, y1, x2, y2, w, h: (y1, w - x2, y2, w - x1),
    Image.Transpose.ROTATE_180: lambda x1, y1, x2, y2, w, h: (w - x2, h - y2, w - x1, h - y1),
    Image.Transpose.ROTATE_270: lambda x1, y1, x2, y2, w, h: (h - y2, x1, h - y1, x2),
    Image.Transpose.FLIP_LEFT_RIGHT: lambda x1, y1, x2, y2, w, h: (w - x2, y1, w - x1, y2),
}


@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: turn.name)
@pytest.mark.parametrize("size", [(120, 90), (256, 256), (301, 211)])
def test_regions_turn_with_their_image(detector, turn, size):
    """Exactly, where no two differences of neighbouring pixels are equal to the bit."""
    for seed in range(3):
        image = scene(size, seed)
        before, after = find_regions(detector, [image, image.transpose(turn)])
        turned = np.stack(TURNS[turn](*before.boxes.T, *size), axis=1)
        np.testing.assert_allclose(after.scores, before.scores, atol=1e-5)
        order, other = (np.lexsort(boxes.round(2).T) for boxes in (turned, after.boxes))
        np.testing.assert_allclose(after.boxes[other], turned[order], atol=1e-3)


def test_neither_threads_nor_neighbours_nor_the_form_of_an_image_change_a_region(
    detector, tmp_path
):
    paths = [tmp_path / f"{seed}.png" for seed in range(9)]
    for seed, path in enumerate(paths):
        scene((120, 90), seed).save(path)
    loaders = [partial(load_rgb, path) for path in paths]
    alone = [propose(loader(), read_runnable_spec(SHIPPED).proposals) for loader in loaders]
    arrays = [np.asarray(loader()) for loader in loaders]
    for together in (
        detector.detect(loaders),
        detector.detect(loaders, threads=2),
        find_regions(detector, arrays),
    ):
        for found, expected in zip(together, alone, strict=True):
            for name in ("boxes", "scores", "classes"):
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_error_of_a_loader_arrives_from_a_process_too(detector, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    loaders = [partial(load_rgb, tmp_path / "bad.png")] * 3
    for threads in (1, 2):
        with pytest.raises(DataError, match=r"bad\.png cannot be decoded"):
            list(detector.detect(loaders, threads=threads))


def test_segments_merge_by_wards_cost_from_the_most_similar_pair_on():
    """Three stripes of one row: the two that are alike merge first, then both with the third."""
    labels = np.array([[0, 0, 1, 1, 1, 1, 2, 2, 2, 2]])
    lab = np.zeros((1, 10, 3))
    lab[0, 2:6, 0], lab[0, 6:, 0] = 10, 16
    merged = merge_segments(labels, lab)
    first = np.sqrt(4 * 4 / 8 / 10) * 6
    second = np.sqrt(2 * 8 / 10 / 10) * 13
    found = {segment.box: (segment.area, segment.birth, death) for segment, death in merged}
    assert found.keys() == {(0, 0, 2, 1), (2, 0, 6, 1), (6, 0, 10, 1), (2, 0, 10, 1)}
    assert found[2, 0, 6, 1] == pytest.approx((4, 0, first))
    assert found[6, 0, 10, 1] == pytest.approx((4, 0, first))
    assert found[2, 0, 10, 1] == pytest.approx((8, first, second))
    assert found[0, 0, 2, 1] == pytest.approx((2, 0, second))


def test_wards_cost_is_what_a_merge_adds_to_the_squared_deviation():
    random = np.random.default_rng(0)
    first, second = random.normal(size=(7, 3)), random.normal(size=(4, 3)) + 2

    def segment(pixels):
        return Segment((0, 0, 1, 1), len(pixels), tuple(pixels.mean(axis=0)), birth=0.0)

    def deviation(pixels):
        return ((pixels - pixels.mean(axis=0)) ** 2).sum()

    both = np.concatenate([first, second])
    added = deviation(both) - deviation(first) - deviation(second)
    cost = segment(first).merge_cost(segment(second), pixels=100)
    assert cost**2 * 100 == pytest.approx(added)
    merged = segment(first).merge(segment(second), cost)
    assert merged.colour == pytest.approx(both.mean(axis=0)) and merged.area == 11


def test_neighbours_are_those_that_share_an_edge_of_a_pixel():
    labels = np.random.default_rng(0).integers(0, 6, (5, 7))
    expected = set()
    for (row, column), label in np.ndenumerate(labels):
        for other in (labels[row + 1 : row + 2, column], labels[row, column + 1 : column + 2]):
            expected |= {tuple(sorted((int(label), int(n)))) for n in other if n != label}
    assert neighbouring_pairs(labels).tolist() == sorted(map(list, expected))


def test_suppression_is_that_of_torchvision():
    torch = pytest.importorskip("torch")
    ops = pytest.importorskip("torchvision.ops")
    random = np.random.default_rng(1)
    corners = random.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 40, (80, 2))], axis=1)
    scores = random.uniform(size=80)
    for limit in (0.0, 0.3, 0.5, 1.0):
        expected = ops.nms(torch.tensor(boxes), torch.tensor(scores), limit)
        for most in (5, 80):
            found = suppress_overlapping(boxes, scores, limit, most)
            assert found.tolist() == expected[:most].tolist()


def test_stricter_settings_leave_a_beginning_of_the_list(config):
    image = scene((256, 256))
    every = propose(image, config)
    few = propose(image, replace(config, regions=3))
    np.testing.assert_array_equal(few.boxes, every.boxes[:3])
    strong = propose(image, replace(config, score=0.5))
    assert 0 < len(strong.scores) < len(every.scores)
    np.testing.assert_array_equal(strong.boxes, every.boxes[every.scores >= 0.5])


@pytest.fixture
def options(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    scene((120, 90)).save(folder / "a.png")
    Image.new("RGB", (50, 30), (9, 9, 9)).save(folder / "b.png")
    with Dataset.create(tmp_path / "dataset.h5", {"dataset": "small"}) as file:
        file.write(
            images=np.zeros((2, 4, 4, 3), np.uint8),
            sizes=np.array([(120, 90), (50, 30)], np.int32),
            image_of_sentence=np.zeros(0, np.int32),
            names=["a", "b"],
            files=["a.png", "b.png"],
            splits=["test"] * 2,
            sentences=[],
        )
    return stage.Options(
        dataset=tmp_path / "dataset.h5",
        folder=folder,
        detector=SHIPPED,
        output=tmp_path / "regions.h5",
    )


def test_the_command_writes_one_class_and_records_no_weights(options, detector):
    stage.run(options)
    with Regions.open(options.output) as file:
        assert file.class_names == ["region"] and file.names == ["a", "b"]
        (found,) = find_regions(detector, [scene((120, 90))])
        np.testing.assert_array_equal(file.boxes[:], found.boxes)
        assert file.offsets[:].tolist() == [0, len(found.scores), len(found.scores)]
        assert file.provenance["detector"] == {
            "name": "proposals",
            "config_sha256": read_runnable_spec(SHIPPED).config_hash(),
        }


def test_the_command_loads_neither_torch_nor_mmdet(options):
    code = (
        "import sys; from galr.__main__ import main;"
        f"assert main(['regions', '--dataset', {str(options.dataset)!r}, '--folder',"
        f" {str(options.folder)!r}, '--detector', {str(SHIPPED)!r}, '--output',"
        f" {str(options.output)!r}]) == 0;"
        "print(*sys.modules.keys() & {'torch', 'torchvision', 'mmdet', 'mmengine', 'mmcv'})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_without_scikit_image_the_small_extra_is_named(options):
    code = (
        "import sys; sys.modules['skimage'] = None; sys.modules['skimage.color'] = None;"
        "from galr.__main__ import main;"
        f"sys.exit(main(['regions', '--dataset', {str(options.dataset)!r}, '--folder',"
        f" {str(options.folder)!r}, '--detector', {str(SHIPPED)!r}, '--output',"
        f" {str(options.output)!r}]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert ran.returncode == 2
    assert "skimage is not installed; run: pip install 'galr[proposals]'" in ran.stderr
