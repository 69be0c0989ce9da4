from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from galr import store
from galr.errors import DataError, DeviceError, StoreError
from galr.regions import network
from galr.regions.detect import Sighting, Slice, cut, detect, join, ragged, starts
from galr.regions.detector import Detection, Slices, read_detector
from galr.regions.looking import open_rgb
from galr.stages import regions as stage

CPU = torch.device("cpu")
WHOLE = Detection(input=(64, 64), batch=4, score=0.3, overlap=0.5, regions=20)


@pytest.fixture(scope="module")
def model(trained):
    return network.load(read_detector(trained.file), trained.checkpoint, CPU)


@pytest.fixture(scope="module")
def pictures(trained):
    return [open_rgb(trained.folder / "images" / f"{number}.png") for number in range(6)]


@pytest.mark.parametrize("length", [1, 63, 64, 65, 127, 128, 500, 1001])
@pytest.mark.parametrize("overlap", [0.0, 0.2, 0.5, 0.9])
def test_slices_cover_every_pixel_and_overlap_as_asked(length, overlap):
    begins = starts(length, 64, overlap)
    covered = np.zeros(length, bool)
    for begin in begins:
        assert begin >= 0
        assert begin + min(64, length) <= length
        covered[begin : begin + 64] = True
    assert covered.all()
    assert all(a + 64 - b >= 64 * overlap for a, b in pairwise(begins))


def test_a_slice_shows_its_part_of_the_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 150, 3), np.uint8)
    parts = list(cut(7, Image.fromarray(pixels), Slices(64, 0.25)))
    assert len(parts) == 2 * 3
    for part in parts:
        assert (part.picture, part.width, part.height) == (7, 150, 90)
        seen = pixels[part.y : part.y + 64, part.x : part.x + 64]
        np.testing.assert_array_equal(part.pixels, seen)


def sighted(*rows):
    """What a network saw, from (class, score, x1, y1, x2, y2)."""
    table = torch.tensor(rows, dtype=torch.float64).reshape(-1, 6)
    return Sighting(table[:, 2:].float(), table[:, 1].float(), table[:, 0].long())


def slice_at(x, y, width=100, height=80):
    return Slice(0, width, height, x, y, np.zeros((64, 64, 3), np.uint8))


def test_joining_moves_merges_clips_drops_and_sorts():
    left = sighted(
        (0, 0.6, 40, 10, 60, 30),  # the same square as in the right slice
        (1, 0.7, 41, 10, 61, 30),  # there as well, but of another class
        (0, 0.2, 0, 0, 9, 9),  # weak
        (0, 0.9, -20, -20, -1, -1),  # no area once clipped
    )
    right = sighted((0, 0.8, 4, 10, 24, 30), (1, 0.5, 50, 60, 90, 99))  # the last juts out
    found = join(
        [(slice_at(0, 0), left), (slice_at(36, 0), right)], score=0.3, overlap=0.5, regions=9
    )
    np.testing.assert_allclose(found.scores, [0.8, 0.7, 0.5])
    assert found.classes.tolist() == [0, 1, 1]
    assert found.boxes.tolist() == [[40, 10, 60, 30], [41, 10, 61, 30], [86, 60, 100, 80]]
    assert found.dropped == 1


def test_joining_keeps_the_best_where_too_many_are_seen():
    rows = [(0, score, 10 * i, 0, 10 * i + 5, 5) for i, score in enumerate((0.4, 0.9, 0.6))]
    found = join([(slice_at(0, 0), sighted(*rows))], score=0.1, overlap=0.5, regions=2)
    np.testing.assert_allclose(found.scores, [0.9, 0.6])


def test_scores_that_are_no_number_are_no_regions():
    found = join(
        [(slice_at(0, 0), sighted((0, np.nan, 0, 0, 9, 9)))], score=0, overlap=1, regions=5
    )
    assert len(found.scores) == 0


def test_batching_changes_no_box(model, pictures):
    mixed = [
        pictures[0],
        pictures[1].resize((40, 56)),
        *pictures[2:5],
        pictures[5].resize((128, 96)),
    ]
    alone = [next(detect(model, [each], WHOLE)) for each in mixed]
    assert sum(len(each.scores) for each in alone) >= 6
    for batched, single in zip(detect(model, mixed, WHOLE), alone, strict=True):
        np.testing.assert_allclose(batched.boxes, single.boxes, atol=1e-3)
        np.testing.assert_allclose(batched.scores, single.scores, atol=1e-5)
        np.testing.assert_array_equal(batched.classes, single.classes)


def test_boxes_are_in_pixels_of_the_picture_as_it_came(model, pictures):
    for picture in pictures:
        (small,) = detect(model, [picture], WHOLE)
        (large,) = detect(model, [picture.resize((128, 128), Image.Resampling.NEAREST)], WHOLE)
        np.testing.assert_allclose(large.boxes / 2, small.boxes, atol=1)
        np.testing.assert_array_equal(large.classes, small.classes)


def test_invariants_hold_for_every_picture(model, pictures):
    for found in detect(model, pictures, Detection((64, 64), 4, 0.01, 1.0, 1000)):
        assert len(found.scores) > 2
        assert (found.boxes >= 0).all()
        assert (found.boxes <= 64).all()
        assert ((found.boxes[:, 2:] - found.boxes[:, :2]) > 0).all()
        assert (np.diff(found.scores) <= 0).all()
        assert found.scores.min() >= 0.01
        assert found.scores.max() <= 1
        assert set(found.classes) <= {0, 1}


def test_slices_find_once_what_lies_in_several(model, pictures):
    """Four pictures laid together and cut so that each object is seen in two to four slices."""
    sheet = Image.new("RGB", (128, 128))
    for place, picture in enumerate(pictures[:4]):
        sheet.paste(picture, (place % 2 * 64, place // 2 * 64))
    how = Detection((64, 64), 4, 0.3, 0.5, 100, Slices(64, 0.5))
    (found,) = detect(model, [sheet], how)
    for place, alone in enumerate(detect(model, pictures[:4], WHOLE)):
        x, y = place % 2 * 64, place // 2 * 64
        for box in alone.boxes[:2] + np.array([x, y, x, y]):
            near = np.abs(found.boxes - box).max(axis=1) < 4
            assert near.sum() == 1


def test_pictures_are_taken_as_they_are_needed(model, pictures):
    taken = []

    def stream():
        for number in range(100):
            taken.append(number)
            yield pictures[0]

    next(detect(model, stream(), WHOLE))
    assert len(taken) <= 2 * WHOLE.batch


def test_ragged_tables_give_each_picture_its_rows():
    parts = [[(0, 0.9, 0, 0, 5, 5)], [], [(1, 0.8, 1, 1, 5, 5), (0, 0.7, 9, 9, 20, 20)]]
    found = [
        join([(slice_at(0, 0), sighted(*rows))], score=0, overlap=0.5, regions=9) for rows in parts
    ]
    tables, dropped = ragged(found)
    assert tables["offsets"].tolist() == [0, 1, 1, 3]
    for each, begin, end in zip(found, tables["offsets"], tables["offsets"][1:], strict=False):
        np.testing.assert_array_equal(tables["boxes"][begin:end], each.boxes)
    assert dropped == 0
    empty, _ = ragged([])
    assert empty["offsets"].tolist() == [0]
    assert empty["boxes"].shape == (0, 4)


def dataset_of(path, files, sizes):
    """Write what the stage reads of a dataset.h5."""
    with store.writing(path, store.DATASET, {}) as file:
        store.write_arrays(
            file,
            images=np.zeros((len(files), 4, 4, 3), np.uint8),
            sizes=np.array(sizes, np.int32),
            image_of_sentence=np.zeros(0, np.int32),
        )
        for table, texts in (("names", [f.split(".")[0] for f in files]), ("files", files)):
            store.write_texts(file, table, texts)
        store.write_texts(file, "splits", ["test"] * len(files))
        store.write_texts(file, "sentences", [])


@pytest.fixture
def flags(trained, tmp_path):
    """The stage's flags for three pictures: two drawn ones and an empty one."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for number in range(2):
        Image.open(trained.folder / "images" / f"{number}.png").save(folder / f"{number}.png")
    Image.new("RGB", (50, 30), (90, 90, 90)).save(folder / "deep" / "empty.png")
    dataset_of(
        tmp_path / "dataset.h5",
        ["0.png", "deep/empty.png", "1.png"],
        [(64, 64), (50, 30), (64, 64)],
    )

    def make(**changes):
        said = {
            "dataset": tmp_path / "dataset.h5",
            "folder": folder,
            "detector": trained.file,
            "checkpoint": trained.checkpoint,
            "output": tmp_path / "regions.h5",
            "device": "cpu",
        }
        return stage.Flags(**said | changes)

    return make


def test_the_stage_writes_regions_of_every_image(flags, model, pictures):
    stage.run(flags())
    with store.reading(flags().output, store.REGIONS) as file:
        origin = store.provenance(file)
        assert store.texts(file["names"]) == ["0", "deep/empty", "1"]
        assert store.texts(file["class_names"]) == ["square", "bar"]
        offsets = file["offsets"][:]
        boxes, scores = file["boxes"][:], file["scores"][:]
        strong = [(scores[a:b] > 0.3).sum() for a, b in pairwise(offsets)]
    assert strong[1] == 0
    expected = list(detect(model, pictures[:2], WHOLE))
    assert [strong[0], strong[2]] == [len(each.scores) for each in expected]
    np.testing.assert_allclose(boxes[: strong[0]], expected[0].boxes, atol=1e-3)
    assert origin["detector"]["name"] == "small"
    assert origin["dropped"] >= 0
    hashes = (
        origin["dataset_sha256"],
        *(origin["detector"][k] for k in ("config_sha256", "checkpoint_sha256")),
    )
    assert [len(each) for each in hashes] == [64, 64, 64]


def test_images_without_any_region_are_fine(flags, tmp_path):
    text = flags().detector.read_text().replace("score: 0.05", "score: 1.0")
    (tmp_path / "blind.yaml").write_text(text)
    stage.run(flags(detector=tmp_path / "blind.yaml"))
    with store.reading(flags().output, store.REGIONS) as file:
        assert file["offsets"][:].tolist() == [0, 0, 0, 0]
        assert file["boxes"].shape == (0, 4)


def test_a_picture_that_changed_or_is_gone_is_named(flags, tmp_path):
    picture = tmp_path / "pictures" / "1.png"
    Image.new("RGB", (64, 48)).save(picture)
    with pytest.raises(DataError, match=r"1.png is 64 x 48 pixels, and was 64 x 64"):
        stage.run(flags())
    picture.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1.png cannot be decoded"):
        stage.run(flags())
    picture.unlink()
    with pytest.raises(DataError, match=r"1.png cannot be decoded"):
        stage.run(flags())
    assert not (tmp_path / "regions.h5").exists()


def test_what_is_missing_is_named(flags, tmp_path):
    with pytest.raises(DataError, match="no checkpoint at"):
        stage.run(flags(checkpoint=tmp_path / "no.pth"))
    with pytest.raises(StoreError, match=r"no.h5 does not exist"):
        stage.run(flags(dataset=tmp_path / "no.h5"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named(flags):
    with pytest.raises(DeviceError, match="0 CUDA devices"):
        stage.run(flags(device="cuda"))
